//! A sweep that is killed and continued ends as one that was not: the same ledger, table, best configuration, logs and
//! weights.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Lab, checkpoint, log, steps};
use rekindle::train::RunDirectory;

const CONFIG: &str = r#"
    seed = 3
    optimizer = { kind = "adamw", lr = 1e-3 }
    schedule = "cosine(100%)"
    train = { steps = 2000 }
    validation = { every = "250 steps" }
    checkpoint = { every = "200 steps" }
    [data]
    path = "data.csv"
    validation = 0.2
    batch_size = 13
    [model]
    kind = "mlp"
    hidden = [16]
    dropout = 0.1
"#;

const SWEEP: &str = r#"
    config = "config.toml"
    search = { kind = "sobol", trials = 6, seed = 1 }
    early_ending = { first = "500 steps", factor = 2 }
    [parameters]
    "optimizer.lr" = { low = 1e-4, high = 1e-1, scale = "log" }
    "model.dropout" = [0.0, 0.3]
"#;

fn lab() -> Lab {
    let lab = Lab::in_memory(CONFIG);
    fs::write(lab.path("sweep.toml"), SWEEP).unwrap();
    lab
}

/// The run of a trial.
fn run_of(number: usize) -> String {
    format!("trials/{number:04}")
}

/// Returns the process that trains a trial of `sweep`, if the trial has made a step.
fn trainer(sweep: &Path) -> Option<String> {
    (0..6).find_map(|number| {
        let run = sweep.join(run_of(number));
        let process = RunDirectory::holder(&run)?.strip_prefix("process ")?.to_owned();
        (fs::metadata(run.join("log.jsonl")).ok()?.len() > 0).then_some(process)
    })
}

/// Kills a process, which may have just ended.
fn kill(process: &str) -> Output {
    Command::new("sh").args(["-c", "kill -s KILL \"$0\"", process]).output().unwrap()
}

/// Asserts that two sweeps have the same outcome, to the bit.
#[track_caller]
fn assert_same_outcome(whole: &Path, other: &Path) {
    for file in ["trials.jsonl", "trials.csv", "best.toml", "sweep.svg", "sweep.toml"] {
        let [a, b] = [whole, other].map(|sweep| fs::read_to_string(sweep.join(file)).unwrap());
        assert_eq!(a, b, "{file}");
    }
    for number in 0..6 {
        let [a, b] = [whole, other].map(|sweep| sweep.join(run_of(number)));
        assert_eq!(log(&a), log(&b), "trial {number}");
        let last = *steps(&a).last().unwrap();
        assert_eq!(last, *steps(&b).last().unwrap(), "trial {number}");
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let [a, b] = [&a, &b].map(|run| fs::read(checkpoint(run, last).join(file)).unwrap());
            assert!(a == b, "trial {number}: {file}");
        }
    }
}

#[test]
fn a_sweep_that_is_killed_and_stopped_ends_as_one_that_was_not() {
    let lab = lab();
    let whole = lab.train(&["sweep", "sweep.toml", "--out", "whole"]).well();
    let ledger = fs::read_to_string(lab.path("whole/trials.jsonl")).unwrap();
    assert!(ledger.contains("\"end\":\"ended_early\"") && ledger.contains("\"end\":\"finished\""), "{ledger}");
    let killed = lab.path("killed");
    // The sweep itself is killed; its trial saves and stops.
    let mut training = lab.spawn(&["sweep", "sweep.toml", "--out", "killed"]);
    training.wait_until(|| trainer(&killed).is_some());
    assert!(training.kill());
    // A trial is killed, then the sweep is stopped.
    let mut training = lab.spawn(&["sweep", "sweep.toml", "--out", "killed"]);
    training.wait_until(|| {
        trainer(&killed).iter().for_each(|process| drop(kill(process)));
        fs::read_to_string(lab.path("stderr")).unwrap().contains(" was killed by SIGKILL at step ")
    });
    training.signal("TERM");
    let stopped = training.ended();
    assert_eq!(stopped.code, Some(143), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("to continue: train sweep --resume killed\n"), "{}", stopped.stderr);
    // The configuration has no more part in it.
    fs::rename(lab.path("config.toml"), lab.path("elsewhere.toml")).unwrap();
    let ended = lab.train(&["sweep", "--resume", "killed"]).well();
    assert_eq!(ended.stdout, whole.stdout);
    assert_same_outcome(&lab.path("whole"), &killed);
}

#[test]
fn the_number_of_trials_at_once_changes_nothing_and_further_trials_change_no_earlier_one() {
    let lab = lab();
    lab.train(&["sweep", "sweep.toml", "--out", "whole"]).well();
    // First four trials, then all six.
    fs::write(lab.path("fewer.toml"), SWEEP.replace("trials = 6", "trials = 4")).unwrap();
    let several = |file: &str| {
        let mut command = lab.command(&["sweep", file, "--out", "several", "--parallel", "3"]);
        assert!(command.env("RAYON_NUM_THREADS", "3").output().unwrap().status.success());
    };
    several("fewer.toml");
    several("sweep.toml");
    assert_same_outcome(&lab.path("whole"), &lab.path("several"));
}
