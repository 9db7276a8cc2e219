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

fn inspect(lab: &Lab, arguments: &[&str]) -> common::Ended {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_inspect"));
    command.args(arguments).current_dir(lab.path("")).output().unwrap().into()
}

#[test]
fn a_run_is_pruned_by_hand_and_first_told_what_would_go() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", common::EVERY_STEP));
    lab.start("run");
    let run = lab.path("run");
    let told = inspect(&lab, &["prune", "run", "--last", "2", "--every", "1 epoch", "--dry-run"]).well().stdout;
    assert_eq!(steps(&run).len(), 13, "a dry run deletes nothing");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].ends_with("run/checkpoints/step-0000000000  stays: kept for ever"), "{told}");
    assert!(lines[1].ends_with("run/checkpoints/step-0000000001  would be deleted"), "{told}");
    assert!(lines[11].ends_with("stays: among the last") && lines[12].ends_with("stays: the newest"), "{told}");
    assert_eq!(lines[13], "8 of 13 checkpoints would be deleted");
    inspect(&lab, &["pin", "run/checkpoints/step-0000000003"]).well();
    let told = inspect(&lab, &["prune", "run", "--last", "2", "--every", "1 epoch"]).well().stdout;
    assert!(
        told.contains("step-0000000003  stays: pinned") && told.ends_with("7 of 13 checkpoints deleted\n"),
        "{told}"
    );
    assert_eq!(steps(&run), [0, 3, 4, 8, 11, 12]);
    inspect(&lab, &["unpin", "run/checkpoints/step-0000000003"]).well();
    let told = inspect(&lab, &["prune", "run", "--best", "1"]).well().stdout;
    assert!(told.contains("stays: among the best") || told.contains("stays: the newest"), "{told}");
    assert!(steps(&run).len() <= 2, "{told}");
}

#[test]
fn pruning_by_hand_follows_the_rules_of_the_run_unless_given_others() {
    let lab = lab("last = 20");
    lab.start("run");
    assert!(inspect(&lab, &["prune", "run"]).well().stdout.ends_with("0 of 13 checkpoints deleted\n"));
    let told = inspect(&lab, &["prune", "run", "--best", "1", "--metric", "loss"]).refusal();
    assert!(told.contains("known are training_loss, validation_loss, validation_accuracy"), "{told}");
    assert!(inspect(&lab, &["prune", "run", "--last", "0"]).refusal().contains("must be at least 1"));
    assert!(inspect(&lab, &["prune", "nowhere"]).refusal().contains("nowhere"));
    assert!(inspect(&lab, &["prune", "run/checkpoints/step-0000000003", "--last", "1"]).refusal().contains("no run"));
    assert!(inspect(&lab, &["pin", "run"]).refusal().contains("is no checkpoint"));
    assert_eq!(steps(&lab.path("run")).len(), 13);
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
/// Or a run that is killed behind its last save would end with more than one that is not.
#[test]
fn what_a_killed_save_had_yet_to_delete_is_deleted_at_the_next_start() {
    let lab = lab("last = 2");
    lab.start("run");
    lab.train(&["config.toml", "--out", "all", "--set", "checkpoint.keep.last=20"]).well();
    copy_tree(&checkpoint(&lab.path("all"), 10), &checkpoint(&lab.path("run"), 10));
    assert_eq!(steps(&lab.path("run")), [10, 11, 12]);
    lab.train(&["--resume", "run"]).well();
    assert_eq!(steps(&lab.path("run")), [11, 12]);
}

/// A flipped bit in a tensor does not show at a glance; who is the newest must not be decided by that.
#[test]
fn a_damaged_newest_checkpoint_does_not_take_the_place_of_one_that_is_whole() {
    let lab = lab("last = 1");
    lab.start("run");
    lab.train(&["config.toml", "--out", "all", "--set", "checkpoint.keep.last=20"]).well();
    copy_tree(&checkpoint(&lab.path("all"), 10), &checkpoint(&lab.path("run"), 10));
    let weights = checkpoint(&lab.path("run"), 12).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let pruned = inspect(&lab, &["prune", "run", "--last", "1"]);
    assert_eq!((pruned.code, steps(&lab.path("run"))), (Some(0), vec![10, 12]), "{}", pruned.stderr);
    lab.train(&["--resume", "run", "--set", "checkpoint.keep.last=1"]).well();
    assert_eq!(steps(&lab.path("run")), [12]);
    assert!(inspect(&lab, &["verify", "run"]).code == Some(0));
}

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
