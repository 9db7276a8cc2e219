//! A folder of images by class: it has a subfolder for each class, with the images of the class.
//!
//! 1. `listing.rs`: the images of each class, and other files.
//! 2. `look.rs`: identity and validity of each. The files are read once for their fingerprints, and decoded again when
//!    a batch is gathered, so that a folder of any size takes only the memory of its list of names.
//! 3. `memory.rs`: the saved state of the images; `changes.rs`: images that have changed. `rows.rs`: the resulting
//!    rows.

mod changes;
mod listing;
mod look;
mod memory;
mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use self::listing::Listing;
pub(super) use self::listing::some_of;
use self::memory::Memory;
pub(super) use self::rows::open;
use super::error::ImageError;
use super::images::UNIT;
use super::picture;
use super::shaping::Shaping;
use super::size::Size;
use super::{Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Names, TargetKind};
use crate::Notice;
use crate::state::{State, StateError, Stateful};

/// Images in files; the class of each is its folder.
#[derive(Debug)]
pub struct ImageFolder {
    files: Vec<ImageFile>,
    /// Replaced rows, and their replacements.
    stand_ins: BTreeMap<usize, usize>,
    size: Size,
    shaping: Shaping,
    fingerprint: Fingerprint,
    memory: Memory,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct ImageFile {
    path: PathBuf,
    class: u32,
    /// Its hash when the data was opened; every later read must have the same.
    hash: Option<blake3::Hash>,
}

/// Returns the classes in `folder` and the paths of their images, as a run would find them.
pub(super) fn listed(folder: &Path) -> Result<(Vec<String>, Vec<PathBuf>), DataError> {
    let Listing { classes, files, .. } = Listing::of(folder, &[])?;
    Ok((classes, files.into_iter().map(|file| file.path).collect()))
}

impl ImageFolder {
    /// Opens all images in the folder of `config` and its subfolders, for any class, for a model that takes `input` and
    /// whose data had the state `saved`; or the one image that it is. If the run skips bad images, unreadable ones are
    /// skipped and reported.
    pub(super) fn unlabelled(config: &DataConfig, input: &Input, saved: &State) -> Result<Self, DataError> {
        Self::other(Listing::unlabelled(&config.path)?, vec![String::new()], input, config, saved)
    }

    /// Opens the images in the subfolders of the folder of `config`, each named like one of the `classes` of a model that
    /// takes `input`. Some classes may be missing. If the run skips bad images, unreadable ones are skipped and reported.
    pub(super) fn labelled(
        config: &DataConfig,
        classes: &[String],
        input: &Input,
        saved: &State,
    ) -> Result<Self, DataError> {
        Self::other(Listing::of_known(&config.path, classes, false)?, classes.to_vec(), input, config, saved)
    }

    /// Opens images that are read once, by a model that takes `input`.
    fn other(
        mut listing: Listing,
        classes: Vec<String>,
        input: &Input,
        config: &DataConfig,
        saved: &State,
    ) -> Result<Self, DataError> {
        let skip_bad = config.skip_bad == Some(true);
        let size = match input {
            Input::Numbers(shape) => shape.as_slice().try_into().ok(),
            Input::Tokens { .. } => None,
        };
        let not_images = || DataError::NotRows { path: listing.folder.clone(), input: input.clone() };
        let [channels, height, width] = size.ok_or_else(not_images)?;
        let notices = if skip_bad { listing.leave_out_bad()? } else { Vec::new() };
        let files = listing.files.into_iter();
        let files = files.map(|file| ImageFile { path: file.path, class: file.class, hash: None }).collect();
        Ok(Self {
            files,
            stand_ins: BTreeMap::new(),
            size: Size { channels, height, width },
            shaping: config.shaping(),
            fingerprint: Fingerprint::of(&[]),
            memory: Memory { classes, grey: Memory::grey_of(saved), ..Memory::default() },
            notices,
        })
    }

    fn pixels(&self, ImageFile { path, hash, .. }: &ImageFile) -> Result<Vec<u8>, ImageError> {
        let bytes = picture::read(path)?;
        if hash.is_some_and(|hash| hash != blake3::hash(&bytes)) {
            return Err(ImageError::Changed { path: path.clone() });
        }
        let pixels = picture::pixels(path, &bytes, self.size, self.shaping, self.memory.grey);
        // Training images must not simply be removed.
        if hash.is_some() { pixels.map_err(ImageError::in_training) } else { pixels }
    }

    /// Returns the path of each image, relative to `folder`.
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
        TargetKind::Classes { count: self.memory.classes.len() }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn names(&self) -> Names {
        Names { classes: Some(self.memory.classes.clone()), ..Names::default() }
    }

    fn notices(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        Some(self.files.iter().map(|file| file.class).collect())
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let Size { channels, height, width } = self.size;
        let mut values = Vec::with_capacity(rows.len() * channels * height * width);
        let mut labels = Vec::with_capacity(rows.len());
        for &row in rows {
            let row = self.stand_ins.get(&row).copied().unwrap_or(row);
            let file = self.files.get(row).ok_or(DataError::NoSuchRow { row, rows: self.len() })?;
            let pixels = self.pixels(file)?;
            // A file stores the channels of a pixel together; a batch stores one plane per channel.
            for channel in 0..channels {
                values.extend(pixels.chunks_exact(channels).map(|pixel| UNIT[usize::from(pixel[channel])]));
            }
            labels.push(file.class);
        }
        let inputs = Tensor::from_vec(values, (rows.len(), channels, height, width), &Device::Cpu)?;
        Ok(Batch { inputs, targets: Tensor::from_vec(labels, rows.len(), &Device::Cpu)? })
    }
}

/// The names of the classes are saved, so that a checkpoint alone can name predictions, and so are the skipped images.
impl Stateful for ImageFolder {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(serde_json::to_value(&self.memory)?))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.memory.check(&Memory::of(state)?)?;
        state.expect_tensors([])
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}
