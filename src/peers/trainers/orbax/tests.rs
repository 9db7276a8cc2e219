use std::fs;
use std::path::PathBuf;

use super::*;
use crate::peers::formats::changed::{Random, change};
use crate::peers::trainers::open;
use crate::peers::trainers::perceptron::CASES;

/// Copies a real case, so that it may be changed.
fn copy(case: &str) -> tempfile::TempDir {
    fn copy_into(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let place = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_into(&entry.path(), &place)
            } else {
                fs::copy(entry.path(), place).map(|_| ()).unwrap()
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy_into(&PathBuf::from(format!("{CASES}/orbax/{case}")), folder.path());
    folder
}

fn rename(folder: &tempfile::TempDir, from: &str, to: &str) {
    fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
}

#[test]
fn the_newest_complete_step_is_read() {
    let folder = copy("sgd_momentum_zarr");
    copy_step(&folder, "9");
    rename(&folder, "10", "10.orbax-checkpoint-tmp");
    let peer = open(folder.path()).unwrap();
    assert!(peer.remarks.iter().any(|remark| remark.starts_with("step 10.orbax-checkpoint-tmp is not complete")));
    assert!(peer.remarks.iter().any(|remark| remark.contains("called 9, and the state counts 10 updates")));
    let unfinished = open(&folder.path().join("10.orbax-checkpoint-tmp")).unwrap_err().to_string();
    assert!(unfinished.contains("take the step before it"), "{unfinished}");
    let metadata = folder.path().join("9").join(CHECKPOINT);
    let text = fs::read_to_string(&metadata).unwrap();
    let at = text.find("\"commit_timestamp_nsecs\": ").unwrap() + 26;
    let end = at + text[at..].find(',').unwrap();
    fs::write(&metadata, format!("{}null{}", &text[..at], &text[end..])).unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("no step in it is complete"));
}

fn copy_step(folder: &tempfile::TempDir, name: &str) {
    let other = copy("sgd_momentum_zarr");
    fs::rename(other.path().join("10"), folder.path().join(name)).unwrap();
}

#[test]
fn an_item_and_what_the_program_saved_beside_it_are_read() {
    let step = open(format!("{CASES}/orbax/adamw_warmup_cosine/10").as_ref()).unwrap();
    assert_eq!(step.format, "OCDBT of Orbax");
    assert!(step.counters.iter().any(|counter| counter.name == "meta.epoch" && counter.value == 10.0));
    let item = open(format!("{CASES}/orbax/adamw_warmup_cosine/10/state").as_ref()).unwrap();
    assert_eq!((item.updates, item.model.tensors.len()), (Some(10), 4));
}

#[test]
fn what_is_missing_is_named() {
    let error = |folder: &tempfile::TempDir| open(&folder.path().join("10")).unwrap_err().to_string();
    let folder = copy("sgd_momentum_zarr");
    let chunk = folder.path().join("10/params.layers_0.kernel/0.0");
    let bytes = fs::read(&chunk).unwrap();
    fs::remove_file(&chunk).unwrap();
    assert!(error(&folder).contains("params.layers_0.kernel/0.0: this chunk is missing"));
    fs::write(&chunk, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(&folder).contains("zstd stream is damaged"), "{}", error(&folder));
    fs::remove_dir_all(folder.path().join("10/params.layers_0.kernel")).unwrap();
    assert!(error(&folder).contains("the array params.layers_0.kernel of the tree is missing"));
    fs::remove_file(folder.path().join("10/_METADATA")).unwrap();
    assert!(error(&folder).contains("copy it again"));
    let other = copy("adamw_warmup_cosine");
    fs::remove_file(other.path().join("10/state/ocdbt.process_0/d/95b34b3b41cd209bc269b1849a2e2e50")).unwrap();
    assert!(error(&other).contains("95b34b3b41cd209bc269b1849a2e2e50"));
}

#[test]
fn changed_forms_of_real_folders_are_described_or_refused() {
    let mut random = Random(4);
    for (case, files) in [
        (
            "adamw_warmup_cosine",
            &["state/_METADATA", "state/manifest.ocdbt", "_CHECKPOINT_METADATA", "meta/metadata"][..],
        ),
        ("sgd_momentum_zarr", &["_METADATA", "params.layers_0.kernel/.zarray", "params.layers_0.kernel/0.0", "step/0"]),
    ] {
        let folder = copy(case);
        for name in files {
            let path = folder.path().join("10").join(name);
            let bytes = fs::read(&path).unwrap();
            for round in 0..150 {
                let mut changed = bytes.clone();
                change(&mut changed, &mut random);
                fs::write(&path, changed).unwrap();
                let began = std::time::Instant::now();
                drop(open(folder.path()));
                assert!(began.elapsed().as_secs() < 5, "{name}, round {round}");
            }
            fs::write(&path, bytes).unwrap();
        }
        open(folder.path()).unwrap();
    }
}
