//! Errors of IDX files.

use std::path::PathBuf;

use thiserror::Error;

use super::Problem;
use crate::figures::counted;

/// Errors of IDX files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdxError {
    /// It starts with other bytes.
    #[error("{path}, byte 0: an IDX file of {what} starts with the bytes {expected}, and this one with {found}")]
    Magic {
        /// The path of the file.
        path: PathBuf,
        /// The expected content.
        what: &'static str,
        /// The expected first bytes.
        expected: &'static str,
        /// The actual first bytes.
        found: String,
    },
    /// Its length does not match its header.
    #[error("{path}, byte {end}: the file ends here, but its header of {count} {what} needs {expected} bytes")]
    Length {
        /// The path of the file.
        path: PathBuf,
        /// Its length in bytes.
        end: usize,
        /// The number of elements in its header.
        count: usize,
        /// The expected content.
        what: &'static str,
        /// The expected length in bytes.
        expected: u128,
    },
    /// Its images are empty.
    #[error("{path}, byte 4: images of {shape:?} hold nothing")]
    NoPixels {
        /// The path of the file.
        path: PathBuf,
        /// Their shape.
        shape: Vec<usize>,
    },
    /// The numbers of images and labels differ.
    #[error("{images} holds {} and {labels} {}", counted(*found, "image"), counted(*expected, "label"))]
    Count {
        /// The file of images.
        images: PathBuf,
        /// Its number.
        found: usize,
        /// The file of labels.
        labels: PathBuf,
        /// Its number.
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
    /// A label is not a class.
    #[error("{path}, image {image} (counted from 0), byte {byte}: {problem}")]
    Label {
        /// The file of labels.
        path: PathBuf,
        /// The number of the image.
        image: usize,
        /// The position of the label.
        byte: usize,
        /// The fault.
        problem: Problem,
    },
    /// A file was given instead of a folder.
    #[error("{path} is a file; give the folder that holds both the images and their labels")]
    NotAFolder {
        /// The path of the file.
        path: PathBuf,
    },
    /// A checkpoint names a file outside the folder of the images.
    #[error("`data.{option}` of the checkpoint is {path}, which is outside the folder of the images; it is not opened")]
    Outside {
        /// The option.
        option: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// One of the two validation files was given without the other.
    #[error("`data.{given}` is given without `data.{missing}`; validation needs both")]
    HalfAPair {
        /// The given option.
        given: &'static str,
        /// The missing option.
        missing: &'static str,
    },
}
