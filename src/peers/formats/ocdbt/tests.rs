use std::fs;

use tempfile::TempDir;

use super::*;
use crate::crc32c::crc32c;

const CASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases/orbax/adamw_warmup_cosine/10/state");

/// Returns a block with its header and checksum.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut block = kind.to_be_bytes().to_vec();
    block.extend((body.len() as u64 + 18).to_le_bytes());
    // Version 0, not compressed.
    block.extend([0, 0]);
    block.extend(body);
    let sum = crc32c(&block);
    block.extend(sum.to_le_bytes());
    block
}

/// Writes a database whose root, of `height`, lies in the file at `path` beside its leaf.
fn two_levels(path: &[u8], height: u8) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    // Keys "b/one" and "b/two", below "a".
    let leaf = [&[0, 0, 2, 2, 5, 3][..], b"b/onetwo", &[1, 2, 0, 0], b"122"].concat();
    let leaf = block(0x0cdb_20de, &leaf);
    let root = [&[height, 1, 1, 0][..], b"d", &[1, 4, 1], b"ab/o", &[0, 0, leaf.len() as u8, 2, 99, 0]].concat();
    let root = block(0x0cdb_20de, &root);
    let versions = [&[1, 7, 1, 0, leaf.len() as u8, root.len() as u8, 2, 99, 0][..], &[0; 8], &[0]].concat();
    let manifest = [&[9; 16][..], &[0, 100, 100, 4, 0, 1, path.len() as u8, 0], path, &versions].concat();
    fs::write(folder.path().join(MANIFEST), block(0x0cdb_3a2a, &manifest)).unwrap();
    fs::write(folder.path().join("d"), [leaf, root].concat()).unwrap();
    folder
}

#[test]
fn the_newest_version_of_a_database_of_several_files_is_read() {
    let database = Ocdbt::open(Path::new(CASE)).unwrap();
    assert_eq!(database.keys().count(), 30);
    assert_eq!(database.keys().filter(|key| key.ends_with("/.zarray")).count(), 15);
    let metadata = database.get("params.layers_0.kernel/.zarray").unwrap().unwrap();
    assert!(str::from_utf8(metadata.bytes()).unwrap().contains(r#""shape":[10,32]"#));
    // This one is stored outside of its node, in the database of a process.
    let chunk = database.get("params.layers_0.kernel/0.0").unwrap().unwrap();
    assert!(chunk.bytes().len() > 1000 && chunk.bytes().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    assert!(database.get("params").unwrap().is_none());
}

#[test]
fn keys_below_a_node_of_nodes_have_its_prefix() {
    let folder = two_levels(b"d", 1);
    let database = Ocdbt::open(folder.path()).unwrap();
    assert_eq!(database.keys().collect::<Vec<_>>(), ["ab/one", "ab/two"]);
    assert_eq!(database.get("ab/two").unwrap().unwrap().bytes(), b"22");
    assert_eq!(database.checked(), 3);
}

#[test]
fn a_changed_bit_a_missing_file_and_a_cut_are_named() {
    let error = |folder: &TempDir| Ocdbt::open(folder.path()).unwrap_err().to_string();
    let folder = two_levels(b"d", 1);
    let data = fs::read(folder.path().join("d")).unwrap();
    let mut changed = data.clone();
    changed[20] ^= 1;
    fs::write(folder.path().join("d"), &changed).unwrap();
    assert!(error(&folder).contains("the node does not match its CRC-32C"));
    fs::write(folder.path().join("d"), &data[..data.len() - 1]).unwrap();
    assert!(error(&folder).contains("it was cut off"));
    fs::remove_file(folder.path().join("d")).unwrap();
    assert!(error(&folder).contains("No such file"));
    assert!(error(&two_levels(b"../d", 1)).contains("is not below it"));
    assert!(error(&two_levels(b"/d", 1)).contains("is not below it"));
    assert!(error(&two_levels(b"d", 2)).contains("height 2 where 1 is due"));
}
