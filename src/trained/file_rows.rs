//! Rows of other data for a trained model: those of a file, or of all files of a pattern, one after the other.

use std::path::{Path, PathBuf};
use std::vec;

use super::{Trained, TrainedError};
use crate::Notice;
use crate::data::{self, ReadRows, RowReader};

/// Rows of one or more files. A fault ends them.
pub(super) struct FileRows<'a> {
    trained: &'a Trained,
    with_targets: bool,
    current: RowReader,
    rest: vec::IntoIter<PathBuf>,
    /// Notices about the files before the current one, and from before its first row was read.
    notices: Vec<Notice>,
}

impl<'a> FileRows<'a> {
    /// Opens the first of the files at `path`. Targets are only read `with_targets`.
    pub fn open(trained: &'a Trained, path: &Path, with_targets: bool) -> Result<Self, TrainedError> {
        let files = data::files_at(path)?;
        let first = files.first().cloned().unwrap_or_else(|| path.to_owned());
        let (current, notices) = reader(trained, &first, with_targets)?;
        let mut rest = files.into_iter();
        rest.next();
        Ok(Self { trained, with_targets, current, rest, notices })
    }

    /// Returns likely mistakes in the rows read so far.
    pub fn notices(&self) -> Vec<Notice> {
        [self.notices.clone(), self.current.notices()].concat()
    }

    fn open_next(&mut self, path: &Path) -> Result<(), TrainedError> {
        self.notices.extend(self.current.notices());
        let (current, notices) = reader(self.trained, path, self.with_targets)?;
        self.notices.extend(notices);
        self.current = current;
        Ok(())
    }
}

fn reader(trained: &Trained, path: &Path, with_targets: bool) -> Result<(RowReader, Vec<Notice>), TrainedError> {
    let (config, notices) = trained.data_at(path, with_targets)?;
    let rows = RowReader::open(&config, &trained.schema, &trained.memory, with_targets);
    Ok((rows.map_err(TrainedError::of_rows(path))?, notices))
}

impl Iterator for FileRows<'_> {
    type Item = Result<ReadRows, TrainedError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rows) = self.current.next() {
                return Some(rows.map_err(TrainedError::from));
            }
            let path = self.rest.next()?;
            if let Err(error) = self.open_next(&path) {
                self.rest = Vec::new().into_iter();
                return Some(Err(error));
            }
        }
    }
}
