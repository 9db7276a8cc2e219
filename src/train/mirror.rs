//! The log of a run in an object store, which cannot append to an object.
//!
//! While a run trains, its log grows on the local disk. Before each checkpoint the lines that are new go to the store
//! as a segment, `log/<first byte>-<byte after the last>.jsonl`. A new segment takes in those before it that are not
//! longer, so that the segments are few, and all uploads together are as the log times the logarithm of their number.
//! When a run ends or is taken up again, the log becomes one object, `log.jsonl`, and the segments go.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::{Object, Reader, Store};

/// What of a log is in the store.
pub(super) struct Mirror {
    store: Arc<dyn Store>,
    run: PathBuf,
    /// The log on the local disk.
    local: PathBuf,
    /// The length of `log.jsonl` in the store, where it is.
    whole: Option<u64>,
    /// What follows it, in order.
    segments: Vec<Segment>,
    /// Objects whose bytes are in others.
    spare: Vec<PathBuf>,
}

/// A part of the log, in bytes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    end: u64,
    path: PathBuf,
}

impl Mirror {
    /// Makes the file `local` what the log of the run at the URL `run` is in the store.
    pub(super) fn fetch(store: Arc<dyn Store>, run: &Path, local: &Path) -> io::Result<Self> {
        let mirror = Self::find(store, run, local)?;
        let mut file = File::create(local)?;
        io::copy(&mut mirror.read(), &mut file)?;
        file.sync_data()?;
        Ok(mirror)
    }

    /// The log of the run at the URL `run` as a stream; `None` where it has none.
    pub(super) fn stream(store: Arc<dyn Store>, run: &Path) -> io::Result<Option<Box<dyn Read>>> {
        let mirror = Self::find(store, run, Path::new(""))?;
        Ok((mirror.whole.is_some() || !mirror.segments.is_empty()).then(|| mirror.read()))
    }

    fn find(store: Arc<dyn Store>, run: &Path, local: &Path) -> io::Result<Self> {
        let whole = store.size(&run.join("log.jsonl"))?;
        let mut found: Vec<Segment> = store.list(&run.join("log"))?.iter().filter_map(Segment::parse).collect();
        // Of those that begin together, the longest has the others in it.
        found.sort_by_key(|segment| (segment.start, u64::MAX - segment.end));
        let (run, local) = (run.to_owned(), local.to_owned());
        let mut mirror = Self { store, run, local, whole, segments: Vec::new(), spare: Vec::new() };
        for segment in found {
            let end = mirror.end();
            if segment.start > end {
                tracing::warn!("{}: the lines before it are missing", segment.path.display());
            }
            if segment.start <= end && segment.end > end {
                mirror.segments.push(segment);
            } else {
                mirror.spare.push(segment.path);
            }
        }
        Ok(mirror)
    }

    /// The log as it is in the store.
    fn read(&self) -> Box<dyn Read> {
        let reader = |path: &Path, bytes| Reader::whole(Arc::clone(&self.store), path.to_owned(), bytes);
        let mut end = self.whole.unwrap_or_default();
        let mut stream: Box<dyn Read> = Box::new(reader(&self.path(), end));
        for segment in &self.segments {
            let rest = reader(&segment.path, segment.end - segment.start).after(end - segment.start);
            stream = Box::new(stream.chain(rest));
            end = segment.end;
        }
        stream
    }

    /// The log in the store.
    pub(super) fn path(&self) -> PathBuf {
        self.run.join("log.jsonl")
    }

    /// Brings the first `length` bytes of the log to the store.
    pub(super) fn push(&mut self, length: u64) -> io::Result<()> {
        let mut start = self.end();
        if length <= start {
            return Ok(());
        }
        let shorter = |segment: &&Segment, start: u64| segment.end - segment.start <= length - start;
        let mut kept = self.segments.len();
        while let Some(last) = self.segments[..kept].last().filter(|last| shorter(last, start)) {
            start = last.start;
            kept -= 1;
        }
        let path = self.run.join("log").join(format!("{start:015}-{length:015}.jsonl"));
        self.upload(&path, start, length)?;
        self.spare.extend(self.segments.drain(kept..).map(|segment| segment.path));
        self.segments.push(Segment { start, end: length, path });
        self.remove_spare()
    }

    /// Makes the first `length` bytes of the log one object in the store, and all that there is.
    pub(super) fn settle(&mut self, length: u64) -> io::Result<()> {
        if self.whole.unwrap_or_default() != length || !self.segments.is_empty() {
            self.upload(&self.path(), 0, length)?;
            self.whole = Some(length);
            self.spare.extend(self.segments.drain(..).map(|segment| segment.path));
        }
        self.remove_spare()
    }

    /// Writes another file of the run to the store, beside the log.
    pub(super) fn put(&self, local: &Path, name: &str) -> io::Result<()> {
        let mut file = File::open(local)?;
        let bytes = file.metadata()?.len();
        self.store.upload(&self.run.join(name), &mut file, bytes)
    }

    /// How much of the log is in the store.
    fn end(&self) -> u64 {
        self.segments.last().map_or(self.whole.unwrap_or_default(), |segment| segment.end)
    }

    fn upload(&self, path: &Path, start: u64, end: u64) -> io::Result<()> {
        let mut file = File::open(&self.local)?;
        file.seek(SeekFrom::Start(start))?;
        self.store.upload(path, &mut file.take(end - start), end - start)
    }

    fn remove_spare(&mut self) -> io::Result<()> {
        while let Some(path) = self.spare.last() {
            self.store.remove(path)?;
            self.spare.pop();
        }
        Ok(())
    }
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Segment {
    /// A segment by its name, whose length must be that of its object.
    fn parse(object: &Object) -> Option<Self> {
        let name = object.path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
        let (start, end) = name.split_once('-')?;
        let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
        (end.checked_sub(start)? == object.bytes).then(|| Self { start, end, path: object.path.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Memory;

    /// A log of so many lines on the local disk, and its mirror in a store.
    struct Scene {
        folder: tempfile::TempDir,
        store: Arc<Memory>,
    }

    impl Scene {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), store: Arc::new(Memory::new()) }
        }

        fn run() -> &'static Path {
            Path::new("mem://bucket/run")
        }

        fn local(&self) -> PathBuf {
            self.folder.path().join("log.jsonl")
        }

        fn write(&self, lines: u64) -> u64 {
            let text: String = (0..lines).map(|line| format!("{line}\n")).collect();
            fs::write(self.local(), &text).unwrap();
            text.len() as u64
        }

        /// On another machine.
        fn fetched(&self) -> (Mirror, String) {
            let elsewhere = self.folder.path().join("elsewhere.jsonl");
            let mirror = Mirror::fetch(self.store.clone(), Self::run(), &elsewhere).unwrap();
            (mirror, fs::read_to_string(elsewhere).unwrap())
        }

        fn mirror(&self) -> Mirror {
            Mirror::fetch(self.store.clone(), Self::run(), &self.local()).unwrap()
        }

        fn objects(&self) -> Vec<Object> {
            self.store.list(Self::run()).unwrap()
        }
    }

    #[test]
    fn a_log_that_grows_is_the_same_elsewhere_in_few_segments() {
        let scene = Scene::new();
        let mut mirror = scene.mirror();
        for lines in 1..=300 {
            let length = scene.write(lines);
            mirror.push(length).unwrap();
            assert!(scene.objects().len() <= 10, "{} segments", scene.objects().len());
            assert_eq!(scene.fetched().1, fs::read_to_string(scene.local()).unwrap());
        }
        let length = scene.write(300);
        mirror.settle(length).unwrap();
        let paths: Vec<PathBuf> = scene.objects().into_iter().map(|object| object.path).collect();
        assert_eq!(paths, [Scene::run().join("log.jsonl")]);
        assert_eq!(scene.fetched().1, fs::read_to_string(scene.local()).unwrap());
    }

    /// Lines that a resume has cut off must not come back behind those that are written in their place.
    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let scene = Scene::new();
        let mut mirror = scene.mirror();
        for lines in [10, 25, 27] {
            let length = scene.write(lines);
            mirror.push(length).unwrap();
        }
        let (mut mirror, _) = scene.fetched();
        mirror.local = scene.local();
        let cut = scene.write(20);
        mirror.settle(cut).unwrap();
        fs::write(scene.local(), fs::read_to_string(scene.local()).unwrap() + "other\n").unwrap();
        mirror.push(cut + 6).unwrap();
        assert_eq!(scene.fetched().1, fs::read_to_string(scene.local()).unwrap());
    }

    /// A process that is killed between the upload of a segment and the removal of those in it leaves both.
    #[test]
    fn segments_that_overlap_are_read_once() {
        let scene = Scene::new();
        let text = "0\n1\n2\n3\n4\n";
        for (start, end) in [(0, 4), (0, 2), (2, 4), (2, 8), (6, 10)] {
            let path = Scene::run().join(format!("log/{start:015}-{end:015}.jsonl"));
            scene.store.create(&path, &text.as_bytes()[start..end]).unwrap();
        }
        assert_eq!(scene.fetched().1, text);
    }
}
