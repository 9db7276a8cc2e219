//! An object store in memory, for tests.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Object, Store, Version};

/// Objects in memory. [`register`](super::register) gives them a URL, for the lifetime of the process.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    content: BTreeMap<PathBuf, (Vec<u8>, u64)>,
    /// Number of writes so far.
    written: u64,
}

impl Memory {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects {
    fn write(&mut self, object: &Path, content: Vec<u8>) -> Version {
        self.written += 1;
        self.content.insert(object.to_owned(), (content, self.written));
        version(self.written)
    }
}

fn version(number: u64) -> Version {
    Version { e_tag: Some(number.to_string()), generation: None }
}

impl Store for Memory {
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>> {
        let objects = self.objects();
        let inside = objects.content.iter().filter(|(path, _)| path.starts_with(folder) && *path != folder);
        Ok(inside.map(|(path, (content, _))| Object { path: path.clone(), bytes: content.len() as u64 }).collect())
    }

    fn size(&self, object: &Path) -> io::Result<Option<u64>> {
        Ok(self.objects().content.get(object).map(|(content, _)| content.len() as u64))
    }

    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        let objects = self.objects();
        let (content, _) = objects.content.get(object).ok_or(ErrorKind::NotFound)?;
        let bytes = content.get(range.start as usize..range.end as usize);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn read_current(&self, object: &Path, range: Range<u64>) -> io::Result<(Vec<u8>, Version)> {
        let bytes = self.read(object, range)?;
        let number = self.objects().content.get(object).map(|(_, number)| *number).unwrap_or_default();
        Ok((bytes, version(number)))
    }

    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>> {
        match self.objects().content.get(object) {
            Some((content, _)) if content.len() as u64 > limit => Err(ErrorKind::InvalidData.into()),
            found => Ok(found.map(|(content, number)| (content.clone(), version(*number)))),
        }
    }

    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version> {
        let mut objects = self.objects();
        if objects.content.contains_key(object) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(objects.write(object, content.to_vec()))
    }

    fn replace(&self, object: &Path, content: &[u8], seen: &Version) -> io::Result<Version> {
        let mut objects = self.objects();
        match objects.content.get(object) {
            Some((_, number)) if version(*number) == *seen => Ok(objects.write(object, content.to_vec())),
            _ => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn upload(&self, object: &Path, content: &mut dyn Read, bytes: u64) -> io::Result<()> {
        let mut whole = vec![0; bytes as usize];
        content.read_exact(&mut whole)?;
        self.objects().write(object, whole);
        Ok(())
    }

    fn remove(&self, object: &Path) -> io::Result<()> {
        self.objects().content.remove(object);
        Ok(())
    }
}
