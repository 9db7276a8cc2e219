//! Tables of numbers, categories and gaps become rows; what was learned of the training rows comes back bit for bit.

mod common_data;

use common_data::{bits, example, floats, folder, open, open_with_seed, refusal};
use rekindle::data::{Data, Dataset, Input, TargetKind};
use rekindle::state::Part;

const PEOPLE: &str = "age,job,city,income\n30,cook,Rome,low\n,cook,Oslo,high\n50,nurse,,low\n40,,Rome,mid\n";

fn people(options: &str) -> Data {
    let folder = folder(&[("a.csv", PEOPLE.into())]);
    open(&folder.path().join("a.csv"), &format!("batch_size = \"all\"\nstandardize = false\n{options}")).unwrap()
}

fn said(content: &str, options: &str) -> String {
    refusal(&[("a.csv", content.into())], "a.csv", options)
}

/// As numbers of 32 bits, and some as numbers of 64 bits too, they would be one.
#[test]
fn codes_that_are_names_are_told_apart_to_their_last_digit() {
    let codes = ["16777217", "16777216", "007", "7", "7.0", "9007199254740993", "9007199254740992"];
    let rows: String = codes.iter().enumerate().map(|(row, code)| format!("{code},{}\n", row % 2)).collect();
    let folder = folder(&[("a.csv", format!("code,y\n{rows}").into())]);
    let data = open(&folder.path().join("a.csv"), "categories = [\"code\"]").unwrap();
    assert_eq!(data.input(), Input::Numbers(vec![codes.len()]));
}

#[test]
fn categories_and_gaps_become_numbers_and_names_of_classes_are_in_order() {
    let data = people("missing = \"mean\"");
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![7]), TargetKind::Classes { count: 3 }));
    let batch = data.batch(0).unwrap();
    assert_eq!(
        batch.inputs.to_vec2::<f32>().unwrap(),
        [
            // Age; job: missing, cook, nurse; city: missing, Oslo, Rome.
            [30.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            [40.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
            [50.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
            [40.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ]
    );
    assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [1, 0, 1, 2]);
    let state = data.save().unwrap();
    assert_eq!(state.json["classes"], serde_json::json!(["high", "low", "mid"]));
    assert_eq!(state.json["columns"][0]["name"], "age");
}

#[test]
fn an_indicator_column_and_ordinal_codes_on_request() {
    let data = people("missing = \"zero\"\nmissing_indicator = true\nencoding = \"ordinal\"\nignore = [\"city\"]");
    assert_eq!(
        data.batch(0).unwrap().inputs.to_vec2::<f32>().unwrap(),
        [[30.0, 0.0, 1.0], [0.0, 1.0, 1.0], [50.0, 0.0, 2.0], [40.0, 0.0, 0.0]]
    );
}

#[test]
fn numbers_can_be_categories_and_columns_have_numbers() {
    let content = "7,1,0\n3,2,1\n7,5,0\n";
    let folder = folder(&[("a.csv", content.into())]);
    let options = "header = false\ncategories = [0]\nignore = [1]\nbatch_size = \"all\"";
    let data = open(&folder.path().join("a.csv"), options).unwrap();
    // Standardization leaves what says yes or no at 0 and 1.
    assert_eq!(floats(&data.batch(0).unwrap().inputs), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn what_was_learned_replaces_what_another_seed_would_learn_bit_for_bit() {
    let mut content = "x,c,y\n".to_owned();
    (0..40).for_each(|i| {
        content +=
            &format!("{},k{},{}\n", if i % 5 == 0 { String::new() } else { format!("{}.1", i * i) }, i % 13, i % 2)
    });
    let folder = folder(&[("a.csv", content.into())]);
    let options = "validation = 0.5\nmissing = \"median\"\nmissing_indicator = true\nshuffle = false";
    let data = |seed| open_with_seed(&folder.path().join("a.csv"), options, seed).unwrap();
    let (saved, mut other) = (data(1), data(2));
    let state = saved.save().unwrap();
    assert_ne!(state, other.save().unwrap());
    other.batch(0).unwrap();
    other.check(&state).unwrap();
    other.load(&state).unwrap();
    assert_eq!(other.save().unwrap(), state);
    let all: Vec<usize> = (0..40).collect();
    let gathered = |data: &Data| bits(&data.dataset().gather(&all).unwrap().inputs);
    assert_eq!(gathered(&other), gathered(&saved));
}

#[test]
fn a_checkpoint_of_other_columns_is_refused() {
    let state = people("missing = \"mean\"").save().unwrap();
    let message = people("missing = \"mean\"\nignore = [\"city\"]").check(&state).unwrap_err().to_string();
    assert_eq!(
        message,
        "the list of columns is number age, one-hot job, one-hot city in the checkpoint and \
         number age, one-hot job here"
    );
    let mut damaged = state.clone();
    damaged.json["columns"][0]["encoding"]["kind"] = "letter".into();
    assert!(people("missing = \"mean\"").check(&damaged).unwrap_err().to_string().contains("letter"));
}

#[test]
fn a_table_of_numbers_alone_has_nothing_but_statistics_to_remember() {
    let data = open(&example("breast_cancer.csv"), "header = false\nskip_lines = 1").unwrap();
    let state = data.save().unwrap();
    assert!(state.json.is_null() && state.tensors.len() == 2);
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![30]), TargetKind::Classes { count: 2 }));
    assert_eq!(data.train_rows().len(), 569);
}

#[test]
fn a_word_among_numbers_and_a_number_among_words_are_told_by_line_and_column() {
    assert_eq!(said("a,y\n1,0\ntwo,0\n", ""), "a.csv, line 3, column `a`: \"two\" is not a number");
    assert_eq!(
        said("a,y\ntwo,0\n1,0\n", ""),
        "a.csv, line 3, column `a`: \"1\" is a number, and the column began with words; \
         name it in `data.categories` if all are names"
    );
    assert_eq!(
        said("a,y\n1,cat\n1,2\n", ""),
        "a.csv, line 3, column `y`: label \"2\" is a number, and the labels before it are names"
    );
    assert!(said("a,y\n1,2\n1,cat\n", "").contains("line 3, column `y`: label \"cat\" is not a whole number"));
    assert!(said("a,y\n1,cat\n", "task = \"regression\"").contains("column `y`: \"cat\" is not a number"));
}

#[test]
fn a_missing_value_is_an_error_unless_something_stands_in() {
    let empty =
        "a.csv, line 2, column `a`: the field is empty; set `data.missing` to say what stands in for a missing value";
    assert_eq!(said("a,y\n,0\n1,0\n", ""), empty);
    assert_eq!(said("a,y\nred,0\n,0\n", "").replace("line 3", "line 2"), empty);
    // A label is never made up.
    assert!(said("a,y\n1,\n", "missing = \"mean\"").starts_with("a.csv, line 2, column `y`: the field is empty"));
    assert!(said("a,y\n-,0\n1,0\n", "missing = \"mean\"").ends_with(
        "\"1\" is a number, and the column began with words; name it in `data.categories` if all are names"
    ));
    let folder = folder(&[("a.csv", b"a,y\n-,0\n1,1\n".to_vec())]);
    let options = "missing = \"mean\"\nmissing_values = [\"-\"]\nstandardize = false\nbatch_size = \"all\"";
    let data = open(&folder.path().join("a.csv"), options).unwrap();
    assert_eq!(floats(&data.batch(0).unwrap().inputs), [1.0, 1.0]);
}

#[test]
fn more_names_than_classes_are_refused() {
    assert_eq!(
        said("a,y\n1,cat\n1,dog\n1,cow\n", "classes = 2"),
        "a.csv, line 4, column `y`: label 2 is not below the number of classes, 2; labels count from 0"
    );
}

#[test]
fn columns_that_are_not_there_are_answered_with_those_that_are() {
    assert_eq!(
        said("a,b,y\n1,2,0\n", "ignore = [\"c\"]"),
        "`data.ignore`: a.csv has no column `c`; did you mean `a`?; it has `a`, `b`, `y`"
    );
    assert_eq!(
        said("a,y\n1,0\n", "categories = [7]"),
        "`data.categories` = 7, but a.csv has 2 columns: 0 to 1 from the first, -1 to -2 from the last"
    );
    assert_eq!(
        said("a,y\n1,0\n", "ignore = [\"y\"]"),
        "`data.ignore` has no meaning for the column of the label; remove it"
    );
    assert_eq!(said("a,y\n1,0\n1,1\n", "ignore = [\"a\"]"), "`data.ignore` leaves no column but the label");
}

#[test]
fn options_about_gaps_need_gaps() {
    for option in ["missing_indicator = true", "missing_values = [\"-\"]"] {
        let name = option.split_once(' ').unwrap().0;
        let expected = format!("`data.{name}` has no meaning for a table in which no value may be missing; remove it");
        assert_eq!(said("a,y\n1,0\n", option), expected);
    }
}

#[test]
fn a_column_without_a_value_is_told_by_its_name() {
    assert_eq!(
        said("a,b,y\n1,,0\n2,NA,1\n", "missing = \"mean\""),
        "column `b` has no value in any training row, so nothing can stand in for one; leave it out with `data.ignore`"
    );
}

/// What is said of a table before a run begins.
fn notices(content: &str, options: &str) -> Vec<String> {
    let folder = folder(&[("a.csv", content.into())]);
    let data = open(&folder.path().join("a.csv"), options).unwrap();
    let text = |notice: &rekindle::Notice| notice.to_string().replace(&format!("{}/", folder.path().display()), "");
    data.notices().iter().map(text).collect()
}

#[test]
fn what_stands_in_an_ignored_column_is_not_looked_at() {
    let content = "id,a,y\n,1,0\nx,2,1\n\"a\nb\",3,0\n";
    assert_eq!(notices(content, "ignore = [\"id\"]"), [""; 0]);
}

#[test]
fn of_two_columns_of_one_name_one_can_be_left_out_by_its_number() {
    let folder = folder(&[("a.csv", "y,a,y\n7,1,0\n8,2,1\n".into())]);
    let options = "ignore = [0]\nlabel = \"y\"\nstandardize = false\nbatch_size = \"all\"";
    let batch = open(&folder.path().join("a.csv"), options).unwrap().batch(0).unwrap();
    assert_eq!((floats(&batch.inputs), batch.targets.to_vec1().unwrap()), (vec![1.0, 2.0], vec![0u32, 1]));
}

#[test]
fn a_field_with_a_line_break_is_told_by_line_and_column() {
    let told = notices("a,job,y\n1,cook,0\n2,\"cook\n3,nurse\",1\n4,\"x\ny\",0\n", "");
    assert_eq!(
        told,
        [
            "warning: a.csv, line 3, column `job`: \"cook\\n3,nurse\" has a line break, as 1 more have; if rows are missing, \
         a quote opens there that should not"
        ]
    );
    assert!(notices("a,y\n1,cat\n2,\"d\nog\"\n", "")[0].contains("line 3, column `y`: \"d\\nog\" has a line break"));
    assert!(notices("a,\"b\nc\",y\n1,2,0\n2,2,1\n", "")[0].contains("the column name \"b\\nc\" has a line break"));
}

#[test]
fn labels_that_leave_classes_without_rows_are_told_with_the_counts() {
    let told = notices("a,y\n1,1\n2,2\n3,3\n4,3\n", "");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with(
            "warning: a.csv, column `y`: the labels are 1 (1 row), 2 (1 row) and 3 (2 rows), which makes 4 classes, \
             because labels count from 0: class 0 has no rows"
        ),
        "{told:?}"
    );
    assert!(notices("a,y\n1,0\n2,7\n", "")[0].contains("makes 8 classes"));
    assert_eq!(notices("a,y\n1,1\n2,2\n", "classes = 3"), [""; 0]);
}
