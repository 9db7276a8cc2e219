//! Errors of writing, reading and verifying checkpoints, with one variant per cause.
//!
//! A message is complete, with cause and remedy, and contains the full path of the file; variants have no `source()`,
//! so printing a chain of causes repeats nothing.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::state::StateError;
use crate::{remedy, store};

/// Errors of writing, finding, reading or restoring a checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// An operation of the file system failed.
    #[error("cannot {operation} {}: {error}{}", path.display(), remedy(path, error))]
    Io {
        /// The attempted operation, as a verb: `write`, `flush`, `rename`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },

    /// An invalid name of a part or entry.
    #[error("`{name}` cannot be the name of a {kind} of a checkpoint: {reason}")]
    Name {
        /// `part` or `field`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Two names with the same place in `state.json`.
    #[error(
        "a checkpoint cannot hold both `{first}` and `{second}`: they would share a place in state.json; rename one"
    )]
    NameClash {
        /// The existing one.
        first: String,
        /// The added one.
        second: String,
    },
    /// A part could not be saved.
    #[error("the part `{part}` cannot be saved: {error}")]
    Unsaved {
        /// The part.
        part: String,
        /// Its error.
        error: StateError,
    },
    /// Bytes that another process has were not written.
    #[error("process {rank} (counted from 0) has not written its share, and no other process has what belongs there")]
    Unshared {
        /// The number of the process.
        rank: usize,
    },
    /// A tensor that the format does not support.
    #[error("tensor `{tensor}` of the part `{part}` cannot be saved: {reason}")]
    Tensor {
        /// The part.
        part: String,
        /// The tensor.
        tensor: String,
        /// The fault.
        reason: String,
    },
    /// A tensor with NaN or infinity that must be finite.
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
        /// The exceeded limit.
        reason: String,
    },

    /// The newest checkpoint of a folder cannot be read, so it is unknown whether it is damaged. An older one is not
    /// used instead, because that would repeat finished work.
    #[error("{error}; it may be intact, so no older checkpoint is used instead{}", by_hand(older.as_deref()))]
    Unread {
        /// The cause.
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
    /// The directory's name has no step.
    #[error(
        "{} is not named like a checkpoint: `step-` and at least ten digits, as in `step-0000000100`",
        path.display()
    )]
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
    /// A folder with checkpoints, all of them invalid.
    #[error(
        "every checkpoint in {} is damaged, so none can be used; copy one back from elsewhere, or start a new run:{}",
        folder.display(),
        lines(damaged)
    )]
    OnlyDamaged {
        /// The folder.
        folder: PathBuf,
        /// The checkpoints with their faults, newest first.
        damaged: Vec<Damaged>,
    },

    /// A checkpoint without `manifest.json`.
    #[error("{} is missing, so the checkpoint was never finished or not copied completely", path.display())]
    NoManifest {
        /// The expected path of the manifest.
        path: PathBuf,
    },
    /// A file that is too large for its kind; it was not read.
    #[error("{} has {bytes} bytes, more than the limit of {limit} for such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// JSON that cannot be parsed, or lacks required entries.
    #[error("{} is invalid: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The fault, with line and column if known.
        reason: String,
    },
    /// A manifest of another format.
    #[error("{} is not of a checkpoint: its format is `{found}`, not `{expected}`", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The expected format.
        expected: &'static str,
    },
    /// A version of the format that is newer than this program.
    #[error(
        "{} has format version {found}, and this program reads up to version {known}; update Rekindle",
        path.display()
    )]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version that can be read.
        known: u64,
    },
    /// Two different steps in a checkpoint.
    #[error(
        "{} says step {found}, but the name of the directory says step {named}; one of them was changed",
        path.display()
    )]
    Step {
        /// The file.
        path: PathBuf,
        /// The step in the file.
        found: u64,
        /// The step in the directory's name.
        named: u64,
    },
    /// A manifest with a name that a checkpoint's file cannot have, such as a path outside its directory.
    #[error(
        "{} lists `{name}`: a checkpoint holds only state.json and <part>.safetensors, no other path",
        path.display()
    )]
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
    /// A manifest whose own digest does not match.
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
    /// A link, a directory or a device in place of a file; it was not followed or opened.
    #[error("{} is not a regular file; links inside a checkpoint are not followed", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// A file of another size than in the manifest.
    #[error("{} has {found} bytes, and the manifest says {listed}: it was truncated or changed", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The size in the manifest.
        listed: u64,
    },
    /// A file whose content has changed.
    #[error("{} is damaged: its BLAKE3 is {found}, and the manifest says {listed}", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// The digest of its content, in hexadecimal.
        found: String,
        /// The digest in the manifest.
        listed: String,
    },
    /// A tensor file with an invalid header.
    #[error("{} has a bad safetensors header: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A tensor file of a part that is not in `state.json`.
    #[error("{} belongs to a part that is not in state.json", path.display())]
    Unclaimed {
        /// The file.
        path: PathBuf,
    },

    /// The checkpoint lacks a part of the program.
    #[error("the checkpoint {} lacks the part `{part}` that this program restores", path.display())]
    MissingPart {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// The checkpoint has a part that the program lacks.
    #[error("the checkpoint {} holds a part `{part}` that this program does not restore", path.display())]
    UnknownPart {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// A part does not accept its state. Nothing was changed.
    #[error("the part `{part}` does not fit the checkpoint {}: {error}", path.display())]
    Refused {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
        /// Its error.
        error: Box<StateError>,
    },
    /// A part accepted its state and then failed to load it, because of a device: some parts are restored, others not.
    #[error("the part `{part}` failed while it was restored from {}: {error}; start the program again", path.display())]
    HalfRestored {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        part: String,
        /// Its error.
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
    /// The fault.
    pub error: CheckpointError,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl CheckpointError {
    /// Whether there is a checkpoint, or several, and it is damaged, as opposed to missing, not read
    /// ([`Self::is_unread`]), or unfit for the program.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::OnlyDamaged { .. }
                | Self::NoManifest { .. }
                | Self::TooLarge { .. }
                | Self::Malformed { .. }
                | Self::Format { .. }
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

    /// Whether nothing is known about the content: the system or a store did not provide the files, or they have a
    /// newer format.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unread { .. } | Self::Version { .. })
    }
}

/// Converts an error of the file system to one with the operation and the path.
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
        ErrorKind::NotADirectory => "; there is a file where a folder is needed",
        _ => return remedy::after(error),
    };
    remedy.to_owned()
}

fn by_hand(older: Option<&Path>) -> String {
    let say = |path: &Path| format!("; to continue from one anyway, resume it by its path, such as {}", path.display());
    older.map(say).unwrap_or_default()
}

fn lines(damaged: &[Damaged]) -> String {
    damaged.iter().map(|one| format!("\n  {one}")).collect()
}
