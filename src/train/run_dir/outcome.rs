//! `outcome.json`: how the last process of a run ended. A killed process leaves none, because the file is removed when
//! a process begins, and written when it ends.

use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use crate::train::TrainError;
use crate::train::sink::Outcome;
use crate::{regular, store};

/// Name of the file in a run directory.
pub(super) const NAME: &str = "outcome.json";

/// How a process that trained a run has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Whether the run is finished.
    pub outcome: Ending,
    /// Number of updates made.
    pub step: u64,
    /// The number of the signal that stopped the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<usize>,
    /// Why the run has ended before its last update, without a signal or an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit code of `train`.
    pub exit_code: u8,
    /// When it ended, in seconds since 1970.
    pub unix_time: f64,
}

/// The kinds of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All updates are made, or its metric has ended it.
    Finished,
    /// A signal has stopped it, or its time was up, and the state is saved.
    Stopped,
    /// An error has ended it.
    Failed,
}

impl RunEnd {
    /// Describes the end, now, of a process that has made `step` updates of the run.
    pub(crate) fn now(ended: &Result<Outcome, TrainError>, step: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let end = |outcome, exit_code| Self {
            outcome,
            step,
            signal: None,
            reason: None,
            error: None,
            exit_code,
            unix_time: now,
        };
        match ended {
            Ok(Outcome::Finished) => end(Ending::Finished, 0),
            Ok(Outcome::Stopped { signal }) => {
                let code = u8::try_from(128 + signal).unwrap_or(1);
                Self { signal: Some(*signal), ..end(Ending::Stopped, code) }
            }
            Ok(Outcome::EndedEarly { reason }) => {
                Self { reason: Some(format!("ended early: {reason}")), ..end(Ending::Finished, 0) }
            }
            Ok(Outcome::TimeIsUp) => Self { reason: Some("its time was up".to_owned()), ..end(Ending::Stopped, 0) },
            Ok(Outcome::StepReached) => {
                Self { reason: Some("it was to train up to this step (--until)".to_owned()), ..end(Ending::Stopped, 0) }
            }
            Err(error) => {
                // It may be noticed some steps later.
                let step = if let TrainError::NotFinite { step, .. } = error { *step } else { step };
                Self { step, error: Some(error.to_string()), ..end(Ending::Failed, 1) }
            }
        }
    }

    /// Describes the same end, if the other processes of the run had not come to it: one of them is lost, and the
    /// launcher stops the rest with a signal that nobody has sent to the run.
    pub(crate) fn parted(self) -> Self {
        if self.outcome != Ending::Stopped {
            return self;
        }
        let error = "a process of the run was lost: the others had not finished the step when a signal came";
        Self { outcome: Ending::Failed, error: Some(error.to_owned()), ..self }
    }

    /// Whether the run failed because a number was not finite: it would fail there again.
    pub fn is_diverged(&self) -> bool {
        self.outcome == Ending::Failed && self.error.as_ref().is_some_and(|error| error.contains("not finite"))
    }

    /// Reads the file in the run directory, or at the URL, `run`; `None` if there is none, or none that can be read.
    pub fn read(run: &Path) -> Option<Self> {
        serde_json::from_slice(&content(&run.join(NAME)).ok()?).ok()
    }

    fn text(&self) -> String {
        // All fields can be written as JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl RunDirectory {
    /// Removes how the last process ended, because another one begins.
    pub(crate) fn forget_outcome(&self) {
        if let Err(error) = self.remove(NAME)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: cannot be removed: {error}", self.path().join(NAME).display());
        }
    }

    /// Writes how this process ended. It is not written for a run that is now another process's.
    pub(crate) fn write_outcome(&self, end: &RunEnd) {
        if let Some(error) = self.is_ours().then(|| self.put(NAME, &end.text()).err()).flatten() {
            tracing::warn!("{}: cannot write how the run ended: {error}", self.path().display());
        }
    }
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    /// Many times the longest error.
    const LIMIT: u64 = 1 << 20;
    if let Some(store) = store::at(file)? {
        return Ok(store.fetch(file, LIMIT)?.ok_or(io::ErrorKind::NotFound)?.0);
    }
    let mut content = Vec::new();
    regular::open(file)?.take(LIMIT).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written_with_the_fields_that_apply() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(RunEnd::read(folder.path()), None);
        let error = TrainError::NoLength;
        let ends = [Ok(Outcome::Finished), Ok(Outcome::Stopped { signal: 15 }), Err(error)];
        let texts = ends.map(|ended| {
            let end = RunEnd::now(&ended, 7);
            std::fs::write(folder.path().join(NAME), end.text()).unwrap();
            assert_eq!(RunEnd::read(folder.path()), Some(end.clone()));
            end.text()
        });
        let has = ["\"finished\"", "\"signal\": 15,\n  \"exit_code\": 143", "\"error\": \"`train.epochs`"];
        assert!(texts.iter().zip(has).all(|(text, has)| text.contains(has)), "{texts:?}");
        assert!(!texts[0].contains("signal") && !texts[0].contains("error"), "{}", texts[0]);
        std::fs::write(folder.path().join(NAME), "{\"outcome\": \"finished\"").unwrap();
        assert_eq!(RunEnd::read(folder.path()), None);
    }
}
