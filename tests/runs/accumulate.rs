//! An update over several micro-batches equals the update over the whole batch: its loss, its gradient, its position in
//! the data.

use std::path::Path;

use crate::common::{ADAMW, EVERY_EPOCH, Lab, assert_same_bits, checkpoint, log, rates, small, state};
use serde_json::Value;

const SGD: &str = "{ kind = 'sgd', lr = 0.05, momentum = 0.9 }";

/// 48 rows in batches of 13, so that the last update of each of the three epochs has 9; without dropout, whose masks
/// are drawn for each micro-batch.
fn without_dropout() -> String {
    small(SGD, "cosine(12)", "checkpoint = { every = '1 step' }").replace("dropout = 0.3", "dropout = 0")
}

fn train(lab: &Lab, run: &str, accumulate: &str) {
    let accumulate = format!("train.accumulate={accumulate}");
    lab.train(&["config.toml", "--out", run, "--set", &accumulate]).well();
}

fn figures(run: &Path, name: &str) -> Vec<f64> {
    log(run).iter().map(|line| line[name].as_f64().unwrap()).collect()
}

/// Within 2e-5 after twelve updates: sums in f32 have another order.
#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found / expected - 1.0).abs() < 2e-5, "step {step}: {found} and not {expected}");
    }
}

/// Thirteen rows in five micro-batches are 3, 3, 3, 3 and 1, nine are 2, 2, 2, 2 and 1: an unweighted mean of their
/// means would be far off.
#[test]
fn loss_and_gradient_are_means_over_all_rows_of_the_update() {
    let lab = Lab::in_memory(&without_dropout());
    lab.start("at-once");
    for pieces in ["2", "5", "13", "1000"] {
        train(&lab, pieces, pieces);
        for name in ["loss", "grad_norm"] {
            assert_close(&figures(&lab.path(pieces), name), &figures(&lab.path("at-once"), name));
        }
        assert_eq!(rates(&lab.path(pieces)), rates(&lab.path("at-once")));
    }
}

#[test]
fn one_micro_batch_is_the_batch_bit_for_bit() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_EPOCH));
    lab.start("whole");
    train(&lab, "one", "1");
    let last = |run: &str| std::fs::read(checkpoint(&lab.path(run), 12).join("model.safetensors")).unwrap();
    assert!(last("whole") == last("one"));
    assert_eq!(figures(&lab.path("one"), "loss"), figures(&lab.path("whole"), "loss"));
}

/// Every row of an epoch is in one update, and an epoch has as many updates as without.
#[test]
fn no_row_is_dropped_and_no_update_is_added() {
    let lab = Lab::in_memory(&without_dropout());
    train(&lab, "run", "4");
    let at = |step| state(&checkpoint(&lab.path("run"), step));
    let samples: Vec<Value> = [1, 3, 4, 12].map(|step| at(step)["samples"].clone()).into();
    assert_eq!(samples, [13, 39, 48, 144]);
    assert_eq!((&at(12)["steps_per_epoch"], &at(12)["epoch"]), (&Value::from(4), &Value::from(3)));
}

#[test]
fn it_can_be_changed_on_a_resume() {
    let lab = Lab::in_memory(&without_dropout());
    lab.start("at-once");
    let run = lab.interrupted_copy("at-once", "run", 5);
    let resumed = lab.train(&["--resume", "run", "--set", "train.accumulate=3"]).well();
    assert!(resumed.stderr.contains("train.accumulate was 1 and is 3 from step 5 on"), "{}", resumed.stderr);
    assert_close(&figures(&run, "loss"), &figures(&lab.path("at-once"), "loss"));
}

#[test]
fn two_runs_have_the_same_bits() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_EPOCH));
    train(&lab, "two", "2");
    train(&lab, "again", "2");
    assert_same_bits(&lab.path("two"), &lab.path("again"));
}

#[test]
fn no_micro_batch_at_all_is_refused() {
    let lab = Lab::in_memory(&without_dropout());
    let refused = lab.train(&["config.toml", "--out", "run", "--set", "train.accumulate=0"]).refusal();
    assert!(refused.contains("--set: train.accumulate = 0: must be at least 1"), "{refused}");
}
