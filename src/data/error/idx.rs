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
    #[error(
        "{path}, byte 0: an IDX file of {what} starts with the bytes 00 00, a type from 08 to 0e, and the number of \
         dimensions, and this one with {found}"
    )]
    Magic {
        /// The path of the file.
        path: PathBuf,
        /// The expected content.
        what: &'static str,
        /// The actual first bytes.
        found: String,
    },
    /// It has another number of dimensions.
    #[error(
        "{path}, byte 3: the number of dimensions is {rank}, and that of {what} is {expected}; give a file of {what}"
    )]
    Rank {
        /// The path of the file.
        path: PathBuf,
        /// Its number of dimensions.
        rank: usize,
        /// The expected content.
        what: &'static str,
        /// The expected number.
        expected: &'static str,
    },
    /// A number is not finite.
    #[error("{path}, byte {byte}: the number is not a finite 32-bit number")]
    NotFinite {
        /// The path of the file.
        path: PathBuf,
        /// The position of the number.
        byte: usize,
    },
    /// The validation images have elements of another type.
    #[error("{path} holds {found} and {train} {expected}; all images must have one type")]
    Element {
        /// The file of validation images.
        path: PathBuf,
        /// The type of its elements.
        found: &'static str,
        /// The file of training images.
        train: PathBuf,
        /// The type of its elements.
        expected: &'static str,
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
