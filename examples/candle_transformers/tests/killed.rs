//! The examples, killed and run again, have the same bits; and they train what they say.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

/// Every file of every checkpoint except the manifests, which contain the time.
fn contents(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for checkpoint in fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()) {
        // The remains of a killed save are hidden and never read.
        if checkpoint.file_name().unwrap().to_string_lossy().starts_with('.') {
            continue;
        }
        for file in fs::read_dir(&checkpoint).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap() != "manifest.json" {
                found.push((file.strip_prefix(run).unwrap().to_owned(), fs::read(&file).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Runs an example whole, and again while it is killed. Returns the folder with the run `whole`.
#[track_caller]
fn assert_kills_change_nothing(example: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let command = |run: &Path| {
        let mut command = Command::new(example);
        command.arg(run).stdout(Stdio::null());
        command
    };
    let began = Instant::now();
    assert!(command(&whole).status().unwrap().success());
    let duration = began.elapsed();
    let mut kills = 0;
    for _ in 0..6 {
        let mut child = command(&killed).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(duration.as_secs_f64() * 0.2));
        child.kill().unwrap();
        kills += u32::from(child.wait().unwrap().signal() == Some(9));
    }
    assert!(kills >= 2, "only {kills} of 6 kills found the loop running");
    assert!(command(&killed).status().unwrap().success());
    assert!(!contents(&whole).is_empty());
    assert!(contents(&whole) == contents(&killed), "the killed run has other bits");
    folder
}

/// The weights of the run `whole` in its first checkpoint and in its last.
fn weights(folder: &Path) -> [HashMap<String, Tensor>; 2] {
    let mut checkpoints: Vec<_> =
        fs::read_dir(folder.join("whole/checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let of = |path: &PathBuf| candle_core::safetensors::load(path.join("model.safetensors"), &Device::Cpu).unwrap();
    [of(checkpoints.first().unwrap()), of(checkpoints.last().unwrap())]
}

#[test]
fn a_head_on_a_bert_killed_and_run_again_has_the_same_bits() {
    let folder = assert_kills_change_nothing(env!("CARGO_BIN_EXE_bert"));
    let [first, last] = weights(folder.path());
    assert_eq!(last.len(), 2);
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(first.iter().all(|(name, x)| values(x) != values(&last[name])));
}

/// No weight of the decoder is left out, from its first map to its last.
#[test]
fn a_decoder_whose_weights_are_all_trained_killed_and_run_again_has_the_same_bits() {
    let folder = assert_kills_change_nothing(env!("CARGO_BIN_EXE_decoder"));
    let [first, last] = weights(folder.path());
    assert!(last.len() > 40, "{}", last.len());
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let still: Vec<_> = first.iter().filter(|(name, x)| values(x) == values(&last[*name])).collect();
    assert!(still.is_empty(), "{still:?}");
    let log = fs::read_to_string(folder.path().join("whole/log.jsonl")).unwrap();
    let losses: Vec<f64> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64())
        .collect();
    assert!(losses.last().unwrap() < &(losses[0] * 0.7), "{losses:?}");
}
