//! Hooks: what a command gets, and that no command harms the run.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::programs::{CONFIG, Workplace};

/// A place whose configuration has a script for each event, which appends its input to `events`.
fn place(script: &str, more: &str) -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("hook.sh"), script).unwrap();
    let keys = ["on_start", "on_checkpoint", "on_validation", "on_end", "on_failure"];
    let hooks: String = keys.iter().map(|key| format!("{key} = [\"sh\", \"hook.sh\", \"{key}\"]\n")).collect();
    fs::write(place.path("config.toml"), format!("{CONFIG}\n[hooks]\n{hooks}{more}")).unwrap();
    place
}

fn events(place: &Workplace) -> Vec<Value> {
    let text = fs::read_to_string(place.path("events")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const APPEND: &str = "cat >>events\n";

#[test]
fn each_event_is_told_with_its_step_and_its_place() {
    let place = place(APPEND, "");
    place.train(&["config.toml", "--out", "run", "--hooks"]).says(0, &["done: 20 steps"]);
    let events = events(&place);
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let (start, end) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&start["event"], &start["step"]), (&Value::from("start"), &Value::from(0)));
    assert_eq!((&end["event"], &end["outcome"], &end["step"]), (&"end".into(), &"finished".into(), &20.into()));
    let run = place.path("run").canonicalize().unwrap();
    assert!(events.iter().all(|event| event["run"] == run.to_str().unwrap() && event["total_steps"] == 20));
    let saved: Vec<u64> = named("checkpoint").iter().map(|event| event["step"].as_u64().unwrap()).collect();
    assert_eq!(saved, [5, 10, 15, 20]);
    let path = named("checkpoint")[0]["checkpoint"].as_str().unwrap();
    assert!(std::path::Path::new(path).join("manifest.json").is_file(), "{path}");
    let validation = named("validation")[3];
    let last = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&validation["record"], &validation["step"]), (&last, &20.into()));
}

/// A configuration from a stranger runs no code, neither at the start nor at a resume.
#[test]
fn without_the_option_no_command_is_started() {
    let place = place(APPEND, "");
    let note = "the commands of [hooks] in the configuration are not started without --hooks";
    place.train(&["config.toml", "--out", "run", "--set", "train.epochs=2"]).says(0, &[note]);
    place.train(&["--resume", "run", "--set", "train.epochs=3"]).says(0, &[note]);
    assert_eq!(events(&place), Vec::<Value>::new());
    place.train(&["--resume", "run", "--set", "train.epochs=4", "--hooks"]).says(0, &["done: 5 steps"]);
    assert_eq!(events(&place)[0]["step"], 15);
    place.train(&["config.toml", "--out", "plain", "--set", "hooks=", "--hooks"]).says(0, &["--hooks starts nothing"]);
}

/// The files of a run whose bits no hook may change.
fn bits(place: &Workplace) -> [Vec<u8>; 2] {
    let names = ["log.jsonl", "checkpoints/step-0000000020/model.safetensors"];
    names.map(|name| fs::read(place.path("run").join(name)).unwrap())
}

#[test]
fn a_hook_that_hangs_is_killed_and_changes_no_bit() {
    let place = place("[ $1 = on_start ] && sleep 600\ncat >>events\n", "timeout = \"1 s\"\n");
    let began = Instant::now();
    let told = place.train(&["config.toml", "--out", "run", "--hooks"]);
    assert!(began.elapsed() < Duration::from_secs(120), "the run waited for a hook");
    told.says(0, &["done: 20 steps", "hooks.on_start: `sh` was killed after 1."]);
    assert!(bits(&place) == bits(&Workplace::with_run()), "a hook changed bits");
}

#[test]
fn hooks_that_fail_change_no_bit_and_are_left_out() {
    // One kills its group, one writes 100 MB and fails, one is missing.
    let script = "case $1 in on_checkpoint) kill -9 0;; \
                  on_validation) head -c 100000000 /dev/zero; exit 1;; esac\ncat >>events\n";
    let place = place(script, "timeout = \"60 s\"\n");
    let told = place.train(&["config.toml", "--out", "run", "--hooks", "--set", "hooks.on_end=[\"./missing\"]"]);
    told.says(
        0,
        &[
            "done: 20 steps",
            "hooks.on_checkpoint: `sh` was ended by SIGKILL; left out after 3 failures in a row",
            "hooks.on_validation: `sh` ended with exit code 1; this does not affect the run",
            "hooks.on_end: `./missing` cannot be started",
        ],
    );
    assert_eq!(told.err.matches("hooks.on_validation").count(), 2, "{}", told.err);
    assert!(bits(&place) == bits(&Workplace::with_run()), "a hook changed bits");
}

#[test]
fn a_failure_is_told_with_its_error() {
    let place = place(APPEND, "");
    let told = place.train(&["config.toml", "--out", "run", "--hooks", "--set", "optimizer.lr=1e30"]);
    assert_eq!(told.code, Some(1), "{}", told.err);
    let events = events(&place);
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["outcome"]), (&"failure".into(), &"failed".into()));
    assert!(last["error"].as_str().unwrap().contains("not finite"), "{last}");
    assert!(!events.iter().any(|event| event["event"] == "end"));
}

#[test]
fn a_stop_by_a_signal_is_told() {
    // The first validation stops the training.
    let place = place("[ $1 = on_validation ] && kill -TERM $PPID\ncat >>events\n", "");
    let told = place.train(&["config.toml", "--out", "run", "--hooks", "--set", "train.epochs=4000"]);
    assert_eq!(told.code, Some(143), "{}", told.err);
    let events = events(&place);
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["outcome"], &last["signal"]), (&"end".into(), &"stopped".into(), &15.into()));
}

#[test]
fn a_wrong_table_is_refused_with_its_place() {
    let place = Workplace::new();
    let refused = |setting: &str, part: &str| {
        place.train_refuses(&["config.toml", "--out", "none", "--set", setting], &[part]);
    };
    refused("hooks.on_end=[]", "hooks.on_end");
    refused("hooks.on_end=./notify.sh", "hooks.on_end");
    refused("hooks.timeout=30", "hooks.timeout");
    refused("hooks.timeout=\"soon\"", "is not a time limit");
    refused("hooks.on_ende=[\"true\"]", "on_end");
}
