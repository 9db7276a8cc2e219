//! A shard: an object of a store or a file of the local disk, of which ranges are read while it is the one that the run
//! began with.

use std::fs::Metadata;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::data::DataError;
use crate::data::error::StreamError;
use crate::data::files::Part;
use crate::data::moments::date;
use crate::regular;
use crate::store::{self, Object, Reader, Store};

/// Bytes that are read first; headers are seldom longer.
const BEGINNING: u64 = 64 << 10;

/// A shard, and what its rows are for.
pub(super) struct Shard {
    pub part: Part,
    pub path: PathBuf,
    pub bytes: u64,
    pub stamp: Stamp,
    /// `None` for a file of the local disk.
    store: Option<Arc<dyn Store>>,
}

/// The sign of a shard's content: it differs when the content has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Of an object, if its store has one.
    pub e_tag: Option<String>,
    /// Of a file: its last change, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
}

/// Returns a time in seconds since 1970 as a date and a time of the day.
fn in_utc(modified: &str) -> String {
    let (whole, fraction) = modified.split_once('.').unwrap_or((modified, "0"));
    let Ok(seconds) = whole.parse::<i64>() else { return format!("{modified} s after 1970-01-01") };
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let [hour, minute, second] = [second / 3600, second / 60 % 60, second % 60];
    format!("{} {hour:02}:{minute:02}:{second:02}.{fraction} UTC", date(day))
}

impl Stamp {
    fn of_file(file: &Metadata) -> Self {
        let since = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = since.map(|since| format!("{}.{:09}", since.as_secs(), since.subsec_nanos()));
        Self { e_tag: None, modified }
    }

    /// Returns it for a message; empty if there is none.
    pub fn in_words(&self) -> String {
        match self {
            Self { e_tag: Some(e_tag), .. } => format!("with ETag {e_tag}"),
            Self { modified: Some(modified), .. } => format!("modified {}", in_utc(modified)),
            _ => String::new(),
        }
    }

    /// Whether both are known and differ.
    fn has_changed(&self, now: &Self) -> bool {
        let differ = |was: &Option<String>, now: &Option<String>| was.is_some() && now.is_some() && was != now;
        differ(&self.e_tag, &now.e_tag) || differ(&self.modified, &now.modified)
    }
}

impl Shard {
    /// Opens a shard with this name and size. Also returns its first bytes.
    pub fn open(part: Part, Object { path, bytes }: Object) -> Result<(Self, Vec<u8>), DataError> {
        if bytes == 0 {
            return Err(DataError::EmptyFile { path });
        }
        let store = store::at(&path).map_err(|source| unreadable(&path, source))?;
        let mut shard = Self { part, path, bytes, stamp: Stamp::default(), store };
        let (beginning, stamp) = shard.read_current(0..bytes.min(BEGINNING))?;
        shard.stamp = stamp;
        Ok((shard, beginning))
    }

    /// Reads some bytes of the shard that the run began with.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>, DataError> {
        let (bytes, now) = self.read_current(range)?;
        if self.stamp.has_changed(&now) {
            let (was, now) = (self.stamp.in_words(), now.in_words());
            return Err(StreamError::Changed { path: self.path.clone(), was, now }.into());
        }
        Ok(bytes)
    }

    /// Returns the bytes after the first ones, which `open` has returned.
    pub fn after(&self, beginning: &[u8]) -> io::Result<Box<dyn Read>> {
        let skipped = beginning.len() as u64;
        match &self.store {
            Some(store) => {
                Ok(Box::new(Reader::beginning(Arc::clone(store), self.path.clone(), self.bytes).after(skipped)))
            }
            None => {
                let mut file = regular::open(&self.path)?;
                file.seek(SeekFrom::Start(skipped))?;
                Ok(Box::new(file))
            }
        }
    }

    fn read_current(&self, range: Range<u64>) -> Result<(Vec<u8>, Stamp), DataError> {
        let read = match &self.store {
            Some(store) => store
                .read_current(&self.path, range)
                .map(|(bytes, version)| (bytes, Stamp { e_tag: version.e_tag, modified: None })),
            None => of_disk(&self.path, range),
        };
        read.map_err(|source| unreadable(&self.path, source))
    }
}

fn of_disk(path: &Path, range: Range<u64>) -> io::Result<(Vec<u8>, Stamp)> {
    let mut file = regular::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok((bytes, Stamp::of_file(&file.metadata()?)))
}

/// Creates the error for a shard that cannot be read.
pub(super) fn unreadable(path: &Path, source: io::Error) -> DataError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => StreamError::Missing { path }.into(),
        _ if store::is_url(&path) => StreamError::Read { path, source }.into(),
        _ => DataError::Read { path, source },
    }
}

#[cfg(test)]
impl Shard {
    /// A shard of this number of bytes, which cannot be read.
    pub fn of_size(bytes: u64) -> Self {
        Self { part: Part::Train, path: PathBuf::new(), bytes, stamp: Stamp::default(), store: None }
    }
}
