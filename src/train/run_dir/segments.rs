//! The objects of a run's log in an object store: `log.jsonl`, followed by the segments `log/<first byte>-<byte after
//! the last>.jsonl`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::free_name;
use crate::store::{self, Object, Reader, Store};

/// The part of a log in the store.
pub(super) struct Segments {
    store: Arc<dyn Store>,
    run: PathBuf,
    /// The length of `log.jsonl`, if it exists.
    whole: Option<u64>,
    /// The segments after it, in order.
    following: Vec<Segment>,
    /// Objects whose bytes are also in others.
    spare: Vec<PathBuf>,
    /// Objects that do not continue the log, or have a wrong length.
    stray: Vec<Object>,
}

/// A segment of the log, in bytes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    end: u64,
    object: Object,
}

impl Segments {
    /// Finds the objects of the run at the URL `run`.
    pub(super) fn find(store: Arc<dyn Store>, run: &Path) -> io::Result<Self> {
        let whole = store.size(&run.join("log.jsonl"))?;
        let mut found: Vec<Segment> = store.list(&run.join("log"))?.into_iter().filter_map(Segment::named).collect();
        // Of segments with the same start, the longest contains the others.
        found.sort_by_key(|segment| (segment.start, u64::MAX - segment.end));
        let mut segments =
            Self { store, run: run.to_owned(), whole, following: Vec::new(), spare: Vec::new(), stray: Vec::new() };
        found.into_iter().for_each(|segment| segments.sort_in(segment));
        Ok(segments)
    }

    fn sort_in(&mut self, segment: Segment) {
        let Segment { start, end, object: Object { path, bytes } } = &segment;
        if end - start != *bytes {
            tracing::warn!("{}: it has {bytes} bytes, and its name says {}", path.display(), end - start);
            self.stray.push(segment.object);
        } else if *start > self.end() {
            tracing::warn!("{}: the lines before it are missing", path.display());
            self.stray.push(segment.object);
        } else if *end > self.end() {
            self.following.push(segment);
        } else {
            self.spare.push(segment.object.path);
        }
    }

    /// Whether there is no log.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.following.is_empty()
    }

    /// Returns the length of the log.
    pub(super) fn end(&self) -> u64 {
        self.following.last().map_or(self.whole.unwrap_or_default(), |segment| segment.end)
    }

    /// Whether the first `length` bytes of the log are one object, and there is no other.
    pub(super) fn are_one(&self, length: u64) -> bool {
        self.whole.unwrap_or_default() == length && self.following.is_empty()
    }

    /// Returns the log in one object.
    pub(super) fn path(&self) -> PathBuf {
        self.run.join("log.jsonl")
    }

    /// Reads the log.
    pub(super) fn read(&self) -> Box<dyn Read + Send> {
        let reader = |path: &Path, bytes| Reader::whole(Arc::clone(&self.store), path.to_owned(), bytes);
        let mut end = self.whole.unwrap_or_default();
        let mut stream: Box<dyn Read + Send> = Box::new(reader(&self.path(), end));
        for segment in &self.following {
            let rest = reader(&segment.object.path, segment.object.bytes).after(end - segment.start);
            stream = Box::new(stream.chain(rest));
            end = segment.end;
        }
        stream
    }

    /// Returns the start of a segment that ends at `length` and includes the preceding ones that are not longer.
    pub(super) fn start_of_next(&self, length: u64) -> u64 {
        let mut start = self.end();
        for segment in self.following.iter().rev() {
            if segment.end - segment.start > length - start {
                break;
            }
            start = segment.start;
        }
        start
    }

    /// Writes the bytes from `start` to `end` of the log as a segment, which replaces those inside it.
    pub(super) fn add(&mut self, start: u64, end: u64, content: &mut dyn Read) -> io::Result<()> {
        let (path, bytes) = (self.run.join("log").join(format!("{start:015}-{end:015}.jsonl")), end - start);
        self.store.upload(&path, content, bytes)?;
        let taken_in = self.following.extract_if(.., |segment| segment.start >= start);
        self.spare.extend(taken_in.map(|segment| segment.object.path));
        self.following.push(Segment { start, end, object: Object { path, bytes } });
        self.remove_spare()
    }

    /// Writes the first `length` bytes of the log as one object, which replaces all others.
    pub(super) fn replace_all(&mut self, length: u64, content: &mut dyn Read) -> io::Result<()> {
        self.store.upload(&self.path(), content, length)?;
        self.whole = Some(length);
        self.spare.extend(self.following.drain(..).map(|segment| segment.object.path));
        self.remove_spare()
    }

    /// Removes objects that are contained in others. The remaining ones are moved away, because a growing log would
    /// reach their place.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        while let Some(stray) = self.stray.first() {
            let kept = self.free_name()?;
            store::copy(&self.store, stray, &kept)?;
            tracing::warn!("{} is kept as {}", stray.path.display(), kept.display());
            self.store.remove(&stray.path)?;
            self.stray.remove(0);
        }
        self.remove_spare()
    }

    /// Returns a name for a damaged log, or a part of it: an earlier copy may contain lines that later ones lack.
    pub(super) fn free_name(&self) -> io::Result<PathBuf> {
        free_name::numbered(&self.run.join("log.jsonl.damaged"), |path| Ok(self.store.size(path)?.is_some()))
    }

    fn remove_spare(&mut self) -> io::Result<()> {
        while let Some(path) = self.spare.last() {
            self.store.remove(path)?;
            self.spare.pop();
        }
        Ok(())
    }
}

impl Segment {
    /// Parses the name of a segment.
    fn named(object: Object) -> Option<Self> {
        let (start, end) = object.path.file_name()?.to_str()?.strip_suffix(".jsonl")?.split_once('-')?;
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        (start <= end).then_some(Self { start, end, object })
    }
}
