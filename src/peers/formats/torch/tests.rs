//! Real files, and files that are made to mislead.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases")
}

/// Every file of PyTorch among the cases.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if is(&fs::read(&path).unwrap()) {
            found.push(path);
        }
    }
}

#[test]
fn every_real_file_is_read() {
    let mut found = Vec::new();
    files(&cases(), &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for path in found {
        let (tree, _) = read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(tree.root().entries().is_some() || tree.root().object().is_some(), "{path:?}");
    }
}
