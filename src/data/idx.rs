//! A data set of IDX files, the format of MNIST and similar data sets: images in one file, their labels in another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::classes::LabelsOf;
use super::dataset::Source;
use super::error::IdxError;
use super::files::{Counts, Part};
use super::idx_file::{Element, IdxFile};
use super::images::{Images, Samples};
use super::integers::{self, Integers};
use super::{DataConfig, DataError, Fingerprint, Problem, Split};
use crate::Notice;
use crate::state::State;

/// MNIST's file names.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const VALIDATION: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Opens the data set of the folder `config.path`, with its split: the validation files if they are used, otherwise a
/// share. A run that has begun has `saved` state.
pub(super) fn open(
    config: &DataConfig,
    seed: u64,
    saved: Option<&State>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    require_folder(&config.path)?;
    let in_folder =
        |name: &Option<PathBuf>, usual: &str| find(config.path.join(name.as_deref().unwrap_or(Path::new(usual))));
    let mut pair = Pair::read(in_folder(&config.images, TRAIN[0]), in_folder(&config.labels, TRAIN[1]))?;
    let mut counts = Counts { train: pair.labels.len(), ..Counts::default() };
    for (part, files) in [(Part::Validation, validation_files(config)?), (Part::Test, test_files(config)?)] {
        let Some((images, labels)) = files else { continue };
        let others = Pair::read(images, labels)?;
        counts.add(part, others.labels.len());
        pair = pair.and(others)?;
    }
    require_known(&pair, counts, config)?;
    let labels_of = LabelsOf {
        path: &pair.files[1].path,
        place: None,
        otherwise: "`data.labels` names the file of labels",
        too_many: "set `data.classes` for their number",
        has_begun: saved.is_some(),
    };
    let integers = Integers { labels_of, declared: config.classes, may_have_names: integers::may_have_names(saved) };
    let found = integers.classes(&pair.labels, |row, problem| pair.wrong(row, problem))?;
    let split = Split::of(config, counts, || Some(found.labels.clone()), seed)?;
    let fingerprint = Fingerprint::of_files(pair.files.iter().map(|file| (file.name(), &file.fingerprint)));
    let said = pair.notice();
    let images = Images::of(pair.shape, pair.samples, found.labels, found.count, fingerprint)?;
    Ok((Box::new(images.with_classes(found.names).saying(found.notices).saying(said)), split))
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
    let (shape, samples, file) = images(path)?;
    Images::of(shape, samples, vec![0; file.count()], 1, file.fingerprint)
}

/// Opens all images in the folder `config.path` with their labels, for a model of `count` classes: the training files and the
/// validation files, if they exist.
pub(super) fn labelled(config: &DataConfig, count: usize, names: Option<&[String]>) -> Result<Images, DataError> {
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
    let class =
        |(row, &label): (usize, &i64)| integers::known(label, count, names).map_err(|problem| pair.wrong(row, problem));
    let labels = pair.labels.iter().enumerate().map(class).collect::<Result<_, _>>()?;
    Images::of(pair.shape, pair.samples, labels, count, Fingerprint::of(&[]))
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
        (None, None) if config.images.is_some() || config.labels.is_some() || config.test_images.is_some() => Ok(None),
        (None, None) if config.validation > 0.0 || config.fold.is_some() => Ok(None),
        (None, None) => {
            let [images, labels] = VALIDATION.map(|name| find(config.path.join(name)));
            Ok((images.exists() || labels.exists()).then_some((images, labels)))
        }
    }
}

/// Returns the files of test images, if they are given.
fn test_files(config: &DataConfig) -> Result<Option<(PathBuf, PathBuf)>, DataError> {
    let half = |given, missing| Err(IdxError::HalfAPair { given, missing }.into());
    match (&config.test_images, &config.test_labels) {
        (Some(images), Some(labels)) => Ok(Some((find(config.path.join(images)), find(config.path.join(labels))))),
        (Some(_), None) => half("test_images", "test_labels"),
        (None, Some(_)) => half("test_labels", "test_images"),
        (None, None) => Ok(None),
    }
}

/// Refuses test images of a class that no other image has, unless the number of classes is declared.
fn require_known(pair: &Pair, counts: Counts, config: &DataConfig) -> Result<(), DataError> {
    let (others, test) = pair.labels.split_at(pair.labels.len() - counts.test);
    let known: BTreeSet<i64> = others.iter().copied().collect();
    match test.iter().position(|label| config.classes.is_none() && !known.contains(label)) {
        Some(at) => Err(pair.wrong(others.len() + at, Problem::NotAmongTraining(test[at].to_string()))),
        None => Ok(()),
    }
}

/// Returns `path`, or its `.gz` form if only that exists.
fn find(path: PathBuf) -> PathBuf {
    let mut packed = path.clone().into_os_string();
    packed.push(".gz");
    let packed = PathBuf::from(packed);
    if !path.exists() && packed.exists() { packed } else { path }
}

/// Images with their labels.
struct Pair {
    shape: Vec<usize>,
    samples: Samples,
    labels: Vec<i64>,
    /// Files of images and labels in turn.
    files: Vec<IdxFile>,
}

/// Reads the images of the file at `path`.
fn images(path: PathBuf) -> Result<(Vec<usize>, Samples, IdxFile), DataError> {
    let file = IdxFile::read(path, "images")?;
    // A file of labels in the place of the images.
    if file.dims.len() < 2 && file.element == Element::U8 {
        return Err(
            IdxError::Rank { path: file.path, rank: file.dims.len(), what: "images", expected: "at least 2" }.into()
        );
    }
    if file.count() == 0 {
        return Err(DataError::NoRows { path: file.path });
    }
    file.into_images()
}

impl Pair {
    fn read(images_path: PathBuf, labels_path: PathBuf) -> Result<Self, DataError> {
        let (shape, samples, images) = images(images_path)?;
        let labels = IdxFile::read(labels_path, "labels")?;
        if !matches!(labels.dims[..], [_] | [_, 1]) {
            let (path, rank) = (labels.path, labels.dims.len());
            return Err(IdxError::Rank { path, rank, what: "labels", expected: "1" }.into());
        }
        let (found, expected) = (images.count(), labels.count());
        if found != expected {
            let (images, labels) = (images.path, labels.path);
            return Err(IdxError::Count { images, found, labels, expected }.into());
        }
        Ok(Self { shape, samples, labels: labels.labels()?, files: vec![images, labels] })
    }

    /// Appends the images of `other`.
    fn and(mut self, other: Self) -> Result<Self, DataError> {
        let path = |pair: &Self| pair.files[0].path.clone();
        let paths = (path(&other), path(&self));
        if self.shape != other.shape {
            let (path, train) = paths;
            return Err(IdxError::Shape { path, found: other.shape, train, expected: self.shape }.into());
        }
        let types = [&other, &self].map(|pair| pair.files[0].element.in_words());
        if types[0] != types[1] || !self.samples.extend(other.samples) {
            let ((path, train), [found, expected]) = (paths, types);
            return Err(IdxError::Element { path, found, train, expected }.into());
        }
        self.labels.extend(other.labels);
        self.files.extend(other.files);
        Ok(self)
    }

    /// Creates the error of the label of a row.
    fn wrong(&self, row: usize, problem: Problem) -> DataError {
        let label_files = self.files.iter().skip(1).step_by(2);
        let mut places = label_files.flat_map(|file| (0..file.count()).map(move |image| (file, image)));
        match places.nth(row) {
            Some((file, image)) => file.wrong_label(image, problem),
            None => DataError::Row { row, problem },
        }
    }

    /// Returns a note about images that are not bytes.
    fn notice(&self) -> Vec<Notice> {
        let file = &self.files[0];
        let said = || {
            let (path, elements) = (file.path.display(), file.element.in_words());
            Notice::Note(format!("{path}: the images are {elements}, and used as they are; bytes are divided by 255"))
        };
        (file.element != Element::U8).then(said).into_iter().collect()
    }
}
