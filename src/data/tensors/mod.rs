//! Readers of tensors: one of inputs and one of targets, in a safetensors file, an `.npz` archive, or two `.npy` files.
//!
//! 1. `element.rs`: the types of elements. `npy.rs`: an array. `arrays.rs`: the arrays of a run's files; `beside.rs`: which
//!    file has the targets.
//! 2. This file: inputs and targets as rows. `stored.rs`: a tensor whose rows are read later.

pub(super) mod arrays;
pub(super) mod beside;
mod element;
pub(super) mod npy;
mod rounded;
mod stored;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use self::arrays::Loaded;
pub(super) use self::element::Element;
pub(super) use self::stored::Stored;
use super::classes::LabelsOf;
use super::error::hint;
use super::file::{self, DataFile};
use super::files::Part;
use super::format_kind::Format;
use super::integers::{self, IntegerClasses, Integers};
use super::{DataConfig, DataError, Fingerprint, Problem, Rows, Targets, TensorError};
use crate::Notice;
use crate::memory::{self, Need};
use crate::state::State;

/// Options of reading tensors.
pub(super) struct TensorReader<'a> {
    config: &'a DataConfig,
    pub inputs: &'a str,
    pub targets: &'a str,
    pub classes: Option<NonZeroUsize>,
    /// Whether labels may be classes by value.
    pub may_have_names: bool,
}

/// Rows that were read.
pub(super) struct ReadTensors {
    pub rows: Rows,
    /// The names of the classes, if they have names.
    pub names: Option<Vec<String>>,
    /// Likely mistakes in the labels, and numbers that lose their differences.
    pub notices: Vec<Notice>,
}

impl<'a> TensorReader<'a> {
    /// Creates the options from `config`, with defaults, for a run that has `saved` state or begins.
    pub fn new(config: &'a DataConfig, saved: Option<&State>) -> Self {
        let (inputs, targets) = config.tensor_names();
        Self { config, inputs, targets, classes: config.classes, may_have_names: integers::may_have_names(saved) }
    }

    /// Reads the rows of these files, one after the other, for a run that `has_begun` or begins. Also returns the
    /// identity of each file.
    ///
    /// # Errors
    /// A file cannot be used, or has rows of another form than the first.
    pub fn open(
        &self,
        paths: &[&Path],
        format: Format,
        has_begun: bool,
    ) -> Result<(ReadTensors, Vec<Fingerprint>), DataError> {
        if let [only] = paths {
            let (read, fingerprint) =
                self.of_file(only, format, |inputs, targets| self.read(inputs, targets, has_begun))?;
            return Ok((read, vec![fingerprint]));
        }
        require_room(paths)?;
        let (mut joined, mut fingerprints) = (None, Vec::with_capacity(paths.len()));
        for path in paths {
            let (pair, fingerprint) = self.of_file(path, format, |inputs, targets| match joined.take() {
                None => Ok((inputs.into_owned(), targets.into_owned())),
                Some((before, before_targets)) => Ok((inputs.after(before)?, targets.after(before_targets)?)),
            })?;
            joined = Some(pair);
            fingerprints.push(fingerprint);
        }
        let (inputs, targets): (Named<'static>, Named<'static>) = joined.ok_or(DataError::NothingToVisit)?;
        Ok((self.read(inputs, targets, has_begun)?, fingerprints))
    }

    /// Passes inputs and targets of the file at `path` to `see`, and returns its result with the file's identity.
    fn of_file<R>(
        &self,
        path: &Path,
        format: Format,
        see: impl FnOnce(Named<'_>, Named<'_>) -> Result<R, DataError>,
    ) -> Result<(R, Fingerprint), DataError> {
        let array = |option, array| Named::of_array(path, option, array);
        match format {
            Format::Npy => {
                let targets = self.config.targets_beside(Part::Train, path)?;
                let (inputs, targets, fingerprint) = arrays::of_two_files(path, &targets)?;
                Ok((see(array("path", inputs), array("targets", targets))?, fingerprint))
            }
            Format::Npz => {
                let file = DataFile::read_archive(path)?;
                let names = [("inputs", self.inputs), ("targets", self.targets)];
                let [inputs, targets] = arrays::of_archive(&file, names)?;
                Ok((see(array("inputs", inputs), array("targets", targets))?, file.fingerprint))
            }
            _ => {
                let file = DataFile::read(path)?;
                // The header is checked against the length of the content before memory is allocated for it.
                let tensors = SafeTensors::deserialize(&file.content)
                    .map_err(|source| TensorError::Safetensors { path: path.into(), source })?;
                let inputs = Named::find(path, &tensors, "inputs", self.inputs)?;
                let targets = Named::find(path, &tensors, "targets", self.targets)?;
                let seen = see(inputs, targets)?;
                Ok((seen, file.fingerprint))
            }
        }
    }

    fn read(&self, inputs: Named<'_>, targets: Named<'_>, has_begun: bool) -> Result<ReadTensors, DataError> {
        let (_, input_shape) = inputs.as_rows()?;
        let (_, target_width) = targets.as_columns()?;
        let path = inputs.path();
        for ((path, rows), (_, others)) in inputs.files.iter().zip(&targets.files) {
            if rows != others {
                return Err(TensorError::RowsDisagree { path: path.clone(), inputs: *rows, targets: *others }.into());
            }
            if *rows == 0 {
                return Err(DataError::NoRows { path: path.clone() });
            }
        }
        let bytes = (inputs.count() + targets.count()) as u64 * size_of::<f32>() as u64;
        let needs = vec![Need::new("tensors", bytes, "in addition to the file")];
        memory::require(&path.display().to_string(), needs, 0, vec!["a file of fewer rows".to_owned()])?;
        let width = input_shape.iter().product();
        let mut notices: Vec<Notice> = inputs.rounding(width).into_iter().collect();
        let (targets, names) = match (targets.element, target_width) {
            // Several yes or no for each row are labels, which may all be true.
            (Element::Bool, 2..) => (targets.values(target_width)?, None),
            (element, _) if element.is_float() => {
                if self.classes.is_some() {
                    return Err(DataError::meaningless("classes", "targets that are floats"));
                }
                notices.extend(targets.rounding(target_width));
                (targets.values(target_width)?, None)
            }
            (_, 1) => {
                let place = Some(targets.place());
                let otherwise = "`data.targets` names the tensor of labels";
                let labels_of = LabelsOf { path, place, otherwise, too_many: OF_TENSORS, has_begun };
                let integers = Integers { labels_of, declared: self.classes, may_have_names: self.may_have_names };
                let numbers = targets.integers()?;
                let found = integers.classes(&numbers, |row, problem| targets.problem(row, problem))?;
                let IntegerClasses { labels, count, names, notices: said } = found;
                notices.extend(said);
                (Targets::Classes { labels, count }, names)
            }
            _ => return Err(targets.must_be(CLASSES)),
        };
        Ok(ReadTensors { rows: Rows::new(input_shape, inputs.floats(width)?, targets)?, names, notices })
    }
}

pub(super) const INPUTS: &str = "numbers of shape [rows, …]";
const OF_TENSORS: &str = "store values as F32, or set `data.classes` for the number of classes";
const TARGETS: &str =
    "floats [rows] or [rows, width] for values, or whole numbers or BOOL [rows] for classes, or BOOL [rows, width]";
const CLASSES: &str = "one class a row, [rows] or [rows, 1], where the dtype is an integer";

impl DataConfig {
    /// Returns the names of the tensors of inputs and targets; in `.npy` files, the second is the name of a file.
    pub(super) fn tensor_names(&self) -> (&str, &str) {
        let usual = if matches!(Format::of(self), Ok(Format::Npy)) { "y.npy" } else { "y" };
        (self.inputs.as_deref().unwrap_or("x"), self.targets.as_deref().unwrap_or(usual))
    }
}

/// A tensor of the file, and the option that names it.
struct Named<'a> {
    /// The files that it is read from, with the number of rows in each.
    files: Vec<(PathBuf, usize)>,
    option: &'static str,
    name: Cow<'a, str>,
    element: Element,
    shape: Vec<usize>,
    /// The elements, row-major and little-endian.
    bytes: Cow<'a, [u8]>,
}

impl<'a> Named<'a> {
    fn of_array(path: &Path, option: &'static str, array: Loaded) -> Self {
        let Loaded { name, element, shape, bytes } = array;
        Self { files: in_file(path, &shape), option, name: name.into(), element, shape, bytes: bytes.into() }
    }

    fn find(path: &Path, file: &SafeTensors<'a>, option: &'static str, name: &'a str) -> Result<Self, DataError> {
        let Ok(view) = file.tensor(name) else {
            let mut names = file.names();
            names.sort_unstable();
            let (path, hint) = (path.into(), hint(name, &names));
            return Err(TensorError::NoSuchTensor { path, option, name: name.into(), hint }.into());
        };
        let shape = view.shape().to_vec();
        let Some(element) = Element::of(view.dtype()) else {
            let (path, kind) = (path.into(), format!("{:?}{shape:?}", view.dtype()));
            return Err(
                TensorError::TensorKind { path, name: name.into(), option, kind, expected: Element::LISTED }.into()
            );
        };
        Ok(Self { files: in_file(path, &shape), option, name: name.into(), element, shape, bytes: view.data().into() })
    }

    /// Returns the path of the first file.
    fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |(path, _)| path)
    }

    fn into_owned(self) -> Named<'static> {
        let Self { files, option, name, element, shape, bytes } = self;
        let (name, bytes) = (name.into_owned().into(), bytes.into_owned().into());
        Named { files, option, name, element, shape, bytes }
    }

    /// Returns the rows of `before` and then these, which must have the same form.
    fn after(self, before: Named<'static>) -> Result<Named<'static>, DataError> {
        let is_scalar = self.shape.is_empty() || before.shape.is_empty();
        if is_scalar || self.element != before.element || self.shape.get(1..) != before.shape.get(1..) {
            let form = |named: &Named<'_>| format!("{}{:?}", named.element, named.shape);
            let difference = format!("{}, and {}", form(&self), form(&before));
            let (path, first, name) = (self.path().into(), before.path().into(), self.name.to_string());
            return Err(TensorError::OtherRows { path, first, name, difference }.into());
        }
        let Named { mut files, option, name, element, mut shape, bytes } = before;
        let mut bytes = bytes.into_owned();
        bytes.extend_from_slice(&self.bytes);
        files.extend(self.files);
        shape.splice(..1, [files.iter().map(|(_, rows)| rows).sum()]);
        Ok(Named { files, option, name, element, shape, bytes: bytes.into() })
    }

    /// Returns the number of rows and the shape of one, for inputs.
    fn as_rows(&self) -> Result<(usize, Vec<usize>), DataError> {
        match self.shape[..] {
            [rows, ref shape @ ..] if !shape.is_empty() && !shape.contains(&0) => Ok((rows, shape.to_vec())),
            _ => Err(self.must_be(INPUTS)),
        }
    }

    /// Returns the number of rows and the numbers per row, for targets.
    fn as_columns(&self) -> Result<(usize, usize), DataError> {
        match self.shape[..] {
            [rows] => Ok((rows, 1)),
            [rows, width] if width > 0 => Ok((rows, width)),
            _ => Err(self.must_be(TARGETS)),
        }
    }

    /// Returns the number of elements.
    fn count(&self) -> usize {
        self.bytes.len() / self.element.size()
    }

    fn place(&self) -> String {
        format!("tensor `{}`", self.name)
    }

    fn must_be(&self, expected: &'static str) -> DataError {
        let kind = format!("{}{:?}", self.element, self.shape);
        let (path, name) = (self.path().into(), self.name.to_string());
        TensorError::TensorKind { path, name, option: self.option, kind, expected }.into()
    }

    /// Returns the elements as f32, `width` per row, all of them finite.
    fn floats(&self, width: usize) -> Result<Vec<f32>, DataError> {
        self.element.floats(&self.bytes).map_err(|(at, problem)| self.problem(at / width, problem))
    }

    fn values(&self, width: usize) -> Result<Targets, DataError> {
        Ok(Targets::Values { values: self.floats(width)?, width })
    }

    /// Returns the elements of a tensor of whole numbers, one per row.
    fn integers(&self) -> Result<Vec<i64>, DataError> {
        self.element.integers(&self.bytes).map_err(|(row, problem)| self.problem(row, problem))
    }

    /// Returns a warning if numbers lose the differences between rows when they become f32.
    fn rounding(&self, width: usize) -> Option<Notice> {
        let wide = self.element.is_wider().then(|| self.element.doubles(&self.bytes))?;
        let (place, said) = rounded::first(&wide, width)?;
        let path = self.path().display();
        let place = format!("{path}, {}, place {place} of a row (counted from 0)", self.place());
        Some(Notice::Warning(format!("{place}: {said}")))
    }

    fn problem(&self, row: usize, problem: Problem) -> DataError {
        let (mut row, mut path) = (row, self.path());
        for (file, rows) in &self.files {
            path = file;
            if row < *rows {
                break;
            }
            row -= rows;
        }
        TensorError::Element { path: path.into(), name: self.name.to_string(), row, problem }.into()
    }
}

/// Returns a file with the number of rows in a tensor of this shape.
fn in_file(path: &Path, shape: &[usize]) -> Vec<(PathBuf, usize)> {
    vec![(path.to_owned(), shape.first().copied().unwrap_or(0))]
}

/// Refuses files that do not fit in memory together.
fn require_room(paths: &[&Path]) -> Result<(), DataError> {
    let sizes = paths.iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len()));
    let needs = vec![Need::new("tensors", sizes.sum(), "as many bytes as the files have")];
    let name = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    Ok(memory::require(&name, needs, 0, file::remedies())?)
}
