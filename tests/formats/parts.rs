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

/// The rows of a data set, also those that are not for training.
fn all(data: &Data) -> (Vec<f32>, Vec<u32>) {
    let batch = data.dataset().gather(&(0..data.dataset().len()).collect::<Vec<_>>()).unwrap();
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
    saved(candle_core::Tensor::new(inputs, &device).unwrap().reshape((inputs.len(), 1)).unwrap(), classes)
}

/// A safetensors file of these inputs and classes.
fn saved(x: candle_core::Tensor, classes: &[i64]) -> Vec<u8> {
    let y = candle_core::Tensor::new(classes, x.device()).unwrap();
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
    let several = train.replace("path = \"@train.safetensors\"", "path = \"@t*.safetensors\"");
    let data = at(&folder, &several, "").unwrap();
    assert_eq!((data.train_rows().len(), data.validation_rows().to_vec()), (3, vec![3, 4, 5]));
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

#[test]
fn several_files_of_tensors_are_one_in_the_order_of_their_names() {
    let long = candle_core::Tensor::zeros((1, 2), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let long = saved(long, &[0]);
    let folder = folder(&[
        ("2.safetensors", tensors(&[5.0, 7.0], &[2, 1])),
        ("1.safetensors", tensors(&[1.0, 3.0, 4.0], &[0, 1, 0])),
        ("all.safetensors", tensors(&[1.0, 3.0, 4.0, 5.0, 7.0], &[0, 1, 0, 2, 1])),
        ("bad.safetensors", tensors(&[1.0, f32::NAN], &[0, 1])),
        ("long.safetensors", long),
    ]);
    let one = at(&folder, "path = \"@all.safetensors\"", "standardize = true").unwrap();
    for paths in ["path = \"@[12].safetensors\"", "path = [\"@1.safetensors\", \"@2.safetensors\"]"] {
        let several = at(&folder, paths, "standardize = true").unwrap();
        assert_eq!((rows(&several), several.schema()), (rows(&one), one.schema()), "{paths}");
        assert_ne!(several.fingerprint(), one.fingerprint());
    }
    let refused = |paths: &str| at(&folder, paths, "").map(drop).unwrap_err();
    let message = refused("path = [\"@2.safetensors\", \"@bad.safetensors\"]");
    assert!(message.starts_with("bad.safetensors, tensor `x`, row 1 (counted from 0): "), "{message}");
    let message = refused("path = [\"@2.safetensors\", \"@long.safetensors\"]");
    let expected = "long.safetensors: tensor `x` is F32[1, 2], and F32[2, 1] in 2.safetensors; all files of a run have \
                    rows of one form";
    assert_eq!(message, expected);
}

/// The file of an array of NumPy: `<f4` or `<i8`, one-dimensional unless there is a second side.
fn npy(kind: &str, shape: &str, elements: Vec<u8>) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let header = format!("{header:<width$}\n", width = length - 1);
    [&b"\x93NUMPY\x01\x00"[..], &(length as u16).to_le_bytes()[..], header.as_bytes(), &elements].concat()
}

fn x(values: &[f32]) -> Vec<u8> {
    npy("<f4", &format!("{}, 1", values.len()), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn y(classes: &[i64]) -> Vec<u8> {
    npy("<i8", &format!("{},", classes.len()), classes.iter().flat_map(|class| class.to_le_bytes()).collect())
}

#[test]
fn arrays_have_validation_and_test_files_with_their_own_targets() {
    let folder = folder(&[
        ("x.npy", x(&[1.0, 3.0])),
        ("y.npy", y(&[0, 1])),
        ("x_dev.npy", x(&[5.0, 7.0])),
        ("y_dev.npy", y(&[1, 0])),
        ("test/x.npy", x(&[2.0])),
        ("test/y.npy", y(&[1])),
    ]);
    let paths = "path = \"@x.npy\"\nvalidation_path = \"@x_dev.npy\"\ntest_path = \"@test/x.npy\"\nstandardize = true";
    let data = at(&folder, paths, "validation_targets = \"y_dev.npy\"").unwrap();
    let batch = data.dataset().gather(&[2, 3, 4]).unwrap();
    assert_eq!((floats(&batch.inputs), batch.targets.to_vec1::<u32>().unwrap()), (vec![3.0, 5.0, 0.0], vec![1, 0, 1]));
    assert_eq!((data.validation_rows().to_vec(), data.test_rows().to_vec()), (vec![2, 3], vec![4]));
    // The targets of the training rows are not those of others, whatever their number.
    let message = at(&folder, paths, "").map(drop).unwrap_err();
    assert_eq!(message, "y.npy is named in `data.targets` and in `data.validation_targets`; name each file once");
    // Several files of inputs have their targets beside them, or with what stands for the star in their names.
    let data = at(&folder, "path = [\"@x.npy\", \"@test/x.npy\"]", "").unwrap();
    assert_eq!((all(&data), data.train_rows().len()), ((vec![1.0, 3.0, 2.0], vec![0, 1, 1]), 3));
    let data = at(&folder, "path = \"@x*.npy\"", "targets = \"y*.npy\"").unwrap();
    assert_eq!(all(&data), (vec![1.0, 3.0, 5.0, 7.0], vec![0, 1, 1, 0]));
    let data = at(&folder, "path = \"@x.npy\"\nvalidation_path = \"@x_*.npy\"", "validation_targets = \"y_*.npy\"");
    assert_eq!(all(&data.unwrap()), (vec![1.0, 3.0, 5.0, 7.0], vec![0, 1, 1, 0]));
    let message = at(&folder, "path = \"@x*.npy\"", "").map(drop).unwrap_err();
    assert_eq!(message, "y.npy is named twice in `data.targets`; name each file once");
    let message = at(&folder, "path = \"@x.npy\"", "targets = \"y*.npy\"").map(drop).unwrap_err();
    assert!(message.starts_with("`data.targets` = \"y*.npy\": its `*` stands for"), "{message}");
}

#[test]
fn several_files_of_text_are_joined_with_nothing_between_them() {
    let folder = folder(&[
        ("2.txt", b"cab\ncab".to_vec()),
        ("1.txt", b"abcab".to_vec()),
        ("all.txt", b"abcabcab\ncab".to_vec()),
        ("v.txt", b"bacbac".to_vec()),
        ("odd.txt", b"a\nb\xff".to_vec()),
    ]);
    let options = "context = 3\ncache = \"@cache\"";
    let one = at(&folder, "path = \"@all.txt\"", options).unwrap();
    let several = at(&folder, "path = \"@[12].txt\"", options).unwrap();
    let tokens = |data: &Data| data.batch(0).unwrap().inputs.to_vec2::<u32>().unwrap();
    assert_eq!(tokens(&several), tokens(&one));
    assert_eq!(several.train_rows().len(), 12 - 3);
    // From the cache.
    assert_eq!(tokens(&at(&folder, "path = \"@[12].txt\"", options).unwrap()), tokens(&one));
    let paths = "path = [\"@1.txt\", \"@2.txt\"]\nvalidation_path = \"@v.txt\"";
    assert_eq!(at(&folder, paths, options).unwrap().validation_rows().len(), 1);
    let message = at(&folder, "path = [\"@1.txt\", \"@odd.txt\"]", options).map(drop).unwrap_err();
    assert!(message.starts_with("odd.txt, byte 3: not UTF-8 text"), "{message}");
}

#[test]
fn documents_are_in_several_files_with_those_for_validation_and_test() {
    let lines = |texts: &[&str]| texts.iter().map(|text| format!("{{\"text\": \"{text}\"}}\n")).collect::<String>();
    let folder = folder(&[
        ("1.jsonl", lines(&["abc", "de"]).into_bytes()),
        ("2.jsonl", lines(&["fgh"]).into_bytes()),
        ("all.jsonl", lines(&["abc", "de", "fgh"]).into_bytes()),
        ("v.jsonl", lines(&["hg", "fe"]).into_bytes()),
        ("t.jsonl", lines(&["dcba"]).into_bytes()),
        ("new.jsonl", lines(&["abc", "xyz"]).into_bytes()),
    ]);
    let options = "context = 4\npacking = \"none\"";
    let others = "validation_path = \"@v.jsonl\"\ntest_path = \"@t.jsonl\"";
    let one = at(&folder, "path = \"@all.jsonl\"", options).unwrap();
    let data = at(&folder, &format!("path = \"@[12].jsonl\"\n{others}"), options).unwrap();
    let tokens = |data: &Data, rows: &[usize]| data.dataset().gather(rows).unwrap().inputs.to_vec2::<u32>().unwrap();
    assert_eq!(tokens(&data, &[0, 1, 2]), tokens(&one, &[0, 1, 2]));
    assert_eq!((data.validation_rows().to_vec(), data.test_rows().to_vec()), (vec![3, 4], vec![5, 6]));
    assert_eq!(tokens(&data, &[3, 5]), [[0, 8, 7, 0], [0, 4, 3, 2]]);
    let message = at(&folder, "path = \"@1.jsonl\"\ntest_path = \"@new.jsonl\"", options).map(drop).unwrap_err();
    assert!(message.contains("new.jsonl: ") && message.contains("'x'") && message.contains("line 2"), "{message}");
}

#[test]
fn a_stratified_part_has_the_classes_in_proportion() {
    let rows: String = (0..40).map(|i| format!("{i},red,{}\n", u32::from(i % 10 == 3))).collect();
    let folder = folder(&[
        ("a.csv", csv(&rows)),
        ("a.safetensors", tensors(&[1.0; 40], &(0..40).map(|i| i64::from(i % 10 == 3)).collect::<Vec<_>>())),
    ]);
    let counts = |data: &Data, rows: &[usize]| {
        let labels = data.dataset().gather(rows).unwrap().targets.to_vec1::<u32>().unwrap();
        [0, 1].map(|class| labels.iter().filter(|label| **label == class).count())
    };
    for file in ["a.csv", "a.safetensors"] {
        let path = format!("path = \"@{file}\"\nstratify = true");
        for number in 1..=4 {
            let data = at(&folder, &path, &format!("fold = \"{number}/4\"")).unwrap();
            assert_eq!(counts(&data, &data.validation_rows().to_vec()), [9, 1]);
        }
        let data = at(&folder, &path, "validation = 0.5").unwrap();
        assert_eq!(counts(&data, &data.validation_rows().to_vec()), [18, 2]);
    }
    let refused = |options: &str| at(&folder, "path = \"@a.csv\"\nstratify = true", options).map(drop).unwrap_err();
    let message = refused("fold = \"1/4\"\ntask = \"regression\"");
    assert!(message.starts_with("`data.stratify` sets rows aside by their classes"), "{message}");
    assert!(refused("").contains("does not apply to a run that sets no rows aside"));
    assert!(
        refused("validation_path = \"@b.csv\"").contains("does not apply to data that comes with validation files")
    );
}
