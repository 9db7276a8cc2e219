//! A store that this process may write to only while it holds the lock.
//!
//! An object store has no lock that blocks other writers, so the holder must check the lock before each write. This
//! leaves the time between the check and the write, the duration of one request: a process that is stopped exactly
//! there, until another one has taken over, still makes that one write when it continues.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Object, Store, Version};

/// Checks whether this process may still write.
pub(crate) type MayWrite = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// Time for which a check is valid during an upload. Another process waits longer before it takes over a run.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A store that checks before each write, and repeatedly during an upload.
pub(crate) struct Guarded {
    store: Arc<dyn Store>,
    may_write: MayWrite,
}

impl Guarded {
    pub(crate) fn new(store: Arc<dyn Store>, may_write: MayWrite) -> Self {
        Self { store, may_write }
    }
}

impl Store for Guarded {
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>> {
        self.store.list(folder)
    }

    fn size(&self, object: &Path) -> io::Result<Option<u64>> {
        self.store.size(object)
    }

    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.store.read(object, range)
    }

    fn read_current(&self, object: &Path, range: Range<u64>) -> io::Result<(Vec<u8>, Version)> {
        self.store.read_current(object, range)
    }

    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>> {
        self.store.fetch(object, limit)
    }

    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version> {
        (self.may_write)()?;
        self.store.create(object, content)
    }

    fn replace(&self, object: &Path, content: &[u8], version: &Version) -> io::Result<Version> {
        (self.may_write)()?;
        self.store.replace(object, content, version)
    }

    fn upload(&self, object: &Path, content: &mut dyn Read, bytes: u64) -> io::Result<()> {
        (self.may_write)()?;
        let mut content = Watched { content, may_write: &self.may_write, asked: Instant::now(), good_for: GOOD_FOR };
        self.store.upload(object, &mut content, bytes)
    }

    fn remove(&self, object: &Path) -> io::Result<()> {
        (self.may_write)()?;
        self.store.remove(object)
    }
}

/// The content of an upload, which can take long. Reading it fails once this process may no longer write, and the
/// object only appears when it is complete.
struct Watched<'a> {
    content: &'a mut dyn Read,
    may_write: &'a MayWrite,
    asked: Instant,
    good_for: Duration,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.asked.elapsed() >= self.good_for {
            (self.may_write)()?;
            self.asked = Instant::now();
        }
        self.content.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::Memory;

    /// Allows `count` writes.
    fn allows(count: usize) -> MayWrite {
        let asked = AtomicUsize::new(0);
        Arc::new(move || match asked.fetch_add(1, Ordering::Relaxed) {
            number if number < count => Ok(()),
            _ => Err(io::Error::other("taken over")),
        })
    }

    #[test]
    fn nothing_is_written_without_permission_and_all_is_read() {
        let memory = Arc::new(Memory::new());
        let (path, other) = (Path::new("mem://bucket/here"), Path::new("mem://bucket/other"));
        let version = memory.create(path, b"old").unwrap();
        let store = Guarded::new(memory.clone(), allows(0));
        store.create(other, b"new").unwrap_err();
        store.replace(path, b"new", &version).unwrap_err();
        store.upload(path, &mut &b"new"[..], 3).unwrap_err();
        store.remove(path).unwrap_err();
        assert_eq!(store.fetch(path, 9).unwrap().unwrap().0, b"old");
        assert_eq!(store.list(Path::new("mem://bucket")).unwrap().len(), 1);
    }

    #[test]
    fn an_upload_during_which_the_permission_ends_makes_no_object() {
        let (memory, path) = (Memory::new(), Path::new("mem://bucket/large"));
        let mut whole = io::repeat(1).take(10);
        let may_write = allows(1);
        let mut content =
            Watched { content: &mut whole, may_write: &may_write, asked: Instant::now(), good_for: Duration::ZERO };
        content.read_exact(&mut [0; 4]).unwrap();
        memory.upload(path, &mut content, 6).unwrap_err();
        assert_eq!(memory.size(path).unwrap(), None);
    }
}
