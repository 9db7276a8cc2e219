//! Choices of `--resume`: accepted paths, the place of the continued run, allowed and refused changes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common;
use crate::common::{ADAMW, EVERY_STEP, Ended, Lab, assert_same_bits, checkpoint, log, small, state, steps, tree};
use candle_core::{Device, Var};
use rekindle::checkpoint::{Checkpoint, Folder, Snapshot, WrittenBy};
use rekindle::optim::{Optimizer, Sgd};
use rekindle::parameters::Parameters;
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::state::Stateful;
use serde_json::{Value, json};

/// A finished run `whole` of twelve updates, with a checkpoint after each.
fn finished() -> Lab {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("whole");
    lab
}

/// And `run`, the same run interrupted after update number 5, inside an epoch.
fn interrupted() -> Lab {
    let lab = finished();
    lab.interrupted_copy("whole", "run", 6);
    lab
}

fn inspect(lab: &Lab, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inspect"));
    command.args(arguments).current_dir(lab.path("")).output().unwrap().into()
}

/// The checkpoints that `run` and the whole run both have are the same.
#[track_caller]
fn assert_ends_as_the_whole_run(lab: &Lab, run: &str) {
    let end = |run: &str| {
        let mut files = tree(&checkpoint(&lab.path(run), 12));
        files.remove(Path::new("manifest.json"));
        files
    };
    assert!(end("whole") == end(run), "{run} ends with other bits");
}

/// 48 rows in batches of 13: the second epoch has begun with 26 rows after 6 updates. With batches of 7, 22 rows are left
/// for 4 updates, and an epoch has 7. 3 epochs are then 4 + 2 + 4 + 7 updates.
#[test]
fn another_batch_size_continues_with_the_next_row_is_recorded_and_has_one_result_for_any_interruption() {
    let lab = interrupted();
    let told = lab.train(&["--resume", "run", "--set", "data.batch_size=7"]).well().stderr;
    assert!(told.contains("data.batch_size was 13 and is 7 from step 6 on"), "{told}");
    let run = lab.path("run");
    let at = |step: u64| state(&checkpoint(&run, step));
    assert_eq!(steps(&run), (0..=17).collect::<Vec<_>>());
    let samples = [4, 6, 7, 9, 10, 11, 17].map(|step| at(step)["samples"].as_u64().unwrap());
    assert_eq!(samples, [48, 74, 81, 95, 96, 103, 144]);
    let epochs: Vec<u64> = log(&run).iter().map(|line| line["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [[1; 4].as_slice(), &[2; 6], &[3; 7]].concat());
    let changed = json!([{"key": "data.batch_size", "from": 13, "to": 7}]);
    assert_eq!((&at(7)["history"][0]["step"], &at(7)["history"][0]["changes"]), (&json!(6), &changed));
    let shown = inspect(&lab, &["run/checkpoints/step-0000000008"]).well().stdout;
    assert!(shown.contains("1 completed, 4 of 6 updates into the next; 88 samples seen"), "{shown}");
    let told: Value =
        serde_json::from_str(&inspect(&lab, &["run/checkpoints/step-0000000008", "--json"]).well().stdout).unwrap();
    assert_eq!((&told["course"]["epoch"], &told["steps_in_epoch"]), (&json!(2), &json!(6)));
    let exported = ["export", "run/checkpoints/step-0000000008", "--to", "transformers", "-o", "exported"];
    inspect(&lab, &exported).well();
    let trainer = fs::read_to_string(lab.path("exported/trainer_state.json")).unwrap();
    let trainer: Value = serde_json::from_str(&trainer).unwrap();
    assert_eq!((&trainer["epoch"], &trainer["num_train_epochs"]), (&json!(1.75), &json!(3)));
    for step in [7, 9, 10, 11, 14] {
        let copy = lab.interrupted_copy("run", &format!("at-{step}"), step);
        lab.train(&["--resume", &format!("at-{step}")]).well();
        assert_same_bits(&run, &copy);
    }
    // Back again, from a later step on.
    lab.train(&["--resume", "run/checkpoints/step-0000000009", "--set", "data.batch_size=13", "--out", "back"]).well();
    let back = lab.path("back");
    assert_eq!(steps(&back).last(), Some(&14), "one row is left of the epoch, then four batches");
    assert_eq!(state(&checkpoint(&back, 14))["samples"], 144);
}

/// As above: the second epoch ends after update 10 and the third after 17. Epochs of seven updates from the run's start on
/// would end after 7 and 14.
#[test]
fn after_another_batch_size_times_in_epochs_are_the_ends_of_those_that_were_made() {
    let lab = interrupted();
    let settings = [
        "data.batch_size=7",
        "validation.every=1 epoch",
        "train.freeze=[{ parameters = ['*'], from = '2 epochs' }]",
        "ema={ start = '2 epochs' }",
    ];
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let told = lab.train(&[&["--resume", "run", "--until", "2 epochs"], &arguments[..]].concat()).well().stderr;
    assert!(told.contains("stopped after step 10 of 17") && told.contains("next at step 10"), "{told}");
    lab.train(&["--resume", "run", "--until", "3 epochs"]).well();
    let run = lab.path("run");
    assert_eq!(steps(&run), (0..=17).collect::<Vec<_>>());
    let validated: Vec<usize> = (6..17).filter(|&line| log(&run)[line].get("val_loss").is_some()).collect();
    assert_eq!(validated, [9, 16]);
    let weights = |step: u64| fs::read(checkpoint(&run, step).join("model.safetensors")).unwrap();
    assert!(weights(9) != weights(10) && weights(10) == weights(17), "they are frozen from update 10 on");
    let has_begun = |step: u64| state(&checkpoint(&run, step)).to_string().contains("\"begun\":true");
    assert_eq!([9, 10].map(has_begun), [false, true], "the average begins with it");
    let shown = inspect(&lab, &["run/checkpoints/step-0000000012", "--json"]).well().stdout;
    let course: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(course["course"]["next_validation"]["step"], 17);
}

// Where a run continues.

#[test]
fn a_run_is_resumed_by_its_directory_its_folder_of_checkpoints_or_its_newest_checkpoint() {
    let lab = finished();
    for path in ["run", "run/", "run/checkpoints", "run/checkpoints/step-0000000006", "./run/checkpoints/.", "."] {
        let run = lab.interrupted_copy("whole", "run", 6);
        let mut command = lab.command(&["--resume", path]);
        if path == "." {
            command.current_dir(&run);
        }
        Ended::from(command.output().unwrap()).well();
        assert_same_bits(&lab.path("whole"), &run);
        fs::remove_dir_all(run).unwrap();
    }
    assert!(!lab.path("runs").exists(), "a run that can go on in its place starts no other");
}

#[test]
fn a_folder_of_checkpoints_outside_a_run_is_not_changed_and_a_new_run_continues() {
    let lab = interrupted();
    fs::rename(lab.path("run/checkpoints"), lab.path("kept")).unwrap();
    let before = tree(&lab.path("kept"));
    let resumed = lab.train(&["--resume", "kept"]).well();
    assert!(tree(&lab.path("kept")) == before, "the folder was changed");
    assert!(resumed.stderr.contains("continues in runs/kept-from-step-6"), "{}", resumed.stderr);
    assert_eq!(steps(&lab.path("runs/kept-from-step-6")), [6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(log(&lab.path("runs/kept-from-step-6")).len(), 6, "no log was there to be continued");
}

#[test]
fn an_older_checkpoint_of_a_run_starts_a_branch_that_has_the_log_so_far() {
    let lab = finished();
    let before = tree(&lab.path("whole"));
    let from = "whole/checkpoints/step-0000000005";
    lab.train(&["--resume", from]).well();
    let branch = lab.path("runs/whole-from-step-5");
    assert!(tree(&lab.path("whole")) == before, "the run was changed");
    assert_eq!(steps(&branch), (5..=12).collect::<Vec<_>>());
    assert_eq!(fs::read(branch.join("log.jsonl")).unwrap(), fs::read(lab.path("whole/log.jsonl")).unwrap());

    let again = lab.train(&["--resume", from]).well();
    assert!(again.stderr.contains("continues in runs/whole-from-step-5-2"), "{}", again.stderr);
    lab.train(&["--resume", from, "--out", "elsewhere"]).well();
    assert_ends_as_the_whole_run(&lab, "elsewhere");
    let taken = lab.train(&["--resume", from, "--out", "elsewhere"]).refusal();
    assert!(taken.contains("elsewhere already holds a run"), "{taken}");
}

#[test]
fn with_another_directory_a_run_continues_there_and_is_not_changed() {
    let lab = interrupted();
    let before = tree(&lab.path("run"));
    lab.train(&["--resume", "run", "--out", "elsewhere"]).well();
    // The lock file may be written by its holder; no other file.
    let mut after = tree(&lab.path("run"));
    after.insert("lock".into(), before[Path::new("lock")].clone());
    assert!(after == before, "the run was changed");
    assert_ends_as_the_whole_run(&lab, "elsewhere");
    assert_eq!(fs::read(lab.path("elsewhere/log.jsonl")).unwrap(), fs::read(lab.path("whole/log.jsonl")).unwrap());
}

#[test]
fn a_moved_run_directory_is_resumed_where_it_is_now() {
    let lab = interrupted();
    // The whole project moves: relative paths between its parts remain valid.
    fs::create_dir(lab.path("project")).unwrap();
    for name in ["run", "data.csv"] {
        fs::rename(lab.path(name), lab.path("project").join(name)).unwrap();
    }
    fs::rename(lab.path("project"), lab.path("moved")).unwrap();
    lab.train(&["--resume", "moved/run"]).well();
    assert_same_bits(&lab.path("whole"), &lab.path("moved/run"));
}

#[test]
fn data_that_has_moved_is_the_same_data() {
    let lab = interrupted();
    fs::create_dir(lab.path("elsewhere")).unwrap();
    fs::rename(lab.path("data.csv"), lab.path("elsewhere/table.csv")).unwrap();
    let missing = lab.train(&["--resume", "run"]).refusal();
    assert!(missing.contains("data.csv"), "{missing}");
    lab.train(&["--resume", "run", "--set", "data.path=elsewhere/table.csv"]).well();
    let last = state(&checkpoint(&lab.path("run"), 12));
    assert_eq!(last["config"]["data"]["path"], "../elsewhere/table.csv");
    assert_eq!(last["history"], json!([]), "the same data elsewhere is no change of the run");
    assert_eq!(fs::read(lab.path("run/log.jsonl")).unwrap(), fs::read(lab.path("whole/log.jsonl")).unwrap());
}

// Length of a run.

#[test]
fn a_finished_run_says_that_nothing_is_left_and_how_to_train_longer() {
    let lab = finished();
    let before = tree(&lab.path("whole/checkpoints"));
    let resumed = lab.train(&["--resume", "whole"]).well();
    assert_eq!(resumed.stdout, "");
    assert!(resumed.stderr.contains("nothing left to do: all 12 steps are made"), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("train --resume whole --set train.epochs="), "{}", resumed.stderr);
    assert!(tree(&lab.path("whole/checkpoints")) == before);
}

/// The schedule does not depend on the length of the run here, so the longer run contains the shorter one.
#[test]
fn a_finished_run_trains_longer_as_if_it_had_always_been_meant_to() {
    let lab = finished();
    lab.train(&["config.toml", "--out", "long", "--set", "train.epochs=5"]).well();
    let extended = lab.train(&["--resume", "whole", "--set", "train.epochs=5"]).well();
    assert!(extended.stderr.contains("train.epochs was 3 and is 5 from step 12 on"), "{}", extended.stderr);
    assert_eq!(fs::read(lab.path("whole/log.jsonl")).unwrap(), fs::read(lab.path("long/log.jsonl")).unwrap());
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let read = |run| fs::read(checkpoint(&lab.path(run), 20).join(file)).unwrap();
        assert!(read("whole") == read("long"), "{file}");
    }
}

#[test]
fn steps_may_be_asked_for_where_epochs_were() {
    let lab = interrupted();
    lab.train(&["--resume", "run", "--set", "train.steps=9"]).well();
    assert_eq!(*steps(&lab.path("run")).last().unwrap(), 9);
    assert_eq!(log(&lab.path("run")).len(), 9);
}

// Changes on a resume.

#[test]
fn what_set_changes_is_said_recorded_and_shown() {
    let lab = interrupted();
    let settings = ["--set", "optimizer.lr=0.01", "--set", "train.clip_norm=0.5"];
    let resumed = lab.train(&[&["--resume", "run"], settings.as_slice()].concat()).well();
    for change in
        ["optimizer.lr was 0.05 and is 0.01 from step 6 on", "train.clip_norm was 1.0 and is 0.5 from step 6 on"]
    {
        assert!(resumed.stderr.contains(change), "{}", resumed.stderr);
    }
    let history = json!([{"step": 6, "changes": [
        {"key": "optimizer.lr", "from": 0.05, "to": 0.01},
        {"key": "train.clip_norm", "from": 1.0, "to": 0.5},
    ]}]);
    assert_eq!(state(&checkpoint(&lab.path("run"), 12))["history"], history);
    let shown: Value = serde_json::from_str(&inspect(&lab, &["run", "--json"]).well().stdout).unwrap();
    assert_eq!(shown["history"], history);
    let text = inspect(&lab, &["run"]).well().stdout;
    assert!(text.contains("optimizer.lr") && text.contains("0.05") && text.contains("0.01"), "{text}");

    lab.train(&["--resume", "run", "--set", "train.epochs=4"]).well();
    let longer = state(&checkpoint(&lab.path("run"), 16))["history"].clone();
    assert_eq!(longer[0], history[0], "an older change stays in the history");
    assert_eq!(longer[1], json!({"step": 12, "changes": [{"key": "train.epochs", "from": 3, "to": 4}]}));
}

/// A change is kept, even if its process was killed before its first save.
#[test]
fn a_change_outlives_a_kill_before_the_next_checkpoint() {
    let lab = finished();
    let settings = ["--set", "optimizer.lr=0.01"];
    for (run, kill) in [("changed", false), ("killed", true)] {
        lab.interrupted_copy("whole", run, 6);
        lab.train(&[&["--resume", run], settings.as_slice()].concat()).well();
        if kill {
            lab.interrupted_copy(run, "restarted", 6);
            lab.train(&["--resume", "restarted"]).well();
        }
    }
    assert_same_bits(&lab.path("changed"), &lab.path("restarted"));
}

#[test]
fn other_data_is_refused_in_the_same_place_or_another() {
    let lab = interrupted();
    let other = common::table().replace("\n0,", "\n0.5,");
    assert_ne!(other, common::table());
    fs::write(lab.path("other.csv"), &other).unwrap();
    let elsewhere = lab.train(&["--resume", "run", "--set", "data.path=other.csv"]).refusal();
    assert!(elsewhere.contains("other.csv cannot change within a run"), "{elsewhere}");
    fs::write(lab.path("data.csv"), &other).unwrap();
    let in_place = lab.train(&["--resume", "run"]).refusal();
    assert!(in_place.contains("data.csv cannot change within a run"), "{in_place}");
    assert!(in_place.contains("`--set data.path=…` gives the new path"), "{in_place}");
    let fingerprints = in_place.matches("blake3").count();
    assert_eq!(fingerprints, 2, "what the data was and what it is: {in_place}");
}

// Content of a checkpoint.

/// pytorch #119168, #162591: the rates after a resume depended on whether optimizer or scheduler was restored first.
#[test]
fn parts_may_be_restored_in_any_order() {
    let parts = || {
        let mut parameters = Parameters::new();
        parameters.insert("w", Var::new(&[1f32, 2.0], &Device::Cpu).unwrap());
        let optimizer = Optimizer::new(&parameters, Sgd { lr: 0.1, momentum: 0.9, ..Sgd::default() }).unwrap();
        let schedule = Schedule::warmup(4, Schedule::step(3).gamma(0.5));
        let run = RunLength { total_steps: Some(20), steps_per_epoch: 5 };
        let scheduler = Scheduler::new(schedule, optimizer.base_lrs(), run).unwrap();
        (optimizer, scheduler)
    };
    let (optimizer, mut scheduler) = parts();
    (0..9).for_each(|_| scheduler.advance());
    let snapshot = Snapshot::at(9).part("optimizer", &optimizer).unwrap().part("schedulers.lr", &scheduler).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saved = Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap();
    let saved = Checkpoint::read(&saved.path).unwrap();

    let (mut optimizer_a, mut scheduler_a) = parts();
    saved.restore(&mut [("optimizer", &mut optimizer_a), ("schedulers.lr", &mut scheduler_a)]).unwrap();
    let (mut optimizer_b, mut scheduler_b) = parts();
    saved.restore(&mut [("schedulers.lr", &mut scheduler_b), ("optimizer", &mut optimizer_b)]).unwrap();
    for restored in [&scheduler_a, &scheduler_b] {
        assert_eq!((restored.t(), restored.rates()), (9, scheduler.rates()));
        assert_eq!(restored.save().unwrap(), scheduler.save().unwrap());
    }
    for restored in [&optimizer_a, &optimizer_b] {
        assert_eq!(restored.save().unwrap(), optimizer.save().unwrap());
    }
}

// Working directories, and required content of a checkpoint.

/// A short relative path does not contain its parent folders; they exist all the same.
#[test]
fn a_run_is_resumed_from_inside_its_directory() {
    let resume = |folder: &str, path: &str| {
        let lab = interrupted();
        lab.command(&["--resume", path]).current_dir(lab.path(folder)).status().unwrap();
        assert_ends_as_the_whole_run(&lab, "run");
        assert_same_bits(&lab.path("whole"), &lab.path("run"));
    };
    resume("run", "checkpoints");
    resume("run", "checkpoints/step-0000000006");
    resume("run/checkpoints", "step-0000000006");
    resume("run/checkpoints", ".");
}

/// Its schedule would silently start without memory.
#[test]
fn a_checkpoint_without_its_schedule_is_refused_by_name() {
    let lab = finished();
    let whole = Checkpoint::read(&checkpoint(&lab.path("whole"), 6)).unwrap();
    let mut snapshot = Snapshot::at(6);
    for field in ["config", "data", "steps_per_epoch", "total_steps"] {
        snapshot = snapshot.field(field, whole.field(field).unwrap().clone()).unwrap();
    }
    for part in whole.parts().filter(|part| *part != "schedulers.lr") {
        snapshot = snapshot.state(part, whole.state(part).unwrap().clone()).unwrap();
    }
    // Two levels down, as in a run, so that the paths in the configuration lead to the data.
    Folder::new(lab.path("other/checkpoints")).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap();
    let refusal = lab.train(&["--resume", "other/checkpoints"]).refusal();
    assert!(refusal.contains("schedulers.lr"), "{refusal}");
}

#[test]
fn a_run_cannot_be_made_shorter_than_what_is_done_of_it() {
    let lab = interrupted();
    let before = tree(&lab.path("run"));
    let refusal = lab.train(&["--resume", "run", "--set", "train.steps=4"]).refusal();
    assert!(refusal.contains("4 steps in all") && refusal.contains("has 6 already"), "{refusal}");
    assert_eq!(before.len(), tree(&lab.path("run")).len());
}

#[test]
fn initial_weights_given_to_a_run_that_has_begun_are_refused() {
    let lab = interrupted();
    let refusal = lab.train(&["--resume", "run", "--set", "train.initial_weights=w.safetensors"]).refusal();
    assert!(refusal.contains("train.initial_weights"), "{refusal}");
}

/// Accuracy grows as the model gets better; a plateau that waits for less would cut the rate at every success.
#[test]
fn a_plateau_that_takes_less_accuracy_for_better_is_refused() {
    let lab = finished();
    let less = ["--set", "schedule=plateau(patience=1)", "--set", "train.metric=validation_accuracy"];
    let arguments = [&["config.toml", "--out", "new"], less.as_slice()].concat();
    let refusal = lab.train(&arguments).refusal();
    assert!(refusal.contains("mode=\"max\""), "{refusal}");
}

/// A loss falls as the model gets better; a plateau that waits for more would cut the rate at every success.
#[test]
fn a_schedule_that_takes_more_loss_for_better_is_refused_in_any_place() {
    let lab = finished();
    let schedules = [
        "plateau(mode=\"max\")",
        "greedy(mode=\"max\")",
        "warmup(1, unit=\"epoch\") -> plateau(mode=\"max\", patience=1)",
        "sequential([4], [constant, chained([constant, plateau(mode=\"max\")])])",
    ];
    for schedule in schedules {
        for field in ["schedule", "momentum_schedule", "weight_decay_schedule"] {
            let setting = format!("{field}={schedule}");
            let refusal = lab.train(&["config.toml", "--out", "new", "--set", &setting]).refusal();
            let named = refusal.contains(&format!("{field} = ")) && refusal.contains("follows validation_loss");
            assert!(named && refusal.contains("`train.metric = \"validation_accuracy\"`"), "{refusal}");
        }
        let setting = format!("schedule={schedule}");
        for metric in ["training_loss", "validation_loss"] {
            let metric = format!("train.metric={metric}");
            lab.train(&["config.toml", "--out", "new", "--set", &setting, "--set", &metric]).refusal();
            lab.train(&["--resume", "run", "--set", &setting, "--set", &metric]).refusal();
        }
        assert!(!lab.path("new").exists());
    }
    let accuracy = ["--set", "schedule=plateau(mode=\"max\")", "--set", "train.metric=validation_accuracy"];
    lab.train(&[&["config.toml", "--out", "new"], accuracy.as_slice()].concat()).well();
}
