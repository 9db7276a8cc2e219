//! Tables of numbers, categories and gaps are read as rows; the state computed from the training rows is restored bit
//! for bit.

use crate::common::data::{bits, example, floats, folder, open, open_with_seed, refusal};
use rekindle::data::{Data, Dataset, Input, TargetKind};
use rekindle::state::{HostTensor, Stateful};

const PEOPLE: &str = "age,job,city,income\n30,cook,Rome,low\n,cook,Oslo,high\n50,nurse,,low\n40,,Rome,mid\n";

fn people(options: &str) -> Data {
    let folder = folder(&[("a.csv", PEOPLE.into())]);
    open(&folder.path().join("a.csv"), &format!("batch_size = \"all\"\nstandardize = false\n{options}")).unwrap()
}

fn said(content: &str, options: &str) -> String {
    refusal(&[("a.csv", content.into())], "a.csv", options)
}

/// As 32-bit numbers, and some as 64-bit numbers too, they would be equal.
#[test]
fn codes_that_are_names_are_distinguished_to_their_last_digit() {
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

/// A quote opens a field after any delimiter, and a comma is then a character.
#[test]
fn a_table_with_another_delimiter_is_the_same_table() {
    let plain = people("missing = \"mean\"").batch(0).unwrap().inputs.to_vec2::<f32>().unwrap();
    for (name, mark, options) in
        [("a.csv", ";", "delimiter = \";\""), ("a.tsv", "\t", ""), ("a.csv", "|", "delimiter = \"|\"")]
    {
        let content = PEOPLE.replace(',', mark).replace("cook", "\"a cook, at home\"");
        let folder = folder(&[(name, content.into())]);
        let options = format!("batch_size = \"all\"\nstandardize = false\nmissing = \"mean\"\n{options}");
        let data = open(&folder.path().join(name), &options).unwrap();
        assert_eq!(data.batch(0).unwrap().inputs.to_vec2::<f32>().unwrap(), plain, "{name} {mark:?}");
    }
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
    // Standardization does not change yes-or-no columns of 0 and 1.
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
    assert_eq!((state.json.clone(), state.tensors.len()), (serde_json::json!({ "precision": "f64" }), 2));
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![30]), TargetKind::Classes { count: 2 }));
    assert_eq!(data.train_rows().len(), 569);
}

#[test]
fn a_word_among_numbers_and_a_number_among_words_are_reported_by_line_and_column() {
    assert_eq!(said("a,y\n1,0\ntwo,0\n", ""), "a.csv, line 3, column `a`: \"two\" is not a number");
    assert_eq!(
        said("a,y\ntwo,0\n1,0\n", ""),
        "a.csv, line 3, column `a`: \"1\" is a number, and the column began with words; \
         name it in `data.categories` if all are names"
    );
    assert_eq!(
        notices("a,y\n1,cat\n1,2\n", ""),
        ["warning: a.csv, column `y`: all labels are names, because \"2\" is a number and \"cat\" is not; if that is \
         meant, name the column in `data.categories`"]
    );
    assert!(said("a,y\n1,cat\n", "task = \"regression\"").contains("column `y`: \"cat\" is not a number"));
}

#[test]
fn a_missing_value_is_an_error_unless_it_is_replaced() {
    let empty =
        "a.csv, line 2, column `a`: the field is empty; set `data.missing` to choose a replacement for missing values";
    assert_eq!(said("a,y\n,0\n1,0\n", ""), empty);
    assert_eq!(said("a,y\nred,0\n,0\n", "").replace("line 3", "line 2"), empty);
    // A missing label is never filled in.
    assert!(said("a,y\n1,\n", "missing = \"mean\"").starts_with("a.csv, line 2, column `y`: the label is missing"));
    assert!(said("a,y\n-,0\n1,0\n", "missing = \"mean\"").ends_with(
        "\"1\" is a number, and the column began with words; name it in `data.categories` if all are names"
    ));
    let other = said("a,y\n,0\n1,0\n", "missing = \"mean\"\nmissing_values = [\"-\"]");
    assert!(
        other.ends_with("the field is empty; if that is a missing value, add \"\" to `data.missing_values`"),
        "{other}"
    );
    let folder = folder(&[("a.csv", b"a,y\n-,0\n1,1\n".to_vec())]);
    let options = "missing = \"mean\"\nmissing_values = [\"-\"]\nstandardize = false\nbatch_size = \"all\"";
    let data = open(&folder.path().join("a.csv"), options).unwrap();
    assert_eq!(floats(&data.batch(0).unwrap().inputs), [1.0, 1.0]);
}

#[test]
fn more_names_than_classes_are_refused() {
    assert_eq!(
        said("a,y\n1,cat\n1,dog\n1,cow\n", "classes = 2"),
        "a.csv, line 4, column `y`: label \"cow\" is one name more than the 2 classes of `data.classes`"
    );
}

#[test]
fn columns_that_are_not_there_are_answered_with_those_that_are() {
    assert_eq!(
        said("a,b,y\n1,2,0\n", "ignore = [\"c\"]"),
        "`data.ignore`: a.csv has no column `c`; it has `a`, `b`, `y`"
    );
    assert_eq!(
        said("a,y\n1,0\n", "categories = [7]"),
        "`data.categories` = 7, but a.csv has 2 columns: 0 to 1 from the first, -1 to -2 from the last"
    );
    assert_eq!(
        said("a,y\n1,0\n", "ignore = [\"y\"]"),
        "`data.ignore` does not apply to the column of the label; remove it"
    );
    assert_eq!(said("a,y\n1,0\n1,1\n", "ignore = [\"a\"]"), "`data.ignore` leaves no column but the label");
}

#[test]
fn an_option_about_gaps_needs_gaps() {
    let expected = "`data.missing_indicator` does not apply to a table without missing values; remove it";
    assert_eq!(said("a,y\n1,0\n", "missing_indicator = true"), expected);
}

#[test]
fn a_column_without_a_value_is_reported_by_its_name() {
    assert_eq!(
        said("a,b,y\n1,,0\n2,NA,1\n", "missing = \"mean\""),
        "column `b` has no value in any training row, so there is no replacement for a missing one; ignore it with \
         `data.ignore`"
    );
}

/// Remarks about a table before a run begins.
fn notices(content: &str, options: &str) -> Vec<String> {
    let folder = folder(&[("a.csv", content.into())]);
    let data = open(&folder.path().join("a.csv"), options).unwrap();
    let text = |notice: &rekindle::Notice| notice.to_string().replace(&format!("{}/", folder.path().display()), "");
    data.notices().iter().map(text).collect()
}

#[test]
fn the_content_of_an_ignored_column_is_not_checked() {
    let content = "id,a,y\n,1,0\nx,2,1\n\"a\nb\",3,0\n";
    assert_eq!(notices(content, "ignore = [\"id\"]"), [""; 0]);
}

#[test]
fn of_two_columns_of_one_name_one_can_be_skipped_by_its_number() {
    let folder = folder(&[("a.csv", "y,a,y\n7,1,0\n8,2,1\n".into())]);
    let options = "ignore = [0]\nlabel = \"y\"\nstandardize = false\nbatch_size = \"all\"";
    let batch = open(&folder.path().join("a.csv"), options).unwrap().batch(0).unwrap();
    assert_eq!((floats(&batch.inputs), batch.targets.to_vec1().unwrap()), (vec![1.0, 2.0], vec![0u32, 1]));
}

#[test]
fn a_field_with_a_line_break_is_reported_by_line_and_column() {
    let told = notices("a,job,y\n1,cook,0\n2,\"cook\n3,nurse\",1\n4,\"x\ny\",0\n", "");
    assert_eq!(
        told,
        ["warning: a.csv, line 3, column `job`: \"cook\\n3,nurse\" has a line break, like 1 more; if rows are \
         missing, there is a stray quote"]
    );
    assert!(notices("a,y\n1,cat\n2,\"d\nog\"\n", "")[0].contains("line 3, column `y`: \"d\\nog\" has a line break"));
    assert!(notices("a,\"b\nc\",y\n1,2,0\n2,2,1\n", "")[0].contains("the column name \"b\\nc\" has a line break"));
}

#[test]
fn labels_that_do_not_count_from_0_are_classes_by_value_and_reported_with_the_counts() {
    let told = notices("a,y\n1,1\n2,2\n3,3\n4,3\n", "");
    assert_eq!(
        told,
        [
            "note: a.csv, column `y`: the labels are 3 classes by value: 1 (1 row), 2 (1 row) and 3 (2 rows); if they count \
         from 0 and other classes have no rows here, set `data.classes = 4`"
        ]
    );
    assert!(notices("a,y\n1,-1\n2,1\n", "")[0].ends_with("2 classes by value: -1 (1 row) and 1 (1 row)"));
    assert_eq!(notices("a,y\n1,1\n2,2\n", "classes = 3"), [""; 0]);
}

#[test]
fn a_label_that_stands_for_a_missing_value_is_refused_unless_the_words_say_otherwise() {
    let table = "a,sex\n1,f\n2,NA\n3,m\n4,f\n";
    let expected = "a.csv, line 3, column `sex`: the label is \"NA\", a word for missing values; complete it, or remove \
                    the row; if it is a class, set `data.missing_values` to the words that mean a missing value";
    assert_eq!(said(table, ""), expected);
    assert_eq!(said(table, "missing = \"mean\"\nmissing_values = \"pandas\""), expected);
    let folder = folder(&[("a.csv", table.into())]);
    let data = open(&folder.path().join("a.csv"), "missing_values = [\"\"]").unwrap();
    assert_eq!(data.save().unwrap().json["classes"], serde_json::json!(["NA", "f", "m"]));
}

#[test]
fn categories_may_name_the_label() {
    let folder = folder(&[("a.csv", "a,ward\n1,07\n2,10\n3,9\n4,07\n5,9\n".into())]);
    let data = open(&folder.path().join("a.csv"), "categories = [\"ward\"]\nbatch_size = \"all\"").unwrap();
    assert_eq!(data.save().unwrap().json["classes"], serde_json::json!(["07", "9", "10"]));
    assert_eq!(data.batch(0).unwrap().targets.to_vec1::<u32>().unwrap(), [0, 2, 1, 0, 1]);
    assert_eq!(
        said("a,y\n1,0\n", "categories = [\"y\"]\ntask = \"regression\""),
        "`data.categories` does not apply to the column of a label that is a value; remove it"
    );
}

#[test]
fn words_of_pandas_for_missing_values_are_a_choice() {
    let table = "a,y\n<NA>,0\n1,1\n-nan,0\n3,1\n";
    let folder = folder(&[("a.csv", table.into())]);
    let options = "missing = \"mean\"\nmissing_values = \"pandas\"\nstandardize = false\nbatch_size = \"all\"";
    let data = open(&folder.path().join("a.csv"), options).unwrap();
    assert_eq!(floats(&data.batch(0).unwrap().inputs), [2.0, 1.0, 2.0, 3.0]);
    assert_eq!(
        said(table, ""),
        "a.csv, line 3, column `a`: the column began with \"<NA>\"; if it stands for a missing value, set \
         `data.missing`, and list it in `data.missing_values`"
    );
    assert!(said("a,y\n1,0\nNone,1\n", "").contains("\"None\" is not a number; if it stands for a missing value"));
    assert_eq!(notices("a,y\nNone,0\n2,1\n", "missing = \"mean\""), [""; 0]);
}

#[test]
fn a_table_of_a_spreadsheet_with_decimal_commas_is_the_same_table() {
    let rows = |content: &str, options: &str| {
        let folder = folder(&[("a.csv", content.into())]);
        let options = format!("task = \"regression\"\nbatch_size = \"all\"\n{options}");
        let batch = open(&folder.path().join("a.csv"), &options).unwrap().batch(0).unwrap();
        (bits(&batch.inputs), bits(&batch.targets))
    };
    let plain = rows("a,b,y\n0.5,-1e-1,2.25\n1.5,3,4\n", "");
    let commas = "a;b;y\n0,5;-1e-1;2,25\n1,5;3;4\n";
    assert_eq!(rows(commas, ""), plain);
    assert_eq!(rows("# made today\n# \"units\na;b;y\n# more\n0,5;-1e-1;2,25\n1,5;3;4\n", "comment = \"#\""), plain);
    let told = notices(commas, "task = \"regression\"");
    assert_eq!(
        told[told.len() - 2..],
        [
            "note: a.csv, by its first lines: columns are separated by semicolons: `data.delimiter = \";\"`",
            "note: a.csv, by its first lines: numbers have a decimal comma: `data.decimal = \",\"`",
        ]
    );
    assert_eq!(
        said("a;y\n0,5;0\n1.5;1\n", "decimal = \",\""),
        "a.csv, line 3, column `a`: \"1.5\" has a point, and the decimal mark of the file is a comma; write all numbers \
         in one way, or set `data.decimal`"
    );
}

#[test]
fn a_line_is_counted_with_the_comments_before_it() {
    let told = said("# \"one\"\na,y\n1,0\n# x\n\n# y\nx,1\n", "comment = \"#\"");
    assert!(told.starts_with("a.csv, line 7, column `a`"), "{told}");
}

/// Seconds since 1970 are 128 apart in 32 bits.
#[test]
fn numbers_keep_64_bits_until_they_are_standardized() {
    let rows =
        |base: u64| "when,y\n".to_owned() + &(0..8).map(|i| format!("{},{}\n", base + i, i % 2)).collect::<String>();
    let inputs = |base: u64| {
        let folder = folder(&[("a.csv", rows(base).into())]);
        floats(&open(&folder.path().join("a.csv"), "batch_size = \"all\"").unwrap().batch(0).unwrap().inputs)
    };
    assert_eq!(inputs(1_700_000_000), inputs(0));
}

#[test]
fn a_missing_large_number_is_replaced_by_one_of_64_bits() {
    let content = "when,y\n1700000001,0\n,1\n1700000004,0\n";
    let folder = folder(&[("a.csv", content.into())]);
    let data = open(&folder.path().join("a.csv"), "missing = \"mean\"\nbatch_size = \"all\"").unwrap();
    assert_eq!(data.save().unwrap().json["columns"][0]["encoding"]["fill"], 1_700_000_002.5);
    assert_eq!(floats(&data.batch(0).unwrap().inputs)[1], 0.0);
}

/// A checkpoint from before numbers had 64 bits: it has no precision, and its statistics are those of 32-bit numbers.
#[test]
fn a_run_that_rounded_its_numbers_first_continues_with_the_same_bits() {
    let path = example("breast_cancer.csv");
    let mut data = open(&path, "header = false\nskip_lines = 1\nbatch_size = \"all\"").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<f32>> =
        text.lines().skip(1).map(|line| line.split(',').map(|field| field.trim().parse().unwrap()).collect()).collect();
    let column = |feature: usize| rows.iter().map(move |row| f64::from(row[feature]));
    let count = rows.len() as f64;
    let mean: Vec<f64> = (0..30).map(|feature| column(feature).sum::<f64>() / count).collect();
    let variance = |feature: usize| column(feature).map(|x| (x - mean[feature]).powi(2)).sum::<f64>() / count;
    let std: Vec<f64> = (0..30).map(|feature| variance(feature).sqrt()).collect();
    let mut state = data.save().unwrap();
    state.json = serde_json::Value::Null;
    state.tensors.insert("mean".to_owned(), HostTensor::from_f64s(&mean));
    state.tensors.insert("std".to_owned(), HostTensor::from_f64s(&std));
    let new = bits(&data.batch(0).unwrap().inputs);
    data.check(&state).unwrap();
    data.load(&state).unwrap();
    let expected: Vec<u32> = rows
        .iter()
        .flat_map(|row| (0..30).map(|f| (((f64::from(row[f]) - mean[f]) / std[f]) as f32).to_bits()))
        .collect();
    assert_eq!(bits(&data.batch(0).unwrap().inputs), expected);
    assert_ne!(new, expected);
    assert_eq!(data.save().unwrap(), state);
}

/// In them nothing was ever lost.
#[test]
fn numbers_of_32_bits_have_the_statistics_and_bits_that_they_always_had() {
    let mut data = open(&example("digits.csv.gz"), "header = false\nbatch_size = \"all\"").unwrap();
    let (state, inputs) = (data.save().unwrap(), bits(&data.batch(0).unwrap().inputs));
    let before = rekindle::state::State { json: serde_json::Value::Null, ..state };
    data.load(&before).unwrap();
    assert_eq!(bits(&data.batch(0).unwrap().inputs), inputs);
}

#[test]
fn numbers_that_lose_too_much_in_32_bits_are_reported() {
    let rows: String = (0..20).map(|i| format!("{},{}\n", i, 1_700_000_000 + i * 3)).collect();
    let told = notices(&format!("a,when\n{rows}"), "task = \"regression\"");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("a.csv, column `when`: numbers such as 17000000"), "{told:?}");
    assert!(told[0].contains("which have steps of 128 there, while they differ by 17."), "{told:?}");
    let rows: String = (0..20).map(|i| format!("{},{}\n", 1_700_000_000 + i * 3, i % 2)).collect();
    let plain = format!("when,y\n{rows}");
    assert!(notices(&plain, "standardize = false")[0].contains("column `when`: numbers such as 17000000"));
    assert_eq!(notices(&plain, ""), [""; 0]);
    let told = notices("a,y\n1,2.5\n2,2.5\n", "task = \"regression\"");
    assert!(told[0].contains("every row has the target 2.5, so nothing can be learned"), "{told:?}");
}

#[test]
fn a_column_in_which_nearly_every_value_is_another_one_is_reported_with_what_it_looks_like() {
    let column = |value: &dyn Fn(u32) -> String| {
        let rows: String = (0..30).map(|i| format!("\"{}\",{}\n", value(i), i % 2)).collect();
        let told = notices(&format!("x,y\n{rows}"), "");
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].clone()
    };
    assert_eq!(
        column(&|i| format!("{} km", i * 1000 + 7)),
        "warning: column `x` has 30 different values in 30 rows, such as \"7 km\", which looks like a number with a \
         unit; each becomes a separate category, which says nothing about others; write plain numbers (7), or ignore \
         the column with `data.ignore`"
    );
    let told = column(&|i| format!("$1,1{i:02}.50"));
    assert!(
        told.contains("\"$1,100.50\", which looks like a number with a currency") && told.contains("(1100.50)"),
        "{told}"
    );
    assert!(column(&|i| format!("2024-01-{:02}", i + 1)).contains("which looks like a date or a time"));
    assert!(column(&|i| format!("{i}%")).contains("which looks like a number with a percent sign"));
    assert!(column(&|i| format!("1,0{i:02}")).contains("which looks like a number with thousands separators"));
    assert!(
        column(&|i| format!("person {i}"))
            .contains("30 different values in 30 rows, such as \"person 0\"; each becomes")
    );
    // Few of many rows, but numbers to a person.
    let rows: String = (0..60).map(|i| format!("{}%,{}\n", i % 15, i % 2)).collect();
    let told = notices(&format!("x,y\n{rows}"), "");
    assert!(told[0].contains("column `x` is read as categories, such as \"0%\", which looks like"), "{told:?}");
    let rows: String = (0..60).map(|i| format!("{},{}\n", ["cook", "nurse", "smith"][i % 3], i % 2)).collect();
    assert_eq!(notices(&format!("x,y\n{rows}"), ""), [""; 0]);
}

#[test]
fn categories_of_validation_rows_that_no_training_row_has_are_counted() {
    let rows: String = (0..40).map(|i| format!("{},{}\n", if i < 38 { "red" } else { "pink" }, i % 2)).collect();
    let told: Vec<String> = (0..20)
        .flat_map(|seed| {
            let folder = folder(&[("a.csv", format!("x,y\n{rows}").into())]);
            let data = open_with_seed(&folder.path().join("a.csv"), "validation = 0.5", seed).unwrap();
            data.notices().iter().map(ToString::to_string).collect::<Vec<_>>()
        })
        .collect();
    let expected = "warning: of the validation rows, 2 of 20 have a value in column `x` that no training row has, \
                    such as \"pink\"; the model treats it as unknown";
    assert!(told.iter().any(|text| text == expected), "{told:?}");
}

#[test]
fn a_number_that_is_written_for_people_is_reported_with_what_to_write() {
    assert_eq!(
        said("a,y\n900,0\n\"1,100.50\",1\n", ""),
        "a.csv, line 3, column `a`: \"1,100.50\" cannot be read as a number; it looks like a number with thousands \
         separators, or a decimal comma, so write 1100.50"
    );
    assert!(said("a,y\n1,7 km\n", "task = \"regression\"").ends_with("it looks like a number with a unit, so write 7"));
}

#[test]
fn a_row_that_is_taken_for_the_names_of_columns_is_reported() {
    let told = notices("6.6,2.3,setosa\n6.0,2.4,virginica\n4.0,2.3,setosa\n", "");
    let expected = "warning: a.csv: the first line is taken for the names of the columns, and \"6.6\" is one; it \
                    looks like the rows below: if it is one, set `data.header = false`";
    assert_eq!(told, [expected]);
    assert_eq!(notices("0,1,y\n6.0,2.4,a\n4.0,2.3,b\n", ""), [""; 0]);
    let words = "red,s,yes\nblue,s,no\nred,m,yes\nblue,s,no\n";
    assert!(notices(words, "")[0].contains("and \"red\" is one"));
    assert_eq!(notices("colour,size,bought\nred,s,yes\nblue,s,no\nred,m,yes\n", ""), [""; 0]);
    assert!(said("1,1,a\n2,3,b\n", "").contains("if the first line is a row, set `data.header = false`"));
}

#[test]
fn a_row_that_two_quotes_have_swallowed_others_into_is_reported_by_its_line() {
    let message = said("a,job,y\n1,cook,0\n2,\"cook,1\n3,nurse,\"1\n", "");
    let expected = "a.csv, line 3: 2 columns, but the first line has 3; a field in it has a line break: there may be \
                    a stray quote";
    assert_eq!(message, expected);
}

#[test]
fn the_index_that_pandas_writes_is_reported() {
    let told = notices(",a,y\n0,5,0\n1,6,1\n2,9,0\n", "");
    let expected = "warning: a.csv: the first column has no name and numbers the rows, like the index that pandas \
                    writes; ignore it with `data.ignore = [0]`";
    assert_eq!(told, [expected]);
    assert_eq!(notices(",a,y\n0,5,0\n1,6,1\n2,9,0\n", "ignore = [0]"), [""; 0]);
    assert_eq!(notices(",a,y\n0,5,0\n4,6,1\n2,9,0\n", ""), [""; 0]);
}

#[test]
fn a_line_of_blanks_is_no_row() {
    let folder = folder(&[("a.csv", "a,b,y\n1,2,0\n  \t\n3,4,1\n \n".into())]);
    assert_eq!(open_with_seed(&folder.path().join("a.csv"), "", 0).unwrap().train_rows().len(), 2);
}
