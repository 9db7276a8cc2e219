//! `inspect verify` verifies all checkpoints of a run in parallel, and reports them in order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::programs::{INSPECT, Told, Workplace};
use rekindle::checkpoint::{Folder, Snapshot, WrittenBy, verify_all};
use rekindle::state::{HostTensor, State};
use serde_json::Value;

/// A folder with checkpoints of very different sizes, the large ones first, and every fifth of them damaged.
fn folder(count: u64) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let saved = (0..count).map(|step| {
        let tensor = HostTensor::from_f64s(&vec![step as f64; if step < 3 { 300_000 } else { 3 }]);
        let model = State { json: Value::Null, tensors: [("w".to_owned(), tensor)].into_iter().collect() };
        let snapshot = Snapshot::at(step).state("model", model).unwrap();
        let path = Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap().path;
        if step % 5 == 4 {
            fs::remove_file(path.join("state.json")).unwrap();
        }
        path
    });
    let paths = saved.collect();
    (folder, paths)
}

fn verified(paths: &[PathBuf], threads: usize) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    verify_all(paths, threads, |path, result| {
        let said = result.map_or_else(|error| error.to_string(), |manifest| format!("{:?}", manifest.files));
        found.push((path.to_owned(), said));
    });
    found
}

#[test]
fn any_number_of_threads_finds_the_same_in_the_same_order() {
    let (_folder, paths) = folder(23);
    let one = verified(&paths, 1);
    assert_eq!(one.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), paths);
    assert_eq!(one.iter().filter(|(_, said)| said.contains("is missing")).count(), 4);
    for threads in [0, 2, 3, 8, 100] {
        assert_eq!(verified(&paths, threads), one, "{threads} threads");
    }
    assert!(verified(&[], 4).is_empty());
}

fn verify(folder: &Path) -> Told {
    let place = Workplace::new();
    place.inspect(&["verify", folder.to_str().unwrap()])
}

#[test]
fn every_checkpoint_has_its_line_and_one_bad_one_decides() {
    let (folder, paths) = folder(12);
    let told = verify(folder.path());
    assert_eq!((told.code, told.err.as_str()), (Some(1), ""), "no bar where there is no terminal");
    for (line, path) in told.out.lines().zip(&paths) {
        assert!(line.starts_with(path.to_str().unwrap()), "{line}");
    }
    assert_eq!(told.out.lines().filter(|line| line.contains(": BAD: ")).count(), 2);
    assert_eq!(told.out.lines().filter(|line| line.contains(": ok, 2 files, ")).count(), 10);
    let last = told.out.lines().last().unwrap();
    assert!(last.starts_with("12 checkpoints, 2 BAD, ") && last.ends_with(" s"), "{last}");
    for bad in [4, 9] {
        fs::remove_dir_all(&paths[bad]).unwrap();
    }
    let told = verify(folder.path());
    assert_eq!(told.code, Some(0));
    assert!(told.out.lines().last().unwrap().starts_with("10 checkpoints, all valid, 7.2 MB in "), "{}", told.out);
    let json = Workplace::new().inspect(&["verify", folder.path().to_str().unwrap(), "--json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&json["valid"], &json["bad"], &json["checkpoints"][0]["state"]),
        (&10.into(), &0.into(), &"valid".into())
    );
}

#[test]
fn a_reader_that_has_seen_enough_does_not_change_the_exit_code() {
    let (folder, _) = folder(12);
    let place = Workplace::new();
    let mut command = place.command(INSPECT, &["verify", folder.path().to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended: Told = child.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
}

#[test]
fn the_sums_in_another_trainers_file_are_checked() {
    let place = Workplace::new();
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases/torch/nadam.pt");
    let mut bytes = fs::read(real).unwrap();
    let file = place.path("nadam.pt");
    fs::write(&file, &bytes).unwrap();
    let told = place.inspect(&["verify", "nadam.pt"]);
    assert_eq!(told.code, Some(0));
    assert!(told.out.starts_with("nadam.pt: ok, ") && told.out.ends_with(" sums\n"), "{}", told.out);
    let json: Value = serde_json::from_str(&place.inspect(&["verify", "nadam.pt", "--json"]).out).unwrap();
    assert!(json["files"][0]["sums"].as_u64() > Some(8), "{json}");
    // A number in a weight, which begins at most 64 bytes after the name: nothing but its sum tells the change.
    let name = b"nadam/data/0";
    let start = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[start + 100] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let told = place.inspect(&["verify", "nadam.pt"]);
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert!(told.out.starts_with("nadam.pt: ") && told.out.contains("nadam/data/0"), "{}", told.out);
    assert!(told.out.contains("its sum is another"), "{}", told.out);
    assert_eq!(place.inspect(&["nadam.pt"]).code, Some(0));
}
