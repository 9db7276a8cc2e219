//! Every kind of bad checkpoint is refused with its fault, and an older good one is found.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::forge::{forge, forge_entry, forge_file, manifest};
use rekindle::checkpoint::{Checkpoint, CheckpointError, Folder, Snapshot, WrittenBy, dir_name, foreign_files};
use rekindle::state::{HostTensor, State};
use serde_json::{Value, json};
use tempfile::TempDir;

fn save(folder: &Path, step: u64) -> PathBuf {
    let tensors = [("w".to_owned(), HostTensor::from_f64s(&[1.0, 2.0, step as f64]))];
    let model = State { json: Value::Null, tensors: tensors.into_iter().collect() };
    let scheduler = State::from_json(json!({"t": step, "base_lrs": [0.1]}));
    let snapshot = Snapshot::at(step).field("epoch", 3).unwrap();
    let snapshot = snapshot.state("model", model).unwrap().state("schedulers.lr", scheduler).unwrap();
    Folder::new(folder).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap().path
}

/// A checkpoint of step 100 in a new folder.
fn saved() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = save(temporary.path(), 100);
    (temporary, path)
}

/// Reading and verifying must refuse in the same way; returns the message.
#[track_caller]
fn refusal(checkpoint: &Path) -> String {
    let read = Checkpoint::read(checkpoint).expect_err("a bad checkpoint was read").to_string();
    let verified = Checkpoint::verify(checkpoint).expect_err("a bad checkpoint was verified").to_string();
    assert_eq!(read, verified);
    assert!(read.contains(checkpoint.to_str().unwrap()), "{read} does not say where");
    read
}

#[track_caller]
fn assert_refused(checkpoint: &Path, file: &str, what: &str) {
    let message = refusal(checkpoint);
    assert!(message.contains(file) && message.contains(what), "{message}");
}

#[test]
fn a_forged_manifest_that_tells_the_truth_is_read() {
    let (_keep, path) = saved();
    forge(&path, manifest(&path));
    assert_eq!(Checkpoint::read(&path).unwrap().step(), 100);
}

#[test]
fn one_flipped_bit_anywhere_is_refused() {
    let (_keep, path) = saved();
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        let content = fs::read(&file).unwrap();
        for offset in 0..content.len() {
            let mut flipped = content.clone();
            flipped[offset] ^= 1 << (offset % 8);
            fs::write(&file, flipped).unwrap();
            let error = Checkpoint::read(&path).err();
            let error = error.unwrap_or_else(|| panic!("{} was read with byte {offset} flipped", file.display()));
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(error.to_string().contains(name), "byte {offset} of {name}: {error}");
            if name != "manifest.json" {
                assert!(matches!(error, CheckpointError::Digest { .. }), "byte {offset} of {name}: {error}");
            }
        }
        fs::write(&file, content).unwrap();
    }
    Checkpoint::read(&path).unwrap();
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (_keep, path) = saved();
    for name in ["manifest.json", "state.json", "model.safetensors"] {
        let content = fs::read(path.join(name)).unwrap();
        for length in (0..content.len()).step_by(7).chain([content.len() - 1]) {
            fs::write(path.join(name), &content[..length]).unwrap();
            assert_refused(&path, name, if name == "manifest.json" { "" } else { "was truncated or changed" });
        }
        fs::write(path.join(name), [&content[..], b" "].concat()).unwrap();
        assert_refused(&path, name, if name == "manifest.json" { "own BLAKE3" } else { "was truncated or changed" });
        fs::write(path.join(name), content).unwrap();
    }
}

#[test]
fn a_missing_file_is_refused_by_name() {
    let (_keep, path) = saved();
    for name in ["model.safetensors", "state.json", "manifest.json"] {
        let content = fs::read(path.join(name)).unwrap();
        fs::remove_file(path.join(name)).unwrap();
        assert_refused(&path, name, "is missing");
        fs::write(path.join(name), content).unwrap();
    }
}

/// Left by a file manager, a network file system, or a person; it is never read.
#[test]
fn a_file_that_the_manifest_does_not_list_is_named_and_no_damage() {
    let (_keep, path) = saved();
    let names = [".DS_Store", "._state.json", ".nfs0001", "Thumbs.db", "desktop.ini", "ema.safetensors", "notes.txt"];
    for name in names {
        fs::write(path.join(name), "x").unwrap();
    }
    symlink("/dev/zero", path.join("zeros")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap().step(), 100);
    let manifest = Checkpoint::verify(&path).unwrap();
    let mut expected: Vec<PathBuf> = names.iter().chain(&["zeros", "folder"]).map(|name| path.join(name)).collect();
    expected.sort();
    assert_eq!(foreign_files(&path, &manifest).unwrap(), expected);
}

#[test]
fn a_manifest_cannot_lead_out_of_its_directory() {
    let names =
        ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b.safetensors", "../x.safetensors", "manifest.json"];
    for name in names.into_iter().chain(["model.safetensors\0", "MODEL.safetensors", ".safetensors", "x.txt"]) {
        let (_keep, path) = saved();
        forge_entry(&path, name);
        assert_refused(&path, "manifest.json", &format!("lists `{name}`"));
    }
}

#[test]
fn a_manifest_that_lists_a_file_twice_or_no_state_is_refused() {
    let (_keep, path) = saved();
    forge_entry(&path, "model.safetensors");
    assert_refused(&path, "manifest.json", "lists `model.safetensors` twice");
    let mut without = manifest(&path);
    without["files"] = json!([]);
    forge(&path, without);
    assert_refused(&path, "manifest.json", "does not list `state.json`");
}

#[test]
fn a_link_is_not_followed_even_to_the_right_bytes() {
    for name in ["model.safetensors", "state.json", "manifest.json"] {
        let (keep, path) = saved();
        let elsewhere = keep.path().join("elsewhere");
        fs::rename(path.join(name), &elsewhere).unwrap();
        symlink(&elsewhere, path.join(name)).unwrap();
        assert_refused(&path, name, "links inside a checkpoint are not followed");
    }
}

#[test]
fn a_directory_or_a_pipe_in_place_of_a_file_is_refused_without_waiting() {
    let (_keep, path) = saved();
    let file = path.join("model.safetensors");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_refused(&path, "model.safetensors", "not a regular file");
    fs::remove_dir(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert_refused(&path, "model.safetensors", "not a regular file");
}

#[test]
fn a_version_from_the_future_says_so() {
    let (_keep, path) = saved();
    fs::write(path.join("manifest.json"), r#"{"format": "rekindle.checkpoint", "version": 7, "files": "elsewhere"}"#)
        .unwrap();
    assert_refused(&path, "manifest.json", "version 7, and this program reads up to version 1");
    let mut changed = manifest(&save(path.parent().unwrap(), 100));
    changed["version"] = json!(2);
    forge(&path, changed);
    assert_refused(&path, "manifest.json", "format version 2");
}

#[test]
fn a_manifest_of_something_else_is_refused() {
    let (_keep, path) = saved();
    let mut changed = manifest(&path);
    changed["format"] = json!("npm");
    forge(&path, changed);
    assert_refused(&path, "manifest.json", "its format is `npm`, not `rekindle.checkpoint`");
    fs::write(path.join("manifest.json"), "[]").unwrap();
    assert_refused(&path, "manifest.json", "is invalid");
}

#[test]
fn steps_that_disagree_are_refused_with_both() {
    let (keep, path) = saved();
    let renamed = keep.path().join(dir_name(101));
    fs::rename(&path, &renamed).unwrap();
    assert_refused(&renamed, "manifest.json", "says step 100, but the name of the directory says step 101");
    let mut changed = manifest(&renamed);
    changed["step"] = json!(101);
    forge(&renamed, changed);
    assert_refused(&renamed, "state.json", "says step 100, but the name of the directory says step 101");
    let unnamed = keep.path().join("best");
    fs::rename(&renamed, &unnamed).unwrap();
    assert_refused(&unnamed, "best", "is not named like a checkpoint");
}

#[test]
fn a_header_that_claims_two_to_the_sixty_bytes_is_refused() {
    let (_keep, path) = saved();
    let mut content = fs::read(path.join("model.safetensors")).unwrap();
    content[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    forge_file(&path, "model.safetensors", &content);
    assert_refused(&path, "model.safetensors", "claims 1152921504606846976 bytes");
}

#[test]
fn a_header_that_describes_other_bytes_is_refused() {
    let (_keep, path) = saved();
    let header =
        |json: &str, data: usize| [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &vec![0; data]].concat();
    let beyond = header(r#"{"w":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}"#, 8);
    let overlapping =
        r#"{"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
    for content in [beyond, header(overlapping, 4), header("not json", 0), header("{}", 1), vec![0; 7], vec![]] {
        forge_file(&path, "model.safetensors", &content);
        assert_refused(&path, "model.safetensors", "bad safetensors header");
    }
}

#[test]
fn sizes_that_no_such_file_has_are_refused_unread() {
    let (_keep, path) = saved();
    let file = fs::File::create(path.join("manifest.json")).unwrap();
    file.set_len(17 << 20).unwrap();
    assert_refused(&path, "manifest.json", "more than the limit of 16777216 for such a file");
}

#[test]
fn tensors_of_a_part_that_the_state_does_not_name_are_refused() {
    let (_keep, path) = saved();
    let content = fs::read(path.join("model.safetensors")).unwrap();
    forge_file(&path, "ema.safetensors", &content);
    assert_refused(&path, "ema.safetensors", "belongs to a part that is not in state.json");
}

#[test]
fn a_state_that_is_no_state_is_refused() {
    let (_keep, path) = saved();
    for (content, what) in
        [("{", "EOF"), ("[1]", "must be a table, not a list"), ("{}", "no `step`"), (r#"{"step":100}"#, "no `parts`")]
    {
        forge_file(&path, "state.json", content.as_bytes());
        assert_refused(&path, "state.json", what);
    }
    let deep = format!("{{\"step\":100,\"parts\":[],\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    forge_file(&path, "state.json", deep.as_bytes());
    assert_refused(&path, "state.json", "recursion limit");
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let temporary = tempfile::tempdir().unwrap();
    let nowhere = temporary.path().join(dir_name(5));
    assert_refused(&nowhere, "step-0000000005", "there is no checkpoint at");
    fs::write(&nowhere, "a file").unwrap();
    assert_refused(&nowhere, "step-0000000005", "it is not a directory");
}

#[test]
fn the_newest_valid_checkpoint_is_taken_and_the_damaged_ones_named() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::new(temporary.path());
    // The names would sort otherwise as text.
    let paths: Vec<PathBuf> =
        [5, 9_999_999_999, 10_000_000_000, 10_000_000_001].map(|step| save(folder.path(), step)).into();
    fs::remove_file(paths[3].join("manifest.json")).unwrap();
    fs::write(paths[2].join("state.json"), "{}").unwrap();
    for ignored in [".step-0000000007.tmp-1-0", "step-0000000008.replaced-1", "step-9", "notes"] {
        fs::create_dir(temporary.path().join(ignored)).unwrap();
    }
    let listed = folder.list().unwrap();
    assert_eq!(listed.iter().map(|(_, path)| path.clone()).collect::<Vec<_>>(), paths);

    let newest = folder.require_newest().unwrap();
    assert_eq!(newest.checkpoint.step(), 9_999_999_999);
    let steps: Vec<u64> = newest.damaged.iter().map(|damaged| damaged.step).collect();
    assert_eq!(steps, [10_000_000_001, 10_000_000_000]);
    assert!(newest.damaged[0].to_string().contains("manifest.json is missing"), "{}", newest.damaged[0]);
    assert!(newest.damaged[1].to_string().contains("state.json has 2 bytes"), "{}", newest.damaged[1]);
    assert!(paths.iter().all(|path| path.is_dir()), "a damaged checkpoint was removed");
}

#[test]
fn a_folder_without_checkpoints_is_empty_to_some_and_an_error_to_others() {
    let temporary = tempfile::tempdir().unwrap();
    for path in [temporary.path().to_owned(), temporary.path().join("never/made")] {
        let folder = Folder::new(&path);
        assert!(folder.newest().unwrap().is_none());
        let error = folder.require_newest().unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("holds no checkpoints"), "{error}");
    }
}

#[test]
fn a_folder_of_damaged_checkpoints_is_an_error_that_names_each() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::new(temporary.path());
    fs::remove_file(save(folder.path(), 1).join("state.json")).unwrap();
    fs::remove_file(save(folder.path(), 2).join("model.safetensors")).unwrap();
    let error = folder.newest().unwrap_err().to_string();
    assert!(
        error.contains("every checkpoint in") && error.contains("step-0000000001/state.json is missing"),
        "{error}"
    );
    assert!(error.contains("step-0000000002/model.safetensors is missing"), "{error}");
}
