//! Zip archives of checkpoints: members are ranges of the mapped file, and nothing is unpacked.
//!
//! Checkpoints store their members without compression, and only such are read: a member that is a few bytes in the file
//! and gigabytes elsewhere cannot be. Every size is checked against the file when it is opened; sums are checked only when
//! they are asked for, since that reads everything.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::error::PeerError;
use super::pickle::Refusal;
use crate::zip::{self, Members, ZipError};

/// An archive in a mapped file.
#[derive(Clone)]
pub struct Archive {
    map: Arc<Mmap>,
    members: Vec<Member>,
    by_name: HashMap<String, usize>,
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, with its folder.
    pub name: String,
    /// Its bytes in the mapped file.
    pub range: Range<usize>,
    /// The sum that its bytes must have (CRC-32).
    pub crc: u32,
}

impl fmt::Debug for Archive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Archive").field("members", &self.members).finish_non_exhaustive()
    }
}

impl From<ZipError> for Refusal {
    fn from(error: ZipError) -> Self {
        let what = error.to_string();
        match error {
            ZipError::Damaged(_) => Self::Damaged(what),
            ZipError::Unsupported(_) => Self::Unsupported(what),
        }
    }
}

impl Archive {
    /// Opens the archive that is `within` a mapped file.
    ///
    /// # Errors
    /// It is no archive, it is damaged, or has compressed or encrypted members.
    pub fn open(map: Arc<Mmap>, within: Range<usize>) -> Result<Self, Refusal> {
        let bytes = map.get(within.clone());
        let bytes = bytes.ok_or_else(|| Refusal::Damaged("zip: the archive ends beyond the file".to_owned()))?;
        let here = |range: Range<usize>| range.start + within.start..range.end + within.start;
        let listed = zip::directory(bytes, Members::Stored)?.into_iter();
        let members: Vec<Member> =
            listed.map(|listed| Member { name: listed.name, range: here(listed.range), crc: listed.crc }).collect();
        let by_name = members.iter().enumerate().map(|(index, member)| (member.name.clone(), index)).collect();
        Ok(Self { map, members, by_name })
    }

    /// Returns the members in the order of the directory.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns a member by its name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(*self.by_name.get(name)?)
    }

    /// Returns the bytes of a member.
    pub fn bytes(&self, member: &Member) -> &[u8] {
        // The range was checked when the archive was opened.
        self.map.get(member.range.clone()).unwrap_or_default()
    }

    /// Returns the mapped file.
    pub fn map(&self) -> &Arc<Mmap> {
        &self.map
    }

    /// Returns whether the bytes of a member have the sum that the directory says.
    pub fn has_its_sum(&self, member: &Member) -> bool {
        crc32fast::hash(self.bytes(member)) == member.crc
    }
}

/// Checks the sums of all members of the archive at `path`, and returns their number. This reads the whole file.
///
/// # Errors
/// It is no archive, or members have other sums; they are named.
pub fn verify(path: &Path) -> Result<usize, PeerError> {
    let map = super::map(path)?;
    let whole = 0..map.len();
    let archive = Archive::open(map, whole).map_err(|refusal| refusal.at(path))?;
    let changed = archive.members.iter().filter(|member| !archive.has_its_sum(member));
    let changed: Vec<&str> = changed.map(|member| member.name.as_str()).take(8).collect();
    if changed.is_empty() {
        return Ok(archive.members.len());
    }
    Err(PeerError::damaged(path, format!("the content of {} was changed: its sum is another", changed.join(", "))))
}

/// Returns the names in the directory of an archive; empty where it is none.
pub fn names(bytes: &[u8]) -> Vec<String> {
    zip::directory(bytes, Members::Stored)
        .map(|all| all.into_iter().map(|listed| listed.name).collect())
        .unwrap_or_default()
}
