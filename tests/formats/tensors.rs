//! Tensors of every element type, in safetensors and in files of NumPy.
//!
//! `tests/data/arrays/make.py` has made the files of NumPy.

use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rekindle::data::{Dataset, Input, TargetKind};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::common::data::{self, floats, folder, open};

fn arrays() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/arrays")
}

/// A safetensors file of four rows of two numbers, and the given targets.
fn file(x: (Dtype, Vec<u8>), y: (Dtype, &[usize], Vec<u8>)) -> Vec<u8> {
    let views = [
        ("x", TensorView::new(x.0, vec![4, 2], &x.1).unwrap()),
        ("y", TensorView::new(y.0, y.1.to_vec(), &y.2).unwrap()),
    ];
    safetensors::serialize(views, None).unwrap()
}

fn labels() -> (Dtype, &'static [usize], Vec<u8>) {
    (Dtype::U8, &[4], vec![0, 1, 2, 1])
}

/// Returns the inputs of all rows.
fn inputs(path: &Path, options: &str) -> Vec<f32> {
    let data = open(path, options).unwrap_or_else(|error| panic!("{error}"));
    floats(&data.dataset().gather(&data.all_rows().to_vec()).unwrap().inputs)
}

#[test]
fn inputs_may_have_any_type_of_numbers() {
    let numbers = [0u8, 1, 0, 1, 1, 1, 0, 0];
    let wide: Vec<(Dtype, Vec<u8>)> = vec![
        (Dtype::BOOL, numbers.to_vec()),
        (Dtype::U8, numbers.to_vec()),
        (Dtype::I8, numbers.to_vec()),
        (Dtype::U16, numbers.map(|x| u16::from(x).to_le_bytes()).concat()),
        (Dtype::I16, numbers.map(|x| i16::from(x).to_le_bytes()).concat()),
        (Dtype::U32, numbers.map(|x| u32::from(x).to_le_bytes()).concat()),
        (Dtype::I32, numbers.map(|x| i32::from(x).to_le_bytes()).concat()),
        (Dtype::U64, numbers.map(|x| u64::from(x).to_le_bytes()).concat()),
        (Dtype::I64, numbers.map(|x| i64::from(x).to_le_bytes()).concat()),
        (Dtype::F16, numbers.map(|x| f16::from(x).to_le_bytes()).concat()),
        (Dtype::BF16, numbers.map(|x| bf16::from(x).to_le_bytes()).concat()),
        (Dtype::F32, numbers.map(|x| f32::from(x).to_le_bytes()).concat()),
        (Dtype::F64, numbers.map(|x| f64::from(x).to_le_bytes()).concat()),
    ];
    for (dtype, bytes) in wide {
        let folder = folder(&[("a.safetensors", file((dtype, bytes), labels()))]);
        let found = inputs(&folder.path().join("a.safetensors"), "");
        assert_eq!(found, numbers.map(f32::from), "{dtype:?}");
    }
}

#[test]
fn targets_of_floats_are_values_and_whole_numbers_are_classes() {
    let x = || (Dtype::U8, (0..8).collect::<Vec<u8>>());
    let targets = |y| {
        let folder = folder(&[("a.safetensors", file(x(), y))]);
        open(&folder.path().join("a.safetensors"), "").unwrap().targets()
    };
    let halves = [0.5, 1.0, 0.0, -2.0].map(|x| f16::from_f32(x).to_le_bytes()).concat();
    assert_eq!(targets((Dtype::F16, &[4], halves)), TargetKind::Values { width: 1 });
    assert_eq!(
        targets((Dtype::F64, &[4, 1], [0.5; 4].map(f64::to_le_bytes).concat())),
        TargetKind::Values { width: 1 }
    );
    assert_eq!(
        targets((Dtype::I16, &[4], [0i16, 1, 2, 0].map(i16::to_le_bytes).concat())),
        TargetKind::Classes { count: 3 }
    );
    assert_eq!(targets((Dtype::BOOL, &[4], vec![0, 1, 1, 0])), TargetKind::Classes { count: 2 });
    assert_eq!(targets((Dtype::BOOL, &[4, 2], vec![0, 1, 1, 0, 1, 1, 0, 0])), TargetKind::Values { width: 2 });
}

#[test]
fn numbers_that_f32_cannot_tell_apart_are_reported() {
    let seconds: Vec<f64> = (0..8).map(|i| if i % 2 == 0 { 0.1 } else { 1.7e9 + f64::from(i) }).collect();
    let x = (Dtype::F64, seconds.iter().flat_map(|x| x.to_le_bytes()).collect());
    let folder = folder(&[("a.safetensors", file(x, labels()))]);
    let data = open(&folder.path().join("a.safetensors"), "").unwrap();
    let said = data.notices().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(said.contains("tensor `x`, place 1 of a row (counted from 0): numbers such as 17000"), "{said}");
    let large = (Dtype::F64, [1.0, 1e300, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0].map(f64::to_le_bytes).concat());
    let message = refusal("a.safetensors", &file(large, labels()), "");
    assert!(message.starts_with("a.safetensors, tensor `x`, row 0 (counted from 0): 1e300 is not"), "{message}");
}

fn refusal(name: &str, content: &[u8], options: &str) -> String {
    data::refusal(&[(name, content.to_vec())], name, options)
}

/// Rows of an archive are read in parts while a run trains, where they are stored as they are.
#[test]
fn an_archive_of_numpy_is_a_shard() {
    let in_parts = "classes = 3\nshuffle_window = 2";
    let batch = |options: &str| {
        let data = open(&arrays().join("stored.npz"), options).unwrap();
        let batch = data.dataset().gather(&[3, 0, 2, 1]).unwrap();
        (floats(&batch.inputs), batch.targets.to_vec1::<u32>().unwrap())
    };
    assert_eq!(batch("classes = 3"), batch(in_parts));
    let refused =
        |name: &str, more: &str| open(&arrays().join(name), &format!("{in_parts}\n{more}")).map(drop).unwrap_err();
    assert!(refused("deflated.npz", "").contains("is compressed, so that no part of it can be read"));
    assert!(refused("stored.npz", "inputs = \"z\"").contains("has no tensor `z`"));
    let bytes = fs::read(arrays().join("stored.npz")).unwrap();
    for end in [10, 100, bytes.len() / 2] {
        let message = refusal("a.npz", &bytes[..end], "classes = 3\nshuffle_window = 2");
        assert!(message.starts_with("a.npz cannot be read as an array of NumPy: "), "{message}");
    }
}

/// Each file has the numbers 0, 0.5, 1, … in four rows of 2 × 3: in either order of elements and of bytes, of several
/// versions of the format, plain, packed and in archives.
#[test]
fn arrays_of_numpy_are_read_as_numpy_wrote_them() {
    let expected: Vec<f32> = (0..24u8).map(|i| f32::from(i) * 0.5).collect();
    for name in ["rows.npy", "columns.npy", "big.npy", "version2.npy", "packed.npy.gz"] {
        assert_eq!(inputs(&arrays().join(name), ""), expected, "{name}");
    }
    for name in ["stored.npz", "deflated.npz"] {
        assert_eq!(inputs(&arrays().join(name), ""), expected, "{name}");
    }
    let data = open(&arrays().join("rows.npy"), "").unwrap();
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![2, 3]), TargetKind::Classes { count: 3 }));
    let batch = data.dataset().gather(&[0, 1, 2, 3]).unwrap();
    assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [0, 1, 2, 1]);
    let data = open(&arrays().join("rows.npy"), "targets = \"labels.npy\"").unwrap();
    assert_eq!(data.targets(), TargetKind::Values { width: 2 });
    let data = open(&arrays().join("stored.npz"), "targets = \"values\"\nstandardize = true").unwrap();
    assert_eq!(data.targets(), TargetKind::Values { width: 1 });
}

#[test]
fn arrays_that_cannot_be_read_are_named_with_the_reason() {
    let refusal = |name: &str, options: &str| {
        let message = open(&arrays().join(name), options).map(drop).unwrap_err();
        message.replace(&format!("{}/", arrays().display()), "")
    };
    for (name, reason) in
        [("objects.npy", "objects of Python"), ("fields.npy", "a structured array"), ("text.npy", "text")]
    {
        let message = refusal(name, "");
        assert!(message.starts_with(&format!("{name} cannot be read as an array of NumPy: ")), "{message}");
        assert!(message.contains(reason), "{message}");
    }
    let message = refusal("rows.npy", "targets = \"z.npy\"");
    assert!(message.starts_with("cannot read the targets z.npy: ") && message.contains("`data.targets`"), "{message}");
    let message = refusal("stored.npz", "inputs = \"z\"");
    assert!(message.starts_with("`data.inputs`: stored.npz has no tensor `z`"), "{message}");
    let message = refusal("rows.npy", "inputs = \"z\"");
    assert_eq!(message, "`data.inputs` does not apply to npy; remove it");
}

#[test]
fn a_damaged_archive_is_refused() {
    for name in ["stored.npz", "deflated.npz"] {
        let whole = fs::read(arrays().join(name)).unwrap();
        let mut changed = whole.clone();
        // In the elements or the packed bytes of the first array.
        changed[whole.len() / 8] ^= 1;
        for content in [changed, whole[..whole.len() - 30].to_vec(), whole[..100].to_vec()] {
            let message = refusal("a.npz", &content, "");
            assert!(message.starts_with("a.npz cannot be read as an array of NumPy: "), "{message}");
        }
    }
    let cut = fs::read(arrays().join("rows.npy")).unwrap();
    let message = refusal("a.npy", &cut[..cut.len() - 8], "targets = \"a.npy\"");
    assert!(message.contains("its F32[4, 2, 3] is 96 bytes, and 88 follow the header"), "{message}");
}

/// Whatever byte is another, the file is read or refused.
#[test]
fn a_changed_byte_is_no_panic() {
    for name in ["rows.npy", "columns.npy", "version2.npy", "stored.npz", "deflated.npz"] {
        let whole = fs::read(arrays().join(name)).unwrap();
        let folder = folder(&[("y.npy", fs::read(arrays().join("y.npy")).unwrap())]);
        let path = folder.path().join(name);
        for at in 0..whole.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                fs::write(&path, changed).unwrap();
                drop(open(&path, ""));
            }
            fs::write(&path, &whole[..at]).unwrap();
            // The last two bytes of an archive are the length of its comment.
            assert!(open(&path, "").is_err() || at + 2 >= whole.len(), "{name} with {at} bytes");
        }
    }
}
