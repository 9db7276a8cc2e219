//! Schedules that follow a metric keep their memory. Interrupted in patience, cooldown or warm-up, and resumed in a new
//! process, a run has the same bits.

use std::collections::BTreeSet;

use crate::common::{
    ADAMW_IN_TWO_GROUPS, EVERY_STEP, Lab, StopAfterOne, assert_same_bits, checkpoint, log, rates, small, state, steps,
};
use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Control, Outcome, Run, from_file};
use serde_json::Value;

/// Forty updates in ten epochs, validated every other update.
const STEPS: u64 = 40;

fn lab(schedule: &str, metric: &str) -> Lab {
    let config = small(ADAMW_IN_TWO_GROUPS, schedule, EVERY_STEP);
    let config = config.replace("epochs = 3,", &format!("epochs = 10, metric = '{metric}',"));
    Lab::in_memory(&config.replace("batch_size = 13", "batch_size = 13\n    classes = 3"))
}

/// Returns the schedule's memory at each step of a run.
fn memories(lab: &Lab, run: &str) -> Vec<Value> {
    let memory = |step| state(&checkpoint(&lab.path(run), step))["schedulers"]["lr"]["memory"].clone();
    steps(&lab.path(run)).into_iter().map(memory).collect()
}

/// The values that a counter takes in a run.
fn values(memories: &[Value], counter: &str) -> BTreeSet<u64> {
    memories.iter().map(|memory| memory[counter].as_u64().unwrap()).collect()
}

/// Runs to the end, and again from every step as if the process had been killed after it, and again with a stop after
/// each; all ends are the same. Returns the memories on the way.
#[track_caller]
fn same_bits_from_every_step(schedule: &str, metric: &str) -> Vec<Value> {
    let lab = lab(schedule, metric);
    lab.start("whole");
    let memories = memories(&lab, "whole");
    assert_eq!(memories.len() as u64, STEPS + 1);
    let changes = rates(&lab.path("whole")).windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes >= 2, "{schedule} moves the rate {changes} times");
    for step in 0..STEPS {
        let copy = lab.interrupted_copy("whole", &format!("from-{step}"), step);
        lab.train(&["--resume", copy.to_str().unwrap()]).well();
        assert_same_bits(&lab.path("whole"), &copy);
    }
    let (config, stopped) = (lab.path("config.toml"), lab.path("stopped"));
    for step in 1..=STEPS {
        let control = Control::new();
        let mut observer = StopAfterOne(control.clone());
        let mut run = match step {
            1 => Run::start(from_file(&config, &[]).unwrap(), &stopped, control).unwrap(),
            _ => resume::resume(&stopped, ResumeOptions::default(), control).unwrap().run,
        };
        let expected = if step < STEPS { Outcome::Stopped { signal: 15 } } else { Outcome::Finished };
        assert_eq!(run.train(&mut observer).unwrap(), expected);
    }
    assert_same_bits(&lab.path("whole"), &stopped);
    memories
}

/// A threshold that hardly any improvement passes, so that bad reports come by themselves.
fn assert_a_plateau_continues(mode: &str, metric: &str, best: &str) {
    let schedule = format!("plateau(mode='{mode}', factor=0.5, patience=2, cooldown=2, threshold=0.9)");
    let memories = same_bits_from_every_step(&schedule.replace('\'', "\\\""), metric);
    assert_eq!(memories[0]["best"], best, "before any report");
    assert!(memories[STEPS as usize]["best"].is_number());
    assert_eq!(values(&memories, "num_bad"), [0, 1, 2].into(), "patience is interrupted at each of its reports");
    assert_eq!(values(&memories, "cooldown_counter"), [0, 1, 2].into(), "and so is cooldown");
}

#[test]
fn a_plateau_of_the_validation_loss_continues_as_if_nothing_had_happened() {
    assert_a_plateau_continues("min", "validation_loss", "inf");
}

#[test]
fn a_plateau_of_the_validation_accuracy_continues_as_if_nothing_had_happened() {
    assert_a_plateau_continues("max", "validation_accuracy", "-inf");
}

#[test]
fn a_plateau_of_the_training_loss_continues_as_if_nothing_had_happened() {
    assert_a_plateau_continues("min", "training_loss", "inf");
}

const WAITS: [&str; 4] = ["cooldown_counter", "warmup_counter", "num_good", "num_bad"];

/// `waits` are the counters that must have been interrupted while counting.
fn assert_a_greedy_continues(mode: &str, metric: &str, more: &str, best: &str, waits: &[&str]) -> Vec<Value> {
    let schedule = format!("greedy(mode='{mode}', factor=0.5, min_lr=1e-4, cooldown=2, warmup=2, {more})");
    let memories = same_bits_from_every_step(&schedule.replace('\'', "\\\""), metric);
    assert_eq!(memories[0]["best"], best, "before any report");
    for counter in waits {
        assert!(values(&memories, counter).len() > 1, "{counter} never counts");
    }
    memories
}

#[test]
fn a_greedy_of_the_validation_loss_continues_as_if_nothing_had_happened() {
    let smooth = "patience=1, smooth=true, window_size=3";
    let memories = assert_a_greedy_continues("min", "validation_loss", smooth, "inf", &WAITS);
    let longest = memories.iter().map(|memory| memory["window"].as_array().unwrap().len()).max();
    assert_eq!(longest, Some(3));
}

/// The accuracy of so few rows rarely improves twice in a row, so there is no patience here.
#[test]
fn a_greedy_of_the_validation_accuracy_continues_as_if_nothing_had_happened() {
    assert_a_greedy_continues("max", "validation_accuracy", "patience=0", "-inf", &WAITS[..2]);
}

#[test]
fn a_greedy_of_the_training_loss_continues_as_if_nothing_had_happened() {
    assert_a_greedy_continues("min", "training_loss", "patience=1", "inf", &WAITS);
}

/// The metric is that of the update just made, and acts on the next one.
#[test]
fn a_report_acts_on_the_next_update() {
    let lab = lab("plateau(factor=0.5, patience=0, threshold=0.9)", "validation_loss");
    lab.start("whole");
    let (log, rates) = (log(&lab.path("whole")), rates(&lab.path("whole")));
    for (step, line) in log.iter().enumerate().skip(2).take(6) {
        let halved = rates[step] == rates[step - 1] / 2.0;
        assert_eq!(halved, log[step - 1].get("val_loss").is_some() && step > 2, "step {step}: {line}");
    }
}

/// Before the first report there is no metric, and the best is infinite: saved as a word, because JSON has no number
/// for it.
#[test]
fn a_best_that_is_infinite_is_saved_and_taken_back_exactly() {
    for (mode, metric, best) in [("min", "validation_loss", "inf"), ("max", "validation_accuracy", "-inf")] {
        let lab = lab(&format!("plateau(mode=\\\"{mode}\\\")"), metric);
        lab.start("whole");
        let text = std::fs::read_to_string(checkpoint(&lab.path("whole"), 1).join("state.json")).unwrap();
        assert!(text.contains(&format!("\"best\": \"{best}\"")) || text.contains(&format!("\"best\":\"{best}\"")));
        let copy = lab.interrupted_copy("whole", "from-1", 1);
        let control = Control::new();
        let mut observer = StopAfterOne(control.clone());
        // One more update is made before the first validation; the state in between is saved again.
        let choices = ResumeOptions { out: Some(&lab.path("again")), ..ResumeOptions::default() };
        let mut run = resume::resume(&checkpoint(&copy, 1), choices, control).unwrap().run;
        let again = state(&checkpoint(&lab.path("again"), 1));
        assert_eq!(again["schedulers"], serde_json::from_str::<Value>(&text).unwrap()["schedulers"]);
        assert_eq!(run.train(&mut observer).unwrap(), Outcome::Stopped { signal: 15 });
        let heard = &state(&checkpoint(&lab.path("again"), 2))["schedulers"]["lr"]["memory"]["best"];
        assert!(heard.is_number(), "{heard}");
    }
}
