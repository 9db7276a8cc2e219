//! The log of a run in an object store, where objects cannot be appended to.
//!
//! While a run trains, its log grows on the local disk. Before each checkpoint the new lines are uploaded as a segment,
//! `log/<first byte>-<byte after the last>.jsonl`. A new segment includes the preceding ones that are not longer, so
//! that there are few segments, and the total upload is proportional to the log's size times the logarithm of the
//! number of segments. When a run ends or is resumed, the log becomes one object, `log.jsonl`, and the segments are
//! removed.
//!
//! The store checks, before each write, whether this process still holds the run. A process that is suspended right
//! after that check, until another one has taken over the run, still makes that one write when it continues: a segment,
//! or `log.jsonl`. Its lines are the same as the other process's, because the bits of a run do not depend on the
//! process. They differ only if the other one has changed the configuration: then old lines can come back into the log.
//! Checkpoints do not depend on the log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segments::Segments;
use crate::store::Store;

/// A log on the local disk, and its part in a store.
pub(crate) struct Mirror {
    store: Arc<dyn Store>,
    run: PathBuf,
    segments: Segments,
    /// The log on the local disk. It stays open, so it can be read even if it is removed or renamed.
    local: File,
}

impl Mirror {
    /// Fills the file `local` with the log of the run at the URL `run` in the store.
    pub(super) fn fetch(store: Arc<dyn Store>, run: &Path, local: &Path) -> io::Result<Self> {
        let segments = Segments::find(Arc::clone(&store), run)?;
        let mut local = File::options().read(true).write(true).create(true).truncate(true).open(local)?;
        io::copy(&mut segments.read(), &mut local)?;
        local.sync_data()?;
        Ok(Self { store, run: run.to_owned(), segments, local })
    }

    /// Opens the log of the run at the URL `run` as a stream; `None` if it has none.
    pub(super) fn stream(store: Arc<dyn Store>, run: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
        let segments = Segments::find(store, run)?;
        Ok((!segments.is_empty()).then(|| segments.read()))
    }

    /// Returns the log in the store.
    pub(super) fn path(&self) -> PathBuf {
        self.segments.path()
    }

    /// Uploads the first `length` bytes of the log to the store.
    pub(super) fn push(&mut self, length: u64) -> io::Result<()> {
        if length <= self.segments.end() {
            return Ok(());
        }
        let start = self.segments.start_of_next(length);
        (&self.local).seek(SeekFrom::Start(start))?;
        self.segments.add(start, length, &mut (&self.local).take(length - start))
    }

    /// Makes the first `length` bytes of the log one object in the store, and removes the rest.
    pub(super) fn settle(&mut self, length: u64) -> io::Result<()> {
        if !self.segments.are_one(length) {
            (&self.local).rewind()?;
            self.segments.replace_all(length, &mut (&self.local).take(length))?;
        }
        self.segments.tidy()
    }

    /// Keeps a copy of the whole damaged log in the store, and returns its name.
    pub(super) fn keep_damaged(&self) -> io::Result<PathBuf> {
        let path = self.segments.free_name()?;
        self.upload(&self.local, &path).map(|()| path)
    }

    /// Uploads another file of the run to the store, beside the log.
    pub(super) fn put(&self, file: &File, name: &str) -> io::Result<()> {
        self.upload(file, &self.run.join(name))
    }

    fn upload(&self, mut file: &File, path: &Path) -> io::Result<()> {
        file.rewind()?;
        let bytes = file.metadata()?.len();
        self.store.upload(path, &mut file.take(bytes), bytes)
    }
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("run", &self.run).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::{Guarded, Memory, Object};

    /// A log with a number of lines on the local disk, and its mirror in a store.
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

        /// Fetches the log on another machine.
        fn fetched(&self) -> (Mirror, String) {
            let elsewhere = self.folder.path().join("elsewhere.jsonl");
            let mirror = Mirror::fetch(self.store.clone(), Self::run(), &elsewhere).unwrap();
            (mirror, fs::read_to_string(elsewhere).unwrap())
        }

        fn mirror(&self) -> Mirror {
            Mirror::fetch(self.store.clone(), Self::run(), &self.local()).unwrap()
        }

        fn segment(&self, (start, end): (usize, usize), text: &str) {
            let path = Self::run().join(format!("log/{start:015}-{end:015}.jsonl"));
            self.store.create(&path, text.as_bytes()).unwrap();
        }

        fn objects(&self) -> Vec<Object> {
            self.store.list(Self::run()).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let name = |object: Object| object.path.strip_prefix(Self::run()).unwrap().display().to_string();
            self.objects().into_iter().map(name).collect()
        }

        fn text(&self, name: &str) -> String {
            let (content, _) = self.store.fetch(&Self::run().join(name), 1 << 20).unwrap().unwrap();
            String::from_utf8(content).unwrap()
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
        assert_eq!(scene.names(), ["log.jsonl"]);
        assert_eq!(scene.fetched().1, fs::read_to_string(scene.local()).unwrap());
    }

    /// Lines removed by a resume must not reappear after their replacements.
    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let scene = Scene::new();
        let mut mirror = scene.mirror();
        for lines in [10, 25, 27] {
            let length = scene.write(lines);
            mirror.push(length).unwrap();
        }
        let (mut mirror, _) = scene.fetched();
        mirror.local = File::open(scene.local()).unwrap();
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
            scene.segment((start, end), &text[start..end]);
        }
        assert_eq!(scene.fetched().1, text);
    }

    /// A removed or truncated object must not remove those after it.
    #[test]
    fn segments_behind_a_gap_are_kept_and_never_read_into_the_log() {
        let scene = Scene::new();
        let text = "0\n1\n2\n3\n4\n5\n";
        scene.segment((0, 2), "0\n");
        scene.segment((4, 6), "2\n");
        scene.segment((6, 10), "3\n");
        scene.segment((10, 12), "5\n");
        let (mut mirror, log) = scene.fetched();
        assert_eq!(log, "0\n");
        assert_eq!(scene.names().len(), 4, "to read a log changes nothing");
        mirror.settle(2).unwrap();
        assert_eq!(scene.names(), ["log.jsonl", "log.jsonl.damaged", "log.jsonl.damaged-2", "log.jsonl.damaged-3"]);
        let kept: Vec<String> = scene.names()[1..].iter().map(|name| scene.text(name)).collect();
        assert_eq!(kept, ["2\n", "3\n", "5\n"]);
        // The log grows over the gap and beyond the data after it.
        let mut mirror = scene.mirror();
        fs::write(scene.local(), text).unwrap();
        for length in [4, 8, 12] {
            mirror.push(length).unwrap();
            assert_eq!(scene.fetched().1, text[..length as usize]);
        }
        assert_eq!(scene.text("log.jsonl.damaged-2"), "3\n");
    }

    /// The directory on the local disk is a cache, which may be emptied.
    #[test]
    fn a_lost_scratch_directory_loses_no_line() {
        let scene = Scene::new();
        let mut mirror = scene.mirror();
        let first = scene.write(10);
        mirror.push(first).unwrap();
        let mut log = File::options().append(true).open(scene.local()).unwrap();
        fs::remove_file(scene.local()).unwrap();
        io::Write::write_all(&mut log, b"10\n11\n").unwrap();
        mirror.push(first + 6).unwrap();
        let all: String = (0..12).map(|line| format!("{line}\n")).collect();
        assert_eq!(scene.fetched().1, all);
        mirror.settle(first + 6).unwrap();
        assert_eq!(scene.fetched().1, all);
    }

    #[test]
    fn a_process_that_does_not_hold_the_run_any_more_writes_nothing_of_its_log() {
        let scene = Scene::new();
        let is_held = Arc::new(AtomicBool::new(true));
        let look = Arc::clone(&is_held);
        let may_write = move || if look.load(Ordering::Relaxed) { Ok(()) } else { Err(io::Error::other("taken over")) };
        let store = Arc::new(Guarded::new(scene.store.clone(), Arc::new(may_write)));
        let mut mirror = Mirror::fetch(store, Scene::run(), &scene.local()).unwrap();
        let length = scene.write(3);
        mirror.push(length).unwrap();
        let (before, length) = (scene.objects(), scene.write(9));
        is_held.store(false, Ordering::Relaxed);
        mirror.push(length).unwrap_err();
        mirror.settle(length).unwrap_err();
        mirror.keep_damaged().unwrap_err();
        mirror.put(&File::open(scene.local()).unwrap(), "timing.jsonl").unwrap_err();
        assert_eq!(scene.objects(), before);
    }
}
