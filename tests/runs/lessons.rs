//! Defects of resumed runs in other trainers that are none here. Each test is named after the defect; those of saving
//! are in `tests/checkpoints/lessons.rs`, those of schedules in `tests/schedules/lessons.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{
    ADAMW, EVERY_EPOCH, EVERY_STEP, Lab, assert_same_bits, checkpoint, copy_tree, log, rates, small, state, steps, tree,
};
use rekindle::checkpoint::Checkpoint;
use rekindle::train::{Control, Outcome, Run, Sink, StepRecord, from_file};
use serde_json::Value;

/// transformers #35782, lightning #19970: an incomplete last checkpoint is picked on resume.
#[test]
fn transformers_35782_and_lightning_19970_an_incomplete_last_checkpoint_is_not_picked() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("whole");
    for missing in ["manifest.json", "state.json", "optimizer.safetensors"] {
        let run = lab.interrupted_copy("whole", missing, 7);
        // The last is incomplete, the one before it has a flipped bit, and a save was cut off.
        fs::remove_file(checkpoint(&run, 7).join(missing)).unwrap();
        let file = checkpoint(&run, 6).join("model.safetensors");
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file, bytes).unwrap();
        copy_tree(&checkpoint(&run, 7), &run.join("checkpoints/.step-0000000008.tmp-1-0"));
        let damaged = [6, 7].map(|step| tree(&checkpoint(&run, step)));
        let resumed = lab.train(&["--resume", missing]).well();
        let checkpoints = format!("skipped a damaged checkpoint: {missing}/checkpoints");
        for said in [format!("{missing} is missing"), "model.safetensors".to_owned()].iter().zip([7, 6]) {
            let (said, step) = said;
            let said = format!("{checkpoints}/step-{step:010}/{said}");
            assert!(resumed.stderr.contains(&said), "{}", resumed.stderr);
        }
        assert_eq!(resumed.stderr.matches("skipped").count(), 2, "{}", resumed.stderr);
        // The damaged ones are still there, under other names, beside those that took their places.
        for (step, damaged) in [6, 7].into_iter().zip(damaged) {
            let kept = run.join(format!("checkpoints/step-{step:010}.replaced-1"));
            assert!(tree(&kept) == damaged, "the damaged one of step {step} is not kept");
            fs::remove_dir_all(kept).unwrap();
        }
        assert_same_bits(&lab.path("whole"), &run);
    }
}

/// maxdiffusion PR 484: "checkpoint 100" holds 101 updates.
#[test]
fn maxdiffusion_484_the_checkpoint_of_a_step_holds_exactly_this_many_updates() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("whole");
    assert_eq!(steps(&lab.path("whole")), (0..=12).collect::<Vec<_>>());
    for step in [1, 4, 7] {
        let (run, length) = (format!("of-{step}"), format!("train.steps={step}"));
        lab.train(&["config.toml", "--out", &run, "--set", &length]).well();
        let (short, whole) = (checkpoint(&lab.path(&run), step), checkpoint(&lab.path("whole"), step));
        for file in ["model.safetensors", "optimizer.safetensors"] {
            assert!(fs::read(short.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(), "{file} of {step}");
        }
        assert_eq!(state(&whole)["optimizer"]["updates"], step);
    }
    // The next update is number `step`, and what a checkpoint says of the rate is that of the next update.
    for (step, rate) in (0..).zip(rates(&lab.path("whole"))) {
        let path = checkpoint(&lab.path("whole"), step);
        let state = state(&path);
        assert_eq!((&state["step"], &state["schedulers"]["lr"]["t"]), (&step.into(), &step.into()));
        assert_eq!(state["epoch"], step / 4);
        let shown = Command::new(env!("CARGO_BIN_EXE_inspect")).arg("--json").arg(&path).output().unwrap();
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["groups"][0]["lr"].as_f64(), Some(rate), "at step {step}");
    }
}

/// transformers #22143: gradients accumulated at the time of a checkpoint are lost. Here checkpoints are only taken
/// between updates, when there are none.
#[test]
fn transformers_22143_no_accumulated_gradient_is_lost_at_a_save() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP).replace("train = {", "train = { accumulate = 3,"));
    lab.start("whole");
    for step in 1..12 {
        let run = lab.interrupted_copy("whole", &format!("from-{step}"), step);
        lab.train(&["--resume", run.to_str().unwrap()]).well();
        assert_same_bits(&lab.path("whole"), &run);
    }
    let parts = Checkpoint::read(&checkpoint(&lab.path("whole"), 5)).unwrap();
    assert!(parts.parts().all(|part| !part.contains("grad")));
}

/// burn #5695, accelerate #662: the schedule advanced with every micro-batch, and the last window of an epoch was
/// dropped.
#[test]
fn burn_5695_and_accelerate_662_micro_batches_move_no_schedule_and_the_last_window_counts() {
    let lab = Lab::in_memory(
        &small(ADAMW, "exponential(0.5)", EVERY_EPOCH).replace("train = {", "train = { accumulate = 4,"),
    );
    lab.start("run");
    // 48 rows in batches of 13: the fourth update of each of the three epochs has 9 of them.
    assert_eq!(rates(&lab.path("run")), (0..12).map(|t| 0.05 * 0.5f64.powi(t)).collect::<Vec<_>>());
    assert_eq!(state(&checkpoint(&lab.path("run"), 12))["samples"], 144);
}

/// burn: the shuffle order restarts from epoch 1 after a resume.
#[test]
fn burn_the_shuffle_order_continues_after_a_resume() {
    // With a tiny rate and no dropout, a loss identifies the rows of its batch.
    let config =
        small("{ kind = 'sgd', lr = 1e-12 }", "constant()", EVERY_STEP).replace("dropout = 0.3", "dropout = 0");
    let lab = Lab::in_memory(&config);
    lab.start("whole");
    let losses = |run: &Path| log(run).iter().map(|line| line["loss"].as_f64().unwrap()).collect::<Vec<_>>();
    let whole = losses(&lab.path("whole"));
    let distinct: BTreeSet<u64> = whole.iter().map(|loss| loss.to_bits()).collect();
    assert_eq!(distinct.len(), 12, "no two batches of the three epochs are the same: {whole:?}");
    for step in [3, 4, 6, 8] {
        let run = lab.interrupted_copy("whole", &format!("from-{step}"), step);
        lab.train(&["--resume", run.to_str().unwrap()]).well();
        assert_eq!(losses(&run), whole, "resumed at step {step}");
    }
}

/// Asks a run to stop after an update.
struct StopAfter(u64, Control);

impl Sink for StopAfter {
    fn record(&mut self, record: &StepRecord) {
        if record.done() == self.0 {
            self.1.stop(2);
        }
    }
}

/// burn: work since the last epoch is lost on Ctrl-C.
#[test]
fn burn_ctrl_c_loses_no_update_since_the_last_epoch() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_EPOCH));
    lab.start("whole");
    let (config, control) = (from_file(&lab.path("config.toml"), &[]).unwrap(), Control::new());
    let mut run = Run::start(config, &lab.path("run"), control.clone()).unwrap();
    let outcome = run.train(&mut StopAfter(6, control)).unwrap();
    assert_eq!(outcome, Outcome::Stopped { signal: 2 });
    drop(run);
    // Epochs end after 4 and 8 updates.
    assert_eq!(steps(&lab.path("run")), [0, 4, 6]);
    lab.train(&["--resume", "run"]).well();
    fs::remove_dir_all(checkpoint(&lab.path("run"), 6)).unwrap();
    assert_same_bits(&lab.path("whole"), &lab.path("run"));
}

/// burn #1312, wandb #6728: metrics of a restarted run land in another folder, or repeat steps.
#[test]
fn burn_1312_and_wandb_6728_a_restarted_run_has_one_log_with_each_step_once() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", "checkpoint = { every = '5 steps' }"));
    lab.start("whole");
    // As if killed after step 8: the log is ahead of the checkpoint.
    let run = lab.interrupted_copy("whole", "run", 5);
    assert_eq!(log(&lab.path("whole")).len(), 12);
    lab.train(&["--resume", "run"]).well();
    let logged: Vec<u64> = log(&run).iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(logged, (0..12).collect::<Vec<_>>());
    let logs = fs::read_dir(&run)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "jsonl"));
    assert_eq!(logs.count(), 2, "log.jsonl and timing.jsonl, and no second one of either");
    assert!(!lab.path("runs").exists(), "another run was made");
    assert_eq!(fs::read(run.join("log.jsonl")).unwrap(), fs::read(lab.path("whole/log.jsonl")).unwrap());
}

/// pytorch/examples #816, torchtune #2730: loading a state silently overrides the newly requested hyperparameters.
#[test]
fn pytorch_examples_816_and_torchtune_2730_a_run_uses_the_rate_that_its_resume_asks_for() {
    let lab = Lab::in_memory(&small(ADAMW, "constant()", EVERY_STEP));
    lab.start("whole");
    let run = lab.interrupted_copy("whole", "run", 6);
    let settings = ["--set", "optimizer.lr=0.01", "--set", "optimizer.weight_decay=0.3"];
    let resumed = lab.train(&[&["--resume", "run"], &settings[..]].concat()).well();
    assert!(resumed.stderr.contains("optimizer.lr was 0.05 and is 0.01 from step 6 on"), "{}", resumed.stderr);
    assert_eq!(rates(&run), [[0.05; 6], [0.01; 6]].concat());
    assert_eq!(state(&checkpoint(&run, 12))["optimizer"]["groups"][0]["weight_decay"], 0.3);
}

/// torchtitan #1194, lightning: the state of the generator is not saved, so dropout differs after a resume. Here there
/// is no generator: masks are computed from the step.
#[test]
fn torchtitan_1194_dropout_is_the_same_after_a_resume() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP).replace("dropout = 0.3", "dropout = 0.5"));
    lab.start("whole");
    for step in [1, 5, 11] {
        let run = lab.interrupted_copy("whole", &format!("from-{step}"), step);
        lab.train(&["--resume", run.to_str().unwrap()]).well();
        assert_same_bits(&lab.path("whole"), &run);
    }
    let without = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP).replace("dropout = 0.3", "dropout = 0"));
    without.start("whole");
    let last = |lab: &Lab| fs::read(checkpoint(&lab.path("whole"), 12).join("model.safetensors")).unwrap();
    assert!(last(&lab) != last(&without), "dropout does something");
}
