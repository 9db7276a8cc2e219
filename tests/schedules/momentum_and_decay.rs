//! Momentum and weight decay follow schedules like the learning rate, and are resumed like it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Control, Run, Setting, from_file};
use serde_json::Value;

fn settings(texts: &[&str]) -> Vec<Setting> {
    texts.iter().map(|text| Setting::parse(text).unwrap()).collect()
}

/// The notebook's experiment with other settings, for this number of epochs of one step.
fn start(out: &Path, texts: &[&str]) -> Result<Run, rekindle::train::TrainError> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/notebook.toml");
    let texts: Vec<&str> = texts.iter().copied().chain(["checkpoint.every='1 step'"]).collect();
    Run::start(from_file(&config, &settings(&texts))?, out, Control::new())
}

fn train(out: &Path, texts: &[&str]) -> PathBuf {
    let mut run = start(out, texts).unwrap();
    run.train(&mut ()).unwrap();
    run.path().to_owned()
}

fn continue_with(from: &Path, out: &Path, texts: &[&str]) -> PathBuf {
    let mut run = {
        let choices = ResumeOptions { settings: &settings(texts), out: Some(out), ..ResumeOptions::default() };
        resume::resume(from, choices, Control::new()).unwrap().run
    };
    run.train(&mut ()).unwrap();
    run.path().to_owned()
}

fn log(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns all bytes that must be identical.
fn bits(run: &Path) -> Vec<Vec<u8>> {
    let last = run.join("checkpoints/step-0000000020");
    let files = ["model.safetensors", "optimizer.safetensors", "state.json"];
    let mut bits: Vec<_> = files.iter().map(|file| std::fs::read(last.join(file)).unwrap()).collect();
    bits.push(std::fs::read(run.join("log.jsonl")).unwrap());
    bits
}

const DRIVEN: [&str; 3] = [
    "optimizer={kind='sgd', lr=0.02, momentum=0.9, weight_decay=1e-3}",
    "momentum_schedule=linear(0.5, 1, 10)",
    "weight_decay_schedule=step(5, gamma=0.5)",
];

#[test]
fn momentum_and_weight_decay_follow_their_schedules() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&train(&folder.path().join("run"), &DRIVEN));
    let column = |name: &str, step: usize| log[step][name][0].as_f64().unwrap();
    assert!((column("momentum", 0) - 0.45).abs() < 1e-15);
    assert!((column("momentum", 10) - 0.9).abs() < 1e-15);
    assert!((column("weight_decay", 7) - 0.5e-3).abs() < 1e-18);
}

#[test]
fn a_cycle_of_the_rate_drives_momentum_against_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        ["optimizer={kind='adamw', lr=0.02}", "schedule={kind='one_cycle', total=20, momentum=[0.85, 0.95]}"];
    let log = log(&train(&folder.path().join("run"), &settings));
    let momentum = |step: usize| log[step]["momentum"][0].as_f64().unwrap();
    assert_eq!(momentum(0), 0.95);
    let lowest = (0..20).map(momentum).fold(f64::INFINITY, f64::min);
    assert!((lowest - 0.85).abs() < 1e-3, "{lowest}");
}

#[test]
fn driven_momentum_is_resumed_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let whole = train(&folder.path().join("whole"), &DRIVEN);
    for step in [1, 7, 19] {
        let checkpoint = whole.join(format!("checkpoints/step-{step:010}"));
        let resumed = continue_with(&checkpoint, &folder.path().join(format!("from-{step}")), &[]);
        assert!(bits(&resumed) == bits(&whole), "resumed from step {step}");
    }
}

/// The one schedule drives beta1 of AdamW and the momentum of SGD, each from its own value.
#[test]
fn one_schedule_drives_the_momentum_of_two_rules_and_is_resumed_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let two = "optimizer={kind='adamw', lr=0.02, groups=[{parameters=['*.bias'], kind='sgd', lr=0.1, momentum=0.5}]}";
    let settings = [two, DRIVEN[1]];
    let whole = train(&folder.path().join("whole"), &settings);
    let momentum = |step: usize| log(&whole)[step]["momentum"].clone();
    assert_eq!((momentum(0), momentum(10)), (serde_json::json!([0.45, 0.25]), serde_json::json!([0.9, 0.5])));
    let checkpoint = whole.join("checkpoints/step-0000000007");
    let shown = inspect(&[], &checkpoint);
    assert!(shown.contains("            kind=sgd base_lr=0.1 weight_decay=0 base_momentum=0.5 | "), "{shown}");
    assert!(bits(&continue_with(&checkpoint, &folder.path().join("resumed"), &[])) == bits(&whole));
}

#[test]
fn a_schedule_can_be_added_and_taken_away_on_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let plain = train(&folder.path().join("plain"), &DRIVEN[..1]);
    let at_seven = |run: &Path| run.join("checkpoints/step-0000000007");
    let added = continue_with(&at_seven(&plain), &folder.path().join("added"), &DRIVEN[1..]);
    let line = &log(&added)[8];
    assert!((line["momentum"][0].as_f64().unwrap() - 0.81).abs() < 1e-15, "the schedule counts the steps before it");
    let state = std::fs::read_to_string(added.join("checkpoints/step-0000000020/state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["history"][0]["step"], 7);
    assert_eq!(state["history"][0]["changes"][0]["key"], "momentum_schedule");

    let without = ["momentum_schedule=", "weight_decay_schedule="];
    let away = continue_with(&added.join("checkpoints/step-0000000012"), &folder.path().join("away"), &without);
    let log = log(&away);
    assert!(log[11].get("momentum").is_some() && log[12].get("momentum").is_none());
}

fn inspect(arguments: &[&str], checkpoint: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_inspect")).args(arguments).arg(checkpoint).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn inspect_shows_each_schedule_with_its_memory_and_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(
        &folder.path().join("run"),
        &[
            DRIVEN[0],
            "momentum_schedule=plateau(factor=0.5, patience=0, threshold=0.9)",
            "weight_decay_schedule=step(5, gamma=0.5)",
        ],
    );
    let (checkpoint, log) = (run.join("checkpoints/step-0000000003"), log(&run));
    let shown: Value = serde_json::from_str(&inspect(&["--json"], &checkpoint)).unwrap();
    assert_eq!(shown["momentum_schedule"], "plateau(factor=0.5, patience=0, threshold=0.9)");
    assert_eq!(shown["weight_decay_schedule"], "step(5, gamma=0.5)");
    assert_eq!((&shown["memory"], &shown["weight_decay_memory"]), (&Value::Null, &Value::Null));
    // The first metric is the best so far, and the second and third are not improvements.
    let memory = &shown["momentum_memory"];
    assert_eq!((&memory["kind"], &memory["lrs"][0]), (&"plateau".into(), &0.225.into()));

    let group = &shown["groups"][0];
    let number = |value: &Value| value.as_f64().unwrap();
    for name in ["lr", "momentum", "weight_decay"] {
        assert_eq!(group[name], log[3][name][0], "the next update's {name}");
    }
    assert_eq!((number(&group["base_momentum"]), number(&group["base_weight_decay"])), (0.9, 1e-3));
    assert_eq!(group["next_momenta"].as_array().unwrap().len(), 5);
    let decays: Vec<f64> = group["next_weight_decays"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(decays, [1e-3, 1e-3, 0.5e-3, 0.5e-3, 0.5e-3]);

    let text = inspect(&[], &checkpoint);
    for line in [
        "momentum    plateau(factor=0.5, patience=0, threshold=0.9)\n  memory    {\"best\":",
        "weight_decay step(5, gamma=0.5)\n",
        "            momentum=2.250000e-1 now, then 2.250000e-1 ",
        "            weight_decay=1.000000e-3 now, then 1.000000e-3 5.000000e-4 5.000000e-4 5.000000e-4\n",
        "            base_lr=0.02 base_weight_decay=1e-3 base_momentum=0.9 | ",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn inspect_shows_a_momentum_that_the_cycle_of_the_rate_drives() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        ["optimizer={kind='adamw', lr=0.02}", "schedule={kind='one_cycle', total=20, momentum=[0.85, 0.95]}"];
    let run = train(&folder.path().join("run"), &settings);
    let shown = inspect(&["--json"], &run.join("checkpoints/step-0000000004"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let next: Vec<Value> = (4..9).map(|step| log(&run)[step]["momentum"][0].clone()).collect();
    assert_eq!(shown["groups"][0]["next_momenta"], Value::from(next));
    assert_eq!(shown["momentum_schedule"], Value::Null);
}

#[test]
fn what_cannot_be_driven_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |texts: &[&str]| start(&folder.path().join("run"), texts).map(drop).unwrap_err().to_string();
    let without = refusal(&["optimizer={kind='sgd', lr=0.02}", DRIVEN[1]]);
    assert_eq!(without, "optimizer.momentum = 0: must be above 0, because a schedule drives it");
    let group = "optimizer={kind='adamw', lr=0.02, groups=[{parameters=['*.bias'], kind='sgd', lr=0.1}]}";
    let without = refusal(&[group, DRIVEN[1]]);
    assert_eq!(without, "optimizer.groups[0].momentum = 0: must be above 0, because a schedule drives it");
    let cycle = "schedule={kind='one_cycle', total=20, momentum=[0.85, 0.95]}";
    let twice = refusal(&["optimizer={kind='adamw', lr=0.02}", cycle, DRIVEN[1]]);
    assert!(twice.contains("`schedule` already drives the momentum"), "{twice}");
    let bad = refusal(&["weight_decay_schedule=step(0)"]);
    assert!(bad.starts_with("weight_decay_schedule: "), "{bad}");
}

/// The notebook's batch is all of its rows, so one update takes that many samples.
#[test]
fn a_length_in_samples_is_as_many_updates_as_take_them_and_resumes_so() {
    let folder = tempfile::tempdir().unwrap();
    let rows = start(&folder.path().join("rows"), &[]).unwrap().session().data().train_rows().len();
    let samples = format!("schedule=linear(1, 0, \"{} samples\")", 10 * rows);
    let settings = [samples.as_str(), "train.epochs=20"];
    let updates = train(&folder.path().join("updates"), &["schedule=linear(1, 0, 10)", "train.epochs=20"]);
    let whole = train(&folder.path().join("whole"), &settings);
    let rates = |run: &Path| log(run).iter().map(|line| line["lr"].clone()).collect::<Vec<_>>();
    assert_eq!(rates(&whole), rates(&updates));
    let resumed = continue_with(&whole.join("checkpoints/step-0000000007"), &folder.path().join("resumed"), &[]);
    let last = |run: &Path, file: &str| std::fs::read(run.join("checkpoints/step-0000000020").join(file)).unwrap();
    for file in ["model.safetensors", "state.json"] {
        assert!(last(&resumed, file) == last(&whole, file), "{file}");
    }
    let error = start(&folder.path().join("tokens"), &["schedule=cosine(\"9 tokens\")"]).err().unwrap().to_string();
    assert!(error.contains("the data has no tokens"), "{error}");
}
