//! Progress of a run, reported to another process on request.
//!
//! The other process names a file in the environment variable [`Progress::VARIABLE`]. A few bytes are then written
//! there at each step, and can be read even after the process is killed: a [kill test](crate::proof) uses this to find
//! out what a kill has hit. Without the variable nothing is written.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::train::TrainError;
use crate::train::record::StepRecord;
use crate::train::sink::{Beginning, Sink};

/// Activity of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before the first update of this process.
    Starting,
    /// Making updates.
    Training,
    /// Evaluating on the validation rows.
    Validating,
    /// Saving its state.
    Saving,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Starting, Self::Training, Self::Validating, Self::Saving];

    /// Returns the phase as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Training => "training",
            Self::Validating => "validating",
            Self::Saving => "saving",
        }
    }
}

/// The file for progress reports, if one was requested.
#[derive(Debug, Default)]
pub struct Progress {
    file: Option<File>,
}

impl Progress {
    /// The environment variable with the path of the file.
    pub const VARIABLE: &str = "REKINDLE_PROGRESS";

    /// Returns the progress reporter for the environment. A file that cannot be written is ignored.
    pub fn from_environment() -> Self {
        let path = std::env::var_os(Self::VARIABLE);
        Self { file: path.and_then(|path| OpenOptions::new().write(true).open(path).ok()) }
    }

    /// Reports the phase of the run and the number of updates made.
    pub fn tell(&self, phase: Phase, done: u64) {
        if let Some(file) = &self.file {
            // The length is constant, so that each report replaces the one before. The reader may be gone.
            let _ = file.write_all_at(format!("{:<10} {done:>20}\n", phase.word()).as_bytes(), 0);
        }
    }

    /// Returns the last report in the file at `path`; `None` if there is none.
    pub fn last_told(path: &Path) -> Option<(Phase, u64)> {
        let text = fs::read_to_string(path).ok()?;
        let (word, done) = text.trim_end().split_once(' ')?;
        let phase = Phase::ALL.into_iter().find(|phase| phase.word() == word)?;
        Some((phase, done.trim_start().parse().ok()?))
    }
}

impl Sink for Progress {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        self.tell(Phase::Training, beginning.done);
        Ok(())
    }

    fn record(&mut self, record: &StepRecord) {
        self.tell(Phase::Training, record.done());
    }

    fn validating(&mut self, done: u64) {
        self.tell(Phase::Validating, done);
    }

    fn saving(&mut self, done: u64) {
        self.tell(Phase::Saving, done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_report_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        assert_eq!(Progress::last_told(&path), None);
        fs::write(&path, "").unwrap();
        assert_eq!(Progress::last_told(&path), None);
        let progress = Progress { file: OpenOptions::new().write(true).open(&path).ok() };
        for (phase, done) in [(Phase::Validating, u64::MAX), (Phase::Saving, 0), (Phase::Training, 12)] {
            progress.tell(phase, done);
            assert_eq!(Progress::last_told(&path), Some((phase, done)));
        }
        Progress::default().tell(Phase::Training, 1);
    }
}
