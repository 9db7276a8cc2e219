//! The cases, read from their folders so that no one is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rekindle::state::{Dtype, HostTensor};
use serde_json::Value;

/// A checkpoint, and what its own trainer printed when it continued.
#[derive(Debug)]
pub struct Case {
    /// Peer and case, such as `torch/nadam`.
    pub name: String,
    /// The checkpoint.
    pub path: PathBuf,
    /// The weights after ten more updates.
    pub after: PathBuf,
    /// The entry in `expected.json`.
    pub expected: Value,
}

/// The folder of all cases.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases")
}

/// Returns the checkpoint of the case with this name.
pub fn checkpoint(name: &str) -> PathBuf {
    all().into_iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}")).path
}

/// Returns every case of every peer, sorted by name. The two runs of `torch_run` are on other data, and not among them.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(folder.join("expected.json")) else { continue };
        let expected: Value = serde_json::from_str(&text).unwrap();
        let peer = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for case in expected["cases"].as_array().into_iter().flatten() {
            let name = case["case"].as_str().unwrap();
            let path = case["file"].as_str().map_or_else(|| inside(&folder.join(name)), |file| folder.join(file));
            let after = folder.join(case["after"].as_str().unwrap());
            cases.push(Case { name: format!("{peer}/{name}"), path, after, expected: case.clone() });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Returns what a person would name in the folder of a case: the only thing beside the weights after it, the newest of
/// a manager's steps, a Keras file with its configuration, or the folder itself.
fn inside(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let entries: Vec<PathBuf> = entries.filter(|path| !path.ends_with("after.safetensors")).collect();
    match &entries[..] {
        [only] if only.is_file() || only.ends_with("10") => only.clone(),
        all => all.iter().find(|path| path.ends_with("model.keras")).cloned().unwrap_or_else(|| folder.to_owned()),
    }
}

/// Reads the tensors of a safetensors file.
pub fn tensors(path: &Path) -> BTreeMap<String, HostTensor> {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let host = HostTensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
        (name, host)
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// Returns the numbers of a tensor.
pub fn numbers(tensor: &HostTensor) -> Vec<f64> {
    match tensor.dtype {
        Dtype::F32 => tensor.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
        Dtype::BF16 => {
            tensor.bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes(b.try_into().unwrap()).into()).collect()
        }
        other => panic!("numbers of {other:?}"),
    }
}
