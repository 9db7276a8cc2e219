//! `train --plan` shows a run before it begins, and leaves nothing behind.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::common::programs::{TRAIN, Workplace};
use serde_json::Value;

const TINY: &str = r#"
[data]
path = "rows.csv"
task = "regression"
validation = 0.25
[model]
kind = "mlp"
hidden = [4]
[optimizer]
kind = "adamw"
lr = 0.1
[train]
steps = 40
"#;

/// A folder with a configuration and its data.
fn place() -> Workplace {
    let place = Workplace::new();
    let rows: String = (0..40).map(|row| format!("{row},{},{}\n", row % 7, row * 3)).collect();
    fs::write(place.path("rows.csv"), format!("a,b,c\n{rows}")).unwrap();
    fs::write(place.path("tiny.toml"), TINY).unwrap();
    place
}

fn names(place: &Workplace) -> Vec<String> {
    let entries = fs::read_dir(place.path("")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_plan_shows_memory_time_and_saves_and_leaves_no_file() {
    let place = place();
    let before = names(&place);
    let told = place.train(&["--plan", "tiny.toml"]);
    told.says(0, &[]);
    for line in [
        "model       mlp, 17 parameters",
        "memory      at least ",
        "checkpoint  ",
        "time        ",
        "failures    with one in 1 day",
    ] {
        assert!(told.out.contains(line), "{line}: {}", told.out);
    }
    // The picture between them is as wide as the terminal.
    let (above, picture) = told.out.split_once("\nlearning rate").unwrap();
    let (_, below) = picture.split_once(" step").unwrap();
    let mut lines = above.lines().chain(below.lines());
    assert!(lines.all(|line| line.chars().count() <= 80), "{}", told.out);
    let told = place.train(&["--plan", "tiny.toml", "--json", "--failures-every", "6h", "--out", "elsewhere/run"]);
    let plan: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&plan["length"]["steps"], &plan["failure_seconds"]), (&40.into(), &21_600.0.into()));
    let forecast = &plan["forecast"];
    let number = |key: &str| forecast[key].as_f64().unwrap();
    assert!(number("step_seconds") > 0.0 && number("save_seconds") > 0.0, "{forecast}");
    let interval = (2.0 * number("save_seconds") * 21_600.0).sqrt();
    assert!((plan["best_interval_seconds"].as_f64().unwrap() / interval - 1.0).abs() < 1e-6, "{plan}");
    assert_eq!(names(&place), before);
}

#[test]
fn a_plan_counts_operations_and_checkpoints_and_names_the_steps_at_the_rate_0() {
    let place = place();
    let settings = ["checkpoint.every='10 steps'", "schedule='linear(1, 0, 30)'", "checkpoint.keep.last=2"];
    let settings: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    let all = settings[..4].to_vec();
    let planned = |settings: &[&str]| place.train(&[&["--plan", "tiny.toml"], settings].concat()).out;
    let text = planned(&all);
    // Two features, four hidden units, one value.
    for line in [
        "layer  shapes      parameters  forward, a row",
        "0      [4] [4, 2]          12         16 FLOP",
        "2      [1] [1, 4]           5          8 FLOP",
        "rate 0      group 0: steps 30 to 39, 10 of 40",
        "5 in the run; all stay, with",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json: Value = serde_json::from_str(&planned(&[&all[..], &["--json"]].concat())).unwrap();
    // All 30 rows are one batch, and a backward pass has twice the operations.
    assert_eq!(json["model"]["flops_per_step"], 24 * 3 * 30, "{json}");
    place.train(&[&["tiny.toml", "--out", "run"], &all[..]].concat()).says(0, &[]);
    let checkpoints = || fs::read_dir(place.path("run/checkpoints")).unwrap().count() as u64;
    assert_eq!(json["saves"]["made"], checkpoints());
    let json: Value = serde_json::from_str(&planned(&[&settings[..], &["--json"]].concat())).unwrap();
    fs::remove_dir_all(place.path("run")).unwrap();
    place.train(&[&["tiny.toml", "--out", "run"], &settings[..]].concat()).says(0, &[]);
    assert_eq!(json["saves"]["kept"], checkpoints());
}

/// Only a rule with products of matrices can take more than the model, here with sides of 400 for batches of one row.
#[test]
fn a_plan_says_where_updates_take_more_than_the_model() {
    let place = place();
    let wide = ["--plan", "tiny.toml", "--set", "model.hidden=[400, 300]", "--set", "data.batch_size=1"];
    let planned = |rule: &str, more: &[&str]| {
        let rule = format!("optimizer={{kind=\"{rule}\", lr=0.001}}");
        place.train(&[&wide[..], &["--set", &rule], more].concat()).out
    };
    assert!(!planned("adamw", &[]).contains("optimizer   about"));
    let told = planned("soap", &[]);
    assert!(told.contains("optimizer   about ") && told.contains("more than a step of the model"), "{told}");
    let json: Value = serde_json::from_str(&planned("muon", &["--json"])).unwrap();
    let of = |short: u64, long: u64| 5 * (4 * short * short * long + 2 * short * short * short);
    let expected = of(2, 400) + of(300, 400) + of(1, 300);
    assert_eq!(json["optimizer"]["flops_per_update"], expected, "{}", json["optimizer"]);
    assert_eq!(json["optimizer"]["exceeds_the_model"], true);
}

/// The size that a plan names is that of a checkpoint of the run.
#[test]
fn a_plan_knows_the_size_of_a_checkpoint() {
    let place = place();
    let told = place.train(&["--plan", "tiny.toml", "--json"]);
    let plan: Value = serde_json::from_str(&told.out).unwrap();
    place.train(&["tiny.toml", "--out", "run"]).says(0, &[]);
    let folder = fs::read_dir(place.path("run/checkpoints")).unwrap().next().unwrap().unwrap().path();
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    let tensors = size("model.safetensors") + size("optimizer.safetensors");
    let planned = plan["forecast"]["checkpoint_bytes"].as_u64().unwrap();
    assert!(planned >= tensors && planned < tensors + 20_000, "{planned} for {tensors}");
}

#[test]
fn a_plan_is_of_a_new_run_and_its_options_need_it() {
    let place = place();
    assert_eq!(place.train(&["--plan", "--resume", "run"]).code, Some(2));
    assert_eq!(place.train(&["--plan", "tiny.toml", "--quiet"]).code, Some(2));
    assert_eq!(place.train(&["tiny.toml", "--failures-every", "6h"]).code, Some(2));
    let told = place.train(&["--plan", "tiny.toml", "--set", "optimizer.lr=-1"]);
    told.says(2, &["optimizer.lr"]);
    assert!(!place.path("runs").exists());
}

/// The state that is saved to be timed is removed, whenever the signal comes.
#[test]
fn a_plan_that_is_stopped_leaves_no_file() {
    let place = place();
    let before = names(&place);
    let arguments = ["--plan", "tiny.toml", "--set", "model.hidden=[2500,2500]"];
    let mut plan = place.command(TRAIN, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut ended = None;
    while ended.is_none() && !place.path(".rekindle-plan").exists() {
        std::thread::sleep(Duration::from_millis(1));
        ended = plan.try_wait().unwrap();
    }
    // On a busy machine the save may end before it is seen.
    if ended.is_none() {
        // SAFETY: `kill` touches no memory, and the process is a child that was not waited for.
        unsafe { libc::kill(plan.id() as i32, libc::SIGTERM) };
    }
    let code = plan.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 143)), "{code:?}");
    assert_eq!(names(&place), before);
}
