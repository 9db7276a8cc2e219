//! Files of a checkpoint, which are not trusted until they are checked.

use std::io::{Read, Take};
use std::path::{Path, PathBuf};

use super::document::{self, Object};
use super::error::{CheckpointError, During};
use super::files::{Directory, Files, Opened};
use super::manifest::{self, FileEntry, Manifest};
use super::name;
use super::objects::Listed;
use super::tensors::{self, TensorOutline};
use crate::hashed::Hashed;
use crate::store;

/// The files of the checkpoint at `path`.
fn open(path: &Path) -> Result<Box<dyn Files>, CheckpointError> {
    Ok(match store::at(path).during("open", path)? {
        Some(store) => Box::new(Listed::open(store, path)?),
        None => Box::new(Directory::open(path)?),
    })
}

/// A file of a checkpoint that is hashed as it is read.
type HashedFile = Hashed<Take<Box<dyn Read + Send>>>;

/// Files that are not trusted until they are checked.
pub(super) struct Source(Box<dyn Files>);

impl Source {
    /// Opens the files of the checkpoint at `path`, without reading them.
    pub(super) fn open(path: &Path) -> Result<Self, CheckpointError> {
        open(path).map(Self)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// Returns the manifest, after checking that the listed files exist with the right sizes.
    pub(super) fn checked_manifest(&self) -> Result<Manifest, CheckpointError> {
        let manifest = self.manifest()?;
        manifest.files.iter().try_for_each(|entry| {
            let found = self.0.bytes(&entry.name)?;
            self.check_size(entry, found)
        })?;
        Ok(manifest)
    }

    fn manifest(&self) -> Result<Manifest, CheckpointError> {
        let path = self.file(name::MANIFEST);
        let (file, bytes) =
            self.0.open(name::MANIFEST)?.ok_or_else(|| CheckpointError::NoManifest { path: path.clone() })?;
        let content = read_bounded(file, &path, bytes, manifest::LIMIT)?;
        Manifest::parse(&content, &path, self.0.step())
    }

    /// Returns files that are neither the manifest nor listed in it, in order.
    pub(super) fn foreign(&self, manifest: &Manifest) -> Result<Vec<PathBuf>, CheckpointError> {
        let is_listed = |name: &String| name == name::MANIFEST || manifest.files.iter().any(|file| file.name == *name);
        let mut names = self.0.names()?;
        names.retain(|name| !is_listed(name));
        names.sort();
        Ok(names.iter().map(|name| self.file(name)).collect())
    }

    /// Checks that a file has the size in the manifest.
    fn check_size(&self, entry: &FileEntry, found: Option<u64>) -> Result<(), CheckpointError> {
        let path = self.file(&entry.name);
        match found {
            None => Err(CheckpointError::MissingFile { path }),
            Some(found) if found != entry.bytes => Err(CheckpointError::Size { path, found, listed: entry.bytes }),
            Some(_) => Ok(()),
        }
    }

    /// Returns `state.json`, and the names of the parts in it.
    pub(super) fn document(&self, manifest: &Manifest) -> Result<(Object, Vec<String>), CheckpointError> {
        let entry = manifest.entry(name::STATE, &self.file(name::MANIFEST))?;
        self.checked(entry, |reader, path| {
            let content = read_bounded(reader, path, entry.bytes, document::LIMIT)?;
            document::parse(&content, path, self.0.step())
        })
    }

    /// Returns the result of `parse` for a listed file, which it reads once while the bytes are hashed.
    ///
    /// A wrong digest is reported before an error of `parse`: it is the cause, the other its consequence.
    pub(super) fn checked<T>(
        &self,
        entry: &FileEntry,
        parse: impl FnOnce(&mut HashedFile, &Path) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let path = self.file(&entry.name);
        let mut reader = Hashed::new(self.listed(entry, self.0.open(&entry.name)?)?.take(entry.bytes));
        let parsed = parse(&mut reader, &path);
        let found = reader.finish().during("read", &path)?;
        if found == entry.blake3 {
            parsed
        } else {
            Err(CheckpointError::Digest { path, found, listed: entry.blake3.clone() })
        }
    }

    /// Returns the header of a listed file, without reading the rest.
    pub(super) fn header(&self, entry: &FileEntry) -> Result<Vec<TensorOutline>, CheckpointError> {
        let file = self.listed(entry, self.0.peek(&entry.name)?)?;
        tensors::outline(&mut file.take(entry.bytes), &self.file(&entry.name), entry.bytes)
    }

    /// Returns the content of a file that was opened because the manifest lists it.
    fn listed(&self, entry: &FileEntry, opened: Option<Opened>) -> Result<Box<dyn Read + Send>, CheckpointError> {
        self.check_size(entry, opened.as_ref().map(|(_, bytes)| *bytes))?;
        opened.map(|(file, _)| file).ok_or_else(|| CheckpointError::MissingFile { path: self.file(&entry.name) })
    }
}

fn read_bounded(reader: impl Read, path: &Path, bytes: u64, limit: u64) -> Result<Vec<u8>, CheckpointError> {
    if bytes > limit {
        return Err(CheckpointError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    let mut content = Vec::new();
    reader.take(limit).read_to_end(&mut content).during("read", path)?;
    Ok(content)
}
