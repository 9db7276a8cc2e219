//! `inspect import` as a person runs it, and `train --resume` of what it makes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::cases::{self, checkpoint};
use tempfile::TempDir;

fn run(program: &str, folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn inspect(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(env!("CARGO_BIN_EXE_inspect"), folder, arguments)
}

#[test]
fn a_proposed_configuration_is_completed_and_its_import_is_resumed() {
    let folder = TempDir::new().unwrap();
    let peer = checkpoint("transformers/adamw_linear_warmup");
    let peer = peer.to_str().unwrap();
    let (code, out, err) = inspect(folder.path(), &["import", peer, "-o", "ckpt"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("kind = \"mlp\"") && out.contains("hidden = [32]") && out.contains("clip_norm = 1"), "{out}");
    let config = folder.path().join("ckpt.toml");
    let data = cases::folder().join("data.safetensors");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("path = \"data\"", &format!("path = {data:?}"));
    let text: Vec<&str> =
        text.lines().filter(|line| !line.contains("batch_size") && !line.contains("steps = ")).collect();
    let text =
        text.join("\n").replace("[data]", "[data]\nbatch_size = \"all\"").replace("[train]", "[train]\nsteps = 20");
    fs::write(&config, text).unwrap();

    let (code, out, err) = inspect(folder.path(), &["import", peer, "--config", "ckpt.toml", "-o", "ckpt"]);
    assert_eq!(code, Some(0), "{err}");
    for part in ["imported ", "at update 10", "translated ", "left ", "missing ", "train --resume "] {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    let at = |path: &str| folder.path().join(path);
    assert_eq!(fs::read(at("ckpt/log.jsonl")).unwrap(), b"");
    let (code, out, err) = inspect(folder.path(), &["verify", "ckpt"]);
    assert!(code == Some(0) && !(out + &err).contains("warning"), "{err}");

    // A branch of it, in two parts, and the run itself have the same bits.
    let first = ["--resume", "ckpt/checkpoints/step-0000000010", "--out", "branch", "--set", "train.steps=15"];
    let second = ["--resume", "branch", "--set", "train.steps=20"];
    for arguments in [&first[..], &second, &["--resume", "ckpt"]] {
        let (code, _, err) = run(env!("CARGO_BIN_EXE_train"), folder.path(), arguments);
        assert!(code == Some(0) && !err.contains("warning"), "{err}");
    }
    for file in ["log.jsonl", "checkpoints/step-0000000020/model.safetensors"] {
        assert!(fs::read(at("ckpt").join(file)).unwrap() == fs::read(at("branch").join(file)).unwrap(), "{file}");
    }
    let log = fs::read_to_string(at("ckpt/log.jsonl")).unwrap();
    assert!(log.starts_with("{\"step\":10,") && log.lines().count() == 10, "{log}");
    let (code, out, err) = inspect(folder.path(), &["verify", "ckpt"]);
    assert!(code == Some(0) && !(out + &err).contains("warning"), "{err}");
    let (code, _, err) = inspect(folder.path(), &["import", peer, "--config", "ckpt.toml", "-o", "ckpt"]);
    assert!(code == Some(2) && err.contains("already holds a run"), "{err}");
    let (code, _, err) = inspect(folder.path(), &["import", "ckpt", "-o", "other"]);
    assert!(code == Some(2) && err.contains("is a run of Rekindle"), "{err}");

    let state = fs::read_to_string(at("ckpt/checkpoints/step-0000000020/state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let origin = &state["history"][0]["imported"];
    assert!(
        origin["from"].as_str().unwrap().contains("transformers") && !origin["left"].as_array().unwrap().is_empty()
    );
}

#[test]
fn a_proposal_for_every_case_has_its_model_and_optimizer() {
    for case in cases::all() {
        if case.name == "torch/whole_objects" {
            continue;
        }
        let text =
            rekindle::peers::import::propose(&case.path, None).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}\n{text}", case.name));
        let model = &table["model"];
        match case.name.as_str() {
            "transformers/gpt2_tied" => {
                assert_eq!((model["layers"].as_integer(), model["width"].as_integer()), (Some(2), Some(16)))
            }
            "torch/tied" => assert_eq!(model["tied"].to_string(), "[[\"4.weight\", \"2.weight\"]]"),
            name => assert_eq!(model["hidden"].to_string(), "[32]", "{name}"),
        }
        assert!(table["optimizer"]["kind"].is_str(), "{text}");
    }
}

#[test]
fn a_refusal_has_its_exit_code_and_a_proposal_replaces_nothing() {
    let folder = TempDir::new().unwrap();
    let (peer, objects) = (checkpoint("torch/nadam"), checkpoint("torch/whole_objects"));
    fs::write(folder.path().join("ckpt.toml"), "mine").unwrap();
    let (code, _, err) = inspect(folder.path(), &["import", peer.to_str().unwrap(), "-o", "ckpt"]);
    assert!(code == Some(2) && err.contains("ckpt.toml") && err.contains("--config"), "{err}");
    assert_eq!(fs::read_to_string(folder.path().join("ckpt.toml")).unwrap(), "mine");
    let (code, _, err) = inspect(folder.path(), &["import", objects.to_str().unwrap(), "-o", "other"]);
    assert!(code == Some(2) && err.contains("whole object"), "{err}");
}
