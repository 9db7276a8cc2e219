//! Saving a checkpoint to an object store: its files first, its manifest last and only where there is none.

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
    /// When the snapshot cannot be encoded, the store fails, or this process may not write there. The other checkpoints
    /// are then as they were, and what was put into this one's place is removed, or is marked for the next sweep where
    /// the store cannot be reached. What is there may be another's by now, who has taken the run over: it is left to
    /// it.
    ///
    /// A process that is stopped between its last look and its write, for so long that another takes the run over, can
    /// still make that write. No valid checkpoint comes to mix two states by it: the manifest is created only where
    /// there is none, and a file that was written over later does not have the digest that its manifest lists.
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
            // The error that brought us here says what is wrong with the store; a second one adds nothing.
            let _ = self.clear(step);
        })?;
        Ok(Saved { path, bytes, outcome })
    }

    fn upload(&self, step: u64, file: &Encoded) -> Result<FileEntry, CheckpointError> {
        let path = self.path(step).join(&file.name);
        hashed_meanwhile(file, &path, || {
            let mut content = Pieces { pieces: file.pieces.iter().map(|piece| &piece[..]).collect(), read: 0 };
            self.store.upload(&path, &mut content, file.bytes()).during("write", &path)
        })
    }
}

/// Pieces in memory as a stream.
struct Pieces<'a> {
    pieces: Vec<&'a [u8]>,
    /// How many of them were read.
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
