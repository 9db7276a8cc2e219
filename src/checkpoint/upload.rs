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
    /// Saves `snapshot` in the folder. `may_commit` is asked first, and again just before the manifest.
    ///
    /// # Errors
    /// When the snapshot cannot be encoded, the store fails, or `may_commit` refuses. The other checkpoints are then as
    /// they were, and what was put into this one's place is removed, or is marked for the next sweep where the store
    /// cannot be reached.
    pub(super) fn save(
        &self,
        snapshot: &Snapshot,
        written_by: &WrittenBy,
        may_commit: &dyn Fn() -> io::Result<()>,
    ) -> Result<Saved, CheckpointError> {
        let (files, step) = (snapshot.files()?, snapshot.step());
        let bytes = files.iter().map(Encoded::bytes).sum();
        let path = self.path(step);
        may_commit().during("save to", &path)?;
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
            may_commit().during("save to", &path)?;
            let manifest_path = path.join(name::MANIFEST);
            let content = manifest(step, entries, written_by)?;
            self.store.create(&manifest_path, &content).during("write", manifest_path)?;
            self.remove(&self.mark(step))?;
            Ok(outcome)
        };
        let outcome = put().inspect_err(|_| {
            // What is there may by now be another's, who has taken the run over. The error that brought us here says what
            // is wrong with the store; a second one adds nothing.
            if may_commit().is_ok() {
                let _ = self.clear(step);
            }
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
