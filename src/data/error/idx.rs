//! What is wrong with an IDX file.

use std::path::PathBuf;

use thiserror::Error;

use super::Problem;

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
