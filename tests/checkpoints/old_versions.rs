//! A checkpoint of every version of the format can be read, and continues to the same numbers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::common::{Lab, log, tree};
use rekindle::checkpoint::{Checkpoint, Folder, Snapshot, VERSIONS, WrittenBy};
use serde_json::Value;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("checkpoints")
}

/// The folders of all samples that `train` resumes.
fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(samples()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn newest(folder: &Path) -> Checkpoint {
    Folder::new(folder).require_newest().unwrap().checkpoint
}

#[test]
fn every_version_that_is_read_has_a_sample() {
    let versions: BTreeSet<u64> = folders().iter().map(|folder| newest(folder).manifest().version).collect();
    assert_eq!(versions, VERSIONS.collect());
    for version in VERSIONS {
        let sample = newest(&samples().join(format!("version-{version}")));
        assert_eq!(sample.manifest().version, version);
    }
}

/// Returns the numbers of two logs, one line per step. They agree within 1e-4, because f32 sums have another order on
/// other processors; rates are f64 formulas, and agree within 1e-12.
#[track_caller]
fn assert_same_numbers(found: &Value, expected: &Value) {
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected));
    let close = |found: &Value, expected: &Value, tolerance: f64| {
        let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
        (found - expected).abs() <= tolerance * expected.abs()
    };
    for (key, expected) in expected.as_object().unwrap() {
        let agrees = match (&found[key], expected) {
            (Value::Array(found), Value::Array(expected)) => {
                found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| close(f, e, 1e-12))
            }
            (found, expected) => close(found, expected, 1e-4),
        };
        assert!(agrees, "{key} is {} and not {expected}", found[key]);
    }
}

#[test]
fn the_sample_of_every_version_continues_to_the_same_numbers() {
    let lab = Lab::in_memory("");
    let whole = fs::read_to_string(samples().join("sample.jsonl")).unwrap();
    let whole: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for version in VERSIONS {
        let name = format!("version-{version}");
        let sample = samples().join(&name);
        let before = tree(&sample);
        lab.train(&["--resume", sample.to_str().unwrap(), "--out", &name]).well();
        assert!(tree(&sample) == before, "the sample of {name} has changed");
        let rest = log(&lab.path(&name));
        assert_eq!(rest.len(), 8, "{name}");
        rest.iter().zip(&whole[8..]).for_each(|(found, expected)| assert_same_numbers(found, expected));
    }
}

/// Any change of the form is a new version. Here the sample of the newest version is saved again: all files except the
/// manifest must be identical byte for byte, and the manifest must have the same entries in the same order.
#[test]
fn what_is_written_now_is_of_the_form_of_the_newest_sample() {
    let name = format!("version-{}", VERSIONS.end());
    for folder in [samples().join(name), samples().join("notebook")] {
        let sample = newest(&folder);
        let fields: Value = serde_json::from_slice(&fs::read(sample.path().join("state.json")).unwrap()).unwrap();
        let roots: BTreeSet<&str> = sample.parts().map(|part| part.split('.').next().unwrap()).collect();
        let is_field = |name: &str| !["step", "parts"].contains(&name) && !roots.contains(name);
        let mut snapshot = Snapshot::at(sample.step());
        for (name, value) in fields.as_object().unwrap().iter().filter(|(name, _)| is_field(name)) {
            snapshot = snapshot.field(name, value.clone()).unwrap();
        }
        for part in sample.parts() {
            snapshot = snapshot.state(part, sample.state(part).unwrap().clone()).unwrap();
        }
        let temporary = tempfile::tempdir().unwrap();
        let here = WrittenBy::this_build("cpu");
        let again = Folder::new(temporary.path()).save(&snapshot, &here).unwrap().path;
        let (mut before, mut after) = (tree(sample.path()), tree(&again));
        let manifests = [&mut before, &mut after].map(|files| files.remove(Path::new("manifest.json")).unwrap());
        assert!(before == after, "{} is not what is written now", sample.path().display());
        let [before, after] = manifests.map(|manifest| keys(&String::from_utf8(manifest).unwrap()));
        assert_eq!(before, after);
    }
}

/// The keys of a JSON text in the order in which they stand, with how far they are indented.
fn keys(text: &str) -> Vec<String> {
    let key = |line: &str| line.split_once("\":").map(|(key, _)| key.to_owned());
    text.lines().filter_map(key).collect()
}

/// A run of this version must save every entry of the sample, under the same name. Names of parts may change if the
/// older ones are still accepted; the data's was once `standardization`.
#[test]
fn no_entry_of_a_state_has_been_renamed() {
    let sample = newest(&samples().join(format!("version-{}", VERSIONS.end())));
    let lab = Lab::in_memory("");
    let folder = sample.path().parent().unwrap();
    lab.train(&["--resume", folder.to_str().unwrap(), "--out", "run"]).well();
    let now = Folder::new(lab.path("run/checkpoints")).list().unwrap();
    let first = Checkpoint::read(&now.first().unwrap().1).unwrap();
    assert_eq!(first.step(), sample.step());
    let (saved, written) = (common::state(sample.path()), common::state(first.path()));
    assert_eq!(missing("", &saved, &written), Vec::<String>::new());
}

/// Returns the places of `old` that `new` lacks or has with another value. A path depends on the run's folder.
fn missing(place: &str, old: &Value, new: &Value) -> Vec<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let inside = |(key, old)| missing(&format!("{place}.{key}"), old, new.get(key).unwrap_or(&Value::Null));
            old.iter().flat_map(inside).collect()
        }
        _ if old == new || [".config.data.path", ".parts"].contains(&place) => Vec::new(),
        _ => vec![format!("{place} was {old} and is {new}")],
    }
}
