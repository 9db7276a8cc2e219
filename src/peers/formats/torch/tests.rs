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
fn every_real_file_is_read_but_the_one_of_whole_objects() {
    let mut found = Vec::new();
    files(&cases(), &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for path in found {
        match read(&path) {
            Ok((tree, _)) => assert!(tree.root().entries().is_some() || tree.root().object().is_some(), "{path:?}"),
            Err(error) => {
                let message = error.to_string();
                assert!(path.ends_with("whole_objects.pt"), "{message}");
                assert!(message.contains("torch.nn.modules.container.Sequential"), "{message}");
                assert!(
                    message.contains("state_dict()") && matches!(error, PeerError::Unsupported { .. }),
                    "{message}"
                );
            }
        }
    }
}
