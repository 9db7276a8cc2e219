//! Saves whose large files several processes write together, each a share of their bytes.
//!
//! The first process makes the hidden directory and tells its name to the others. Each of them has the same state, writes
//! its share of the bytes to their places in the files, flushes them, and leaves a report beside the directory: the
//! digests of what it has written, which make up the digest of each file. The first process waits for the reports, and
//! writes the share of a process that is late or has failed itself. It alone writes the manifest and renames the
//! directory. So a save needs no other process, and whichever one is killed, there is a complete checkpoint or none.
//!
//! Only bytes that a single process has need that one ([`super::owned`]): the save then waits longer for it, and fails
//! without it. The checkpoints before it are as they were.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use blake3::Hash;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};

use super::error::{CheckpointError, During};
use super::fs::Disk;
use super::manifest::FileEntry;
use super::name::{is_temporary, part_of, report_of_share as report, temporary_name};
use super::save::again;
use super::snapshot::{Encoded, Snapshot};
use crate::distributed;
use crate::threads::Task;

/// The bytes of a file with one digest. BLAKE3 makes that of the file from those of parts whose length is a power of two.
pub(super) const PIECE: u64 = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// How long the first process waits for the others after its own share, in addition to twice the time of that.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });

/// How long it waits in addition for bytes that it does not have.
const LONG_PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 600 });

/// The pause between two looks for a report.
const PAUSE: Duration = Duration::from_millis(2);

/// The hidden directory of a save that several processes write, made by the first of them. It is removed on drop, unless
/// a save has taken it.
pub struct Staging {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    parts: Vec<String>,
    world: usize,
    /// Whether there is no time left to wait for others.
    hurries: Arc<AtomicBool>,
    is_taken: bool,
}

impl Staging {
    /// Makes it in `folder`, which exists, for a save of `step` in which `world` processes write the tensors of `parts`. Once
    /// it `hurries`, nobody is waited for.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        folder: &Path,
        step: u64,
        parts: Vec<String>,
        world: usize,
        hurries: Arc<AtomicBool>,
    ) -> Result<Self, CheckpointError> {
        let path = folder.join(temporary_name(step));
        again(|| disk.create_dir(&path)).during("create", &path)?;
        Ok(Self { disk, path, parts, world, hurries, is_taken: false })
    }

    /// Returns its name, to be told to the other processes.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Leaves its directory to a save.
    pub(super) fn take(&mut self) -> PathBuf {
        self.is_taken = true;
        self.path.clone()
    }

    /// Whether the processes share a file.
    fn has(&self, file: &Encoded<'_>) -> bool {
        is_shared(file, &self.parts)
    }

    /// Writes the files that the processes share, and returns their entries in the manifest, in their order, with `None`
    /// for other files.
    pub(super) fn write(&self, files: &[Encoded<'_>]) -> Result<Vec<Option<FileEntry>>, CheckpointError> {
        let shared: Vec<&Encoded<'_>> = files.iter().filter(|file| self.has(file)).collect();
        let (pieces, began) = (pieces(&shared, self.world), Instant::now());
        let mut all = write(&self.path, &pieces, 0)?;
        let until = Instant::now() + began.elapsed().saturating_mul(2) + PATIENCE;
        for rank in 1..self.world {
            let count = pieces.iter().filter(|piece| piece.writer == rank).count();
            let is_needed = pieces.iter().any(|piece| piece.writer == rank && piece.is_of_one);
            let until = if is_needed { until + LONG_PATIENCE } else { until };
            let digests = match self.report_of(rank, count, until) {
                Some(digests) => digests,
                None if is_needed => return Err(CheckpointError::Unshared { rank }),
                None => write(&self.path, &pieces, rank)?,
            };
            all.extend(digests);
        }
        let digests: Vec<ChainingValue> = in_order(&pieces, all);
        let mut digests = digests.as_slice();
        let entry = |file: &Encoded<'_>| {
            let count = file.bytes().div_ceil(PIECE) as usize;
            let (own, rest) = digests.split_at_checked(count)?;
            digests = rest;
            let blake3 = root(file.bytes(), own)?.to_string();
            Some(FileEntry { name: file.name.clone(), bytes: file.bytes(), blake3 })
        };
        let mut entries = shared.into_iter().map(entry);
        Ok(files.iter().map(|file| if self.has(file) { entries.next().flatten() } else { None }).collect())
    }
}

impl Staging {
    /// Returns the digests that a process reports for as many pieces; `None` if it fails, or has not until then.
    fn report_of(&self, rank: usize, pieces: usize, until: Instant) -> Option<Vec<ChainingValue>> {
        let path = report(&self.path, rank);
        loop {
            match fs::read(&path) {
                Ok(bytes) => {
                    let digests = bytes.as_chunks::<{ blake3::OUT_LEN }>().0.to_vec();
                    return (bytes.len() == pieces * blake3::OUT_LEN).then_some(digests);
                }
                Err(_) if Instant::now() < until && !self.hurries.load(Ordering::Acquire) => thread::sleep(PAUSE),
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_taken {
            // A process that is late may make a file in it meanwhile: then the next save removes it.
            let _ = self.disk.remove_dir_all(&self.path);
        }
        // Now, because a process that is late looks for the directory after its report.
        for rank in 1..self.world {
            // It may have left none.
            let _ = fs::remove_file(report(&self.path, rank));
        }
    }
}

/// The saves of a process that writes shares of the files of another one's.
#[derive(Default)]
pub(crate) struct Helper {
    /// The snapshot of the last save, whose memory is reused.
    earlier: Option<Snapshot>,
    in_flight: Option<Task<Snapshot>>,
}

impl Helper {
    /// Returns an empty snapshot for the parts of a save. Waits for the share in flight.
    pub fn snapshot_at(&mut self, step: u64) -> Snapshot {
        self.wait();
        let snapshot = match self.earlier.take() {
            Some(earlier) => Snapshot::again_at(step, earlier),
            None => Snapshot::at(step),
        };
        snapshot.begun()
    }

    /// Begins to write the share of process `rank` of `world` in the hidden directory `name` of `folder`. A failure is the
    /// first process's to deal with.
    pub fn begin(&mut self, mut snapshot: Snapshot, folder: &Path, name: &str, [rank, world]: [usize; 2]) {
        self.wait();
        let staging = folder.join(name);
        self.in_flight = is_temporary(name).then(|| {
            Task::begin_aside("save", move || {
                if let Err(error) = help(&mut snapshot, &staging, rank, world) {
                    tracing::warn!("process {rank} has not written its share of a checkpoint: {error}");
                }
                snapshot
            })
        });
    }

    /// Reports that process `rank` writes no share, in place of [`Helper::begin`].
    pub fn decline(&self, folder: &Path, name: &str, rank: usize) {
        if is_temporary(name) {
            // Without the report, the first process waits longer.
            let _ = leave_report(&folder.join(name), rank, &[]);
        }
    }

    /// Waits for the share in flight.
    pub fn wait(&mut self) {
        if let Some(share) = self.in_flight.take() {
            self.earlier = share.wait();
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.wait();
    }
}

/// Writes the share of a process, and then its report; an empty one if it fails.
fn help(snapshot: &mut Snapshot, staging: &Path, rank: usize, world: usize) -> Result<(), CheckpointError> {
    let written = snapshot.finish_copies().and_then(|()| {
        let parts: Vec<String> = snapshot.states().map(|(part, _)| part.to_owned()).collect();
        let files = snapshot.files()?;
        let shared: Vec<&Encoded<'_>> = files.iter().filter(|file| is_shared(file, &parts)).collect();
        write(staging, &pieces(&shared, world), rank)
    });
    let digests = written.as_ref().map(|digests| digests.as_flattened()).unwrap_or_default();
    let reported = leave_report(staging, rank, digests);
    written.and(reported.during("write", report(staging, rank)))
}

/// Leaves the report of a process beside the directory of a save, if that is still there.
fn leave_report(staging: &Path, rank: usize, digests: &[u8]) -> io::Result<()> {
    let report = report(staging, rank);
    let mut unfinished = report.clone().into_os_string();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let left = fs::write(&unfinished, digests).and_then(|()| fs::rename(&unfinished, &report));
    if !staging.exists() {
        // Nobody waits for it any more.
        let _ = fs::remove_file(&report);
    }
    left
}

fn is_shared(file: &Encoded<'_>, parts: &[String]) -> bool {
    part_of(&file.name).is_some_and(|part| parts.iter().any(|shared| shared == part))
}

/// A piece of a file that one process writes.
struct Piece<'a> {
    file: &'a Encoded<'a>,
    bytes: Range<u64>,
    /// The number of that process.
    writer: usize,
    /// Whether no other process has all of its bytes.
    is_of_one: bool,
}

impl Piece<'_> {
    fn is_whole_file(&self) -> bool {
        self.bytes == (0..self.file.bytes())
    }

    /// Calls `take` with the bytes of the piece, in order.
    fn each(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut start = 0;
        for content in &self.file.contents {
            let end = start + content.len();
            let (from, to) = (self.bytes.start.max(start), self.bytes.end.min(end));
            if from < to {
                take(&content.bytes()?[(from - start) as usize..(to - start) as usize])?;
            }
            start = end;
        }
        Ok(())
    }
}

/// Returns the pieces of the files. Those that every process has are shared among all, in the order of their numbers.
fn pieces<'a>(files: &[&'a Encoded<'a>], world: usize) -> Vec<Piece<'a>> {
    let of_file = |&file: &&'a Encoded<'a>| {
        let (len, writers) = (file.bytes(), file.writers.as_deref());
        (0..len).step_by(PIECE as usize).enumerate().map(move |(number, start)| {
            let writer = writers.map_or(0, |writers| writers.get(number).copied().unwrap_or_default());
            Piece { file, bytes: start..(start + PIECE).min(len), writer, is_of_one: writers.is_some() }
        })
    };
    let mut pieces: Vec<Piece<'_>> = files.iter().flat_map(of_file).collect();
    let mut of_all: Vec<&mut Piece<'_>> = pieces.iter_mut().filter(|piece| !piece.is_of_one).collect();
    for rank in 0..world {
        let share = distributed::share(of_all.len(), rank, world);
        of_all[share].iter_mut().for_each(|piece| piece.writer = rank);
    }
    pieces
}

/// Returns the digests of all pieces in their order, from those of each process.
fn in_order(pieces: &[Piece<'_>], by_writer: Vec<ChainingValue>) -> Vec<ChainingValue> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&piece| pieces[piece].writer);
    let mut digests: Vec<(usize, ChainingValue)> = order.into_iter().zip(by_writer).collect();
    digests.sort_by_key(|(piece, _)| *piece);
    digests.into_iter().map(|(_, digest)| digest).collect()
}

/// Writes the pieces of process `rank` to their places, makes them durable, and returns their digests.
fn write(staging: &Path, pieces: &[Piece<'_>], rank: usize) -> Result<Vec<ChainingValue>, CheckpointError> {
    let own: Vec<&Piece<'_>> = pieces.iter().filter(|piece| piece.writer == rank).collect();
    let mut digests = Vec::with_capacity(own.len());
    for pieces in own.chunk_by(|one, other| one.file.name == other.file.name) {
        let Some(first) = pieces.first() else { continue };
        let path = staging.join(&first.file.name);
        // Whoever comes first makes the file.
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let mut file = again(open).during("create", &path)?;
        for piece in pieces {
            again(|| file.seek(SeekFrom::Start(piece.bytes.start))).during("write", &path)?;
            let mut hasher = blake3::Hasher::new();
            if !piece.is_whole_file() {
                hasher.set_input_offset(piece.bytes.start);
            }
            let take = |bytes: &[u8]| {
                hasher.update(bytes);
                file.write_all(bytes)
            };
            piece.each(take).during("write", &path)?;
            digests.push(match piece.is_whole_file() {
                true => *hasher.finalize().as_bytes(),
                false => hasher.finalize_non_root(),
            });
        }
        again(|| file.sync_all()).during("flush", &path)?;
    }
    Ok(digests)
}

/// Returns the digest of a file of `len` bytes from those of its pieces.
fn root(len: u64, pieces: &[ChainingValue]) -> Option<Hash> {
    match pieces {
        [] => None,
        [one] => Some(Hash::from_bytes(*one)),
        _ => {
            let [left, right] = halves(len, pieces)?;
            Some(merge_subtrees_root(&left, &right, Mode::Hash))
        }
    }
}

fn subtree(len: u64, pieces: &[ChainingValue]) -> Option<ChainingValue> {
    match pieces {
        [] => None,
        [one] => Some(*one),
        _ => {
            let [left, right] = halves(len, pieces)?;
            Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
        }
    }
}

fn halves(len: u64, pieces: &[ChainingValue]) -> Option<[ChainingValue; 2]> {
    let left = left_subtree_len(len);
    let (first, second) = pieces.split_at_checked((left / PIECE) as usize)?;
    Some([subtree(left, first)?, subtree(len - left, second)?])
}

#[cfg(test)]
mod tests;
