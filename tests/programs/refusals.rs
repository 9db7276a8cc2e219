//! Refused uses of a run: the message names the place, and no file is changed.

use std::fs;

use crate::common::forge::forge_file;
use crate::common::programs::Workplace;
use serde_json::{Value, json};

const EVAL: [&str; 2] = ["eval", "run"];
const PREDICT: [&str; 5] = ["predict", "run", "--data", "rows.csv", "-o"];
const SAMPLE: [&str; 4] = ["sample", "run", "--prompt", "a"];

#[test]
fn a_run_is_used_as_it_is() {
    let place = Workplace::with_run();
    for setting in ["optimizer.lr=1", "model.hidden=[4]", "data.validation=0.5"] {
        let (key, _) = setting.split_once('=').unwrap();
        let message =
            format!("--set {key}: a run cannot be changed here; only `device` and the paths of its data can be set");
        place.train_refuses(&[&EVAL[..], &["--set", setting]].concat(), &[&message]);
        place.train_refuses(&[&SAMPLE[..], &["--set", setting]].concat(), &[&message]);
    }
    place.train_refuses(&[&EVAL[..], &["--set", "device=gpu"]].concat(), &["device = gpu: must be `cpu`"]);
    place.train_refuses(&[&EVAL[..], &["--set", "data.path"]].concat(), &["write it as key=value"]);
}

#[test]
fn rows_that_are_not_there_are_refused() {
    let place = Workplace::with_run();
    place.train_refuses(&[&EVAL[..], &["--rows", "some"]].concat(), &["--rows <ROWS>", "validation, train, all, test"]);
    place.train_refuses(&[&EVAL[..], &["--rows", "test"]].concat(), &["the run has no test rows", "--rows", "--data"]);
    place.train_refuses(&[&EVAL[..], &["--rows", "all", "--data", "rows.csv"]].concat(), &["--rows", "--data"]);
    place.train_refuses(
        &[&EVAL[..], &["--data", "none.csv"]].concat(),
        &["cannot read the rows none.csv", "give their path with `--data`"],
    );
    place.train_refuses(
        &[&EVAL[..], &["--data", "."]].concat(),
        &["--data .: is a folder, and the rows are read from a file"],
    );
    place.train_refuses(&["predict", "run", "--data", "."], &["--data .: is a folder"]);
    place.train(&["config.toml", "--out", "whole", "--set", "data.validation=0"]).says(0, &["done"]);
    place.train_refuses(&["eval", "whole"], &["the run has no validation rows; choose others with --rows"]);
}

#[test]
fn data_of_another_format_is_refused_by_its_name() {
    let place = Workplace::with_run();
    let said = |found: &str| format!("is {found} by its name, and the model was trained on CSV");
    for (name, found) in [("new.safetensors", "safetensors"), ("new.safetensors.gz", "safetensors")] {
        fs::write(place.path(name), "x").unwrap();
        place.train_refuses(&[&EVAL[..], &["--data", name]].concat(), &[name, &said(found)]);
        place.train_refuses(&["predict", "run", "--data", name], &[name, &said(found)]);
    }
    // A file without a known ending, or text, may have the run's format.
    for name in ["new.dat", "new.txt"] {
        fs::copy(place.path("rows.csv"), place.path(name)).unwrap();
        place.train(&[&EVAL[..], &["--data", name]].concat()).says(0, &[]);
    }
}

/// Errors in a table name line and column.
#[test]
fn rows_that_are_wrong_are_refused_by_their_place() {
    let place = Workplace::with_run();
    let cases: [(&str, &[&str]); 12] = [
        ("", &["the data file new.csv is empty"]),
        ("width,label\n1,0\n", &["new.csv has no column `height`, which the model was trained on", "it has `width`"]),
        ("1,2,0\n", &["new.csv has no column `width`"]),
        ("width,height\n1,2\n1\n", &["new.csv, line 3: 1 column, but the first line has 2"]),
        ("width,height\n1,2\n\n\n1,two\n", &["new.csv, line 5, column `height`: \"two\" is not a number"]),
        ("width,height\n1,\n", &["new.csv, line 2, column `height`: the field is empty"]),
        ("width,height\n1,1e99\n", &["new.csv, line 2, column `height`: \"1e99\" is not a finite"]),
        ("width,height\n1,\"a\nb\"\n", &["new.csv, line 2, column `height`"]),
        ("width,height\n1,2\n3,\"4\n5,6\n", &["new.csv, line 3: a quote opens a field here and is never closed"]),
        ("width,more,height\n1,\"2,3\n5,6,7\n", &["new.csv, line 2: a quote opens a field here and is never closed"]),
        ("width,height, width\n1,2,3\n", &["new.csv has two columns named `width`, columns 0 and 2"]),
        ("\u{1f}\u{8b}", &["new.csv"]),
    ];
    for (content, parts) in cases {
        fs::write(place.path("new.csv"), content).unwrap();
        place.train_refuses(&["predict", "run", "--data", "new.csv", "-o", "out.csv"], parts);
    }
    fs::write(place.path("new.csv"), b"width,height\n1,2\n1,\xff\n").unwrap();
    place.train_refuses(&["predict", "run", "--data", "new.csv", "-o", "out.csv"], &["new.csv, line 3: not UTF-8"]);
    fs::write(place.path("new.csv"), "width,height\n1,2\n").unwrap();
    place.train_refuses(&["eval", "run", "--data", "new.csv"], &["new.csv has no column `label`"]);
    fs::write(place.path("new.csv"), "label,width,height,label\n1,1,2,0\n").unwrap();
    let doubled =
        "new.csv has two columns named `label`, columns 0 and 3 (counted from 0); rename one of them in the file";
    place.train_refuses(&["eval", "run", "--data", "new.csv"], &[doubled]);
    fs::write(place.path("new.csv"), "width,height,label\n1,2,\"1\n").unwrap();
    place.train_refuses(&["eval", "run", "--data", "new.csv"], &["new.csv, line 2: a quote opens a field here"]);
    fs::write(place.path("new.csv"), "width,height,label\n1,2,2\n").unwrap();
    let beyond = "new.csv, line 2, column `label`: label 2 is not below the number of classes, 2";
    place.train_refuses(&["eval", "run", "--data", "new.csv"], &[beyond]);
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_anything_is_computed() {
    let place = Workplace::with_run();
    let cases: [(&str, &[&str]); 4] = [
        ("out.txt", &["the name of out.txt does not show its format", ".csv, .jsonl or .parquet"]),
        ("none/out.csv", &["none/out.csv cannot be written: No such file", "choose another place with --output"]),
        ("taken.csv", &["taken.csv cannot be written: it is there and is not a file"]),
        ("", &["--output"]),
    ];
    fs::create_dir(place.path("taken.csv")).unwrap();
    for (output, parts) in cases {
        place.train_refuses(&[&PREDICT[..], &[output]].concat(), parts);
    }
    if !cfg!(feature = "parquet") {
        let parts = ["out.parquet is Parquet, which this program was built without", "--features parquet"];
        place.train_refuses(&[&PREDICT[..], &["out.parquet"]].concat(), &parts);
    }
}

#[test]
fn a_model_of_rows_does_not_speak() {
    let place = Workplace::with_run();
    let parts = ["step-0000000020: the model takes numbers of shape [2] and cannot continue a text", "train predict"];
    place.train_refuses(&SAMPLE, &parts);
}

/// A checkpoint with an invalid description of its rows is not accepted.
#[test]
fn a_checkpoint_that_is_not_understood_is_refused() {
    let place = Workplace::with_run();
    let state: Value = serde_json::from_slice(&fs::read(place.newest().join("state.json")).unwrap()).unwrap();
    let refuses = |change: &dyn Fn(&mut Value), parts: &[&str]| {
        let mut changed = state.clone();
        change(&mut changed);
        forge_file(&place.newest(), "state.json", changed.to_string().as_bytes());
        place.train_refuses(&[&PREDICT[..], &["out.csv"]].concat(), parts);
    };
    let not_understood = "step-0000000020: its description of the data's rows is invalid";
    refuses(&|state| state["schema"] = json!("rows"), &[not_understood]);
    refuses(&|state| state["schema"]["input"] = json!({"numbers": [0]}), &[not_understood]);
    refuses(&|state| state["schema"]["input"] = json!({"numbers": [u64::MAX, 2]}), &[not_understood]);
    refuses(&|state| state["schema"]["targets"] = json!({"classes": {"count": 0}}), &[not_understood]);
    refuses(&|state| state["schema"]["input"] = json!({"numbers": [3]}), &["the part `model` does not fit"]);
    refuses(&|state| state["schema"]["columns"] = json!(null), &["the columns of the table are not there"]);
    refuses(&|state| state["schema"]["columns"]["all"] = json!(["width", "label"]), &["the data does not fit"]);
    refuses(&|state| drop(state.as_object_mut().unwrap().remove("config")), &["holds no configuration"]);
}

#[test]
fn a_damaged_checkpoint_is_skipped_by_name() {
    let place = Workplace::with_run();
    fs::remove_file(place.newest().join("model.safetensors")).unwrap();
    let told = place.train(&["eval", "run"]);
    told.says(0, &["skipped a damaged checkpoint: run/checkpoints/step-0000000020"]);
    assert!(told.out.starts_with("run/checkpoints/step-0000000015 on validation rows\n"), "{}", told.out);
    place.train_refuses(&["eval", "run/checkpoints/step-0000000020"], &["model.safetensors is missing"]);
}
