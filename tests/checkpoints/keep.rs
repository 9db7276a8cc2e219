//! Retention of a run's checkpoints, and clean-up after killed saves.

use std::fs;

use crate::common;
use crate::common::{ADAMW, Lab, assert_same_bits, checkpoint, copy_tree, log, small, steps};
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
fn a_run_keeps_all_checkpoints_by_default() {
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

/// Returns the validated steps of a run, sorted by the metric, the best first.
fn by_loss(run: &std::path::Path) -> Vec<u64> {
    let found = log(run).into_iter().zip(1..).filter_map(|(line, done)| Some((line["val_loss"].as_f64()?, done)));
    let mut found: Vec<(f64, u64)> = found.collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, done)| done).collect()
}

#[test]
fn the_best_are_saved_and_kept_where_validations_and_saves_fall_on_different_steps() {
    let config = small(ADAMW, "cosine(12)", "checkpoint = { every = '5 steps', keep = { best = 2 } }");
    let lab = Lab::new(&config);
    let told = lab.start("run");
    let mut best = by_loss(&lab.path("run"))[..2].to_vec();
    best.extend([12].iter().filter(|step| !best.contains(step)).copied().collect::<Vec<_>>());
    best.sort_unstable();
    assert_eq!(steps(&lab.path("run")), best, "no state that was not measured takes the place of one that was");
    let note = "saves every 5 steps, next at step 5, after each validation for the best, and at the end";
    assert!(told.stderr.contains(note), "{}", told.stderr);
}

#[test]
fn what_is_kept_for_ever_is_saved_with_any_interval_of_saves() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", "checkpoint = { every = '5 steps', keep = { every = '3 steps' } }"));
    lab.start("run");
    assert_eq!(steps(&lab.path("run")), [0, 3, 6, 9, 12]);
}

#[test]
fn a_run_ends_with_its_best_checkpoint_named_and_it_is_used_where_it_is_asked_for() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", "checkpoint = { every = '5 steps', keep = { best = 20 } }"));
    let told = lab.start("run");
    let best = by_loss(&lab.path("run"))[0];
    let loss = log(&lab.path("run"))[best as usize - 1]["val_loss"].clone();
    let named = format!(
        "best checkpoint: step-{best:010} (validation_loss {})",
        rekindle::figures::loss(loss.as_f64().unwrap())
    );
    assert!(told.stderr.contains(&named), "{named}: {}", told.stderr);
    let found = lab.train(&["eval", "run", "--best", "--json"]).well();
    let report: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((report["step"].as_u64(), &report["loss"]), (Some(best), &loss));
    assert!(found.stderr.contains("the best of 6 checkpoints with a metric: step-"), "{}", found.stderr);
    let one = format!("run/checkpoints/step-{best:010}");
    let predicted =
        |run: &str, more: &[&str]| lab.train(&[&["predict", run, "--data", "data.csv"], more].concat()).well().stdout;
    assert_eq!(predicted("run", &["--best"]), predicted(&one, &[]));
    let told = lab.train(&["predict", &one, "--data", "data.csv", "--best"]).refusal();
    assert!(told.contains("is one checkpoint; `--best` takes a run directory"), "{told}");
    let told = lab.train(&["sample", "run", "--best"]).refusal();
    assert!(told.contains("the best of 6") || told.contains("text"), "{told}");
    // A better one that is damaged is reported and skipped.
    let weights = checkpoint(&lab.path("run"), best).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let found = lab.train(&["eval", "run", "--best"]).well();
    assert!(found.stderr.contains("skipped a damaged checkpoint"), "{}", found.stderr);
    assert!(found.stdout.contains(&format!("step-{:010}", by_loss(&lab.path("run"))[1])), "{}", found.stdout);
}

#[test]
fn without_a_measured_checkpoint_there_is_no_best() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", "checkpoint = { every = '5 steps' }"));
    let told =
        lab.train(&["config.toml", "--out", "run", "--set", "validation.every=3 steps", "--set", "train={steps=7}"]);
    assert!(!told.well().stderr.contains("best:"));
    let told = lab.train(&["eval", "run", "--best"]).refusal();
    assert!(told.contains("holds no checkpoint with a metric"), "{told}");
}

#[test]
fn inspect_says_which_checkpoints_are_kept_and_why() {
    let lab = lab("last = 2, best = 1, every = '6 steps'");
    lab.start("run");
    let best = by_loss(&lab.path("run"))[0];
    let told = inspect(&lab, &["run"]).well().stdout;
    assert!(told.contains(&format!("best        step-{best:010} (validation_loss ")), "{told}");
    let lines: Vec<&str> = told.lines().skip_while(|line| !line.starts_with("kept ")).collect();
    assert!(lines[0].contains(" checkpoints, by best=1 every=\"6 steps\" last=2"), "{told}");
    assert!(lines[1].starts_with("            step-0000000000  kept for ever"), "{told}");
    assert!(told.contains("            step-0000000012  the newest  "), "{told}");
    let json: serde_json::Value = serde_json::from_str(&inspect(&lab, &["run", "--json"]).well().stdout).unwrap();
    assert_eq!(json["kept"]["best"]["step"], best);
    let stays = |step: u64| {
        let all = json["kept"]["checkpoints"].as_array().unwrap();
        all.iter().find(|one| one["step"] == step).map(|one| one["stays"].clone())
    };
    assert_eq!((stays(0), stays(12)), (Some("every".into()), Some("newest".into())));
    assert!(json["kept"]["rules"]["last"] == 2);
    let told = inspect(&lab, &["run/checkpoints/step-0000000012"]).well().stdout;
    assert!(!told.contains("kept  "), "{told}");
}

/// The names in the folder of checkpoints.
fn names(run: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_that_was_replaced_goes_by_the_rules_of_the_run() {
    let lab = lab("last = 2");
    lab.train(&["config.toml", "--out", "run", "--set", "train={steps=2}"]).well();
    for steps in ["3", "4"] {
        lab.train(&["--resume", "run", "--set", &format!("train.steps={steps}")]).well();
    }
    assert_eq!(names(&lab.path("run")), ["step-0000000003", "step-0000000004"]);
}

#[test]
fn copies_that_were_replaced_are_counted_and_deleted_by_hand_unless_they_may_be_all_there_is() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", "checkpoint = { every = '20 steps' }"));
    lab.train(&["config.toml", "--out", "run", "--set", "train={steps=2}"]).well();
    for steps in [3, 4, 5, 6] {
        lab.train(&["--resume", "run", "--set", &format!("train.steps={steps}")]).well();
    }
    let run = lab.path("run");
    let copy = |step: u64| format!("step-{step:010}.replaced-1");
    assert_eq!(names(&run).iter().filter(|name| name.contains("replaced")).count(), 4, "without a rule all stay");
    // One is damaged, another has a step that a person has pinned.
    let weights = run.join("checkpoints").join(copy(3)).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    inspect(&lab, &["pin", "run/checkpoints/step-0000000004"]).well();
    let told = inspect(&lab, &["prune", "run", "--last", "1", "--dry-run"]).well().stdout;
    assert!(told.contains(&format!("{}  would be deleted: superseded", copy(2))), "{told}");
    assert!(told.contains(&format!("{}  stays: damaged", copy(3))), "{told}");
    assert!(told.contains(&format!("{}  stays: pinned", copy(4))), "{told}");
    assert!(told.ends_with("6 of 10 checkpoints would be deleted\n"), "{told}");
    inspect(&lab, &["prune", "run", "--last", "1"]).well();
    let left = [
        copy(3),
        "step-0000000004".to_owned(),
        "step-0000000004.pin".to_owned(),
        copy(4),
        "step-0000000006".to_owned(),
    ];
    let mut left = left.to_vec();
    left.sort();
    assert_eq!(names(&run), left);
    // A replaced copy can be examined under its name.
    assert!(inspect(&lab, &[&format!("run/checkpoints/{}", copy(4))]).well().stdout.contains("step        4"));
}

#[test]
fn a_run_is_pruned_by_the_rules_that_are_given_or_else_by_its_own() {
    let lab = lab("");
    lab.start("run");
    let run = lab.path("run");
    let before = names(&run);
    let told = inspect(&lab, &["prune", "run"]);
    assert_eq!(names(&run), before, "without a rule nothing is deleted: {told:?}");
    let best = by_loss(&run);
    let told = inspect(&lab, &["prune", "run", "--best", "2", "--every", "6 steps", "--dry-run"]).well().stdout;
    assert!(
        told.contains("step-0000000006") && told.contains("stays: ") && told.contains("would be deleted"),
        "{told}"
    );
    assert_eq!(names(&run), before);
    inspect(&lab, &["prune", "run", "--best", "2", "--every", "6 steps"]).well();
    let mut kept = vec![0, 6, 12, best[0], best[1]];
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(steps(&run), kept);
    let lab = self::lab("last = 3");
    lab.start("run");
    let told = inspect(&lab, &["prune", "run"]).well().stdout;
    assert!(told.ends_with("0 of 3 checkpoints deleted\n"), "{told}");
    assert!(inspect(&lab, &["prune", "nowhere", "--last", "1"]).refusal().contains("nowhere"));
    assert!(inspect(&lab, &["prune", "run", "--best", "1", "--metric", "loss"]).refusal().contains("known are"));
}

/// If names cannot be exchanged, a crash can leave a checkpoint only under the name of a copy.
#[test]
fn a_copy_that_is_the_only_one_of_the_newest_step_stays() {
    let lab = lab("last = 2");
    lab.start("run");
    let newest = checkpoint(&lab.path("run"), 12);
    fs::rename(&newest, newest.with_file_name("step-0000000012.replaced-1")).unwrap();
    let told = inspect(&lab, &["prune", "run", "--last", "1"]).well().stdout;
    assert!(told.contains("step-0000000012.replaced-1  stays: the only one of its step"), "{told}");
    assert_eq!(names(&lab.path("run")), ["step-0000000011", "step-0000000012.replaced-1"]);
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
fn a_run_is_pruned_by_hand_and_first_shown_what_would_go() {
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
    let unpin = || inspect(&lab, &["unpin", "run/checkpoints/step-0000000003"]).well().stdout;
    assert!(unpin().ends_with("is no longer pinned\n") && unpin().ends_with("was not pinned\n"));
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
    let told = inspect(&lab, &["prune", "run", "--best", "2", "--metric", "validation_top_k_accuracy"]).refusal();
    assert!(told.contains("no checkpoint of this run has it"), "{told}");
    assert!(inspect(&lab, &["prune", "run", "--last", "0"]).refusal().contains("--last 0: must be at least 1"));
    let told = inspect(&lab, &["prune", "run", "--last", "x"]).refusal();
    assert!(told.ends_with("--last x: must be a whole number, at least 0\n"), "{told}");
    assert!(inspect(&lab, &["prune", "nowhere"]).refusal().contains("nowhere"));
    assert!(
        inspect(&lab, &["prune", "run/checkpoints/step-0000000003", "--last", "1"])
            .refusal()
            .contains("is not a run directory")
    );
    assert!(inspect(&lab, &["pin", "run"]).refusal().contains("is not a checkpoint"));
    assert_eq!(steps(&lab.path("run")).len(), 13);
}

/// The remains of a damaged checkpoint may be the only copy.
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
        ("last = 0", "checkpoint.keep.last = 0: must be at least 1; the newest checkpoint is always kept"),
        ("metric = 'training_loss'", "checkpoint.keep.metric = training_loss: is the metric of `best`"),
        ("every = '3 minutes'", "checkpoint.keep.every = 3 minutes: steps by the clock are random"),
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
    // Each of these differs in one property from a save's directory.
    let others = [".step-0000000007.tmp-4242-2", ".step-7.tmp-4242-0", ".tmp", "step-0000000006.replaced-1"];
    for name in others {
        copy_tree(&checkpoint(&run, 6), &folder.join(name));
    }
    fs::write(folder.join(others[0]).join("thesis.txt"), "somebody's own").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(lab.path("whole"), folder.join(".step-0000000009.tmp-4242-0")).unwrap();
    let told = lab.train(&["--resume", "run"]).well();
    assert!(told.stderr.contains("removed the remains of 3 killed saves"), "{}", told.stderr);
    let left = |name: &str| folder.join(name).symlink_metadata().is_ok();
    assert!(ours.iter().all(|name| !left(name)) && !left(".step-0000000008.tmp-4242-1"));
    assert!(others.iter().all(|name| left(name)) && lab.path("whole/checkpoints").is_dir());
    fs::remove_dir_all(folder.join(others[3])).unwrap();
    assert_same_bits(&lab.path("whole"), &run);
}

/// A run with retention that is killed repeatedly ends with the same checkpoints as one that is not, including after a
/// kill in its last save.
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

/// A flipped bit in a tensor is not found without reading it, so the choice of the newest must not depend on such a
/// quick look.
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

#[test]
fn a_checkpoint_that_a_person_has_put_files_in_is_not_deleted() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", "checkpoint = { every = '4 steps', keep = { last = 1 } }"));
    lab.start("run");
    fs::write(checkpoint(&lab.path("run"), 12).join("NOTES.md"), "mine").unwrap();
    lab.train(&["--resume", "run", "--set", "train.epochs=6"]).well();
    let folder = lab.path("run/checkpoints");
    let holds_notes = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().join("NOTES.md").exists();
    assert!(fs::read_dir(&folder).unwrap().any(holds_notes));
    // One without such files is deleted.
    assert!(!checkpoint(&lab.path("run"), 8).exists());
}

#[test]
fn a_damaged_checkpoint_is_named_where_the_best_is_asked_for() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", "checkpoint = { every = '5 steps', keep = { best = 20 } }"));
    lab.start("run");
    let best = by_loss(&lab.path("run"))[0];
    let weights = checkpoint(&lab.path("run"), best).join("model.safetensors");
    fs::write(&weights, &fs::read(&weights).unwrap()[..100]).unwrap();
    let told = lab.train(&["eval", "run", "--best"]).well();
    let named = format!("step-{best:010}/model.safetensors");
    assert!(told.stderr.contains("skipped a damaged checkpoint") && told.stderr.contains(&named), "{}", told.stderr);
}
