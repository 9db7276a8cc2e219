//! Which checkpoints of a run stay, and what becomes of what killed saves leave.

mod common;

use std::fs;

use common::{ADAMW, Lab, assert_same_bits, checkpoint, copy_tree, log, small, steps};
use rekindle::checkpoint::Folder;

/// Twelve updates, each saved; a validation after every second.
fn lab(keep: &str) -> Lab {
    Lab::new(&small(ADAMW, "cosine(12)", &format!("checkpoint = {{ every = '1 step', keep = {{ {keep} }} }}")))
}

/// The checkpoints that a run with these rules ends with.
#[track_caller]
fn left(keep: &str) -> Vec<u64> {
    let lab = lab(keep);
    lab.start("run");
    steps(&lab.path("run"))
}

#[test]
fn a_run_keeps_all_checkpoints_unless_told_otherwise() {
    assert_eq!(left(""), (0..=12).collect::<Vec<_>>());
}

#[test]
fn a_run_keeps_the_last_and_some_for_ever() {
    assert_eq!(left("last = 3"), [10, 11, 12]);
    assert_eq!(left("every = '5 steps'"), [0, 5, 10, 12]);
    assert_eq!(left("last = 2, every = '2 epochs'"), [0, 8, 11, 12]);
}

#[test]
fn a_run_keeps_the_best_by_a_metric() {
    let lab = lab("best = 2");
    lab.start("run");
    let mut losses: Vec<(f64, u64)> = log(&lab.path("run"))
        .iter()
        .zip(1..)
        .filter_map(|(line, done)| Some((line["val_loss"].as_f64()?, done)))
        .collect();
    losses.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut best = vec![losses[0].1, losses[1].1, 12];
    best.sort_unstable();
    best.dedup();
    assert_eq!(steps(&lab.path("run")), best);
    let accuracy = left("best = 1, metric = 'validation_accuracy'");
    assert!(accuracy.len() <= 2 && accuracy.contains(&12), "{accuracy:?}");
    let training = left("best = 3, metric = 'training_loss'");
    assert!(training.iter().all(|step| step % 4 == 0), "the training loss is known where an epoch ends: {training:?}");
}

#[test]
fn a_pinned_checkpoint_is_never_deleted() {
    let lab = lab("last = 2");
    lab.train(&["config.toml", "--out", "run", "--set", "train={steps=6}"]).well();
    Folder::new(lab.path("run/checkpoints")).pin(5).unwrap();
    lab.train(&["--resume", "run", "--set", "train={steps=12}"]).well();
    assert_eq!(steps(&lab.path("run")), [5, 11, 12]);
    Folder::new(lab.path("run/checkpoints")).unpin(5).unwrap();
    lab.train(&["--resume", "run", "--set", "train={steps=13}"]).well();
    assert_eq!(steps(&lab.path("run")), [12, 13]);
    assert!(Folder::new(lab.path("run/checkpoints")).pin(5).is_err(), "there is no such checkpoint");
}

/// What a damaged checkpoint still holds may be all there is of it.
#[test]
fn a_damaged_checkpoint_is_not_deleted() {
    let lab = lab("last = 2");
    lab.train(&["config.toml", "--out", "run", "--set", "train={steps=6}"]).well();
    let manifest = checkpoint(&lab.path("run"), 5).join("manifest.json");
    fs::remove_file(&manifest).unwrap();
    lab.train(&["--resume", "run", "--set", "train={steps=12}"]).well();
    assert_eq!(steps(&lab.path("run")), [5, 11, 12]);
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let refusals = [
        ("last = 0", "checkpoint.keep.last = 0: must be at least 1; the newest checkpoint always stays"),
        ("metric = 'training_loss'", "checkpoint.keep.metric = training_loss: says what `best` goes by"),
        ("every = '3 minutes'", "checkpoint.keep.every = 3 minutes: which step the clock meets is chance"),
        ("first = 1", "`first` is unknown"),
    ];
    for (keep, message) in refusals {
        let told = lab(keep).train(&["config.toml", "--out", "run"]).refusal();
        assert!(told.contains(message), "{told}");
    }
    let unvalidated = lab("best = 1, metric = 'validation_loss'");
    let told = unvalidated.train(&["config.toml", "--out", "run", "--set", "data.validation=0"]).refusal();
    assert!(told.contains("checkpoint.keep.metric = validation_loss: there are no validation rows"), "{told}");
}

#[test]
fn what_killed_saves_left_is_removed_at_the_next_start_and_nothing_else() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", common::EVERY_STEP));
    lab.start("whole");
    let run = lab.interrupted_copy("whole", "run", 6);
    let folder = run.join("checkpoints");
    let ours = [".step-0000000007.tmp-4242-0", ".step-0000000003.tmp-1-17"];
    for name in ours {
        copy_tree(&checkpoint(&run, 6), &folder.join(name));
    }
    fs::remove_file(folder.join(ours[0]).join("manifest.json")).unwrap();
    fs::create_dir(folder.join(".step-0000000008.tmp-4242-1")).unwrap();
    // Each of these is in one thing not as a save makes it.
    let others = [".step-0000000007.tmp-4242-2", ".step-7.tmp-4242-0", ".tmp", "step-0000000006.replaced-1"];
    for name in others {
        copy_tree(&checkpoint(&run, 6), &folder.join(name));
    }
    fs::write(folder.join(others[0]).join("thesis.txt"), "somebody's own").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(lab.path("whole"), folder.join(".step-0000000009.tmp-4242-0")).unwrap();
    let told = lab.train(&["--resume", "run"]).well();
    assert!(told.stderr.contains("removed what 3 killed saves left"), "{}", told.stderr);
    let left = |name: &str| folder.join(name).symlink_metadata().is_ok();
    assert!(ours.iter().all(|name| !left(name)) && !left(".step-0000000008.tmp-4242-1"));
    assert!(others.iter().all(|name| left(name)) && lab.path("whole/checkpoints").is_dir());
    fs::remove_dir_all(folder.join(others[3])).unwrap();
    assert_same_bits(&lab.path("whole"), &run);
}

/// Killed again and again, a run that keeps few checkpoints ends with those that one keeps that was not.
#[test]
fn rules_hold_across_resumes() {
    let lab = lab("last = 2, best = 1, every = '6 steps'");
    lab.start("whole");
    for step in [3, 5, 8] {
        let steps = format!("train.steps={step}");
        let arguments: &[&str] = match step {
            3 => &["config.toml", "--out", "run", "--set", "train.epochs=", "--set", &steps],
            _ => &["--resume", "run", "--set", &steps],
        };
        lab.train(arguments).well();
    }
    lab.train(&["--resume", "run", "--set", "train.steps=", "--set", "train.epochs=3"]).well();
    assert_eq!(steps(&lab.path("run")), steps(&lab.path("whole")));
}
