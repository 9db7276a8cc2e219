//! Automatic intervals of validations and saves, and refusals of metrics that would never be known.

use std::fs;

use crate::common::{ADAMW, Lab, MODEL, assert_same_bits, log, steps};

/// Updates of one row each, 48 in an epoch, without intervals.
fn lab(train: &str, more: &str) -> Lab {
    let model = MODEL.replace("batch_size = 13", "batch_size = 1");
    Lab::in_memory(&format!("optimizer = {ADAMW}\ntrain = {{ {train} }}\n{more}\n{model}"))
}

/// Returns the updates after which the model was validated.
fn validated(lab: &Lab, run: &str) -> Vec<u64> {
    let lines = log(&lab.path(run)).into_iter().filter(|line| line.get("val_loss").is_some());
    lines.map(|line| line["step"].as_u64().unwrap() + 1).collect()
}

#[test]
fn a_run_shorter_than_an_epoch_is_validated_over_its_length_and_shows_it() {
    let lab = lab("steps = 23", "");
    let told = lab.start("run");
    assert_eq!(validated(&lab, "run"), [5, 10, 15, 20, 23]);
    let note = "note: validates every 5 steps and at the end, next at step 5; saves every 10 minutes and, in at most \
                3% of the time, after validations, and at the end";
    assert!(told.stderr.contains(note), "{}", told.stderr);
    let shown: Vec<&str> = told.stdout.lines().map(|line| line.split(" | ").next().unwrap().trim_end()).collect();
    assert_eq!(shown, ["step 5", "step 10", "step 15", "step 20", "step 23"]);
    assert!(told.stdout.lines().all(|line| line.contains(" val_loss=") && line.contains(" val_accuracy=")));
    let config = fs::read_to_string(lab.path("run/config.toml")).unwrap();
    assert!(config.contains("every = \"5 steps\"\nat_end = true"), "{config}");
}

#[test]
fn a_run_of_many_epochs_is_validated_at_their_ends_and_at_most_a_hundred_times() {
    let lab = lab("epochs = 250", "");
    let told = lab.train(&["config.toml", "--out", "run", "--set", "data.batch_size=48"]).well();
    assert_eq!(validated(&lab, "run"), (1..=83).map(|n| 3 * n).chain([250]).collect::<Vec<u64>>());
    let note = "note: validates every 3 epochs (3 steps) and at the end, next at step 3; saves every 10 minutes and, \
                in at most 3% of the time, after epochs (1 step) and validations, and at the end";
    assert!(told.stderr.contains(note), "{}", told.stderr);
}

#[test]
fn a_resume_validates_at_the_same_steps_also_where_the_run_becomes_longer() {
    let lab = lab("steps = 23", "checkpoint = { every = '1 step' }");
    lab.start("whole");
    for step in [4, 5, 22] {
        let copy = lab.interrupted_copy("whole", &format!("from-{step}"), step);
        lab.train(&["--resume", copy.to_str().unwrap()]).well();
        assert_same_bits(&lab.path("whole"), &copy);
    }
    let told = lab.train(&["--resume", "whole", "--set", "train.steps=31"]).well();
    assert_eq!(validated(&lab, "whole"), [5, 10, 15, 20, 23, 25, 30, 31]);
    assert!(told.stderr.contains("validates every 5 steps and at the end, next at step 25"), "{}", told.stderr);
    let told = lab.train(&["--resume", "whole", "--set", "train.steps=131", "--set", "validation.every=auto"]).well();
    assert!(
        told.stderr.contains("validation.every was \"5 steps\" and is \"1 epoch\" from step 31 on"),
        "{}",
        told.stderr
    );
    assert_eq!(validated(&lab, "whole")[8..], [48, 96, 131]);
}

#[test]
fn intervals_that_are_given_are_kept_to() {
    let lab = lab("steps = 23", "validation = { every = '7 steps' }\ncheckpoint = { every = '10 steps' }");
    let told = lab.start("run");
    assert_eq!((validated(&lab, "run"), steps(&lab.path("run"))), (vec![7, 14, 21], vec![0, 10, 20, 23]));
    let note = "validates every 7 steps, next at step 7; saves every 10 steps, next at step 10, and at the end";
    assert!(told.stderr.contains(note), "{}", told.stderr);
    let config = fs::read_to_string(lab.path("run/config.toml")).unwrap();
    assert!(config.contains("at_end = false"), "{config}");
}

#[test]
fn an_interval_that_is_left_open_on_a_resume_validates_at_the_end_again() {
    for open in ["validation.every=", "validation.every=auto"] {
        let lab = lab("steps = 23", "validation = { every = '7 steps' }");
        lab.start("run");
        lab.train(&["--resume", "run", "--set", "train.steps=31", "--set", open]).well();
        assert_eq!(validated(&lab, "run").last(), Some(&31), "{open}");
        let kept = ["--set", open, "--set", "validation.at_end=false", "--set", "train.steps=37"];
        lab.train(&[&["--resume", "run"][..], &kept].concat()).well();
        let config = fs::read_to_string(lab.path("run/config.toml")).unwrap();
        assert!(config.contains("at_end = false"), "{config}");
    }
}

/// Epochs of a fraction of a millisecond must not be saved each time.
#[test]
fn saves_that_are_left_open_are_far_fewer_than_short_epochs() {
    let lab = lab("epochs = 2000", "validation = { every = '2000 epochs' }");
    lab.train(&["config.toml", "--out", "run", "--set", "data.batch_size=48"]).well();
    let saved = steps(&lab.path("run"));
    assert!(saved.len() < 500 && saved.first() == Some(&0) && saved.last() == Some(&2000), "{} saves", saved.len());
}

#[test]
fn a_run_whose_schedule_or_best_would_never_know_its_metric_is_refused_before_it_begins() {
    let lab = lab("steps = 23", "");
    let plateau = "schedule=plateau(patience=0)";
    let refused = |settings: &[&str]| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["config.toml", "--out", "run"].into_iter().chain(settings).collect();
        let told = lab.train(&arguments).refusal();
        assert!(!lab.path("run").exists(), "{told}");
        told
    };
    let told = refused(&[plateau, "data.validation=0"]);
    let why = "needs the training loss, which is known at the end of an epoch, after 60 steps, and the run has 23";
    assert!(told.contains("schedule = plateau(") && told.contains(why), "{told}");
    let told = refused(&[plateau, "validation.every=23 steps"]);
    assert!(told.contains("needs the validation loss, which is known only after step 23, the last one"), "{told}");
    let told = refused(&["momentum_schedule=plateau()", "validation.every=1 epoch"]);
    assert!(
        told.contains("momentum_schedule = plateau(") && told.contains("ends before its first validation"),
        "{told}"
    );
    let told = refused(&["checkpoint.keep.best=2", "validation.every=1 epoch"]);
    assert!(told.contains("checkpoint.keep.best = 2: needs the validation loss"), "{told}");
    let told = refused(&["checkpoint.keep.best=2", "checkpoint.keep.metric=training_loss"]);
    assert!(told.contains("checkpoint.keep.best = 2: needs the training loss"), "{told}");
}

#[test]
fn what_never_knows_its_metric_on_a_resume_is_warned_of_and_the_run_continues() {
    let lab = lab("steps = 3", "schedule = 'plateau()'\nvalidation = { every = '1 step' }");
    lab.start("run");
    let told = lab.train(&["--resume", "run", "--set", "train.steps=5", "--set", "validation.every=9 steps"]).well();
    assert!(told.stderr.contains("warning: schedule = plateau("), "{}", told.stderr);
    let told = lab
        .train(&[
            "--resume",
            "run",
            "--set",
            "train.steps=6",
            "--set",
            "schedule=",
            "--set",
            "train.metric=training_loss",
        ])
        .well();
    assert!(
        told.stderr.contains("warning: train.metric = training_loss: no schedule follows a metric"),
        "{}",
        told.stderr
    );
    assert!(
        told.stderr.contains("warning: validation.every = 9 steps: the run of 6 steps ends before"),
        "{}",
        told.stderr
    );
}
