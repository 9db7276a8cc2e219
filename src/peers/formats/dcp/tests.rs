//! The real case, and tensors in parts.

use std::fs;
use std::path::Path;

use super::super::changed::{Random, change};
use super::*;

fn case() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases/dcp/named_adamw_groups")
}

#[test]
fn names_with_dots_are_split_by_the_plan() {
    let tree = read(&case()).unwrap();
    let state = tree.root().at(&["optim", "state", "0.weight", "exp_avg"]).unwrap();
    assert_eq!(state.tensor().unwrap().shape(), [32, 10]);
    let groups: Vec<_> = tree.root().at(&["optim", "param_groups"]).unwrap().items().unwrap().collect();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[1].get("params").unwrap().items().unwrap().next().unwrap().text(), Some("0.bias"));
    assert_eq!(tree.root().at(&["scheduler", "last_epoch"]).unwrap().int(), Some(10));
    assert_eq!(tree.root().get("step").unwrap().int(), Some(10));
}

#[test]
fn a_folder_that_is_half_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(case().join("__0_0.distcp"), folder.path().join("__0_0.distcp")).unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("no `.metadata`"), "{error}");
    fs::copy(case().join(METADATA), folder.path().join(METADATA)).unwrap();
    assert!(read(folder.path()).is_ok());
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("__0_0.distcp")).unwrap();
    file.set_len(70_000).unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("cut off"), "{error}");
    fs::remove_file(folder.path().join("__0_0.distcp")).unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("\"__0_0.distcp\"") && error.to_string().contains("missing")
    );
}

#[test]
fn changed_forms_of_the_real_folder_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(case().join("__0_0.distcp"), folder.path().join("__0_0.distcp")).unwrap();
    let whole = fs::read(case().join(METADATA)).unwrap();
    let mut random = Random(3);
    let mut refused = 0;
    for _ in 0..150 {
        let mut changed = whole.clone();
        change(&mut changed, &mut random);
        fs::write(folder.path().join(METADATA), &changed).unwrap();
        refused += usize::from(read(folder.path()).is_err());
    }
    assert!(refused > 50, "{refused}");
}
