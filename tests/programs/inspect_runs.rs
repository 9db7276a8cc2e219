//! `inspect` shows the status of a run on a page, and lists the runs in a folder.

use std::fs;

use crate::common::programs::{TRAIN, Workplace};
use serde_json::Value;

/// The line of a table or a page that begins with `name`.
#[track_caller]
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(name));
    found.unwrap_or_else(|| panic!("no line begins with {name:?} in:\n{text}"))
}

#[test]
fn a_run_shows_its_losses_its_best_checkpoint_and_where_it_continues() {
    let place = Workplace::new();
    let settings =
        ["--set", "train.epochs=4", "--set", "checkpoint.every=3 steps", "--set", "validation.every=3 steps"];
    place.train(&[&["config.toml", "--out", "run"][..], &settings].concat()).says(0, &["done: 20 steps"]);
    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Value = serde_json::from_str(&place.inspect(&["run", "--json"]).out).unwrap();
    assert_eq!(shown["measured"]["loss"], lines[19]["loss"]);
    let lowest = lines.iter().filter(|line| line["val_loss"].is_f64());
    let lowest =
        lowest.min_by(|a, b| a["val_loss"].as_f64().unwrap().total_cmp(&b["val_loss"].as_f64().unwrap())).unwrap();
    assert_eq!(shown["measured"]["best_validation"]["loss"], lowest["val_loss"]);
    assert_eq!(shown["kept"]["best"]["value"], lowest["val_loss"]);
    assert_eq!(shown["kept"]["best"]["step"], lowest["step"].as_u64().unwrap() + 1);
    assert_eq!(shown["course"]["is_finished"], true);

    let page = place.inspect(&["run"]).out;
    assert!(line(&page, "loss ").ends_with(" in update 19"), "{page}");
    assert!(line(&page, "validation ").contains("; lowest loss "), "{page}");
    assert!(line(&page, "best ").contains("validation_loss"), "{page}");
    assert!(line(&page, "continues ").contains("nowhere"), "{page}");

    // A checkpoint in the middle shows only earlier results.
    let page = place.inspect(&["run/checkpoints/step-0000000006"]).out;
    assert!(line(&page, "loss ").ends_with(" in update 5"), "{page}");
    let continues = "continues   with update 6, in epoch 2; next save at step 9; next validation at step 9";
    assert_eq!(line(&page, "continues "), continues);
}

#[test]
fn tensors_are_a_line_for_each_layer_unless_they_are_asked_for() {
    let place = Workplace::with_run();
    let page = place.inspect(&["run"]).out;
    let tensors = page.split_once("\n\n").unwrap().1;
    let expected = "\
0  bias [8] weight [8, 2]  24
2  bias [2] weight [2, 8]  18
model: 42 numbers in 2 layers
optimizer: 4 tensors, 168 B
";
    assert!(tensors.starts_with(expected), "{tensors}");
    let table = place.inspect(&["run", "--tensors"]).out;
    assert!(line(&table, "model      0.weight").contains("[8, 2]"), "{table}");
    assert!(table.contains("non-finite"), "{table}");
}

#[test]
fn a_group_of_many_parameters_is_one_short_line_unless_tensors_are_asked_for() {
    let place = Workplace::new();
    let deep = ["config.toml", "--out", "run", "--set", "model.hidden=[4,4,4,4,4,4,4,4]"];
    place.train(&deep).says(0, &["done: 20 steps"]);
    let page = place.inspect(&["run"]).out;
    assert!(page.contains("| 0.weight 10.weight 12.weight 14.weight … and 5 more\n"), "{page}");
    let whole = place.inspect(&["run", "--tensors"]).out;
    assert!(whole.contains("14.weight 16.weight 2.weight 4.weight 6.weight 8.weight\n"), "{whole}");
    let json: Value = serde_json::from_str(&place.inspect(&["run", "--json"]).out).unwrap();
    assert_eq!(json["groups"][0]["parameters"].as_array().unwrap().len(), 9);
    // All tensors of a small model are listed.
    let small = Workplace::with_run().inspect(&["run"]).out;
    assert!(small.contains("| 0.weight 2.weight\n"), "{small}");
}

#[test]
fn a_folder_of_runs_is_listed_with_what_became_of_each() {
    let place = Workplace::new();
    let runs = ["runs/a", "runs/b", "runs/c"];
    for run in runs {
        place.train(&["config.toml", "--out", run]).says(0, &["done: 20 steps"]);
    }
    // One is stopped, one is damaged, and one folder is not a run.
    fs::remove_dir_all(place.path("runs/b/checkpoints/step-0000000020")).unwrap();
    fs::write(place.path("runs/c/checkpoints/step-0000000020/state.json"), "{}").unwrap();
    fs::create_dir(place.path("runs/notes")).unwrap();
    let endless = ["config.toml", "--out", "runs/d", "--set", "train.epochs=1000000000"];
    let mut running = place.command(TRAIN, &endless).stdout(std::process::Stdio::null()).spawn().unwrap();
    while !place.path("runs/d/checkpoints/step-0000000000/manifest.json").exists() {
        assert_eq!(running.try_wait().unwrap(), None, "the run has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (table, json) = (place.inspect(&["runs"]), place.inspect(&["runs", "--json"]));
    running.kill().unwrap();
    running.wait().unwrap();
    table.says(0, &[]);
    let words = |name: &str| line(&table.out, name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("a ")[..5], ["a", "finished", "20", "of", "20"]);
    assert_eq!(words("b ")[..5], ["b", "stopped", "15", "of", "20"]);
    assert_eq!(words("c ")[1], "damaged");
    assert_eq!(words("d ")[1], "running");
    assert!(words("a ").ends_with(&["ago".to_owned()]), "{}", table.out);
    assert!(line(&table.out, "c: ").contains("step-0000000020"), "{}", table.out);
    assert!(!table.out.contains("notes"), "{}", table.out);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let states: Vec<&str> = json["runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["finished", "stopped", "damaged", "running"]);
    assert!(json["runs"][0]["validation"]["loss"].is_f64(), "{json}");
    // Killed, it can be resumed.
    assert!(line(&place.inspect(&["runs"]).out, "d ").contains("stopped"));
}

/// A checkpoint of a hand-written loop does not have the run's length, and most schedules do not depend on it.
#[test]
fn rates_that_need_no_length_of_the_run_are_shown_without_one() {
    use rekindle::checkpoint::{Folder, Snapshot, WrittenBy};
    use rekindle::schedule::{RunLength, Schedule, Scheduler};

    let place = Workplace::new();
    let run = RunLength { total_steps: Some(100), steps_per_epoch: 10 };
    for (schedule, is_known) in [
        ("plateau(mode=\"max\")", true),
        ("warmup(4) -> cosine(96)", true),
        ("cosine(\"100%\")", false),
        ("step(3, unit=\"epoch\")", false),
    ] {
        let scheduler = Scheduler::new(schedule.parse::<Schedule>().unwrap(), vec![0.5], run).unwrap();
        let snapshot = Snapshot::at(0).part("schedulers.lr", &scheduler).unwrap();
        let folder = tempfile::tempdir_in(place.path("")).unwrap();
        let saved = Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap();
        let json = place.inspect(&[saved.path.to_str().unwrap(), "--json"]);
        let json: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(json["groups"][0]["next_lrs"].as_array().is_some_and(|rates| !rates.is_empty()), is_known, "{json}");
    }
}
