//! A tensor in a file: its rows, and where their bytes are.

use std::path::{Path, PathBuf};

use safetensors::tensor::Metadata;

use super::Element;
use crate::data::error::hint;
use crate::data::{DataError, TargetKind, TensorError};

/// A tensor in a file.
#[derive(Clone, Debug)]
pub(in crate::data) struct Stored {
    pub name: String,
    /// The option that names it.
    pub option: &'static str,
    pub element: Element,
    pub rows: usize,
    /// The shape of one row.
    pub shape: Vec<usize>,
    /// Its start in bytes.
    pub start: u64,
}

impl Stored {
    /// Describes a tensor whose elements begin at `start`.
    pub fn new(
        path: &Path,
        option: &'static str,
        name: String,
        element: Element,
        shape: &[usize],
        start: u64,
    ) -> Result<Self, DataError> {
        match shape {
            [rows, shape @ ..] => Ok(Self { name, option, element, rows: *rows, shape: shape.to_vec(), start }),
            [] => {
                let (path, kind) = (path.to_owned(), format!("{element}[]"));
                Err(TensorError::TensorKind { path, name, option, kind, expected: "of shape [rows, …]" }.into())
            }
        }
    }

    pub fn find(
        path: &Path,
        metadata: &Metadata,
        start: u64,
        option: &'static str,
        name: &str,
    ) -> Result<Self, DataError> {
        let (path_of_error, name) = (|| path.to_owned(), name.to_owned());
        let Some(info) = metadata.info(&name) else {
            let names = metadata.offset_keys();
            let hint = hint(&name, &names.iter().map(String::as_str).collect::<Vec<_>>());
            return Err(TensorError::NoSuchTensor { path: path_of_error(), option, name, hint }.into());
        };
        let Some(element) = Element::of(info.dtype) else {
            let (path, kind) = (path_of_error(), format!("{:?}{:?}", info.dtype, info.shape));
            return Err(TensorError::TensorKind { path, name, option, kind, expected: Element::LISTED }.into());
        };
        Self::new(path, option, name, element, &info.shape, start + info.data_offsets.0 as u64)
    }

    /// Refuses targets that do not fit a model with targets of `kind`.
    pub fn check_targets(&self, path: &Path, kind: TargetKind) -> Result<(), DataError> {
        let (fits, expected) = match kind {
            TargetKind::Values { width } => {
                let are_values = self.element.is_float() || (self.element == Element::Bool && width > 1);
                let fits = are_values && self.width() == width && self.shape.len() < 2;
                (fits, "values [rows, width], as many a row as in the run's data")
            }
            TargetKind::Classes { .. } => {
                (!self.element.is_float() && self.width() == 1 && self.shape.len() < 2, CLASSES)
            }
        };
        if fits { Ok(()) } else { Err(self.must_be(path.to_owned(), expected)) }
    }

    pub fn must_be(&self, path: PathBuf, expected: &'static str) -> DataError {
        let shape: Vec<usize> = [self.rows].into_iter().chain(self.shape.iter().copied()).collect();
        let (name, kind) = (self.name.clone(), format!("{}{shape:?}", self.element));
        TensorError::TensorKind { path, name, option: self.option, kind, expected }.into()
    }

    /// Returns the number of elements per row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the number of bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.width() * self.element.size()
    }
}

/// The required targets for a model of classes.
const CLASSES: &str = "whole numbers or BOOL [rows], since the run's data has classes";
