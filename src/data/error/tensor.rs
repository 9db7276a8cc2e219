//! What can be wrong with a safetensors file, or the tensors in it.

use std::path::PathBuf;

use thiserror::Error;

use super::Problem;

/// What is wrong with a safetensors file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The file is not valid safetensors.
    #[error("{path} is not a valid safetensors file: {source}")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// The header of a safetensors file is not one.
    #[error("{path} is not a valid safetensors file: {reason}")]
    BadTensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
        /// The nearest, and all there are.
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
        /// What it should be.
        expected: &'static str,
    },
    /// Inputs and targets disagree about the rows.
    #[error("{path}: the inputs have {inputs} rows and the targets {targets}")]
    RowsDisagree {
        /// The file.
        path: PathBuf,
        /// Rows of the inputs.
        inputs: usize,
        /// Rows of the targets.
        targets: usize,
    },
    /// An element of a tensor is not what it should be.
    #[error("{path}, tensor `{name}`, row {row} (counted from 0): {problem}")]
    Element {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its row, from 0.
        row: usize,
        /// What is wrong.
        problem: Problem,
    },
}
