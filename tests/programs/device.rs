//! The device that computes: how it is chosen, written down, and reported when it is not there.
//!
//! Tests run builds that cannot use a GPU, so a checkpoint of one is written by changing another.

use std::fs;

use crate::common::forge::{forge, forge_file, manifest};
use crate::common::programs::{TRAIN, Told, Workplace};
use serde_json::{Value, json};

/// A GPU as a checkpoint describes it.
const GPU: &str = "NVIDIA H100 80GB HBM3, compute capability 9.0, driver for CUDA 13.0, cuBLAS 130002";

/// Every command that computes.
const COMMANDS: [&[&str]; 8] = [
    &["config.toml", "--out", "new"],
    &["--resume", "run"],
    &["check", "config.toml"],
    &["find-lr", "config.toml", "--steps", "2", "--out", "rates"],
    &["prove", "config.toml", "--kills", "0", "--out", "proof"],
    &["eval", "run"],
    &["predict", "run", "--data", "rows.csv"],
    &["sample", "run", "--prompt", "a"],
];

fn state(checkpoint: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(checkpoint.join("state.json")).unwrap()).unwrap()
}

/// A place with the run `run`, whose newest checkpoint says that a GPU has written it.
fn of_a_gpu() -> Workplace {
    let place = Workplace::new();
    place.train(&["config.toml", "--out", "run", "--set", "train.epochs=2"]).says(0, &["done: 10 steps"]);
    fs::remove_file(place.path("run/config.toml")).unwrap();
    let newest = place.path("run/checkpoints/step-0000000010");
    let mut state = state(&newest);
    state["config"]["device"] = json!("cuda");
    forge_file(&newest, "state.json", state.to_string().as_bytes());
    let mut manifest = manifest(&newest);
    manifest["written_by"]["device"] = json!("cuda");
    manifest["written_by"]["gpu"] = json!(GPU);
    forge(&newest, manifest);
    place
}

#[test]
fn every_command_that_computes_takes_a_device() {
    let place = Workplace::with_run();
    for command in COMMANDS {
        let told = place.train(&[command, &["--device", "cpu"]].concat());
        let expected = if command[0] == "sample" { 2 } else { 0 };
        assert_eq!(told.code, Some(expected), "{command:?}: {}", told.err);
        assert!(expected == 0 || told.err.contains("cannot continue a text"), "{}", told.err);
    }
    for made in ["new", "proof"] {
        fs::remove_dir_all(place.path(made)).unwrap();
    }
    for command in COMMANDS {
        // The first process of a proof says what is wrong.
        let told = place.train(&[command, &["--device", "gpu"]].concat());
        told.says(2, &["device = gpu: must be `cpu`, `cuda`, `metal`"]);
        place.train(&[command, &["--device", ""]].concat()).says(2, &["--device <NAME>"]);
        let twice = [command, &["--set", "device=cpu", "--device", "cuda"]].concat();
        place.train(&twice).says(2, &["--set device=cpu: the device is given twice, here and by --device cuda"]);
    }
    // A number is not taken for a number.
    place.train_refuses(&["config.toml", "--device", "1"], &["device = 1: must be `cpu`"]);
    place.train(&["prove", "--command", "x {out}", "--device", "cpu"]).says(2, &["--command", "--device"]);
}

#[test]
fn auto_is_written_down_as_the_device_that_was_opened() {
    let place = Workplace::new();
    let told = place.train(&["config.toml", "--out", "run", "--device", "auto", "--set", "train.epochs=2"]);
    told.says(0, &["note: device `auto` is `cpu` here", "done: 10 steps"]);
    assert!(fs::read_to_string(place.path("run/config.toml")).unwrap().contains("device = \"cpu\""));
    let newest = place.path("run/checkpoints/step-0000000010");
    assert_eq!(state(&newest)["config"]["device"], "cpu");
    assert_eq!(manifest(&newest)["written_by"]["device"], "cpu");
    assert_eq!(manifest(&newest)["written_by"]["gpu"], Value::Null);
    // On the same machine it is the same device, also if that is asked for again: nothing has changed.
    for arguments in [&["--resume", "run"][..], &["--resume", "run", "--device", "auto"]] {
        let told = place.train(arguments);
        told.says(0, &["nothing left to do"]);
        assert!(!told.err.contains("the same bits") && !told.err.contains("was \"cpu\""), "{}", told.err);
    }
    assert_eq!(state(&newest)["history"], json!([]));
    place.train(&["eval", "run", "--device", "auto", "--rows", "all"]).says(0, &[]);
}

#[test]
fn a_run_of_a_gpu_continues_on_the_cpu_when_asked_to() {
    let place = of_a_gpu();
    let (refused, before) = (place.train(&["--resume", "run"]), place.files());
    let remedy = "`--device cpu` continues on the processor, with the same learning rates, and weights that agree";
    refused.says(2, &["device `cuda` cannot be opened: this program was built without it", remedy]);
    refused.says(2, &["`--features cuda`"]);
    assert_eq!(place.files(), before);
    place
        .train(&["eval", "run"])
        .says(2, &["device `cuda` cannot be opened", "`--device cpu` computes on the processor"]);
    let evaluated = place.train(&["eval", "run", "--device", "cpu"]);
    evaluated.says(0, &["the same bits are not promised", "device: written with cuda, now cpu"]);

    for device in ["cpu", "auto"] {
        let place = of_a_gpu();
        let told = place.train(&["--resume", "run", "--device", device, "--set", "train.epochs=4"]);
        let changed = "device was \"cuda\" and is \"cpu\" from step 10 on";
        told.says(0, &["device: written with cuda, now cpu", changed, "done: 10 steps"]);
        let history = &state(&place.newest())["history"];
        assert_eq!(history[0]["changes"][0], json!({"key": "device", "from": "cuda", "to": "cpu"}));
        // The next resume says nothing of it.
        let again = place.train(&["--resume", "run"]);
        again.says(0, &["nothing left to do"]);
        assert!(!again.err.contains("the same bits"), "{}", again.err);
    }
}

#[test]
fn a_checkpoint_of_a_gpu_is_inspected_without_one() {
    let place = of_a_gpu();
    for arguments in [&["run"][..], &["run/checkpoints/step-0000000010"]] {
        let told = place.inspect(arguments);
        assert_eq!(told.code, Some(0), "{}", told.err);
        assert!(told.out.contains(", cuda, ") && told.out.contains(&format!("\ngpu         {GPU}\n")), "{}", told.out);
    }
    let told: Value = serde_json::from_str(&place.inspect(&["run", "--json"]).out).unwrap();
    assert_eq!((&told["written_by"]["device"], &told["written_by"]["gpu"]), (&json!("cuda"), &json!(GPU)));
    assert_eq!(place.inspect(&["verify", "run"]).code, Some(0));
    assert_eq!(place.inspect(&["lr", "run", "--steps", "3"]).code, Some(0));
}

#[test]
fn a_device_that_is_not_there_comes_without_a_backtrace() {
    let place = Workplace::new();
    for device in ["cuda", "cuda:99", "metal:99"] {
        for arguments in [["--device", device], ["--set", &format!("device={device}")]] {
            let mut command = place.command(TRAIN, &[&["config.toml"], &arguments[..]].concat());
            let told: Told =
                command.env("RUST_BACKTRACE", "full").env("RUST_LIB_BACKTRACE", "1").output().unwrap().into();
            told.says(2, &[&format!("device `{device}` cannot be opened"), "`--device cpu` computes on the processor"]);
            assert_eq!(told.err.lines().count(), 1, "{}", told.err);
        }
    }
}
