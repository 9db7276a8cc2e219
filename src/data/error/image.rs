//! What is wrong with a folder of images, or an image.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::size::Size;
use crate::remedy;

/// What is wrong with a folder of images, or an image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}; {}", remedy::of(source).unwrap_or(FOLDERS))]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A name is not text.
    #[error("the name of {path} is not UTF-8 text; rename it")]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is no folder in the folder.
    #[error("{path} has no folders in it; images of a class are in a folder with the name of the class")]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A class is for validation alone.
    #[error("{path} is of a class that there is no training image of{hint}")]
    UnknownClass {
        /// The folder of the class.
        path: PathBuf,
        /// The nearest, and all there are.
        hint: String,
    },
    /// There are folders of classes without any image.
    #[error(
        "{path} has folders without an image in them: {}; what has no image cannot be learned: bring images, or remove \
         the folder",
        empty.join(", ")
    )]
    EmptyClasses {
        /// The folder that they are in.
        path: PathBuf,
        /// Their names.
        empty: Vec<String>,
    },
    /// There is one class, of which everything is.
    #[error("{path} has one class, {class}, and to tell classes apart takes two; each has a folder in it")]
    OneClass {
        /// The folder that it is in.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// There are images in folders within those of the classes.
    #[error(
        "{path}: {count} images would be left out, for they are in folders within those of the classes, such as {example}; \
         {}",
        deeper_remedy(meant.as_deref())
    )]
    Deeper {
        /// The folder of the classes.
        path: PathBuf,
        /// How many images.
        count: usize,
        /// One of them.
        example: PathBuf,
        /// The folder that is probably the one of the classes.
        meant: Option<PathBuf>,
    },
    /// The file is no image.
    #[error("{path} is neither PNG nor JPEG; {remedy}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// The remedy.
        remedy: &'static str,
    },
    /// The file is damaged, cut short, or of a kind that is not read.
    #[error("the image {path} cannot be read: {reason}; {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Several files cannot be used.
    #[error("{} of {all} images cannot be read:{}\n{}", bad.len(), list(bad), remedy_of_all(bad))]
    Several {
        /// How many files there are.
        all: usize,
        /// The fault of each.
        bad: Vec<ImageError>,
    },
    /// The images are not those that a run began with.
    #[error("{path}: the images are not those that the run began with: {changes}; {remedies}")]
    OtherImages {
        /// The folder.
        path: PathBuf,
        /// Which images are new, changed or gone.
        changes: String,
        /// What to do about them.
        remedies: String,
    },
    /// There are more or fewer images than a run began with.
    #[error("{path} has {found} images, and had {were} when the run began; bring back what was in it then")]
    OtherCount {
        /// The folder.
        path: PathBuf,
        /// How many there were.
        were: usize,
        /// How many there are.
        found: usize,
    },
    /// The image has another size than the first one.
    #[error("{path} is {found} pixels and {first} {expected}; all images must have one size")]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The first image.
        first: PathBuf,
        /// The size of that.
        expected: Size,
    },
    /// Some images are grey and some are not.
    #[error(
        "{path} is {} and {first} {}; set `data.channels` to 1 or 3 to have all of them alike",
        colour(*found),
        colour(*expected)
    )]
    Channels {
        /// The file.
        path: PathBuf,
        /// Its channels.
        found: usize,
        /// The first image.
        first: PathBuf,
        /// The channels of that.
        expected: usize,
    },
    /// The image has another size than those of the data set.
    #[error("{path} is {found} pixels, and the images of the data set are {expected}")]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// What it should be.
        expected: Size,
    },
    /// This program was built without what reads images.
    #[error("{path} holds PNG or JPEG images, which this program was built without; build it with `--features images`")]
    NotBuilt {
        /// The folder.
        path: PathBuf,
    },
    /// The image is not as it was when the run began.
    #[error(
        "{path} is not what it was when the data was opened; bring back what it was and resume, or start a new run"
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// How images are given.
const FOLDERS: &str = "images are given as a folder that has a folder of images for each class";

/// The remedy for several images, as that for one of them.
fn remedy_of_all(bad: &[ImageError]) -> &'static str {
    match bad.first() {
        Some(ImageError::NotAnImage { remedy, .. } | ImageError::Damaged { remedy, .. })
            if [ImageError::AS_BEGUN, ImageError::BRING].contains(remedy) =>
        {
            remedy
        }
        _ => "bring whole ones, or leave them out with `--set data.skip_bad=true`",
    }
}

impl ImageError {
    /// The same, of an image that a run learns from. To take it away is no remedy once the run has begun.
    pub(in crate::data) fn in_training(self) -> Self {
        match self {
            Self::NotAnImage { path, .. } => {
                Self::NotAnImage { path, remedy: "convert it, or leave it out with `--set data.skip_bad=true`" }
            }
            Self::Damaged { path, reason, .. } => {
                let remedy = "bring a whole one, or leave it out with `--set data.skip_bad=true`";
                Self::Damaged { path, reason, remedy }
            }
            other => other,
        }
    }

    /// The remedy in a run that leaves bad images out and does not know what this one was.
    pub(in crate::data) const AS_BEGUN: &str = "bring back what was there when the run began";

    /// The remedy where bad images are left out, and nothing is left.
    pub(in crate::data) const BRING: &str = "bring images that are whole";

    /// The same with another remedy, where leaving the image out is none.
    pub(in crate::data) fn with_remedy(self, remedy: &'static str) -> Self {
        match self {
            Self::NotAnImage { path, .. } => Self::NotAnImage { path, remedy },
            Self::Damaged { path, reason, .. } => Self::Damaged { path, reason, remedy },
            other => other,
        }
    }
}

/// Each in a line, without a remedy.
fn list(bad: &[ImageError]) -> String {
    const SHOWN: usize = 100;
    let line = |error: &ImageError| match error {
        ImageError::NotAnImage { path, .. } => format!("\n  {}: neither PNG nor JPEG", path.display()),
        ImageError::Damaged { path, reason, .. } => format!("\n  {}: {reason}", path.display()),
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
