//! A folder of images by class: in it a folder for each class, in each of those the PNG and JPEG files of the class.
//!
//! The files are read once for what identifies them. They are unpacked when a batch is gathered, so that a folder of any
//! size costs no more memory than its list of names.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde_json::json;

use super::dataset::Source;
use super::error::hint;
use super::images::UNIT;
use super::picture::{self, ImageError, Size};
use super::{Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Names, Split, TargetKind};
use crate::state::{Part, State, StateError};

/// Images in files, the class of each being the folder that it is in.
#[derive(Debug)]
pub struct ImageFolder {
    files: Vec<ImageFile>,
    /// The names of the classes in the order of their numbers.
    classes: Vec<String>,
    size: Size,
    fingerprint: Fingerprint,
}

#[derive(Debug)]
struct ImageFile {
    path: PathBuf,
    class: u32,
    /// What it was when the data was opened, where every reading must find the same.
    hash: Option<blake3::Hash>,
}

/// The data set of the folder `config.path`, and its split: the images of another folder where there is one for
/// validation, or else a share.
pub(super) fn open(config: &DataConfig, seed: u64) -> Result<(Box<dyn Source>, Split), DataError> {
    let classes = class_names(&config.path)?;
    let mut found = scan(&config.path, &classes)?;
    let train = found.len();
    let split = match &config.validation_path {
        Some(_) if config.validation > 0.0 => {
            return Err(DataError::meaningless("validation", "images that come with validation images of their own"));
        }
        Some(path) => {
            refuse_other_classes(path, &classes)?;
            found.extend(scan(path, &classes)?);
            Split::last(found.len(), found.len() - train)?
        }
        None => Split::new(train, config.validation, seed)?,
    };
    let size = size_of_all(&found, config.channels.map(|channels| u64::from(channels) as usize))?;
    let fingerprints: Vec<(String, Fingerprint)> = found.iter().map(Found::fingerprint).collect();
    let fingerprint = Fingerprint::of_files(fingerprints.iter().map(|(name, file)| (name.clone(), file)));
    let file = |Found { path, class, hash, .. }| ImageFile { path, class, hash: Some(hash) };
    let files = found.into_iter().map(file).collect();
    Ok((Box::new(ImageFolder { files, classes, size, fingerprint }), split))
}

/// A file that was looked at.
struct Found {
    path: PathBuf,
    /// Its class and its name in it.
    name: String,
    class: u32,
    size: Size,
    hash: blake3::Hash,
    bytes: u64,
}

impl Found {
    fn fingerprint(&self) -> (String, Fingerprint) {
        (self.name.clone(), Fingerprint { blake3: self.hash.to_hex().to_string(), bytes: self.bytes })
    }
}

/// The names in a folder in their order, those that start with a dot left out.
fn names(folder: &Path, is_wanted: fn(&Path) -> bool) -> Result<Vec<String>, DataError> {
    let unreadable = |source| DataError::from(ImageError::Read { path: folder.into(), source });
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| ImageError::Name { path: folder.join(name) })?;
        if !name.starts_with('.') && is_wanted(&entry.path()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let names = names(folder, Path::is_dir)?;
    if names.is_empty() {
        return Err(ImageError::NoClasses { path: folder.into() }.into());
    }
    Ok(names)
}

fn refuse_other_classes(folder: &Path, classes: &[String]) -> Result<(), DataError> {
    let known: Vec<&str> = classes.iter().map(String::as_str).collect();
    match class_names(folder)?.into_iter().find(|name| !classes.contains(name)) {
        Some(name) => Err(ImageError::UnknownClass { path: folder.join(&name), hint: hint(&name, &known) }.into()),
        None => Ok(()),
    }
}

/// Every file of the `classes` in `folder`, class after class: the number of the class, the path, and the name.
fn list(folder: &Path, classes: &[String]) -> Result<Vec<(u32, PathBuf, String)>, DataError> {
    let mut files = Vec::new();
    for (class, class_name) in classes.iter().enumerate() {
        let place = folder.join(class_name);
        let names = if place.exists() { names(&place, |path| !path.is_dir())? } else { Vec::new() };
        files.extend(names.into_iter().map(|name| (class as u32, place.join(&name), format!("{class_name}/{name}"))));
    }
    if files.is_empty() {
        return Err(DataError::NoRows { path: folder.into() });
    }
    Ok(files)
}

/// Every image of the `classes` in `folder`, class after class.
fn scan(folder: &Path, classes: &[String]) -> Result<Vec<Found>, DataError> {
    let look = |(class, path, name): (u32, PathBuf, String)| {
        let bytes = picture::read(&path)?;
        let (size, hash) = (picture::size(&path, &bytes)?, blake3::hash(&bytes));
        Ok(Found { path, name, class, size, hash, bytes: bytes.len() as u64 })
    };
    // The first error in the order of the names is told, whichever is found first.
    let found: Vec<Result<Found, ImageError>> = list(folder, classes)?.into_par_iter().map(look).collect();
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}

/// The size that all images have, with as many channels as the first, or as were asked for.
fn size_of_all(found: &[Found], channels: Option<usize>) -> Result<Size, DataError> {
    let first = &found[0];
    let expected = Size { channels: channels.unwrap_or(first.size.channels), ..first.size };
    for file in found {
        if (file.size.height, file.size.width) != (expected.height, expected.width) {
            return Err(ImageError::Size {
                path: file.path.clone(),
                found: file.size,
                first: first.path.clone(),
                expected: first.size,
            }
            .into());
        }
        if channels.is_none() && file.size.channels != expected.channels {
            let (path, first, found) = (file.path.clone(), first.path.clone(), file.size.channels);
            return Err(ImageError::Channels { path, found, first, expected: expected.channels }.into());
        }
    }
    Ok(expected)
}

impl ImageFolder {
    /// All images in `folder` and in the folders in it, whatever their class, for a model that takes `input`; or the one
    /// image that it is.
    pub(super) fn unlabelled(folder: &Path, input: &Input) -> Result<Self, DataError> {
        if folder.is_file() {
            let file = ImageFile { path: folder.into(), class: 0, hash: None };
            return Self::other(folder, vec![file], vec![String::new()], input);
        }
        let places = names(folder, Path::is_dir)?.into_iter().map(|name| folder.join(name));
        let mut files = Vec::new();
        for place in std::iter::once(folder.to_owned()).chain(places) {
            let names = names(&place, |path| !path.is_dir())?;
            files.extend(names.into_iter().map(|name| ImageFile { path: place.join(name), class: 0, hash: None }));
        }
        if files.is_empty() {
            return Err(DataError::NoRows { path: folder.into() });
        }
        Self::other(folder, files, vec![String::new()], input)
    }

    /// The images in the folders in `folder`, each of which is called as one of the `classes` of a model that takes `input`.
    /// Not every class must be there.
    pub(super) fn labelled(folder: &Path, classes: &[String], input: &Input) -> Result<Self, DataError> {
        refuse_other_classes(folder, classes)?;
        let files = list(folder, classes)?.into_iter();
        let files = files.map(|(class, path, _)| ImageFile { path, class, hash: None }).collect();
        Self::other(folder, files, classes.to_vec(), input)
    }

    /// Images that are read once, by a model that takes `input`.
    fn other(folder: &Path, files: Vec<ImageFile>, classes: Vec<String>, input: &Input) -> Result<Self, DataError> {
        let size = match input {
            Input::Numbers(shape) => shape.as_slice().try_into().ok(),
            Input::Tokens { .. } => None,
        };
        let not_images = || DataError::NotRows { path: folder.into(), input: input.clone() };
        let [channels, height, width] = size.ok_or_else(not_images)?;
        Ok(Self { files, classes, size: Size { channels, height, width }, fingerprint: Fingerprint::of(&[]) })
    }

    /// The path of each image, from `folder` on.
    pub(super) fn file_names(&self, folder: &Path) -> Vec<String> {
        let folder = if folder.is_file() { folder.parent().unwrap_or(folder) } else { folder };
        let name =
            |file: &ImageFile| file.path.strip_prefix(folder).unwrap_or(&file.path).to_string_lossy().into_owned();
        self.files.iter().map(name).collect()
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn input(&self) -> Input {
        Input::Numbers(vec![self.size.channels, self.size.height, self.size.width])
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: self.classes.len() }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn names(&self) -> Names {
        Names { classes: Some(self.classes.clone()), ..Names::default() }
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let Size { channels, height, width } = self.size;
        let mut values = Vec::with_capacity(rows.len() * channels * height * width);
        let mut labels = Vec::with_capacity(rows.len());
        for &row in rows {
            let file = self.files.get(row).ok_or(DataError::NoSuchRow { row, rows: self.len() })?;
            let bytes = picture::read(&file.path)?;
            if file.hash.is_some_and(|hash| hash != blake3::hash(&bytes)) {
                return Err(ImageError::Changed { path: file.path.clone() }.into());
            }
            let pixels = picture::pixels(&file.path, &bytes, self.size)?;
            // A file has the channels of a pixel together; a batch has a picture for each channel.
            for channel in 0..channels {
                values.extend(pixels.iter().skip(channel).step_by(channels).map(|&byte| UNIT[usize::from(byte)]));
            }
            labels.push(file.class);
        }
        let inputs = Tensor::from_vec(values, (rows.len(), channels, height, width), &Device::Cpu)?;
        Ok(Batch { inputs, targets: Tensor::from_vec(labels, rows.len(), &Device::Cpu)? })
    }
}

/// The names of the classes are remembered, so that a checkpoint alone can tell what a model says.
impl Part for ImageFolder {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(json!({"classes": self.classes})))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        let own = self.save()?.json;
        if state.json != own {
            let (what, saved) = ("the list of classes".to_owned(), state.json["classes"].to_string());
            return Err(StateError::Mismatch { what, saved, expected: own["classes"].to_string() });
        }
        state.expect_tensors([])
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}
