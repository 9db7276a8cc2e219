//! Where a run is at this moment, for another process that has asked to be told.
//!
//! It asks by naming a file in the environment variable [`Progress::VARIABLE`]. A few bytes are then written there at
//! each step, and stay readable whatever becomes of the process: that is how a [proof](crate::proof) knows what a kill
//! has hit. Where nobody asks, nothing is written.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::observer::{EpochReport, Observer, StepReport, ValidationReport};

/// What a run is doing.
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

    /// The phase as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Training => "training",
            Self::Validating => "validating",
            Self::Saving => "saving",
        }
    }
}

/// The file that a run tells its place to, where one is asked for.
#[derive(Debug, Default)]
pub struct Progress {
    file: Option<File>,
}

impl Progress {
    /// The environment variable that names the file.
    pub const VARIABLE: &str = "REKINDLE_PROGRESS";

    /// The progress that the environment asks for. A file that cannot be written is not asked for.
    pub fn from_environment() -> Self {
        let path = std::env::var_os(Self::VARIABLE);
        Self { file: path.and_then(|path| OpenOptions::new().write(true).open(path).ok()) }
    }

    /// Tells what the run is doing, and how many updates it has made.
    pub fn tell(&self, phase: Phase, done: u64) {
        if let Some(file) = &self.file {
            // Always of one length, so that each replaces the one before. Who asked may be gone by now.
            let _ = file.write_all_at(format!("{:<10} {done:>20}\n", phase.word()).as_bytes(), 0);
        }
    }

    /// What was last told to the file at `path`; `None` where nothing was.
    pub fn last_told(path: &Path) -> Option<(Phase, u64)> {
        let text = fs::read_to_string(path).ok()?;
        let (word, done) = text.trim_end().split_once(' ')?;
        let phase = Phase::ALL.into_iter().find(|phase| phase.word() == word)?;
        Some((phase, done.trim_start().parse().ok()?))
    }
}

/// An observer, and the progress that is told beside it.
pub struct Watched<'a> {
    /// The observer.
    pub observer: &'a mut dyn Observer,
    /// Where progress is told.
    pub progress: Progress,
}

impl Observer for Watched<'_> {
    fn begin(&mut self, done: u64, total: u64) {
        self.progress.tell(Phase::Training, done);
        self.observer.begin(done, total);
    }

    fn step(&mut self, report: &StepReport<'_>) {
        self.progress.tell(Phase::Training, report.done);
        self.observer.step(report);
    }

    fn validating(&mut self, done: u64) {
        self.progress.tell(Phase::Validating, done);
        self.observer.validating(done);
    }

    fn saving(&mut self, done: u64) {
        self.progress.tell(Phase::Saving, done);
        self.observer.saving(done);
    }

    fn validation(&mut self, report: &ValidationReport) {
        self.observer.validation(report);
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.observer.epoch(report);
    }

    fn message(&mut self, text: &str) {
        self.observer.message(text);
    }

    fn end(&mut self) {
        self.observer.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_was_told_is_read() {
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
