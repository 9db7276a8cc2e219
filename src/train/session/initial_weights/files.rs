//! The files of initial weights: one, or shards with an index; and where in them each tensor is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::memory;
use crate::plain;
use crate::regular;
use crate::state::{Dtype, HostTensor};
use crate::tensor_header::{self, Remarks};
use crate::train::find::newest_at;

/// The file with the weights in a folder of Hugging Face, and in a checkpoint of Rekindle.
const WEIGHTS: &str = "model.safetensors";

/// The list of shards in a folder of Hugging Face.
const INDEX: &str = "model.safetensors.index.json";

/// Opened files, with a list of their tensors. Only tensors that are asked for are read.
#[derive(Default)]
pub(super) struct Files {
    shards: Vec<File>,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor in one of the files.
#[derive(Debug)]
pub(super) struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    shard: usize,
    bytes: Range<u64>,
}

/// The content of an index, as far as it is needed: the file of each tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Opens what `path` names: a safetensors file, an index of shards, a folder with one of both, or a run or a
    /// checkpoint of Rekindle.
    ///
    /// # Errors
    /// The reason and the remedy, without the path.
    pub fn open(path: &Path) -> Result<Self, String> {
        let path = if path.is_dir() { in_folder(path)? } else { path.to_owned() };
        let is_index = path.extension().is_some_and(|extension| extension == "json");
        if is_index {
            return Self::of_index(&path);
        }
        let mut files = Self::default();
        files.add(&path).map(|()| files)
    }

    /// Returns the names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns all tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored))
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// The file cannot be read, or there is no memory for it.
    pub fn read(&self, stored: &Stored) -> Result<HostTensor, String> {
        let Some(mut file) = self.shards.get(stored.shard) else { return Err("it has no such file".to_owned()) };
        let length = usize::try_from(stored.bytes.end - stored.bytes.start).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        memory::expect_failure(|| bytes.try_reserve_exact(length))
            .map_err(|_| format!("there is no memory for a tensor of {length} bytes"))?;
        bytes.resize(length, 0);
        let read = file.seek(SeekFrom::Start(stored.bytes.start)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| format!("it cannot be read: {error}"))?;
        Ok(HostTensor { dtype: stored.dtype, shape: stored.shape.clone(), bytes })
    }

    /// Opens the shards that an index lists.
    fn of_index(path: &Path) -> Result<Self, String> {
        let Index { weight_map } = index(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let names: BTreeSet<&String> = weight_map.values().collect();
        let (mut files, mut shards) = (Self::default(), BTreeMap::new());
        for name in names {
            let mut parts = Path::new(name).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(format!("the index names a file `{name}`, which is not beside it"));
            }
            shards.insert(name, files.shards.len());
            files.add(&folder.join(name)).map_err(|reason| format!("`{name}`: {reason}"))?;
        }
        let is_elsewhere = |(tensor, file): &(&String, &String)| {
            files.tensors.get(*tensor).map(|stored| stored.shard) != shards.get(file).copied()
        };
        match weight_map.iter().find(is_elsewhere) {
            Some((tensor, file)) => Err(format!(
                "the index says that `{tensor}` is in `{file}`, and it is not; download index and shards again"
            )),
            None => Ok(files),
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), String> {
        let unread = |error: std::io::Error| format!("{error}; give a safetensors file, or a folder with one");
        let file = regular::open(path).map_err(unread)?;
        let bytes = file.metadata().map_err(unread)?.len();
        let header = tensor_header::read(&mut &file, bytes, Remarks::Ignored).map_err(unread)?;
        let (start, metadata) = header.map_err(|reason| format!("{reason}; give a valid safetensors file"))?;
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let bytes = start + from as u64..start + to as u64;
            let stored = Stored { dtype: info.dtype, shape: info.shape.clone(), shard: self.shards.len(), bytes };
            if self.tensors.insert(name.clone(), stored).is_some() {
                return Err(format!("it has a tensor `{name}` that another file has too"));
            }
        }
        self.shards.push(file);
        Ok(())
    }
}

/// Returns the file with the weights of a folder, or its index of them.
fn in_folder(folder: &Path) -> Result<PathBuf, String> {
    let usual = [WEIGHTS, INDEX].map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
    if let Some(usual) = usual {
        return Ok(usual);
    }
    let entries = fs::read_dir(folder).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let ending = |end: &str| names.iter().filter(|name| name.ends_with(end)).cloned().collect::<Vec<String>>();
    match &ending(".safetensors")[..] {
        [one] => return Ok(folder.join(one)),
        [first, second, ..] => {
            return Err(format!(
                "it is a folder with several files, such as `{first}` and `{second}`; give one of them"
            ));
        }
        [] => {}
    }
    if names.iter().any(|name| name == "checkpoints" || name.starts_with("step-")) {
        let newest = newest_at(folder).map_err(|error| error.to_string())?;
        return Ok(newest.0.path().join(WEIGHTS));
    }
    let others = [ending(".bin"), ending(".pt"), ending(".pth")].concat();
    Err(match others.first() {
        Some(other) => format!(
            "it is a folder with `{other}` and without `{WEIGHTS}`; save the weights as safetensors, with \
             `model.save_pretrained(DIR)` of transformers"
        ),
        None => format!("it is a folder without `{WEIGHTS}` and without a run; give a safetensors file"),
    })
}

/// Reads an index of shards.
fn index(path: &Path) -> Result<Index, String> {
    let unread = |error: std::io::Error| format!("the index cannot be read: {error}");
    let mut text = Vec::new();
    let file = regular::open(path).map_err(unread)?;
    file.take(tensor_header::LIMIT).read_to_end(&mut text).map_err(unread)?;
    serde_json::from_slice(&text).map_err(|error| {
        let reason = plain::of_serde(&error.to_string());
        format!("it is not an index of shards: {reason}; give a safetensors file, or a folder with one")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{Device, Tensor};

    use super::*;

    fn save(path: PathBuf, names: &[&str]) {
        let tensor = |name: &&str| ((*name).to_owned(), Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap());
        candle_core::safetensors::save(&names.iter().map(tensor).collect::<HashMap<_, _>>(), path).unwrap();
    }

    fn index_of(pairs: &[(&str, &str)]) -> String {
        let map: BTreeMap<&str, &str> = pairs.iter().copied().collect();
        serde_json::json!({"metadata": {"total_size": 8}, "weight_map": map}).to_string()
    }

    fn refusal(path: &Path) -> String {
        Files::open(path).err().expect("it should be refused")
    }

    #[test]
    fn shards_are_read_as_one_file_and_must_hold_what_their_index_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        save(path.join("one.safetensors"), &["a", "b"]);
        save(path.join("two.safetensors"), &["c"]);
        assert!(refusal(path).contains("several files, such as `one.safetensors` and `two.safetensors`"));
        let write = |pairs: &[(&str, &str)]| fs::write(path.join(INDEX), index_of(pairs)).unwrap();
        write(&[("a", "one.safetensors"), ("b", "one.safetensors"), ("c", "two.safetensors")]);
        let files = Files::open(path).unwrap();
        assert_eq!(files.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        let c = files.read(&files.tensors["c"]).unwrap();
        assert_eq!((c.shape, c.bytes), (vec![2], [1f32, 2.0].map(f32::to_le_bytes).concat()));
        write(&[("a", "two.safetensors"), ("c", "two.safetensors")]);
        assert!(refusal(path).contains("the index says that `a` is in `two.safetensors`"));
        write(&[("a", "../one.safetensors")]);
        assert!(refusal(path).contains("names a file `../one.safetensors`, which is not beside it"));
        write(&[("a", "three.safetensors")]);
        assert!(refusal(path).contains("`three.safetensors`: No such file"));
        fs::write(path.join(INDEX), "{}").unwrap();
        assert!(refusal(&path.join(INDEX)).contains("it is not an index of shards: `weight_map` is missing"));
    }

    #[test]
    fn a_folder_without_safetensors_is_refused_with_what_would_help() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(folder.path()).contains("a folder without `model.safetensors` and without a run"));
        fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
        assert!(refusal(folder.path()).contains("with `pytorch_model.bin`"));
        save(folder.path().join("adapter_model.safetensors"), &["a"]);
        assert_eq!(Files::open(folder.path()).unwrap().names().count(), 1);
    }
}
