//! Reads an object as a stream, in ranges, some of which are prefetched.

use std::collections::VecDeque;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::Store;
use crate::threads::Task;

/// Size in bytes of the largest requested range.
const LARGEST: u64 = 8 << 20;

/// Number of ranges in flight when the whole object is needed: one connection alone seldom uses the full bandwidth.
const AHEAD: usize = 4;

/// An object, read from its beginning.
pub struct Reader {
    store: Arc<dyn Store>,
    path: PathBuf,
    /// Offset of the next byte to request.
    next: u64,
    /// The size of the object in bytes.
    bytes: u64,
    /// The size of the next range in bytes.
    range: u64,
    ahead: VecDeque<Task<io::Result<Vec<u8>>>>,
    current: Cursor<Vec<u8>>,
}

impl Reader {
    /// Reads the object at `path` with this number of `bytes` completely.
    pub fn whole(store: Arc<dyn Store>, path: PathBuf, bytes: u64) -> Self {
        Self { store, path, next: 0, bytes, range: LARGEST, ahead: VecDeque::new(), current: Cursor::default() }
    }

    /// Reads only the beginning of the object: without prefetching, starting with a small range.
    pub fn beginning(store: Arc<dyn Store>, path: PathBuf, bytes: u64) -> Self {
        const FIRST: u64 = 16 << 10;
        Self { range: FIRST, ..Self::whole(store, path, bytes) }
    }

    /// Skips the first `bytes`.
    pub fn after(self, bytes: u64) -> Self {
        Self { next: bytes, ..self }
    }

    /// Requests the next ranges.
    fn ask(&mut self) {
        let ahead = if self.range < LARGEST { 1 } else { AHEAD };
        while self.ahead.len() < ahead && self.next < self.bytes {
            let range = self.next..self.bytes.min(self.next + self.range);
            self.next = range.end;
            self.range = LARGEST.min(2 * self.range);
            let (store, path) = (Arc::clone(&self.store), self.path.clone());
            self.ahead.push_back(Task::begin("read", move || store.read(&path, range)));
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.position() == self.current.get_ref().len() as u64 {
            self.ask();
            let Some(next) = self.ahead.pop_front() else { return Ok(0) };
            let died = || io::Error::other("the thread that reads has failed; please report this");
            self.current = Cursor::new(next.wait().ok_or_else(died)??);
        }
        self.current.read(buffer)
    }
}
