//! Packed files are read, or named for what they are.

use crate::common::data::{floats, folder, open, refusal};

const TABLE: &[u8] = b"a,b,y\n1,2,0\n3,4,1\n";

/// `TABLE` by `zstd` 1.5, with its checksum.
const ZSTD: &[u8] = &[
    0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x12, 0x91, 0x00, 0x00, 0x61, 0x2c, 0x62, 0x2c, 0x79, 0x0a, 0x31, 0x2c, 0x32, 0x2c,
    0x30, 0x0a, 0x33, 0x2c, 0x34, 0x2c, 0x31, 0x0a, 0xa5, 0x9a, 0xcb, 0x94,
];

#[test]
fn a_zstd_file_is_read_by_its_first_bytes_whatever_its_name() {
    let rows = |name: &str, bytes: &[u8]| {
        let folder = folder(&[(name, bytes.to_vec())]);
        floats(&open(&folder.path().join(name), "batch_size = \"all\"").unwrap().batch(0).unwrap().inputs)
    };
    assert_eq!(rows("a.csv.zst", ZSTD), rows("a.csv", TABLE));
    assert_eq!(rows("a.csv", ZSTD), rows("a.csv", TABLE));
    let cut = refusal(&[("a.csv.zst", ZSTD[..ZSTD.len() - 6].to_vec())], "a.csv.zst", "");
    assert!(cut.starts_with("the zstd file a.csv.zst is damaged or cut short: "), "{cut}");
}

#[test]
fn a_text_may_be_a_zstd_file() {
    let folder = folder(&[("a.txt.zst", ZSTD.to_vec())]);
    let options = format!("context = 4\ncache = {:?}", folder.path().join("cache"));
    let data = open(&folder.path().join("a.txt.zst"), &options).unwrap();
    assert_eq!(data.train_rows().len(), TABLE.len() - 4);
}

#[test]
fn files_that_are_packed_in_another_way_are_named_for_what_they_are() {
    for (bytes, what, remedy) in [
        (&b"\xfd7zXZ\0\0\x04"[..], "an xz file", "unpack it with `xz -dk`"),
        (b"BZh91AY&SY\0\0", "a bzip2 file", "unpack it with `bzip2 -dk`"),
        (b"PK\x03\x04\x14\0", "a zip file, such as an archive or a workbook", "unpack it, or save the sheet as CSV"),
    ] {
        let expected = format!("a.csv is {what}, and gzip and zstd are read; {remedy}");
        assert_eq!(refusal(&[("a.csv", bytes.to_vec())], "a.csv", ""), expected);
    }
    let message = refusal(&[("a.txt", b"PK\x03\x04\xff".to_vec())], "a.txt", "context = 4\ncache = \"/dev/null/x\"");
    assert!(message.starts_with("a.txt is a zip file"), "{message}");
}
