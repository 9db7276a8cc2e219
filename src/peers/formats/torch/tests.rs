//! Real files, changed forms of them, and files that are made to mislead.

use std::fs;
use std::path::{Path, PathBuf};

use memmap2::MmapMut;

use super::super::super::tensor::Dtype;
use super::super::super::tree::{Ref, Tree, Value};
use super::super::changed::{Random, change};
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

fn mapped(bytes: &[u8]) -> Arc<Mmap> {
    let mut map = MmapMut::map_anon(bytes.len().max(1)).unwrap();
    map[..bytes.len()].copy_from_slice(bytes);
    Arc::new(map.make_read_only().unwrap())
}

fn open(bytes: &[u8]) -> Result<Tree, Refusal> {
    read_part(&mapped(bytes), 0..bytes.len()).map(|(tree, _)| tree)
}

fn refusal(bytes: &[u8]) -> String {
    match open(bytes) {
        Ok(tree) => panic!("it was read: {:?}", tree.root().value()),
        Err(Refusal::Damaged(what)) => format!("damaged: {what}"),
        Err(Refusal::Unsupported(what)) => format!("unsupported: {what}"),
    }
}

/// A member as the directory lists it; all can be made to lie.
#[derive(Clone)]
struct Member {
    name: String,
    bytes: Vec<u8>,
    method: u16,
    listed_size: Option<u32>,
    /// The place of its header that the directory says, if another.
    header: Option<u32>,
}

fn member(name: &str, bytes: &[u8]) -> Member {
    Member { name: name.to_owned(), bytes: bytes.to_vec(), method: 0, listed_size: None, header: None }
}

fn zip(members: &[Member]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let start = member.header.unwrap_or(file.len() as u32);
        let crc = crc32fast::hash(&member.bytes).to_le_bytes();
        let size = (member.bytes.len() as u32).to_le_bytes();
        let listed = member.listed_size.map_or(size, u32::to_le_bytes);
        let name = (member.name.len() as u16).to_le_bytes();
        let (method, version) = (member.method.to_le_bytes(), [20, 0]);
        file.extend(
            [b"PK\x03\x04", &version[..], &[0, 0], &method, &[0; 4], &crc, &size, &size, &name, &[0, 0]].concat(),
        );
        file.extend([member.name.as_bytes(), &member.bytes].concat());
        directory.extend(
            [b"PK\x01\x02", &version[..], &version, &[0, 0], &method, &[0; 4], &crc, &listed, &listed].concat(),
        );
        directory.extend([&name[..], &[0; 12], &start.to_le_bytes(), member.name.as_bytes()].concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (size, start) = ((directory.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
    file.extend(directory);
    file.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &size, &start, &[0, 0]].concat());
    file
}

/// A pickle of a tensor over storage `0`, by its class, number of elements, and the view as text of protocol 0.
fn tensor(class: &str, elements: usize, view: &str) -> Vec<u8> {
    let storage = format!("(Vstorage\nctorch\n{class}\nV0\nVcpu\nI{elements}\ntQ");
    format!("ctorch._utils\n_rebuild_tensor_v2\n({storage}{view}tR.").into_bytes()
}

fn file(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    zip(&[member("x/data.pkl", pickle), member("x/byteorder", b"little"), member("x/data/0", storage)])
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
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

#[test]
fn views_of_a_storage_keep_their_order_offset_and_sign() {
    let six = floats(&[0., 1., 2., 3., 4., 5.]);
    for (view, expected) in [
        ("I0\n(I2\nI3\nt(I3\nI1\ntI00\nN", vec![0., 1., 2., 3., 4., 5.]),
        ("I0\n(I2\nI3\nt(I1\nI2\ntI00\nN", vec![0., 2., 4., 1., 3., 5.]),
        ("I4\n(I2\nI2\nt(I0\nI1\ntI00\nN", vec![4., 5., 4., 5.]),
        ("I5\n)(tI00\nN", vec![5.]),
        ("I1\n(I2\nt(I1\ntI00\nN(dVneg\nI01\ns", vec![-1., -2.]),
    ] {
        let tree = open(&file(&tensor("FloatStorage", 6, view), &six)).unwrap();
        assert_eq!(tree.root().tensor().unwrap().to_f64().unwrap(), expected, "{view}");
    }
    let beyond = file(&tensor("FloatStorage", 6, "I4\n(I3\nt(I1\ntI00\nN"), &six);
    assert!(refusal(&beyond).contains("leaves its storage"));
}

#[test]
fn every_kind_of_number_is_read() {
    for (class, bytes, dtype, number) in [
        ("DoubleStorage", 2.5f64.to_le_bytes().to_vec(), Dtype::F64, 2.5),
        ("HalfStorage", vec![0, 0x3e], Dtype::F16, 1.5),
        ("BFloat16Storage", vec![0xc0, 0x3f], Dtype::BF16, 1.5),
        ("LongStorage", (-3i64).to_le_bytes().to_vec(), Dtype::I64, -3.0),
        ("IntStorage", (-3i32).to_le_bytes().to_vec(), Dtype::I32, -3.0),
        ("ShortStorage", (-3i16).to_le_bytes().to_vec(), Dtype::I16, -3.0),
        ("CharStorage", vec![0xfd], Dtype::I8, -3.0),
        ("ByteStorage", vec![0xfd], Dtype::U8, 253.0),
        ("BoolStorage", vec![1], Dtype::BOOL, 1.0),
    ] {
        let tree = open(&file(&tensor(class, 1, "I0\n))I00\nN"), &bytes)).unwrap();
        let tensor = tree.root().tensor().unwrap();
        assert_eq!((tensor.dtype(), tensor.scalar()), (dtype, Some(number)), "{class}");
    }
    assert!(refusal(&file(&tensor("QInt8Storage", 1, "I0\n))I00\nN"), &[0])).contains("torch.QInt8Storage"));
    // The newer form has the dtype apart from the storage.
    let new = b"ctorch._utils\n_rebuild_tensor_v3\n((Vstorage\nctorch.storage\nUntypedStorage\nV0\nVcpu\nI4\ntQI1\n(I1\nt(I1\ntI00\nNctorch\nuint16\ntR.";
    let tree = open(&file(new, &[1, 0, 2, 1])).unwrap();
    assert_eq!((tree.root().tensor().unwrap().dtype(), tree.root().number()), (Dtype::U16, Some(258.0)));
}

#[test]
fn a_storage_that_stands_alone_is_a_tensor() {
    let tree = open(&file(b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI2\ntQ.", &floats(&[1., 2.]))).unwrap();
    assert_eq!(tree.root().tensor().unwrap().to_f32().unwrap(), [1., 2.]);
}

#[test]
fn sizes_that_lie_are_refused() {
    let whole = "I0\n(I2\nt(I1\ntI00\nN";
    assert!(refusal(&file(&tensor("FloatStorage", 2, whole), &floats(&[1.]))).contains("has 4 bytes, and 2 elements"));
    assert!(refusal(&file(&tensor("FloatStorage", 1 << 62, whole), &floats(&[1.]))).contains("are expected"));
    assert!(
        refusal(&file(&tensor("FloatStorage", 2, "I-1\n(I1\nt(I1\ntI00\nN"), &floats(&[1., 2.]))).contains("arguments")
    );
    let mut members = vec![member("x/data.pkl", b"N."), member("x/data/0", &[0; 8])];
    for size in [4, 9, 1 << 30, u32::MAX] {
        members[1].listed_size = Some(size);
        assert!(refusal(&zip(&members)).starts_with("damaged: zip: "), "{size}");
    }
}

#[test]
fn members_that_overlap_or_stand_twice_are_refused() {
    let mut inner = zip(&[member("x/data/1", &[7; 40])]);
    inner.truncate(78);
    let mut members = vec![member("x/data.pkl", b"N."), member("x/data/0", &inner), member("x/data/1", &[7; 40])];
    let start = 40 + 2 + 38;
    assert!(open(&zip(&members)).is_ok());
    members[2].header = Some(start);
    assert!(refusal(&zip(&members)).contains("\"x/data/0\" and \"x/data/1\" overlap"));
    let twice = [member("x/data.pkl", b"N."), member("x/data/0", &[1]), member("x/data/0", &[2])];
    assert!(refusal(&zip(&twice)).contains("\"x/data/0\" is there twice"));
}

#[test]
fn a_compressed_member_is_refused_so_that_none_can_grow() {
    let mut bomb = member("x/data/0", &[0; 16]);
    (bomb.method, bomb.listed_size) = (8, Some(u32::MAX - 1));
    assert!(refusal(&zip(&[member("x/data.pkl", b"N."), bomb])).contains("compressed (method 8)"));
}

#[test]
fn files_of_another_order_of_bytes_or_another_kind_are_refused_by_name() {
    let big = zip(&[member("x/data.pkl", b"N."), member("x/byteorder", b"big")]);
    assert!(refusal(&big).starts_with("unsupported: its numbers are in big-endian order"));
    let script = zip(&[member("x/data.pkl", b"N."), member("x/constants.pkl", b"N.")]);
    assert!(refusal(&script).contains("TorchScript"));
    assert!(!is(&zip(&[member("metadata.json", b"{}")])));
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(refusal(&tar).contains("tar file"));
}

#[test]
fn a_storage_that_is_missing_is_named() {
    let pickle = tensor("FloatStorage", 1, "I0\n))I00\nN");
    assert!(refusal(&zip(&[member("x/data.pkl", &pickle)])).contains("\"x/data/0\" is missing"));
}

#[test]
fn a_file_cut_off_anywhere_is_damaged() {
    for name in ["torch/grad_scaler.pt", "torch-1.4/adamw_cosine.pt"] {
        let whole = fs::read(cases().join(name)).unwrap();
        for length in (5..whole.len()).step_by(23) {
            assert!(refusal(&whole[..length]).starts_with("damaged: "), "{name} cut to {length}");
        }
    }
}

#[test]
fn counts_of_the_old_format_must_agree() {
    let mut old = fs::read(cases().join("torch-1.4/adamw_cosine.pt")).unwrap();
    let last = old.len() - 1;
    let (tree, _) = read(&cases().join("torch-1.4/adamw_cosine.pt")).unwrap();
    let elements: usize = count(tree.root()).iter().sum();
    assert!(elements * 4 < last);
    // The count of the last storage: it is one of 32 numbers, a bias or a weight with its moments.
    let place = (0..last - 8).rev().find(|place| old[*place..place + 8] == 32u64.to_le_bytes()).unwrap();
    old[place] = 31;
    assert!(refusal(&old).contains("has 31 elements, and 32 are expected"));
}

/// The numbers of elements of all tensors in a dict of dicts.
fn count(value: Ref<'_>) -> Vec<usize> {
    match value.value() {
        Value::Tensor(tensor) => vec![tensor.elements()],
        _ => value.entries().into_iter().flatten().flat_map(|(_, inner)| count(inner)).collect(),
    }
}

#[test]
fn sums_are_checked_where_they_are_asked_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = zip(&[member("x/data.pkl", b"N."), member("x/data/0", &[5; 8])]);
    fs::write(file.path(), &bytes).unwrap();
    assert_eq!(zip::verify(file.path()).unwrap(), 2);
    let place = memchr::memmem::find(&bytes, &[5; 8]).unwrap();
    bytes[place] = 6;
    fs::write(file.path(), &bytes).unwrap();
    assert!(read(file.path()).is_ok(), "opening a file does not read its numbers");
    let error = zip::verify(file.path()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("the content of x/data/0 was changed"), "{error}");
}

/// Visits every tensor that can be reached, in bounded time.
fn look(tree: &Tree) {
    let mut next = vec![tree.root()];
    let mut seen = std::collections::HashSet::new();
    while let Some(value) = next.pop() {
        if !seen.insert(value.place()) {
            continue;
        }
        if let Some(tensor) = value.tensor().filter(|tensor| tensor.elements() < 1 << 16) {
            let _ = tensor.to_bytes();
            let _ = value.number();
        }
        next.extend(value.items().into_iter().flatten());
        next.extend(value.attributes().into_iter().flatten().flat_map(|(key, value)| [key, value]));
    }
}

#[test]
fn changed_forms_of_real_files_are_read_or_refused() {
    let mut found = Vec::new();
    files(&cases(), &mut found);
    found.sort();
    let mut random = Random(7);
    let mut read = 0;
    for path in &found {
        let whole = fs::read(path).unwrap();
        for _ in 0..30 {
            let mut changed = whole.clone();
            change(&mut changed, &mut random);
            if let Ok(tree) = open(&changed) {
                look(&tree);
                read += 1;
            }
        }
        // The pickle by itself, whose bytes are few among those of a file.
        let map = mapped(&whole);
        let Ok(archive) = zip::Archive::open(map, 0..whole.len()) else { continue };
        let Some(member) = archive.members().iter().find(|member| member.name.ends_with("data.pkl")) else { continue };
        let members: Vec<Member> =
            archive.members().iter().map(|member| self::member(&member.name, archive.bytes(member))).collect();
        let at = archive.members().iter().position(|other| other == member).unwrap();
        for _ in 0..60 {
            let mut changed = members.clone();
            change(&mut changed[at].bytes, &mut random);
            if let Ok(tree) = open(&zip(&changed)) {
                look(&tree);
                read += 1;
            }
        }
    }
    assert!(read > 100, "only {read} changed forms were read");
}
