//! Reader of safetensors files: one tensor of inputs, one of targets.

use std::num::NonZeroUsize;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::classes::LabelsOf;
use super::error::hint;
use super::file::DataFile;
use super::integers::{self, IntegerClasses, Integers};
use super::{DataConfig, DataError, Problem, Rows, Targets, TensorError};
use crate::Notice;
use crate::memory::{self, Need};
use crate::state::State;

/// Options of reading a safetensors file.
pub(super) struct TensorReader<'a> {
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
    /// Likely mistakes in the labels.
    pub notices: Vec<Notice>,
}

impl<'a> TensorReader<'a> {
    /// Creates the options from `config`, with defaults, for a run that has `saved` state or begins.
    pub fn new(config: &'a DataConfig, saved: Option<&State>) -> Self {
        Self {
            inputs: config.inputs.as_deref().unwrap_or("x"),
            targets: config.targets.as_deref().unwrap_or("y"),
            classes: config.classes,
            may_have_names: integers::may_have_names(saved),
        }
    }

    /// Reads the rows of a file, for a run that `has_begun` or begins. The header is
    /// checked against the length of the content before memory is allocated for it.
    pub fn read(&self, DataFile { path, content, .. }: &DataFile, has_begun: bool) -> Result<ReadTensors, DataError> {
        let (mut names, mut notices) = (None, Vec::new());
        let file = SafeTensors::deserialize(content)
            .map_err(|source| TensorError::Safetensors { path: (*path).into(), source })?;
        let inputs = Named::find(path, &file, "inputs", self.inputs)?;
        let targets = Named::find(path, &file, "targets", self.targets)?;
        let (rows, input_shape) = inputs.as_rows()?;
        let (target_rows, target_width) = targets.as_columns()?;
        if rows != target_rows {
            return Err(TensorError::RowsDisagree { path: (*path).into(), inputs: rows, targets: target_rows }.into());
        }
        if rows == 0 {
            return Err(DataError::NoRows { path: (*path).into() });
        }
        let bytes = (inputs.view.data().len() + targets.view.data().len()) as u64;
        let needs = vec![Need::new("tensors", bytes, "in addition to the file")];
        memory::require(&path.display().to_string(), needs, 0, vec!["a file of fewer rows".to_owned()])?;
        let targets = match targets.view.dtype() {
            Dtype::F32 => {
                if self.classes.is_some() {
                    return Err(DataError::meaningless("classes", "targets of dtype F32"));
                }
                Targets::Values { values: targets.floats(target_width)?, width: target_width }
            }
            _ if target_width == 1 => {
                let place = Some(format!("tensor `{}`", self.targets));
                let otherwise = "`data.targets` names the tensor of labels";
                let labels_of = LabelsOf { path, place, otherwise, too_many: OF_TENSORS, has_begun };
                let integers = Integers { labels_of, declared: self.classes, may_have_names: self.may_have_names };
                let found = integers.classes(&targets.integers(), |row, problem| targets.problem(row, problem))?;
                let IntegerClasses { labels, count, .. } = found;
                (names, notices) = (found.names, found.notices);
                Targets::Classes { labels, count }
            }
            _ => return Err(targets.must_be(CLASSES)),
        };
        let width = input_shape.iter().product();
        Ok(ReadTensors { rows: Rows::new(input_shape, inputs.floats(width)?, targets)?, names, notices })
    }
}

const INPUTS: &str = "F32 of shape [rows, …]";
const OF_TENSORS: &str = "store values as F32, or set `data.classes` for the number of classes";
const TARGETS: &str = "F32 [rows] or [rows, width] for values, or I64, U32 or U8 [rows] for classes";
const CLASSES: &str = "one class a row, [rows] or [rows, 1], where the dtype is an integer";

/// A tensor of the file, and the option that names it.
struct Named<'a> {
    path: &'a Path,
    option: &'static str,
    name: &'a str,
    view: TensorView<'a>,
}

impl<'a> Named<'a> {
    fn find(path: &'a Path, file: &SafeTensors<'a>, option: &'static str, name: &'a str) -> Result<Self, DataError> {
        match file.tensor(name) {
            Ok(view) => Ok(Self { path, option, name, view }),
            Err(_) => {
                let mut names = file.names();
                names.sort_unstable();
                Err(TensorError::NoSuchTensor {
                    path: (*path).into(),
                    option,
                    name: name.into(),
                    hint: hint(name, &names),
                }
                .into())
            }
        }
    }

    /// Returns the number of rows and the shape of one, for inputs.
    fn as_rows(&self) -> Result<(usize, Vec<usize>), DataError> {
        match self.view.shape() {
            [rows, shape @ ..] if !shape.is_empty() && !shape.contains(&0) && self.view.dtype() == Dtype::F32 => {
                Ok((*rows, shape.to_vec()))
            }
            _ => Err(self.must_be(INPUTS)),
        }
    }

    /// Returns the number of rows and the numbers per row, for targets.
    fn as_columns(&self) -> Result<(usize, usize), DataError> {
        match (self.view.dtype(), self.view.shape()) {
            (Dtype::F32 | Dtype::I64 | Dtype::U32 | Dtype::U8, &[rows]) => Ok((rows, 1)),
            (Dtype::F32 | Dtype::I64 | Dtype::U32 | Dtype::U8, &[rows, width]) if width > 0 => Ok((rows, width)),
            _ => Err(self.must_be(TARGETS)),
        }
    }

    fn must_be(&self, expected: &'static str) -> DataError {
        let kind = format!("{:?}{:?}", self.view.dtype(), self.view.shape());
        TensorError::TensorKind { path: self.path.into(), name: self.name.into(), option: self.option, kind, expected }
            .into()
    }

    /// Returns the elements of an F32 tensor, `width` per row, all of them finite.
    fn floats(&self, width: usize) -> Result<Vec<f32>, DataError> {
        floats(self.view.data()).map_err(|(at, problem)| self.problem(at / width, problem))
    }

    /// Returns the elements of an integer tensor.
    fn integers(&self) -> Vec<i64> {
        to_integers(self.view.dtype(), self.view.data())
    }

    fn problem(&self, row: usize, problem: Problem) -> DataError {
        TensorError::Element { path: self.path.into(), name: self.name.into(), row, problem }.into()
    }
}

/// Returns the elements of an F32 tensor, or the first one that is not finite.
pub(super) fn floats(bytes: &[u8]) -> Result<Vec<f32>, (usize, Problem)> {
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(values),
        Some(at) => Err((at, Problem::NotFinite(values[at].to_string()))),
    }
}

/// Returns the elements of a tensor of I64, U32 or U8.
pub(super) fn to_integers(dtype: Dtype, bytes: &[u8]) -> Vec<i64> {
    match dtype {
        Dtype::I64 => bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        Dtype::U32 => bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes).into()).collect(),
        _ => bytes.iter().map(|&byte| byte.into()).collect(),
    }
}
