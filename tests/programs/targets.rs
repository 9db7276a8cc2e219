//! Runs with test rows, transformed targets and several labels, as a user evaluates them and predicts with them.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::common::{ADAMW, Lab, log};

/// A run of a regression whose values are about a million, with test rows, in two files.
fn regression(transform: &str) -> Lab {
    let config = format!(
        "seed = 3\noptimizer = {ADAMW}\nschedule = 'constant()'\ntrain = {{ epochs = 3 }}\n\
         validation = {{ every = '1 epoch', metrics = ['mean_absolute_error', 'r2'] }}\n\
         model = {{ kind = 'mlp', hidden = [8] }}\n\
         [data]\npath = 'part-*.csv'\ntest_path = 'test.csv'\nvalidation = 0.2\nbatch_size = 13\ntask = 'regression'\n\
         {transform}\n[log]\ntensorboard = true\n"
    );
    let lab = Lab::in_memory(&config);
    for (name, rows) in [("part-1.csv", 0..40), ("part-2.csv", 40..60), ("test.csv", 60..75)] {
        let row = |i: u32| format!("{},{},{}\n", i % 7, i * i % 5, 1_000_000 + (i % 7) * 1000);
        fs::write(lab.path(name), "a,b,y\n".to_owned() + &rows.map(row).collect::<String>()).unwrap();
    }
    lab
}

fn evaluated(lab: &Lab, arguments: &[&str]) -> Value {
    let told = lab.train(&[&["eval", "run", "--json"], arguments].concat()).well();
    serde_json::from_str(&told.stdout).unwrap()
}

#[test]
fn test_rows_are_evaluated_once_at_the_end_and_again_by_eval() {
    let lab = regression("target_transform = 'standardize'");
    let told = lab.start("run");
    assert!(format!("{}{}", told.stdout, told.stderr).contains("test_loss="), "{told:?}");
    let lines = log(&lab.path("run"));
    let (last, others) = lines.split_last().unwrap();
    assert!(others.iter().all(|line| line["test_loss"].is_null()));
    let found = evaluated(&lab, &["--rows", "test"]);
    assert_eq!(found["rows"], 15);
    assert_eq!(found["loss"], last["test_loss"]);
    assert_eq!(found["validation_r2"], last["test_r2"]);
    // They are a column of the log as a table, in its last row, and the metrics of the validation are as they were.
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_inspect"));
    let table = inspect.args(["log", "run"]).current_dir(lab.path("")).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let (header, rows) = table.split_once('\n').unwrap();
    let place = header.split(',').position(|name| name == "test_loss").unwrap_or_else(|| panic!("{header}"));
    let cell = rows.lines().last().unwrap().split(',').nth(place).unwrap();
    assert_eq!(cell.parse::<f64>().unwrap(), found["loss"].as_f64().unwrap());
    assert_eq!(rows.lines().count(), lines.len());
    let files = fs::read_dir(lab.path("run")).unwrap().map(|entry| entry.unwrap().path());
    let mut events = files.filter(|path| path.to_string_lossy().contains("tfevents"));
    let events = fs::read(events.next().unwrap()).unwrap();
    assert!(["test_loss", "test_r2"].iter().all(|tag| events.windows(tag.len()).any(|text| text == tag.as_bytes())));
    // The same rows as other data are the same.
    let other = evaluated(&lab, &["--data", "test.csv"]);
    assert_eq!(other["loss"], found["loss"]);
    let told = lab.train(&["check", "config.toml"]).well();
    assert!(told.stdout.contains("rows        48 to train on, 12 to validate on, 15 to test on"), "{}", told.stdout);
}

#[test]
fn without_test_rows_there_is_nothing_to_evaluate() {
    let lab = regression("");
    let config = fs::read_to_string(lab.path("config.toml")).unwrap().replace("test_path = 'test.csv'\n", "");
    fs::write(lab.path("config.toml"), config).unwrap();
    lab.start("run");
    let message = lab.train(&["eval", "run", "--rows", "test"]).refusal();
    assert!(message.contains("has no test rows"), "{message}");
}

/// The mean absolute error that a validation logs is that of the predictions and the targets, in their unit.
#[test]
fn metrics_and_predictions_of_transformed_targets_are_in_their_unit() {
    for transform in ["standardize", "log"] {
        let lab = regression(&format!("target_transform = '{transform}'"));
        lab.start("run");
        let told = lab.train(&["predict", "run", "--data", "test.csv"]).well();
        let predicted: Vec<f64> = told.stdout.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        assert_eq!(predicted.len(), 15);
        // After three epochs a model is within a few deviations, of 2000, but far from logarithms of 14.
        let is_near = predicted.iter().all(|y| (900_000.0..1_100_000.0).contains(y));
        assert!(is_near || transform == "log", "{predicted:?}");
        let targets = (60..75).map(|i: u32| f64::from(1_000_000 + (i % 7) * 1000));
        let mae = predicted.iter().zip(targets).map(|(y, target)| (y - target).abs()).sum::<f64>() / 15.0;
        let found = evaluated(&lab, &["--rows", "test"]);
        let measured = found["validation_mean_absolute_error"].as_f64().unwrap();
        // Targets are brought back from their logarithms, of which half a unit in the last place is 0.5.
        assert!((measured - mae).abs() < 1.0, "{transform}: {measured} {mae}");
        assert!(found["loss"].as_f64().unwrap() < 1000.0, "{found}");
    }
}

#[test]
fn several_labels_have_their_loss_and_a_probability_each() {
    let config = format!(
        "seed = 3\noptimizer = {ADAMW}\nschedule = 'constant()'\ntrain = {{ epochs = 3 }}\n\
         validation = {{ every = '1 epoch', metrics = ['auroc', 'f1_macro'] }}\n\
         model = {{ kind = 'mlp', hidden = [8] }}\n\
         [data]\npath = 'labels.csv'\nvalidation = 0.2\nbatch_size = 13\nlabel = ['wet', 'warm']\n"
    );
    let lab = Lab::in_memory(&config);
    let row = |i: u32| format!("{},{},{},{}\n", i % 7, u32::from(i % 7 > 3), i * i % 5, u32::from(i * i % 5 == 1));
    fs::write(lab.path("labels.csv"), "a,warm,b,wet\n".to_owned() + &(0..60).map(row).collect::<String>()).unwrap();
    lab.start("run");
    let written = fs::read_to_string(lab.path("run/config.toml")).unwrap();
    assert!(written.contains("kind = \"binary_cross_entropy\""), "{written}");
    let found = evaluated(&lab, &[]);
    assert!(found["accuracy"].is_number() && found["validation_auroc"].is_number(), "{found}");
    let told = lab.train(&["predict", "run", "--data", "labels.csv"]).well();
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!((lines[0], lines.len()), ("p_wet,p_warm", 61));
    let is_share = |field: &str| (0.0..=1.0).contains(&field.parse::<f64>().unwrap());
    assert!(lines[1..].iter().all(|line| line.split(',').all(is_share)));
    // The same rows without their labels.
    let bare = |line: &str| line.split(',').step_by(2).collect::<Vec<_>>().join(",") + "\n";
    let rows = fs::read_to_string(lab.path("labels.csv")).unwrap();
    fs::write(lab.path("bare.csv"), rows.lines().map(bare).collect::<String>()).unwrap();
    assert_eq!(lab.train(&["predict", "run", "--data", "bare.csv"]).well().stdout, told.stdout);
}
