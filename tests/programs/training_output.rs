//! The output of a run: lines for a person, JSON lines for a program, or errors and warnings alone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::common::programs::{TRAIN, Workplace};

#[test]
fn a_quiet_run_prints_nothing_and_a_quiet_failure_its_error() {
    let place = Workplace::new();
    let told = place.train(&["config.toml", "--out", "run", "--quiet"]);
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (Some(0), "", ""));
    let told = place.train(&["config.toml", "--out", "run", "--quiet"]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.starts_with("error: ") && told.err.contains("run"), "{}", told.err);
    let failing = ["config.toml", "--out", "failing", "--quiet", "--set", "optimizer.lr=1e30"];
    let told = place.train(&failing);
    told.says(1, &["warning: the learning rate is 1.000e30 at most", "error: "]);
    assert!(told.out.is_empty() && !told.err.contains("note: ") && !told.err.contains("plan: "), "{}", told.err);
}

#[test]
fn a_quiet_resume_warns_of_a_damaged_checkpoint() {
    let place = Workplace::with_run();
    fs::write(place.newest().join("state.json"), "{").unwrap();
    let told = place.train(&["--resume", "run", "--quiet"]);
    told.says(0, &["warning: skipped a damaged checkpoint: run/checkpoints/step-0000000020"]);
    assert!(told.err.lines().all(|line| line.starts_with("warning: ")) && told.out.is_empty(), "{told:?}");
}

#[test]
fn json_lines_are_those_of_the_log_also_after_a_resume() {
    let place = Workplace::new();
    let told = place.train(&["config.toml", "--out", "run", "--json"]);
    told.says(0, &["done: 20 steps"]);
    let log = || fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    assert_eq!(told.out, log());
    assert!(!told.err.contains("plan: "), "{}", told.err);
    let more = place.train(&["--resume", "run", "--json", "--quiet", "--set", "train.epochs=6"]);
    let resumed: String = log().lines().skip(20).map(|line| format!("{line}\n")).collect();
    assert_eq!((more.code, more.out.as_str(), resumed.lines().count()), (Some(0), resumed.as_str(), 10));
}

#[test]
fn json_lines_of_epochs_have_the_mean_loss() {
    let place = Workplace::new();
    let told = place.train(&["config.toml", "--out", "run", "--json=epochs", "--set", "validation.every='2 steps'"]);
    let records: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let losses: Vec<f64> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap()).collect();
    // Epochs end after 5, 10, 15 and 20 updates, and every second one is followed by a validation.
    let steps: Vec<u64> = records.iter().map(|record| record["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 3, 4, 5, 7, 9, 11, 13, 14, 15, 17, 19]);
    let mean = losses[..5].iter().sum::<f64>() / 5.0;
    assert!((records[2]["epoch_loss"].as_f64().unwrap() - mean).abs() < 1e-9, "{}", records[2]);
    assert!(records[2].get("val_loss").is_none() && records[0].get("epoch_loss").is_none(), "{}", told.out);
}

#[test]
fn a_reader_that_leaves_is_no_error_and_a_full_disk_a_warning() {
    let place = Workplace::new();
    let long = ["--set", "train.epochs=400", "--set", "checkpoint.every='10000 steps'"];
    let arguments = [&["config.toml", "--out", "run", "--json"], &long[..]].concat();
    let mut child = place.command(TRAIN, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"step\":0,"), "{line}");
    let ended = child.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && err.contains("done: 2000 steps") && !err.contains("warning: records"), "{err}");
    let full = File::options().write(true).open("/dev/full");
    let Ok(full) = full else { return println!("NOT TESTED: there is no /dev/full here") };
    let ended = place.command(TRAIN, &["config.toml", "--out", "full", "--json"]).stdout(full).output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && err.contains("done: 20 steps"), "{err}");
    assert_eq!(err.matches("warning: records of the run cannot be written: No space left").count(), 1, "{err}");
}

#[test]
fn a_run_begins_with_a_short_plan() {
    let place = Workplace::new();
    let told = place.train(&["config.toml", "--out", "run"]);
    let plan: Vec<&str> = told.err.lines().filter(|line| line.starts_with("plan: ")).collect();
    assert_eq!(plan[0], "plan: mlp of 42 parameters, 192 FLOP a row in training");
    assert_eq!(plan[1], "plan: 18 rows to train on, 6 to validate on; 2 classes");
    assert!(plan[2].starts_with("plan: 20 steps, 5 an epoch; at least ") && plan.len() == 3, "{plan:?}");
    assert!(plan.iter().all(|line| line.chars().count() < 80), "{plan:?}");
}

#[test]
fn a_resume_says_where_it_continues_and_why_from_there() {
    let place = Workplace::with_run();
    let longer = ["--resume", "run", "--set", "train.epochs=6"];
    let says = |arguments: &[&str], line: &str| {
        let told = place.train(arguments);
        assert!(told.err.lines().any(|told| told == line), "{line}: {}", told.err);
    };
    says(
        &longer,
        "continues after step 20 of 30, in epoch 5, from the newest checkpoint: run/checkpoints/step-0000000020",
    );
    fs::write(place.path("run/checkpoints/step-0000000030/state.json"), "{").unwrap();
    says(
        &["--resume", "run"],
        "continues after step 25 of 30, in epoch 6, from the newest undamaged checkpoint, as 1 newer one is damaged: \
         run/checkpoints/step-0000000025",
    );
    says(
        &["--resume", "run/checkpoints/step-0000000010", "--out", "branch"],
        "continues in branch; run/checkpoints/step-0000000010 is not changed: after step 10 of 20 from the given \
         checkpoint",
    );
    // There is nothing to continue.
    let told = place.train(&["--resume", "run"]);
    told.says(0, &["nothing left to do: all 30 steps are made"]);
    assert!(!told.err.contains("continues"), "{}", told.err);
}
