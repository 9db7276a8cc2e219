//! IDX files, the format of MNIST and similar data sets: images in one file, their labels in another.
//!
//! The format is that of Yann LeCun's page on MNIST: two zero bytes, the type of the elements (8 for unsigned bytes),
//! the number of dimensions, each dimension as 4 bytes with the highest first, then the elements.

use std::path::{Path, PathBuf};

use super::classes::LabelsOf;
use super::dataset::Source;
use super::error::IdxError;
use super::file::DataFile;
use super::images::Images;
use super::rows::class_below;
use super::{DataConfig, DataError, Fingerprint, Split};

/// MNIST's file names.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const VALIDATION: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Opens the data set of the folder `config.path`, with its split: the validation files if they are used, otherwise a
/// share.
pub(super) fn open(config: &DataConfig, seed: u64, has_begun: bool) -> Result<(Box<dyn Source>, Split), DataError> {
    require_folder(&config.path)?;
    let in_folder =
        |name: &Option<PathBuf>, usual: &str| find(config.path.join(name.as_deref().unwrap_or(Path::new(usual))));
    let mut pair = Pair::read(in_folder(&config.images, TRAIN[0]), in_folder(&config.labels, TRAIN[1]))?;
    let (train_rows, mut split) = (pair.labels.len(), None);
    if let Some((images, labels)) = validation_files(config)? {
        let validation = Pair::read(images, labels)?;
        split = Some(Split::last(train_rows + validation.labels.len(), validation.labels.len())?);
        pair = pair.and(validation)?;
    }
    let labels_of = LabelsOf {
        path: &pair.files[1].path,
        place: None,
        otherwise: "`data.labels` names the file of labels",
        too_many: "set `data.classes` for their number",
        has_begun,
    };
    let (classes, notices) = labels_of.classes(&pair.labels, None, config.classes)?;
    pair.check_labels(classes)?;
    let split = split.map_or_else(|| Split::new(train_rows, config.validation, seed), Ok)?;
    let fingerprint = Fingerprint::of_files(pair.files.iter().map(|file| (file.name(), &file.fingerprint)));
    let images = Images::new(pair.shape, pair.bytes, pair.labels, classes, fingerprint)?;
    Ok((Box::new(images.saying(notices)), split))
}

/// Refuses a file in place of the folder.
fn require_folder(path: &Path) -> Result<(), DataError> {
    if path.is_file() { Err(IdxError::NotAFolder { path: path.to_owned() }.into()) } else { Ok(()) }
}

/// Opens the images of the file at `config.path` without labels; for a folder, those of the file `data.images` in it,
/// or of MNIST's test images.
pub(super) fn unlabelled(config: &DataConfig) -> Result<Images, DataError> {
    let name = config.images.as_deref().unwrap_or(Path::new(VALIDATION[0]));
    let path = if config.path.is_dir() { find(config.path.join(name)) } else { config.path.clone() };
    let (count, dims, bytes, file) = elements(path, IMAGES)?;
    if count == 0 {
        return Err(DataError::NoRows { path: file.path });
    }
    if dims.contains(&0) {
        return Err(IdxError::NoPixels { path: file.path, shape: dims }.into());
    }
    Images::new([1].into_iter().chain(dims).collect(), bytes, vec![0; count], 1, file.fingerprint)
}

/// Opens all images in the folder `config.path` with their labels, each below `classes`: the training files and the
/// validation files, if they exist.
pub(super) fn labelled(config: &DataConfig, classes: usize) -> Result<Images, DataError> {
    require_folder(&config.path)?;
    let files = |images: &Option<PathBuf>, labels: &Option<PathBuf>, usual: [&str; 2]| {
        [(images, usual[0]), (labels, usual[1])]
            .map(|(name, usual)| find(config.path.join(name.as_deref().unwrap_or(Path::new(usual)))))
    };
    let train = files(&config.images, &config.labels, TRAIN);
    let validation = files(&config.validation_images, &config.validation_labels, VALIDATION);
    let are_there = |files: &[PathBuf; 2]| files.iter().any(|path| path.exists());
    // If there are no files at all, the first one is reported as missing.
    let [images, labels] = if are_there(&train) || !are_there(&validation) { &train } else { &validation };
    let mut pair = Pair::read(images.clone(), labels.clone())?;
    if are_there(&train) && are_there(&validation) {
        let [images, labels] = validation;
        pair = pair.and(Pair::read(images, labels)?)?;
    }
    pair.check_labels(classes)?;
    Images::new(pair.shape, pair.bytes, pair.labels, classes, Fingerprint::of(&[]))
}

/// Returns the files of validation images: the given ones, or the usual ones if all names are the usual ones and no
/// share of the training images is asked for.
fn validation_files(config: &DataConfig) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    let half = |given, missing| Err(IdxError::HalfAPair { given, missing }.into());
    match (&config.validation_images, &config.validation_labels) {
        (Some(_), Some(_)) if config.validation > 0.0 => {
            Err(DataError::meaningless("validation", "images that come with validation images"))
        }
        (Some(images), Some(labels)) => Ok(Some((find(config.path.join(images)), find(config.path.join(labels))))),
        (Some(_), None) => half("validation_images", "validation_labels"),
        (None, Some(_)) => half("validation_labels", "validation_images"),
        (None, None) if config.images.is_some() || config.labels.is_some() || config.validation > 0.0 => Ok(None),
        (None, None) => {
            let [images, labels] = VALIDATION.map(|name| find(config.path.join(name)));
            Ok((images.exists() || labels.exists()).then_some((images, labels)))
        }
    }
}

/// Returns `path`, or its `.gz` form if only that exists.
fn find(path: PathBuf) -> PathBuf {
    let mut packed = path.clone().into_os_string();
    packed.push(".gz");
    let packed = PathBuf::from(packed);
    if !path.exists() && packed.exists() { packed } else { path }
}

/// A file that was read: its path and fingerprint.
struct FileRead {
    path: PathBuf,
    fingerprint: Fingerprint,
}

impl FileRead {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Images with their labels.
struct Pair {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    labels: Vec<u32>,
    /// Number of labels in each label file.
    counts: Vec<usize>,
    /// Files of images and labels in turn.
    files: Vec<FileRead>,
}

impl Pair {
    fn read(images: PathBuf, labels: PathBuf) -> Result<Self, DataError> {
        let (count, dims, bytes, images) = elements(images, IMAGES)?;
        let (expected, _, label_bytes, labels) = elements(labels, LABELS)?;
        if count != expected {
            let (images, labels) = (images.path, labels.path);
            return Err(IdxError::Count { images, found: count, labels, expected }.into());
        }
        if count == 0 {
            return Err(DataError::NoRows { path: images.path });
        }
        if dims.contains(&0) {
            return Err(IdxError::NoPixels { path: images.path, shape: dims }.into());
        }
        // A grey image has one channel, which the file's header omits.
        let shape = [1].into_iter().chain(dims).collect();
        let labels_read = label_bytes.into_iter().map(u32::from).collect();
        Ok(Self { shape, bytes, labels: labels_read, counts: vec![count], files: vec![images, labels] })
    }

    /// Appends the images of `other`.
    fn and(mut self, other: Self) -> Result<Self, DataError> {
        if self.shape != other.shape {
            let path = |pair: &Self| pair.files[0].path.clone();
            let (path, train) = (path(&other), path(&self));
            return Err(IdxError::Shape { path, found: other.shape, train, expected: self.shape }.into());
        }
        self.bytes.extend(other.bytes);
        self.labels.extend(other.labels);
        self.counts.extend(other.counts);
        self.files.extend(other.files);
        Ok(self)
    }

    fn check_labels(&self, classes: usize) -> Result<(), DataError> {
        let label_files = self.files.iter().skip(1).step_by(2);
        let places =
            label_files.zip(&self.counts).flat_map(|(file, &count)| (0..count).map(move |image| (file, image)));
        for ((file, image), &label) in places.zip(&self.labels) {
            class_below(label, classes).map_err(|problem| {
                let byte = LABELS.header() + image;
                DataError::from(IdxError::Label { path: file.path.clone(), image, byte, problem })
            })?;
        }
        Ok(())
    }
}

/// A kind of IDX file, recognized by its first bytes.
#[derive(Clone, Copy)]
struct Kind {
    what: &'static str,
    magic: [u8; 4],
    shown: &'static str,
}

const IMAGES: Kind = Kind { what: "images", magic: [0, 0, 8, 3], shown: "00 00 08 03" };
const LABELS: Kind = Kind { what: "labels", magic: [0, 0, 8, 1], shown: "00 00 08 01" };

impl Kind {
    /// Returns the number of bytes before the elements.
    fn header(self) -> usize {
        4 + 4 * usize::from(self.magic[3])
    }
}

/// Reads the number of elements in the file at `path`, the shape of one, and their bytes. The header is checked against
/// the length of the file before memory is allocated for it.
fn elements(path: PathBuf, kind: Kind) -> Result<(usize, Vec<usize>, Vec<u8>, FileRead), DataError> {
    let DataFile { mut content, fingerprint, .. } = DataFile::read(&path)?;
    if !content.starts_with(&kind.magic) {
        let found: Vec<String> = content.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(IdxError::Magic { path, what: kind.what, expected: kind.shown, found: found.join(" ") }.into());
    }
    let header = kind.header();
    let (dims, _) = content.get(4..header).unwrap_or_default().as_chunks::<4>();
    let dims: Vec<usize> = dims.iter().map(|dim| u32::from_be_bytes(*dim) as usize).collect();
    let count = dims.first().copied().unwrap_or(0);
    // Four numbers of 32 bits cannot overflow 128.
    let expected = header as u128 + dims.iter().map(|&dim| dim as u128).product::<u128>();
    if content.len() < header || content.len() as u128 != expected {
        return Err(IdxError::Length { path, end: content.len(), count, what: kind.what, expected }.into());
    }
    content.drain(..header);
    Ok((count, dims[1..].to_vec(), content, FileRead { path, fingerprint }))
}
