//! A limit on what is taken from one file: its values may name each other, so that a small file describes an endless run.

use std::path::Path;

use crate::peers::error::PeerError;

/// Most entries of groups and states that are read: those of a model of a million tensors.
const MOST: usize = 10_000_000;

/// Entries that may still be read.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Budget {
    /// Takes `entries` of `thing` from the budget.
    ///
    /// # Errors
    /// There are more than any run has.
    pub(super) fn spend(&mut self, entries: usize, path: &Path, thing: &str) -> Result<(), PeerError> {
        self.0 = self.0.checked_sub(entries).ok_or_else(|| {
            PeerError::unsupported(
                path,
                format!("{thing} has more than {MOST} entries, since parts of it are repeated"),
            )
        })?;
        Ok(())
    }
}
