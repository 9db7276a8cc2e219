//! Every way a checkpoint can fail to be written or be unfit to be read, one variant each.
//!
//! A message is complete in itself, cause and remedy included, and names the file by its full path; no variant has
//! a `source()`, so printing a chain of causes repeats nothing.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::state::StateError;
use crate::{remedy, store};

/// Why a checkpoint cannot be written, found, read or applied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// An operation of the file system failed.
    #[error("cannot {operation} {}: {error}{}", path.display(), remedy(path, error))]
    Io {
        /// What was tried, as a verb: `write`, `flush`, `rename`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },

    /// A name that no part or entry may have.
    #[error("`{name}` cannot be the name of a {kind} of a checkpoint: {reason}")]
    Name {
        /// `part` or `field`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Two names that would stand in the same place of `state.json`.
    #[error(
        "a checkpoint cannot hold both `{first}` and `{second}`: they would share a place in state.json; rename one"
    )]
    NameClash {
        /// The one that was there.
        first: String,
        /// The one that was added.
        second: String,
    },
    /// A part could not say what it remembers.
    #[error("the part `{part}` cannot be saved: {error}")]
    Unsaved {
        /// The part.
        part: String,
        /// What it said.
        error: StateError,
    },
    /// A tensor that the format cannot hold.
    #[error("tensor `{tensor}` of the part `{part}` cannot be saved: {reason}")]
    Tensor {
        /// The part.
        part: String,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that holds a NaN or an infinity where none should be.
    #[error("tensor `{tensor}` of the part `{part}` is not finite, and is not saved")]
    NotFinite {
        /// The part.
        part: String,
        /// The tensor.
        tensor: String,
    },
    /// A state too large, or nested too deeply, to be read back.
    #[error("{file} would be a file that cannot be read back: {reason}")]
    Unreadable {
        /// The file in the checkpoint.
        file: String,
        /// Which limit it exceeds.
        reason: String,
    },

    /// The newest checkpoint of a folder cannot be read, and whether it is damaged is not known. An older one is not
    /// taken in its place, for that would make again what was done.
    #[error("{error}; it may be whole, so no older checkpoint is taken in its place{}", by_hand(older.as_deref()))]
    Unread {
        /// Why it cannot be read.
        error: Box<CheckpointError>,
        /// The one before it.
        older: Option<PathBuf>,
    },

    /// There is no directory at the path.
    #[error("there is no checkpoint at {}: it is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory's name does not say which step it holds.
    #[error("{} is not named like a checkpoint: `step-` and at least ten digits, as in `step-0000000100`", path.display())]
    NotNamed {
        /// The directory.
        path: PathBuf,
    },
    /// A folder without any checkpoint.
    #[error("{} holds no checkpoints: nothing there is named like `step-0000000100`", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder with checkpoints, none of which is valid.
    #[error(
        "every checkpoint in {} is damaged, so none can be used; copy one back from elsewhere, or start a new run:{}",
        folder.display(),
        lines(damaged)
    )]
    OnlyDamaged {
        /// The folder.
        folder: PathBuf,
        /// Each of them, newest first.
        damaged: Vec<Damaged>,
    },

    /// A checkpoint without `manifest.json`.
    #[error("{} is missing, so the checkpoint was never finished or not copied whole", path.display())]
    NoManifest {
        /// Where the manifest should be.
        path: PathBuf,
    },
    /// A file that is larger than a file of its kind can be; it was not read.
    #[error("{} has {bytes} bytes, more than the {limit} that such a file may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// JSON that does not parse, or lacks what it must have.
    #[error("{} is not understood: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where there are any.
        reason: String,
    },
    /// A manifest of something else than a checkpoint of ours.
    #[error("{} is not of a checkpoint: its format is `{found}`, not `{expected}`", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What ours says.
        expected: &'static str,
    },
    /// A version of the format that did not exist when this program was built.
    #[error(
        "{} is of format version {found}, from the future: this program reads up to version {known}; update Rekindle",
        path.display()
    )]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// Two places that name the checkpoint's step disagree.
    #[error("{} says step {found}, but the directory is named after step {named}; one of them was changed", path.display())]
    Step {
        /// The file.
        path: PathBuf,
        /// The step in the file.
        found: u64,
        /// The step in the directory's name.
        named: u64,
    },
    /// A manifest that lists something that cannot be a file of a checkpoint, such as a path leading out of it.
    #[error("{} lists `{name}`: a checkpoint holds only state.json and <part>.safetensors, no other path", path.display())]
    FileName {
        /// The manifest.
        path: PathBuf,
        /// The name it lists.
        name: String,
    },
    /// A manifest that lists a file twice.
    #[error("{} lists `{name}` twice", path.display())]
    ListedTwice {
        /// The manifest.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A manifest that does not list a file that every checkpoint has.
    #[error("{} does not list `{name}`, which every checkpoint has", path.display())]
    NotListed {
        /// The manifest.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A manifest whose own digest does not match what it says.
    #[error("{} is damaged: it does not match its own BLAKE3", path.display())]
    Seal {
        /// The manifest.
        path: PathBuf,
    },
    /// A listed file that is not there.
    #[error("{} is missing, though the manifest lists it", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A link, a directory or a device where a file should be; it was not followed or opened.
    #[error("{} is not a regular file; links inside a checkpoint are not followed", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// A file of another size than the manifest says.
    #[error("{} has {found} bytes, and the manifest says {listed}: it was cut or changed", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The size in the manifest.
        listed: u64,
    },
    /// A file whose content is not what was written.
    #[error("{} is damaged: its BLAKE3 is {found}, and the manifest says {listed}", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// The digest of its content, in hexadecimal.
        found: String,
        /// The digest in the manifest.
        listed: String,
    },
    /// A tensor file whose header cannot be right.
    #[error("{} has a bad safetensors header: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor file of a part that `state.json` does not name.
    #[error("{} belongs to no part that state.json names", path.display())]
    Unclaimed {
        /// The file.
        path: PathBuf,
    },

    /// The program has a part that the checkpoint was saved without.
    #[error("the checkpoint {} lacks the part `{part}` that this program restores", path.display())]
    MissingPart {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// The checkpoint holds a part that the program does not have.
    #[error("the checkpoint {} holds a part `{part}` that this program does not restore", path.display())]
    UnknownPart {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// A part does not accept its share. Nothing was changed.
    #[error("the part `{part}` does not fit the checkpoint {}: {error}", path.display())]
    Refused {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
        /// What it said.
        error: Box<StateError>,
    },
    /// A part accepted its share and then failed to take it, a device's fault: some parts are restored, others not.
    #[error("the part `{part}` failed while it was restored from {}: {error}; start the program again", path.display())]
    HalfRestored {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
        /// What it said.
        error: Box<StateError>,
    },
}

/// A checkpoint that cannot be used.
#[derive(Debug)]
pub struct Damaged {
    /// The step in its name.
    pub step: u64,
    /// Its directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: CheckpointError,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl CheckpointError {
    /// Whether there is a checkpoint, or several, and it is bad: rather than absent, unreadable, or unfit for a
    /// program.
    pub fn is_damage(&self) -> bool {
        if let Self::Unread { error, .. } = self {
            return error.is_damage();
        }
        matches!(
            self,
            Self::OnlyDamaged { .. }
                | Self::NoManifest { .. }
                | Self::TooLarge { .. }
                | Self::Malformed { .. }
                | Self::Format { .. }
                | Self::Version { .. }
                | Self::Step { .. }
                | Self::FileName { .. }
                | Self::ListedTwice { .. }
                | Self::NotListed { .. }
                | Self::Seal { .. }
                | Self::MissingFile { .. }
                | Self::NotAFile { .. }
                | Self::Size { .. }
                | Self::Digest { .. }
                | Self::Header { .. }
                | Self::Unclaimed { .. }
        )
    }

    /// Whether this says nothing of what the checkpoint holds: the system or a store did not give its files, or they
    /// are in a form that a newer program reads.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unread { .. } | Self::Version { .. })
    }
}

/// Turns an error of the file system into one that says what was tried on what.
pub(super) trait During<T> {
    fn during(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T, CheckpointError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T, CheckpointError> {
        self.map_err(|error| CheckpointError::Io { operation, path: path.into(), error: error.into() })
    }
}

fn remedy(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        _ if store::is_url(path) => store::remedy(error),
        ErrorKind::StorageFull => "; free some space or save elsewhere",
        ErrorKind::QuotaExceeded => "; raise the quota or save elsewhere",
        ErrorKind::ReadOnlyFilesystem => "; save to a folder that can be written",
        ErrorKind::NotADirectory => "; a file stands where a folder is needed",
        _ => return remedy::after(error),
    };
    remedy.to_owned()
}

fn by_hand(older: Option<&Path>) -> String {
    let say = |path: &Path| format!("; to go on from one all the same, resume it by its path, as {}", path.display());
    older.map(say).unwrap_or_default()
}

fn lines(damaged: &[Damaged]) -> String {
    damaged.iter().map(|one| format!("\n  {one}")).collect()
}
