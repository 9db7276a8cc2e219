//! Survey of a folder: MNIST's files, or a subfolder of images for each class.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::folder::{listed, some_of};
use super::super::{DataError, file, picture};
use super::Survey;

pub(super) fn survey(path: &Path) -> Result<Option<Survey>, DataError> {
    match idx_file(path, "train-images-idx3-ubyte") {
        Some(images) => idx(path, &images).map(Some),
        None => images(path),
    }
}

/// Describes the content of a folder, with the format that fits.
pub(super) fn content(folder: &Path) -> String {
    if idx_file(folder, "train-images-idx3-ubyte").is_some() {
        return " with MNIST's files; set `data.format = \"idx\"`".to_owned();
    }
    let (path, _) = sides(folder);
    if has_pictures(&path).unwrap_or(false) {
        let inner = if path == folder { String::new() } else { format!(", and `data.path` to {}", path.display()) };
        return format!(" with a subfolder of images for each class; set `data.format = \"images\"`{inner}");
    }
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let holds = if names.is_empty() { "nothing".to_owned() } else { some_of(&names) };
    format!(
        " that holds {holds}; `data.path` names a file (`.csv`, `.parquet`, `.safetensors`, `.npy`, `.npz`, `.txt`), a folder with \
         MNIST's files, or one with a subfolder of images for each class"
    )
}

/// Returns the folder of the classes, and that of the classes of validation images, if there is one.
fn sides(folder: &Path) -> (PathBuf, Option<PathBuf>) {
    let of = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_dir());
    let (train, validation) = (of(&["train", "training"]), of(&["val", "valid", "validation", "test"]));
    match (train, validation) {
        (Some(train), validation) => (train, validation),
        (None, _) => (folder.to_owned(), None),
    }
}

fn idx(folder: &Path, images: &Path) -> Result<Survey, DataError> {
    let unreadable = |source| DataError::Read { path: folder.into(), source };
    let mut head = [0; 16];
    file::unpacked(images).and_then(|(mut file, _)| file.read_exact(&mut head)).map_err(unreadable)?;
    let [_, count, height, width] =
        [0, 4, 8, 12].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize);
    let has_validation = idx_file(folder, "t10k-images-idx3-ubyte").is_some();
    let labels = idx_file(folder, "train-labels-idx1-ubyte");
    let labels = labels.map(|labels| distinct_labels(&labels)).transpose().map_err(unreadable)?;
    Ok(Survey::Idx { has_validation, shape: [count, height, width], labels })
}

/// Returns the number of distinct labels after the header of a file of labels.
fn distinct_labels(path: &Path) -> io::Result<usize> {
    const HEAD: usize = 8;
    let mut content = Vec::new();
    file::unpacked(path)?.0.read_to_end(&mut content)?;
    Ok(content.iter().skip(HEAD).collect::<BTreeSet<_>>().len())
}

fn idx_file(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn images(folder: &Path) -> Result<Option<Survey>, DataError> {
    let (path, validation_path) = sides(folder);
    if !has_pictures(&path).map_err(|source| DataError::Read { path: path.clone(), source })? {
        return Ok(None);
    }
    let (classes, files) = listed(&path)?;
    let Some(first) = files.first() else { return Ok(None) };
    picture::require_decoders(&path)?;
    let size = picture::size(first, &picture::read(first)?)?;
    // A folder of images without classes, as in contests, cannot be used for validation.
    let is_alike = |path: &PathBuf| listed(path).is_ok_and(|(others, _)| others.iter().all(|o| classes.contains(o)));
    let validation_path = validation_path.filter(is_alike);
    let sides = [size.height, size.width];
    Ok(Some(Survey::Images { path, validation_path, classes, files: files.len(), sides }))
}

/// Whether a subfolder of the folder has an image.
fn has_pictures(folder: &Path) -> io::Result<bool> {
    let entries =
        |folder: &Path| -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        ["png", "jpg", "jpeg"].contains(&ending.as_str())
    };
    for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        if entries(&class)?.iter().any(is_picture) {
            return Ok(true);
        }
    }
    Ok(false)
}
