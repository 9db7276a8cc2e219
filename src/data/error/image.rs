//! Errors of images and of folders of images.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::size::Size;
use crate::figures::counted;
use crate::remedy;

/// Errors of a folder of images, or of an image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; {}", remedy::of(source).unwrap_or(FOLDERS))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name is not valid UTF-8.
    #[error("the name of {path} is not UTF-8 text; rename it")]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// The folder has no subfolders.
    #[error("{path} has no folders in it; images of a class are in a folder with the name of the class")]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A class has only validation images.
    #[error("{path} has no training images in its class{hint}")]
    UnknownClass {
        /// The folder of the class.
        path: PathBuf,
        /// A suggestion, and all classes.
        hint: String,
    },
    /// Some class folders have no images.
    #[error(
        "{path} has folders without an image in them: {}; a class needs images to be learned: add images, or remove \
         the folder",
        empty.join(", ")
    )]
    EmptyClasses {
        /// The folder that they are in.
        path: PathBuf,
        /// Their names.
        empty: Vec<String>,
    },
    /// There is only one class.
    #[error("{path} has one class, {class}, and at least two are needed; each is a subfolder")]
    OneClass {
        /// The folder that it is in.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// There are images in subfolders of class folders.
    #[error(
        "{path}: {} in subfolders of the class folders would be skipped, such as {example}; {}",
        counted(*count, "image"),
        deeper_remedy(meant.as_deref())
    )]
    Deeper {
        /// The folder of the classes.
        path: PathBuf,
        /// Number of images.
        count: usize,
        /// One of them.
        example: PathBuf,
        /// The folder that probably contains the classes.
        meant: Option<PathBuf>,
    },
    /// The file is not an image.
    #[error("{path} is neither PNG nor JPEG, WebP, BMP or GIF; {remedy}")]
    NotAnImage {
        /// The path of the file.
        path: PathBuf,
        /// The remedy.
        remedy: &'static str,
    },
    /// The file is valid, and of a kind that is not read.
    #[error("{path} is not damaged, but unsupported: {reason}; {remedy}")]
    Unsupported {
        /// The path of the file.
        path: PathBuf,
        /// The kind.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The image is smaller than the part to be cut out.
    #[error("{path} is {found} pixels, smaller than `data.crop`; set `data.resize` to enlarge it first")]
    SmallerThanCrop {
        /// The path of the file.
        path: PathBuf,
        /// Its size.
        found: Size,
    },
    /// The file is damaged or truncated.
    #[error("the image {path} cannot be read: {reason}; {remedy}")]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// The fault.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Several files cannot be used.
    #[error("{} of {all} images cannot be read:{}\n{}", bad.len(), list(bad), remedy_of_all(bad))]
    Several {
        /// Number of files.
        all: usize,
        /// The fault of each.
        bad: Vec<ImageError>,
    },
    /// The images have changed since the run began.
    #[error("{path}: the images are not those that the run began with: {changes}; {remedies}")]
    OtherImages {
        /// The folder.
        path: PathBuf,
        /// The new, changed or missing images.
        changes: String,
        /// The remedies.
        remedies: String,
    },
    /// The number of images has changed since the run began.
    #[error("{path} has {}, and had {were} when the run began; restore its content from then", counted(*found, "image"))]
    OtherCount {
        /// The folder.
        path: PathBuf,
        /// The earlier number.
        were: usize,
        /// The number of images now.
        found: usize,
    },
    /// The image has another size than the first one.
    #[error(
        "{path} is {found} pixels and {first} {expected}; all images must have one size: set `data.resize`, or `data.crop`"
    )]
    Size {
        /// The path of the file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The first image.
        first: PathBuf,
        /// Its size.
        expected: Size,
    },
    /// Some images are grey and some are not.
    #[error(
        "{path} is {} and {first} {}; set `data.channels` to 1 or 3 to convert them all",
        colour(*found),
        colour(*expected)
    )]
    Channels {
        /// The path of the file.
        path: PathBuf,
        /// Number of its channels.
        found: usize,
        /// The first image.
        first: PathBuf,
        /// The number of its channels.
        expected: usize,
    },
    /// The image has another size than the data set's.
    #[error("{path} is {found} pixels, and the images of the data set are {expected}")]
    OtherSize {
        /// The path of the file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The expected size.
        expected: Size,
    },
    /// This program was built without the readers of images.
    #[error("{path} holds images, which this program was built without; build it with `--features images`")]
    NotBuilt {
        /// The folder.
        path: PathBuf,
    },
    /// The image has changed since the run began.
    #[error("{path} has changed since the data was opened; restore the file and resume, or start a new run")]
    Changed {
        /// The path of the file.
        path: PathBuf,
    },
}

/// The expected form of images.
const FOLDERS: &str = "give a folder with one subfolder of images for each class";

/// Returns the remedy for several images, the same as for one of them.
fn remedy_of_all(bad: &[ImageError]) -> &'static str {
    match bad.first() {
        Some(ImageError::NotAnImage { remedy, .. } | ImageError::Damaged { remedy, .. })
            if [ImageError::AS_BEGUN, ImageError::BRING].contains(remedy) =>
        {
            remedy
        }
        _ => "replace them with valid ones, or skip them with `--set data.skip_bad=true`",
    }
}

impl ImageError {
    /// Returns the same error for a training image. Removing it is not a remedy once the run has begun.
    pub(in crate::data) fn in_training(self) -> Self {
        match self {
            Self::NotAnImage { path, .. } => {
                Self::NotAnImage { path, remedy: "convert it, or skip it with `--set data.skip_bad=true`" }
            }
            Self::Unsupported { path, reason, .. } => {
                let remedy = "convert it, or skip it with `--set data.skip_bad=true`";
                Self::Unsupported { path, reason, remedy }
            }
            Self::Damaged { path, reason, .. } => {
                let remedy = "replace it with a valid one, or skip it with `--set data.skip_bad=true`";
                Self::Damaged { path, reason, remedy }
            }
            other => other,
        }
    }

    /// The remedy in a run that leaves bad images out and does not know what this one was.
    pub(in crate::data) const AS_BEGUN: &str = "restore the file from when the run began";

    /// The remedy where bad images are left out, and nothing is left.
    pub(in crate::data) const BRING: &str = "add valid images";

    /// Returns the same error with another remedy, for cases in which skipping the image does not help.
    pub(in crate::data) fn with_remedy(self, remedy: &'static str) -> Self {
        match self {
            Self::NotAnImage { path, .. } => Self::NotAnImage { path, remedy },
            Self::Damaged { path, reason, .. } => Self::Damaged { path, reason, remedy },
            Self::Unsupported { path, reason, .. } => Self::Unsupported { path, reason, remedy },
            other => other,
        }
    }
}

/// Lists the errors, one per line, without remedies.
fn list(bad: &[ImageError]) -> String {
    const SHOWN: usize = 100;
    let line = |error: &ImageError| match error {
        ImageError::NotAnImage { path, .. } => {
            format!("\n  {}: neither PNG nor JPEG, WebP, BMP or GIF", path.display())
        }
        ImageError::Damaged { path, reason, .. } => format!("\n  {}: {reason}", path.display()),
        ImageError::Unsupported { path, reason, .. } => format!("\n  {}: unsupported: {reason}", path.display()),
        other => format!("\n  {other}"),
    };
    let lines: String = bad.iter().take(SHOWN).map(line).collect();
    match bad.len().saturating_sub(SHOWN) {
        0 => lines,
        more => format!("{lines}\n  and {more} more"),
    }
}

fn deeper_remedy(meant: Option<&Path>) -> String {
    match meant {
        Some(folder) => format!("`data.path` is the folder of the classes: perhaps {}", folder.display()),
        None => "move them up into the folder of their class, or elsewhere".to_owned(),
    }
}

fn colour(channels: usize) -> &'static str {
    if channels == 1 { "grey" } else { "coloured" }
}
