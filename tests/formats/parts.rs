//! Tables in several files, with files for validation and test, folds, transformed targets, and several labels.

use crate::common::data::{floats, folder, open, refusal};
use rekindle::data::{Data, Dataset, TargetKind};
use rekindle::state::Stateful;

const HEAD: &str = "a,c,y\n";
const FIRST: &str = "1,red,0\n2,blue,1\n3,red,0\n";
const SECOND: &str = "4,red,1\n5,blue,0\n";

fn csv(rows: &str) -> Vec<u8> {
    format!("{HEAD}{rows}").into_bytes()
}

fn parts() -> tempfile::TempDir {
    folder(&[
        ("part-1.csv", csv(FIRST)),
        ("part-2.csv", csv(SECOND)),
        ("all.csv", csv(&format!("{FIRST}{SECOND}"))),
        ("new.csv", csv("6,green,1\n")),
    ])
}

/// Opens data with a path that is already TOML, relative to `folder`.
fn at(folder: &tempfile::TempDir, paths: &str, options: &str) -> Result<Data, String> {
    let config = format!("{paths}\nshuffle = false\nbatch_size = \"all\"\n{options}");
    let config = config.replace('@', &format!("{}/", folder.path().display()));
    let config: rekindle::data::DataConfig = toml::from_str(&config).unwrap();
    let message = |error: rekindle::data::DataError| error.to_string();
    let data = Data::open(&config, 0, &candle_core::Device::Cpu).map_err(message);
    data.map_err(|message| message.replace(&format!("{}/", folder.path().display()), ""))
}

fn rows(data: &Data) -> (Vec<f32>, Vec<u32>) {
    let batch = data.batch(0).unwrap();
    (floats(&batch.inputs), batch.targets.to_vec1().unwrap())
}

#[test]
fn several_files_are_one_table_in_their_order() {
    let folder = parts();
    let one = at(&folder, "path = \"@all.csv\"", "").unwrap();
    for paths in ["path = [\"@part-1.csv\", \"@part-2.csv\"]", "path = \"@part-?.csv\""] {
        let several = at(&folder, paths, "").unwrap();
        assert_eq!(rows(&several), rows(&one), "{paths}");
        assert_ne!(several.fingerprint(), one.fingerprint());
        assert_eq!(several.schema(), one.schema());
    }
    let turned = at(&folder, "path = [\"@part-2.csv\", \"@part-1.csv\"]", "").unwrap();
    assert_eq!(rows(&turned).1, [1, 0, 0, 1, 0]);
}

#[test]
fn a_fault_is_reported_with_its_file_and_line() {
    let folder =
        folder(&[("1.csv", csv(FIRST)), ("2.csv", csv("4,red,1\nx,red,1\n")), ("3.csv", b"a,b,y\n1,2,0\n".to_vec())]);
    let message = at(&folder, "path = \"@[12].csv\"", "").map(drop).unwrap_err();
    assert_eq!(message, "2.csv, line 3, column `a`: \"x\" is not a number");
    let message = at(&folder, "path = \"@[13].csv\"", "").map(drop).unwrap_err();
    assert_eq!(
        message,
        "3.csv has other columns than 1.csv: column 1 (counted from 0) is `b`, and `c` there; all files of a run have the \
         same columns in one order"
    );
    let message = at(&folder, "path = \"@9*.csv\"", "").map(drop).unwrap_err();
    assert!(message.starts_with("`data.path`: no file is named 9*.csv"), "{message}");
}

#[test]
fn validation_and_test_files_take_statistics_categories_and_classes_from_the_training_rows() {
    let folder = parts();
    let paths = "path = \"@part-1.csv\"\nvalidation_path = \"@part-2.csv\"\ntest_path = \"@new.csv\"";
    let data = at(&folder, paths, "").unwrap();
    let numbers = |rows: &rekindle::data::RowSet| rows.to_vec();
    assert_eq!(numbers(data.train_rows()), [0, 1, 2]);
    assert_eq!((numbers(data.validation_rows()), numbers(data.test_rows())), (vec![3, 4], vec![5]));
    assert_eq!(data.all_rows().len(), 5);
    let alone = at(&folder, "path = \"@part-1.csv\"", "").unwrap();
    assert_eq!(rows(&data), rows(&alone));
    assert_eq!(data.save().unwrap(), alone.save().unwrap());
    // 6 less the mean of 1, 2 and 3, over their deviation; no training row is green.
    let test = floats(&data.dataset().gather(&[5]).unwrap().inputs);
    assert!((test[0] - 4.898_979_5).abs() < 1e-6 && test[1..] == [0.0, 0.0], "{test:?}");
    let said: Vec<String> = data.notices().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains("of the test rows, 1 of 1 has a value in column `c`")), "{said:?}");
}

#[test]
fn a_class_that_no_training_row_has_is_refused_with_its_line() {
    let folder =
        folder(&[("train.csv", csv(FIRST)), ("other.csv", csv("4,red,1.0\n5,red,2\n")), ("two.csv", csv("5,red,2\n"))]);
    for (option, line) in [("validation_path", "other.csv, line 3"), ("test_path", "other.csv, line 3")] {
        let message =
            at(&folder, &format!("path = \"@train.csv\"\n{option} = \"@other.csv\""), "").map(drop).unwrap_err();
        let expected = "column `y`: label \"2\" is not a class of the training rows; correct it, or add rows of that class \
                        to them";
        assert_eq!(message, format!("{line}, {expected}"));
    }
    let declared = "path = \"@train.csv\"\ntest_path = \"@two.csv\"\nclasses = 3";
    assert_eq!(at(&folder, declared, "").unwrap().targets(), TargetKind::Classes { count: 3 });
}

#[test]
fn rows_are_set_aside_in_one_way() {
    let said = |options: &str| refusal(&[("a.csv", csv(FIRST))], "a.csv", options);
    assert_eq!(
        said("fold = \"1/2\"\nvalidation = 0.5"),
        "`data.validation` does not apply to a run with `data.fold`; remove it"
    );
    assert_eq!(
        said("validation_path = \"b.csv\"\nvalidation = 0.5"),
        "`data.validation` does not apply to data that comes with validation files; remove it"
    );
    assert_eq!(said("fold = \"1/4\""), "`data.fold` = 1/4: there are 3 rows, fewer than folds");
}

#[test]
fn folds_of_a_table_are_disjoint_and_all_rows() {
    let folder = parts();
    let fold = |number: usize| {
        let data = at(&folder, "path = \"@all.csv\"", &format!("fold = \"{number}/5\"")).unwrap();
        (data.train_rows().len(), data.validation_rows().to_vec())
    };
    let mut all: Vec<usize> = (1..=5).flat_map(|number| fold(number).1).collect();
    all.sort_unstable();
    assert_eq!((all, fold(3).0), (vec![0, 1, 2, 3, 4], 4));
}

#[test]
fn targets_are_standardized_by_the_training_rows_and_saved() {
    let folder = folder(&[("a.csv", b"x,y\n1,10\n2,30\n".to_vec()), ("b.csv", b"x,y\n3,50\n".to_vec())]);
    let regression = "task = \"regression\"\ntarget_transform = ";
    let paths = "path = \"@a.csv\"\nvalidation_path = \"@b.csv\"";
    let mut data = at(&folder, paths, &format!("{regression}\"standardize\"")).unwrap();
    let targets = |data: &Data| floats(&data.dataset().gather(&[0, 1, 2]).unwrap().targets);
    assert_eq!(targets(&data), [-1.0, 1.0, 3.0]);
    let mut state = data.save().unwrap();
    assert_eq!(state.json["target"], serde_json::json!({"kind": "standardize", "mean": [20.0], "std": [10.0]}));
    // A resume takes what was saved.
    state.json["target"]["mean"][0] = 10.0.into();
    data.load(&state).unwrap();
    assert_eq!(targets(&data), [0.0, 2.0, 4.0]);
    let plain = at(&folder, paths, "task = \"regression\"").unwrap();
    let message = plain.check(&state).unwrap_err().to_string();
    assert_eq!(message, "the form of the targets is standardized in the checkpoint and unchanged here");
    let log = at(&folder, paths, &format!("{regression}\"log1p\"")).unwrap();
    assert_eq!(targets(&log), [10f64, 30.0, 50.0].map(|y| y.ln_1p() as f32));
}

#[test]
fn a_target_without_a_logarithm_is_refused_with_its_line() {
    let options = "task = \"regression\"\ntarget_transform = \"log\"";
    let message = refusal(&[("a.csv", b"x,y\n1,1\n2,0\n".to_vec())], "a.csv", options);
    assert_eq!(
        message,
        "a.csv, line 3, column `y`: 0 is not above 0, so that it has no logarithm for `data.target_transform`; \"log1p\" \
         takes 0, and \"standardize\" any value"
    );
    let message = refusal(&[("a.csv", csv(FIRST))], "a.csv", "target_transform = \"log\"");
    assert_eq!(message, "`data.target_transform` does not apply to classification; remove it");
}

#[test]
fn a_list_of_columns_is_several_labels_or_values() {
    let content = "warm,x,wet\n1,0.5,0\n0,1.5,0\n1,2.5,1\n";
    let labels = "label = [\"wet\", \"warm\"]\nshuffle = false\nbatch_size = \"all\"";
    let folder = folder(&[("a.csv", content.into())]);
    let data = open(&folder.path().join("a.csv"), labels).unwrap();
    assert_eq!(data.targets(), TargetKind::Values { width: 2 });
    assert_eq!(data.batch(0).unwrap().targets.to_vec2::<f32>().unwrap(), [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]);
    let columns = data.schema().names.columns.unwrap();
    assert_eq!((columns.labels().collect::<Vec<_>>(), columns.features().collect::<Vec<_>>()), (vec![2, 0], vec![1]));
    let said = |content: &str, options: &str| refusal(&[("a.csv", content.into())], "a.csv", options);
    assert_eq!(
        said("warm,x,wet\n1,0.5,0\n2,1.5,0\n", labels),
        "a.csv, line 3, column `warm`: 2 is neither 0 nor 1, as the values of several labels are; for other values set \
         `data.task = \"regression\"`"
    );
    assert_eq!(said(content, "label = [\"wet\", 2]"), "`data.label` does not apply to one column twice; remove it");
    assert_eq!(
        said(content, "label = [\"wet\", \"warm\"]\nclasses = 2"),
        "`data.classes` does not apply to a list of labels; remove it"
    );
    let values = open(&folder.path().join("a.csv"), "label = [\"x\", \"wet\"]\ntask = \"regression\"").unwrap();
    assert_eq!(values.targets(), TargetKind::Values { width: 2 });
}

/// A safetensors file of rows with one input and a class.
fn tensors(inputs: &[f32], classes: &[i64]) -> Vec<u8> {
    let device = candle_core::Device::Cpu;
    let x = candle_core::Tensor::new(inputs, &device).unwrap().reshape((inputs.len(), 1)).unwrap();
    let y = candle_core::Tensor::new(classes, &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    candle_core::safetensors::save(&std::collections::HashMap::from([("x", x), ("y", y)]), &path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn tensors_have_validation_and_test_files_too() {
    let folder = folder(&[
        ("train.safetensors", tensors(&[1.0, 3.0], &[0, 1])),
        ("other.safetensors", tensors(&[5.0, 7.0, 9.0], &[1, 0, 0])),
        ("test.safetensors", tensors(&[2.0], &[1])),
        ("new.safetensors", tensors(&[2.0], &[2])),
    ]);
    let train = "path = \"@train.safetensors\"\nvalidation_path = \"@other.safetensors\"\nstandardize = true";
    let mut data = at(&folder, train, "test_path = \"@test.safetensors\"").unwrap();
    assert_eq!(
        (data.train_rows().len(), data.validation_rows().to_vec(), data.test_rows().to_vec()),
        (2, vec![2, 3, 4], vec![5])
    );
    let gathered = |data: &Data, rows: &[usize]| {
        let batch = data.dataset().gather(rows).unwrap();
        (floats(&batch.inputs), batch.targets.to_vec1::<u32>().unwrap())
    };
    assert_eq!(gathered(&data, &[3, 4]), (vec![5.0, 7.0], vec![0, 0]));
    assert_eq!(gathered(&data, &[5, 0, 2]), (vec![0.0, -1.0, 3.0], vec![1, 0, 1]));
    let state = data.save().unwrap();
    data.load(&state).unwrap();
    assert_eq!(gathered(&data, &[2]), (vec![3.0], vec![1]));
    let message = at(&folder, train, "test_path = \"@new.safetensors\"").map(drop).unwrap_err();
    assert!(message.starts_with("new.safetensors, ") && message.contains("label 2"), "{message}");
    let message = at(&folder, "path = [\"@train.safetensors\", \"@other.safetensors\"]", "").map(drop).unwrap_err();
    assert_eq!(message, "`data.path` is a list, and safetensors is read from one path; give one");
}

#[test]
fn a_text_has_validation_and_test_files_too() {
    let folder =
        folder(&[("a.txt", b"abcabcabcabc".to_vec()), ("v.txt", b"cbacba".to_vec()), ("x.txt", b"abcd".to_vec())]);
    let text = "path = \"@a.txt\"\ncontext = 2\ncache = \"@cache\"\nvalidation_path = \"@v.txt\"";
    let data = at(&folder, text, "").unwrap();
    // A window at each of ten offsets, and those that do not overlap.
    assert_eq!((data.train_rows().len(), data.validation_rows().to_vec()), (10, vec![10, 11]));
    let batch = data.dataset().gather(&[10, 11]).unwrap();
    assert_eq!(batch.inputs.to_vec2::<u32>().unwrap(), [[2, 1], [0, 2]]);
    let message = at(&folder, text, "test_path = \"@x.txt\"").map(drop).unwrap_err();
    assert!(message.contains("x.txt: character 'd' at byte 3, line 1, is unknown"), "{message}");
}
