//! Errors of files of tensors.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Problem;
use crate::figures::counted;

/// Errors of a file of tensors.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The file is not valid safetensors.
    #[error("{path} is not a valid safetensors file: {source}; fetch or write it again")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: safetensors::SafeTensorError,
    },
    /// The header of a safetensors file is invalid.
    #[error("{path} is not a valid safetensors file: {reason}; fetch or write it again")]
    BadTensors {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// An `.npy` or `.npz` file is invalid, or has elements that are not read.
    #[error("{path} cannot be read as an array of NumPy: {reason}")]
    BadArray {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The `.npy` file of targets is missing, or cannot be read.
    #[error(
        "cannot read the targets {path}: {source}; set `data.targets` to the name of their file, in the folder of \
         `data.path`"
    )]
    NoTargets {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The name of the targets has a star, and that of the inputs is of no pattern.
    #[error(
        "`data.{option}` = {name:?}: its `*` stands for what the `*` in the name of the inputs stands for, and \
         `data.{inputs}` has no such pattern for {path}; name the file of its targets"
    )]
    NoSuchTargets {
        /// The option that names the targets.
        option: &'static str,
        /// The name.
        name: String,
        /// The option that names the inputs.
        inputs: &'static str,
        /// The file of inputs.
        path: PathBuf,
    },
    /// A tensor is missing.
    #[error("`data.{option}`: {path} has no tensor `{name}`{hint}")]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// The option that names the tensor.
        option: &'static str,
        /// The tensor asked for.
        name: String,
        /// A suggestion, and all tensors.
        hint: String,
    },
    /// A tensor has a dtype or shape that cannot be used.
    #[error("{path}: tensor `{name}` is {kind}; `data.{option}` must be {expected}")]
    TensorKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The option that names it.
        option: &'static str,
        /// Its dtype and shape.
        kind: String,
        /// The expected dtype and shape.
        expected: &'static str,
    },
    /// Rows of a file do not have the form of those in the first file.
    #[error("{path}: tensor `{name}` is {difference} in {first}; all files of a run have rows of one form")]
    OtherRows {
        /// The file.
        path: PathBuf,
        /// The first file.
        first: PathBuf,
        /// The tensor.
        name: String,
        /// Its dtype and shape, and those in the files before.
        difference: String,
    },
    /// Inputs and targets have different numbers of rows.
    #[error("{path}: the inputs have {} and the targets {targets}", counted(*inputs, "row"))]
    RowsDisagree {
        /// The file.
        path: PathBuf,
        /// Number of rows of the inputs.
        inputs: usize,
        /// Number of rows of the targets.
        targets: usize,
    },
    /// An element of a tensor is invalid.
    #[error("{path}, tensor `{name}`, row {row} (counted from 0): {problem}")]
    Element {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its row, from 0.
        row: usize,
        /// The fault.
        problem: Problem,
    },
}
