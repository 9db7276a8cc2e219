//! `train prove --command` for programs that write checkpoints of other trainers.
#![cfg(unix)]

use std::borrow::Cow;
use std::fs::{self, File};

use rekindle::peers::tensor::Dtype;
use rekindle::peers::write::item::{Item, Stored};
use rekindle::peers::write::torch_zip;

use crate::common::programs::Workplace;

/// Updates of the stand-in's run.
const UPDATES: i64 = 12;

/// Returns a checkpoint of a script of PyTorch: SGD under a StepLR, whose counter is `counted`.
fn checkpoint(updates: i64, counted: i64) -> Item<'static> {
    let rate = 0.1 * 0.5_f64.powi((counted / 4) as i32);
    let weight = [updates as f32, counted as f32].iter().flat_map(|number| number.to_le_bytes()).collect();
    let weight = Stored { dtype: Dtype::F32, shape: vec![1, 2], bytes: Cow::Owned(weight) };
    let group = Item::dict([
        ("lr", Item::Float(rate)),
        ("momentum", Item::Float(0.9)),
        ("dampening", Item::Int(0)),
        ("weight_decay", Item::Int(0)),
        ("nesterov", Item::Bool(false)),
        ("initial_lr", Item::Float(0.1)),
        ("params", Item::List(vec![Item::Int(0)])),
    ]);
    let scheduler = Item::dict([
        ("step_size", Item::Int(4)),
        ("gamma", Item::Float(0.5)),
        ("base_lrs", Item::floats(&[0.1])),
        ("last_epoch", Item::Int(counted)),
        ("_step_count", Item::Int(counted + 1)),
        ("_last_lr", Item::floats(&[rate])),
    ]);
    Item::dict([
        ("model", Item::OrderedDict(vec![(Item::text("0.weight"), Item::Tensor(weight))])),
        ("optimizer", Item::dict([("state", Item::Dict(Vec::new())), ("param_groups", Item::List(vec![group]))])),
        ("scheduler", scheduler),
        ("global_step", Item::Int(updates)),
    ])
}

/// Returns a command that stands in for a training script: it makes an update in 30 ms and saves a checkpoint, of which
/// those after a restart are other ones if it forgets its scheduler.
fn stand_in(place: &Workplace, forgets: bool) -> String {
    let states = place.path("states");
    fs::create_dir(&states).unwrap();
    for updates in 1..=UPDATES {
        for (kind, counted) in [("begun", updates), ("resumed", if forgets { updates % 3 } else { updates })] {
            let mut file = File::create(states.join(format!("{kind}-{updates}.pt"))).unwrap();
            torch_zip::write(&checkpoint(updates, counted), "checkpoint", &mut file).unwrap();
            fs::write(states.join(format!("{kind}-{updates}.csv")), format!("update,counter\n{updates},{counted}\n"))
                .unwrap();
        }
    }
    let script = place.path("script.sh");
    let text = format!(
        "set -e\nmkdir -p \"$1\"\ndone=0\nkind=begun\n\
         while [ -e \"$1/checkpoint-$((done + 1)).pt\" ]; do done=$((done + 1)); kind=resumed; done\n\
         while [ $done -lt {UPDATES} ]; do\n\
         sleep 0.03\ndone=$((done + 1))\n\
         cp states/$kind-$done.csv \"$1/.log\"\nmv \"$1/.log\" \"$1/log.csv\"\n\
         cp states/$kind-$done.pt \"$1/.new\"\nmv \"$1/.new\" \"$1/checkpoint-$done.pt\"\n\
         done\n"
    );
    fs::write(&script, text).unwrap();
    "sh script.sh {out}".to_owned()
}

#[test]
fn a_script_that_forgets_its_scheduler_is_found_out_by_its_checkpoints() {
    let place = Workplace::new();
    let command = stand_in(&place, true);
    let told = place.train(&["prove", "--command", &command, "--kills", "3", "--out", "proof"]);
    told.says(1, &["the uninterrupted run took 12 steps"]);
    let out = &told.out;
    assert!(out.contains(", uninterrupted | with kills:\n"), "{out}");
    for thing in ["  rate of group 0", "  schedule's counter", "  weight 0.weight (1 of 2 numbers), element [0, 1]"] {
        assert!(out.lines().any(|line| line.starts_with(thing)), "`{thing}` is not said: {out}");
    }
    assert!(out.contains("NOT IDENTICAL: the first difference is at checkpoint-"), "{out}");
    assert!(out.contains("; inspect diff proof/whole/checkpoint-"), "{out}");
    assert!(out.contains("  whole/log.csv\n"), "{out}");
}

#[test]
fn a_script_that_remembers_everything_has_the_same_bits() {
    let place = Workplace::new();
    let command = stand_in(&place, false);
    let told = place.train(&["prove", "--command", &command, "--kills", "3", "--out", "proof"]);
    told.says(0, &["the uninterrupted run took 12 steps"]);
    assert!(told.out.contains("12 steps: every bit identical, in 13 files"), "{}", told.out);
}
