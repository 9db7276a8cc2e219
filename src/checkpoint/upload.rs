//! Saves a checkpoint to an object store: its files first, its manifest last and only if absent.

use std::io::{self, Read};

use super::error::{CheckpointError, During};
use super::manifest::FileEntry;
use super::mark::Mark;
use super::name;
use super::objects::Objects;
use super::save::{Outcome, Saved, hashed_meanwhile, holds, manifest};
use super::snapshot::{Encoded, Snapshot};
use super::written_by::WrittenBy;

impl Objects {
    /// Saves `snapshot` in the folder.
    ///
    /// # Errors
    /// The snapshot cannot be encoded, the store fails, or this process may not write there. The other checkpoints are
    /// then unchanged, and the objects of this save are removed, or marked for the next clean-up if the store cannot be
    /// reached. If another process may have taken over the run, its objects are left alone.
    ///
    /// A process that is suspended between its last check and its write, until another one has taken over the run, can
    /// still make that write. It never mixes two states in a valid checkpoint: the manifest is created only if absent,
    /// and a file that was overwritten later does not have the digest in its manifest.
    pub(super) fn save(&self, snapshot: &Snapshot, written_by: &WrittenBy) -> Result<Saved, CheckpointError> {
        let (files, step) = (snapshot.files()?, snapshot.step());
        let bytes = files.iter().map(Encoded::bytes).sum();
        let path = self.path(step);
        if self.is_marked(step)? {
            self.clear(step)?;
        }
        let is_occupied = !self.files(&path)?.is_empty();
        if is_occupied && holds(&path, &files) {
            return Ok(Saved { path, bytes, outcome: Outcome::Unchanged });
        }
        let put = || {
            let outcome = if is_occupied {
                Outcome::Replaced { aside: self.set_aside(step)? }
            } else {
                self.set_mark(step, Mark::Unfinished)?;
                Outcome::New
            };
            let entries = files.iter().map(|file| self.upload(step, file)).collect::<Result<_, _>>()?;
            let manifest_path = path.join(name::MANIFEST);
            let content = manifest(step, entries, written_by)?;
            self.store.create(&manifest_path, &content).during("write", manifest_path)?;
            self.remove(&self.mark(step))?;
            Ok(outcome)
        };
        let outcome = put().inspect_err(|_| {
            // The original error describes the store's fault; a second one adds nothing.
            let _ = self.clear(step);
        })?;
        Ok(Saved { path, bytes, outcome })
    }

    fn upload(&self, step: u64, file: &Encoded) -> Result<FileEntry, CheckpointError> {
        let path = self.path(step).join(&file.name);
        hashed_meanwhile(file, &path, || {
            let mut content = Pieces { pieces: file.pieces().during("write", &path)?, read: 0 };
            self.store.upload(&path, &mut content, file.bytes()).during("write", &path)
        })
    }
}

/// Pieces in memory as a stream.
struct Pieces<'a> {
    pieces: Vec<&'a [u8]>,
    /// Number of pieces read.
    read: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.get_mut(self.read) {
            if !piece.is_empty() {
                return piece.read(buffer);
            }
            self.read += 1;
        }
        Ok(0)
    }
}
