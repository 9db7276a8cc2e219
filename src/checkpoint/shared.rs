//! Saves whose large files several processes write together, each a share of their bytes.
//!
//! The first process makes the hidden directory and tells its name to the others. Each of them has the same state, writes
//! its share of the bytes to their places in the files, flushes them, and leaves a report beside the directory: the
//! digests of what it has written, which make up the digest of each file. The first process waits for the reports, and
//! writes the share of a process that is late or has failed itself. It alone writes the manifest and renames the
//! directory. So a save needs no other process, and whichever one is killed, there is a complete checkpoint or none.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
const PIECE: u64 = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// How long the first process waits for the others after its own share, in addition to twice the time of that.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });

/// The pause between two looks for a report.
const PAUSE: Duration = Duration::from_millis(2);

/// The hidden directory of a save that several processes write, made by the first of them. It is removed on drop, unless
/// a save has taken it.
pub struct Staging {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    parts: Vec<String>,
    world: usize,
    is_taken: bool,
}

impl Staging {
    /// Makes it in `folder`, which exists, for a save of `step` in which `world` processes write the tensors of `parts`.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        folder: &Path,
        step: u64,
        parts: Vec<String>,
        world: usize,
    ) -> Result<Self, CheckpointError> {
        let path = folder.join(temporary_name(step));
        again(|| disk.create_dir(&path)).during("create", &path)?;
        Ok(Self { disk, path, parts, world, is_taken: false })
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
        let (pieces, began) = (pieces(&shared), Instant::now());
        let own = distributed::share(pieces.len(), 0, self.world);
        let mut digests = write(&self.path, &pieces[own])?;
        let until = Instant::now() + began.elapsed().saturating_mul(2) + PATIENCE;
        for rank in 1..self.world {
            let share = &pieces[distributed::share(pieces.len(), rank, self.world)];
            digests.extend(match report_of(&self.path, rank, share.len(), until) {
                Some(digests) => digests,
                None => write(&self.path, share)?,
            });
        }
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

impl Drop for Staging {
    fn drop(&mut self) {
        for rank in 1..self.world {
            // It may have left none.
            let _ = fs::remove_file(report(&self.path, rank));
        }
        if !self.is_taken {
            // A later save does not use it, and a resume removes it.
            let _ = self.disk.remove_dir_all(&self.path);
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
        let pieces = pieces(&shared);
        write(staging, &pieces[distributed::share(pieces.len(), rank, world)])
    });
    let report = report(staging, rank);
    let mut unfinished = report.clone().into_os_string();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let digests = written.as_ref().map(|digests| digests.as_flattened()).unwrap_or_default();
    let reported = fs::write(&unfinished, digests).and_then(|()| fs::rename(&unfinished, &report));
    if !staging.exists() {
        // Nobody waits for it any more.
        let _ = fs::remove_file(&report);
    }
    written.and(reported.during("write", &report))
}

fn is_shared(file: &Encoded<'_>, parts: &[String]) -> bool {
    part_of(&file.name).is_some_and(|part| parts.iter().any(|shared| shared == part))
}

/// Returns the digests that a process reports for as many pieces; `None` if it fails, or has not until then.
fn report_of(staging: &Path, rank: usize, pieces: usize, until: Instant) -> Option<Vec<ChainingValue>> {
    let path = report(staging, rank);
    loop {
        match fs::read(&path) {
            Ok(bytes) => {
                let digests = bytes.as_chunks::<{ blake3::OUT_LEN }>().0.to_vec();
                return (bytes.len() == pieces * blake3::OUT_LEN).then_some(digests);
            }
            Err(_) if Instant::now() < until => thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
}

/// A piece of a file that one process writes.
struct Piece<'a> {
    file: &'a Encoded<'a>,
    bytes: Range<u64>,
}

impl Piece<'_> {
    fn is_whole_file(&self) -> bool {
        self.bytes == (0..self.file.bytes())
    }

    /// Calls `take` with the bytes of the piece, in order.
    fn each(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut start = 0;
        for content in &self.file.pieces {
            let end = start + content.len() as u64;
            let (from, to) = (self.bytes.start.max(start), self.bytes.end.min(end));
            if from < to {
                take(&content[(from - start) as usize..(to - start) as usize])?;
            }
            start = end;
        }
        Ok(())
    }
}

fn pieces<'a>(files: &[&'a Encoded<'a>]) -> Vec<Piece<'a>> {
    let of_file = |&file: &&'a Encoded<'a>| {
        let len = file.bytes();
        (0..len).step_by(PIECE as usize).map(move |start| Piece { file, bytes: start..(start + PIECE).min(len) })
    };
    files.iter().flat_map(of_file).collect()
}

/// Writes neighbouring pieces to their places, makes them durable, and returns their digests.
fn write(staging: &Path, pieces: &[Piece<'_>]) -> Result<Vec<ChainingValue>, CheckpointError> {
    let mut digests = Vec::with_capacity(pieces.len());
    for pieces in pieces.chunk_by(|one, other| one.file.name == other.file.name) {
        let Some(first) = pieces.first() else { continue };
        let path = staging.join(&first.file.name);
        // Whoever comes first makes the file.
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let mut file = again(open).during("create", &path)?;
        again(|| file.seek(SeekFrom::Start(first.bytes.start))).during("write", &path)?;
        for piece in pieces {
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
