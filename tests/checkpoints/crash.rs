//! The power may be cut at any instant of a save: the disk then has a complete checkpoint, the old or the new.
//!
//! Every operation of a save is recorded. For each number of operations before the cut, disks are built as a file
//! system may leave them: unflushed directory entries are present or absent, in any order; unflushed file content is
//! present, missing, zero, of an odd length, or torn between sectors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rekindle::checkpoint::fs::{Disk, DiskFile, LocalDisk};
use rekindle::checkpoint::keep::prune;
use rekindle::checkpoint::save::save;
use rekindle::checkpoint::{Folder, Retention, Snapshot, WrittenBy};
use rekindle::rng::Stream;
use rekindle::state::{HostTensor, State};
use serde_json::Value;

/// Number of disks built for each number of operations, besides the one that lost all and the one that kept all.
const SAMPLES: u64 = 60;

/// Seed of the losses on those disks. A failure prints the sample.
const SEED: u64 = 11;

/// An operation of a save on a disk. Moved files and directories are identified by a number, like an inode.
#[derive(Clone, Debug)]
enum Operation {
    /// Entries of one directory that change together: to another inode, or are removed.
    Entries(Inode, Vec<(String, Option<Inode>)>),
    Write(Inode, Vec<u8>),
    Sync(Inode),
}

type Inode = usize;

/// The local disk, with a record of all operations.
#[derive(Clone)]
struct Recorded {
    record: Arc<Mutex<Record>>,
    can_exchange: bool,
}

#[derive(Default)]
struct Record {
    operations: Vec<Operation>,
    /// The present path of each inode.
    inodes: BTreeMap<PathBuf, Inode>,
    count: Inode,
}

impl Record {
    fn inode(&mut self, path: &Path) -> Inode {
        *self.inodes.entry(path.to_owned()).or_insert_with(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// The directory of `path`, and its name in it.
    fn place(&mut self, path: &Path) -> (Inode, String) {
        (self.inode(path.parent().unwrap()), path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    fn create(&mut self, path: &Path) -> Inode {
        let ((folder, name), inode) = (self.place(path), self.inode(path));
        self.operations.push(Operation::Entries(folder, vec![(name, Some(inode))]));
        inode
    }

    fn remove(&mut self, path: &Path) {
        let (folder, name) = self.place(path);
        self.inodes.remove(path);
        self.operations.push(Operation::Entries(folder, vec![(name, None)]));
    }

    /// Moves what is at `from`, and all below it.
    fn take(&mut self, from: &Path) -> BTreeMap<PathBuf, Inode> {
        let below: Vec<PathBuf> = self.inodes.keys().filter(|path| path.starts_with(from)).cloned().collect();
        let relative = |path: &PathBuf| path.strip_prefix(from).unwrap().to_owned();
        below.iter().map(|path| (relative(path), self.inodes.remove(path).unwrap())).collect()
    }

    fn put(&mut self, taken: BTreeMap<PathBuf, Inode>, to: &Path) -> Option<Inode> {
        let root = taken.get(Path::new("")).copied();
        let at = |path: PathBuf| if path.as_os_str().is_empty() { to.to_owned() } else { to.join(path) };
        self.inodes.extend(taken.into_iter().map(|(path, inode)| (at(path), inode)));
        root
    }
}

impl Recorded {
    fn done<T>(&self, what: impl FnOnce(&mut Record) -> T) -> T {
        what(&mut self.record.lock().unwrap())
    }
}

impl Disk for Recorded {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_dir(path)?;
        self.done(|record| record.create(path));
        Ok(())
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = LocalDisk.create_file(path)?;
        let inode = self.done(|record| record.create(path));
        Ok(Box::new(RecordedFile { disk: self.clone(), inode, file }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_dir(path)?;
        self.done(|record| {
            let inode = record.inode(path);
            record.operations.push(Operation::Sync(inode));
        });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)?;
        self.done(|record| {
            let ((folder, old), (_, new)) = (record.place(from), record.place(to));
            let taken = record.take(from);
            let inode = record.put(taken, to);
            record.operations.push(Operation::Entries(folder, vec![(old, None), (new, inode)]));
        });
        Ok(())
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        if !self.can_exchange {
            return Err(ErrorKind::Unsupported.into());
        }
        LocalDisk.exchange(a, b)?;
        self.done(|record| {
            let ((folder, name_a), (_, name_b)) = (record.place(a), record.place(b));
            let (was_a, was_b) = (record.take(a), record.take(b));
            let (now_b, now_a) = (record.put(was_a, b), record.put(was_b, a));
            record.operations.push(Operation::Entries(folder, vec![(name_a, now_a), (name_b, now_b)]));
        });
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            fs::remove_file(&file)?;
            self.done(|record| record.remove(&file));
        }
        fs::remove_dir(path)?;
        self.done(|record| record.remove(path));
        Ok(())
    }
}

struct RecordedFile {
    disk: Recorded,
    inode: Inode,
    file: Box<dyn DiskFile>,
}

impl Write for RecordedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // In small portions, so that a crash can come between them.
        let written = self.file.write(&bytes[..bytes.len().min(700)])?;
        let operation = Operation::Write(self.inode, bytes[..written].to_vec());
        self.disk.done(|record| record.operations.push(operation));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for RecordedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.disk.done(|record| record.operations.push(Operation::Sync(self.inode)));
        Ok(())
    }
}

/// Random losses, or a loss of all or nothing.
enum Fate {
    LoseAll,
    KeepAll,
    Sample(Stream, u64),
}

impl Fate {
    /// A number below `limit`; the losses of all and nothing take the first and the last.
    fn below(&mut self, limit: usize) -> usize {
        match self {
            Self::LoseAll => 0,
            Self::KeepAll => limit - 1,
            Self::Sample(stream, drawn) => {
                *drawn += 1;
                (stream.uniform(*drawn, 1)[0] * limit as f32) as usize % limit
            }
        }
    }

    /// Returns a possible content on disk of a file with `content`, whose first `flushed` bytes are certain.
    fn content(&mut self, content: &[u8], flushed: usize) -> Vec<u8> {
        let mut found = content.to_vec();
        if flushed == content.len() {
            return found;
        }
        match self.below(4) {
            0 => found.truncate(flushed),
            // The length was recorded, but not the bytes.
            1 => found[flushed..].fill(0),
            2 => {
                const SECTOR: usize = 512;
                for sector in found[flushed..].chunks_mut(SECTOR) {
                    if self.below(2) == 0 {
                        sector.fill(0);
                    }
                }
                let length = flushed + self.below(content.len() - flushed + 1);
                found.truncate(length);
            }
            _ => {}
        }
        found
    }
}

/// Builds a possible disk at `target` after a power cut after `operations`.
fn crash(before: &[Operation], operations: &[Operation], root: Inode, fate: &mut Fate, target: &Path) {
    let all: Vec<&Operation> = before.iter().chain(operations).collect();
    let mut flushed_at: BTreeMap<Inode, usize> = BTreeMap::new();
    for (number, operation) in all.iter().enumerate() {
        if let Operation::Sync(inode) = operation {
            flushed_at.insert(*inode, number);
        }
    }
    let is_flushed = |inode: &Inode, number: usize| {
        number < before.len() || flushed_at.get(inode).is_some_and(|flushed| number < *flushed)
    };
    let mut folders: BTreeMap<Inode, BTreeMap<String, Inode>> = BTreeMap::new();
    let mut contents: BTreeMap<Inode, (Vec<u8>, usize)> = BTreeMap::new();
    for (number, operation) in all.into_iter().enumerate() {
        match operation {
            Operation::Entries(folder, changes) => {
                if is_flushed(folder, number) || fate.below(2) == 1 {
                    for (name, inode) in changes {
                        match inode {
                            Some(inode) => folders.entry(*folder).or_default().insert(name.clone(), *inode),
                            None => folders.entry(*folder).or_default().remove(name),
                        };
                    }
                }
            }
            Operation::Write(inode, bytes) => {
                let (content, flushed) = contents.entry(*inode).or_default();
                content.extend(bytes);
                if is_flushed(inode, number) {
                    *flushed = content.len();
                }
            }
            Operation::Sync(_) => {}
        }
    }
    let found: BTreeMap<Inode, Vec<u8>> =
        contents.iter().map(|(inode, (content, flushed))| (*inode, fate.content(content, *flushed))).collect();
    build(&folders, &found, root, target);
}

fn build(
    folders: &BTreeMap<Inode, BTreeMap<String, Inode>>,
    contents: &BTreeMap<Inode, Vec<u8>>,
    inode: Inode,
    path: &Path,
) {
    fs::create_dir_all(path).unwrap();
    for (name, inode) in folders.get(&inode).into_iter().flatten() {
        let path = path.join(name);
        let looks_like_a_file = name.contains(".json") || name.contains(".safetensors");
        match contents.get(inode) {
            Some(content) => fs::write(path, content).unwrap(),
            None if looks_like_a_file => fs::write(path, []).unwrap(),
            None => build(folders, contents, *inode, &path),
        }
    }
}

fn snapshot(step: u64, weight: f64) -> Snapshot {
    let tensors = [("w".to_owned(), HostTensor::from_f64s(&[weight; 200]))];
    let model = State { json: Value::Null, tensors: tensors.into_iter().collect() };
    let note = State::from_json("a part without tensors".into());
    Snapshot::at(step).state("model", model).unwrap().state("note", note).unwrap()
}

/// Step and weight of the newest checkpoint; nothing in the folder may be damaged.
fn newest(folder: &Path) -> Option<(u64, f64)> {
    let newest = Folder::new(folder).newest().unwrap_or_else(|error| panic!("{error}"))?;
    assert!(newest.damaged.is_empty(), "{}", newest.damaged[0]);
    let checkpoint = newest.checkpoint;
    let weights = checkpoint.state("model").unwrap().tensors["w"].to_f64s().unwrap();
    assert!(weights.iter().all(|weight| *weight == weights[0]), "values of two states in one checkpoint");
    Some((checkpoint.step(), weights[0]))
}

/// In memory if there is a folder for that: thousands of small folders are built.
fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A folder of checkpoints on a recorded disk.
struct Scene {
    place: tempfile::TempDir,
    root: PathBuf,
    inode: Inode,
    disk: Recorded,
}

impl Scene {
    fn new(can_exchange: bool) -> Self {
        let place = temporary();
        let root = place.path().join("checkpoints");
        fs::create_dir(&root).unwrap();
        let disk = Recorded { record: Arc::default(), can_exchange };
        let inode = disk.done(|record| record.inode(&root));
        Self { place, root, inode, disk }
    }

    fn save(&self, (step, weight): (u64, f64)) {
        save(&self.disk, &self.root, &snapshot(step, weight), &WrittenBy::this_build("cpu")).unwrap();
    }

    fn prune(&self, keep: &Retention) {
        prune(&self.disk, &Folder::new(&self.root), keep, None).unwrap();
    }

    /// Returns the operations since the last call.
    fn operations(&self) -> Vec<Operation> {
        self.disk.done(|record| std::mem::take(&mut record.operations))
    }

    /// Cuts the power after each number of the `operations`, which follow the `durable` ones, and checks each possible
    /// disk.
    fn cut_everywhere(&self, durable: &[Operation], operations: &[Operation], look: impl Fn(usize, &Path, &str)) {
        for made in 0..=operations.len() {
            let fates =
                (0..SAMPLES).map(|sample| Fate::Sample(Stream::new(SEED + sample, "crash"), made as u64 * 1000));
            for (sample, mut fate) in [Fate::LoseAll, Fate::KeepAll].into_iter().chain(fates).enumerate() {
                let target = self.place.path().join("after");
                crash(durable, &operations[..made], self.inode, &mut fate, &target);
                look(made, &target, &format!("cut after {made} of {} operations, disk {sample}", operations.len()));
                fs::remove_dir_all(&target).unwrap();
            }
        }
    }
}

/// Makes the saves `before`, which are durable, and the `last` one, cuts the power everywhere in it, and checks that
/// the newest checkpoint is the one before or the last; after the save has returned, the last.
fn cut_the_power_everywhere(before: &[(u64, f64)], last: (u64, f64), keep: &Retention) {
    let scene = Scene::new(true);
    for earlier in before {
        scene.save(*earlier);
        scene.prune(keep);
    }
    let durable = scene.operations();
    scene.save(last);
    let mut operations = scene.operations();
    let saved = operations.len();
    assert!(saved >= 9, "a save has more operations than {saved}");
    scene.prune(keep);
    operations.extend(scene.operations());
    let outcomes = RefCell::new([0, 0]);
    scene.cut_everywhere(&durable, &operations, |made, target, what| {
        let found = newest(target);
        let is_last = found == Some(last);
        assert!(is_last || (made < saved && found == before.last().copied()), "{what}: found {found:?}");
        outcomes.borrow_mut()[usize::from(is_last)] += 1;
        go_on_after(target, what);
    });
    assert!(outcomes.borrow().iter().all(|count| *count > 0), "only one outcome was ever seen: {outcomes:?}");
}

/// The remains of the cut can be cleaned up, and the next save succeeds.
fn go_on_after(folder: &Path, what: &str) {
    Folder::new(folder).sweep().unwrap_or_else(|error| panic!("{what}: {error}"));
    let names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with("step-")), "{what}: {names:?}");
    Folder::new(folder).save(&snapshot(99, 9.0), &WrittenBy::this_build("cpu")).unwrap();
    assert_eq!(newest(folder), Some((99, 9.0)), "{what}");
}

#[test]
fn a_first_save_is_there_whole_or_not_at_all() {
    cut_the_power_everywhere(&[], (10, 1.0), &Retention::default());
}

#[test]
fn a_later_save_leaves_the_old_checkpoint_or_the_new() {
    cut_the_power_everywhere(&[(10, 1.0), (20, 2.0)], (30, 3.0), &Retention::default());
}

/// The previous checkpoint must not be deleted before the new one is complete (Lightning #1150).
#[test]
fn the_old_checkpoint_is_not_deleted_before_the_new_one_is_durable() {
    let keep = Retention { last: Some(1), ..Retention::default() };
    cut_the_power_everywhere(&[(10, 1.0), (20, 2.0)], (30, 3.0), &keep);
}

#[test]
fn a_save_in_the_place_of_another_leaves_one_of_the_two() {
    cut_the_power_everywhere(&[(10, 1.0)], (10, 2.0), &Retention::default());
    cut_the_power_everywhere(&[(10, 1.0)], (10, 2.0), &Retention { last: Some(1), ..Retention::default() });
}

/// There, for a moment, only the earlier checkpoints are in place.
#[test]
fn where_names_cannot_be_exchanged_the_older_checkpoints_stay() {
    let scene = Scene::new(false);
    scene.save((10, 1.0));
    scene.save((20, 2.0));
    let durable = scene.operations();
    scene.save((20, 3.0));
    scene.cut_everywhere(&durable, &scene.operations(), |_, target, what| {
        let found = newest(target).unwrap();
        assert!([(10, 1.0), (20, 2.0), (20, 3.0)].contains(&found), "{what}: {found:?}");
    });
}

/// The simulated disk must lose unflushed data: a save that forgets to flush is caught.
#[test]
fn a_save_that_does_not_flush_is_caught() {
    let scene = Scene::new(true);
    scene.save((10, 1.0));
    let mut operations = scene.operations();
    let first_flush = operations.iter().position(|operation| matches!(operation, Operation::Sync(_))).unwrap();
    operations.remove(first_flush);
    let target = scene.place.path().join("after");
    crash(&[], &operations, scene.inode, &mut Fate::LoseAll, &target);
    assert!(Folder::new(&target).newest().is_err(), "a file that was never flushed should be lost");
}
