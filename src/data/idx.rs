//! IDX files, in which MNIST and its kin come: images in one file, their labels in another.
//!
//! The format is that of Yann LeCun's page on MNIST: two zero bytes, the type of the elements (8 for unsigned bytes),
//! the number of dimensions, each dimension as 4 bytes with the highest first, then the elements.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::classes::LabelsOf;
use super::dataset::Source;
use super::file::DataFile;
use super::images::Images;
use super::rows::class_below;
use super::{DataConfig, DataError, Fingerprint, Problem, Split};

/// The names that MNIST gave its files.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const VALIDATION: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// What is wrong with an IDX file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdxError {
    /// It starts with other bytes.
    #[error("{path}, byte 0: an IDX file of {what} starts with the bytes {expected}, and this one with {found}")]
    Magic {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// The bytes it should start with.
        expected: &'static str,
        /// The bytes it starts with.
        found: String,
    },
    /// It ends too early, or too late.
    #[error("{path}, byte {end}: the file ends, and its header of {count} {what} asks for {expected} bytes")]
    Length {
        /// The file.
        path: PathBuf,
        /// Where it ends.
        end: usize,
        /// How many elements it should have.
        count: usize,
        /// What it should hold.
        what: &'static str,
        /// How long it should be.
        expected: u128,
    },
    /// Its images are empty.
    #[error("{path}, byte 4: images of {shape:?} hold nothing")]
    NoPixels {
        /// The file.
        path: PathBuf,
        /// Their shape.
        shape: Vec<usize>,
    },
    /// Images and labels are not of the same number.
    #[error("{images} holds {found} images and {labels} {expected} labels")]
    Count {
        /// The file of images.
        images: PathBuf,
        /// How many it has.
        found: usize,
        /// The file of labels.
        labels: PathBuf,
        /// How many it has.
        expected: usize,
    },
    /// The validation images have another shape.
    #[error("{path} holds images of {found:?} and {train} of {expected:?}; all must have one size")]
    Shape {
        /// The file of validation images.
        path: PathBuf,
        /// Their shape.
        found: Vec<usize>,
        /// The file of training images.
        train: PathBuf,
        /// Their shape.
        expected: Vec<usize>,
    },
    /// A label is no class.
    #[error("{path}, image {image} (counted from 0), byte {byte}: {problem}")]
    Label {
        /// The file of labels.
        path: PathBuf,
        /// Which image.
        image: usize,
        /// Where it stands.
        byte: usize,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A file was given where a folder is needed.
    #[error("{path} is a file; images and their labels are looked for in a folder that holds both, so give that")]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint names a file that is not in the folder of the images.
    #[error(
        "`data.{option}` of the checkpoint is {path}, which leads out of the folder of the images; it is not opened"
    )]
    Outside {
        /// The option.
        option: &'static str,
        /// Its values.
        path: PathBuf,
    },
    /// One of the two validation files was named without the other.
    #[error("`data.{given}` is given without `data.{missing}`; validation needs both")]
    HalfAPair {
        /// The option that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
}

/// The data set of the folder `config.path`, and its split: the validation files where they are used, or else a share.
pub(super) fn open(config: &DataConfig, seed: u64, has_begun: bool) -> Result<(Box<dyn Source>, Split), DataError> {
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

/// The images of the file at `config.path`, whatever their labels; where that is a folder, of the file in it that
/// `data.images` names, or of MNIST's test images.
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

/// All images in the folder `config.path` with their labels, each below `classes`: those of the files to train on and
/// of those for validation, whichever there are.
pub(super) fn labelled(config: &DataConfig, classes: usize) -> Result<Images, DataError> {
    if config.path.is_file() {
        return Err(IdxError::NotAFolder { path: config.path.clone() }.into());
    }
    let files = |images: &Option<PathBuf>, labels: &Option<PathBuf>, usual: [&str; 2]| {
        [(images, usual[0]), (labels, usual[1])]
            .map(|(name, usual)| find(config.path.join(name.as_deref().unwrap_or(Path::new(usual)))))
    };
    let train = files(&config.images, &config.labels, TRAIN);
    let validation = files(&config.validation_images, &config.validation_labels, VALIDATION);
    let are_there = |files: &[PathBuf; 2]| files.iter().any(|path| path.exists());
    // Where there are none at all, what is missing is the first.
    let [images, labels] = if are_there(&train) || !are_there(&validation) { &train } else { &validation };
    let mut pair = Pair::read(images.clone(), labels.clone())?;
    if are_there(&train) && are_there(&validation) {
        let [images, labels] = validation;
        pair = pair.and(Pair::read(images, labels)?)?;
    }
    pair.check_labels(classes)?;
    Images::new(pair.shape, pair.bytes, pair.labels, classes, Fingerprint::of(&[]))
}

/// The files whose images are for validation alone: those that are named, or the usual ones where all names are usual
/// and no share of the training images was asked for.
fn validation_files(config: &DataConfig) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    let half = |given, missing| Err(IdxError::HalfAPair { given, missing }.into());
    match (&config.validation_images, &config.validation_labels) {
        (Some(_), Some(_)) if config.validation > 0.0 => {
            Err(DataError::meaningless("validation", "images that come with validation images of their own"))
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

/// `path`, or where that is not there and its packed form is, that.
fn find(path: PathBuf) -> PathBuf {
    let mut packed = path.clone().into_os_string();
    packed.push(".gz");
    let packed = PathBuf::from(packed);
    if !path.exists() && packed.exists() { packed } else { path }
}

/// A file that was read: where it is, and what it was.
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
    /// How many labels are in each second file.
    counts: Vec<usize>,
    /// Images, labels, and again where there are more.
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
        // A grey image has one channel, which the file does not speak of.
        let shape = [1].into_iter().chain(dims).collect();
        let labels_read = label_bytes.into_iter().map(u32::from).collect();
        Ok(Self { shape, bytes, labels: labels_read, counts: vec![count], files: vec![images, labels] })
    }

    /// These images, and after them those of `other`.
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

/// What a file holds, by its first bytes.
#[derive(Clone, Copy)]
struct Kind {
    what: &'static str,
    magic: [u8; 4],
    shown: &'static str,
}

const IMAGES: Kind = Kind { what: "images", magic: [0, 0, 8, 3], shown: "00 00 08 03" };
const LABELS: Kind = Kind { what: "labels", magic: [0, 0, 8, 1], shown: "00 00 08 01" };

impl Kind {
    /// How many bytes are before the elements.
    fn header(self) -> usize {
        4 + 4 * usize::from(self.magic[3])
    }
}

/// The number of elements in the file at `path`, the shape of one, and their bytes. The header is checked against the
/// length of the file before anything is made of it.
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
