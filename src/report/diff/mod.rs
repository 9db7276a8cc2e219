//! Differences between two runs or two checkpoints, to the last bit.
//!
//! ```no_run
//! # use std::path::Path;
//! # use rekindle::report::diff::Difference;
//! let difference = Difference::between(Path::new("runs/one"), Path::new("runs/two"))?;
//! if !difference.is_identical() {
//!     println!("{difference}");
//! }
//! # Ok::<(), rekindle::report::diff::DiffError>(())
//! ```

mod checkpoint;
mod json;
mod log;
pub(crate) mod tensor;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

pub use checkpoint::CheckpointDifference;
pub use json::FieldDifference;
pub use log::LogDifference;
pub use tensor::{ElementDifference, FirstDifference, TensorChange, TensorDifference};

use crate::checkpoint::{CheckpointError, dir_name, step_of};
use crate::store;
use crate::train::{self, TrainError, base_of, resume};

/// Differences between A and B: two runs, two folders of checkpoints, or two checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The path of A.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub a: PathBuf,
    /// The path of B.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub b: PathBuf,
    /// Parts of a run that only A has: its configuration, its log, a checkpoint.
    pub only_in_a: Vec<String>,
    /// Parts of a run that only B has.
    pub only_in_b: Vec<String>,
    /// Whether configurations and logs were compared, which runs have and single checkpoints do not.
    pub of_runs: bool,
    /// Differences between the configurations of two runs.
    pub config: Vec<FieldDifference>,
    /// Different paths of the data in the configurations, which do not count as a difference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<FieldDifference>,
    /// The first difference between the logs of two runs.
    pub log: Option<LogDifference>,
    /// Each compared pair of checkpoints, by step.
    pub checkpoints: Vec<CheckpointDifference>,
}

/// Errors of a comparison.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiffError {
    /// There is no checkpoint at the path.
    #[error(transparent)]
    Place(#[from] TrainError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Another file of a run cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A single checkpoint is compared with a run without a checkpoint of the same step.
    #[error(
        "{} holds no checkpoint of step {step} to compare with; name one of its checkpoints, or compare the runs",
        path.display()
    )]
    NoSuchStep {
        /// The run or folder.
        path: PathBuf,
        /// The step of the other checkpoint.
        step: u64,
    },
}

impl Difference {
    /// Compares `a` and `b`: run directories, folders of checkpoints, or single checkpoints. A single checkpoint is
    /// compared with a run's checkpoint of the same step.
    ///
    /// # Errors
    /// There is no checkpoint at a path, or a file there cannot be read. Damage is a difference.
    pub fn between(a: &Path, b: &Path) -> Result<Self, DiffError> {
        let (side_a, side_b) = (Side::at(a)?, Side::at(b)?);
        let mut found = Self { a: a.to_owned(), b: b.to_owned(), ..Self::default() };
        for (first, second) in found.pairs(&side_a, &side_b)? {
            found.checkpoints.push(CheckpointDifference::between(first, second)?);
        }
        if let (Some(run_a), Some(run_b)) = (&side_a.run, &side_b.run) {
            found.of_runs = true;
            found.compare_files(run_a, run_b)?;
        }
        Ok(found)
    }

    /// Whether there is no difference, except in paths and in who wrote them.
    pub fn is_identical(&self) -> bool {
        self.only_in_a.is_empty()
            && self.only_in_b.is_empty()
            && self.config.is_empty()
            && self.log.is_none()
            && self.checkpoints.iter().all(CheckpointDifference::is_identical)
    }

    /// Returns the checkpoints to compare with each other. Those without a partner are noted.
    fn pairs<'a>(&mut self, a: &'a Side, b: &'a Side) -> Result<Vec<(&'a Path, &'a Path)>, DiffError> {
        if let (true, true, Some(first), Some(second)) =
            (a.is_single, b.is_single, a.checkpoints.first(), b.checkpoints.first())
        {
            return Ok(vec![(first, second)]);
        }
        let mut pairs = Vec::new();
        for path in &a.checkpoints {
            match b.like(path) {
                Some(other) => pairs.push((path.as_path(), other)),
                None if a.is_single => return Err(b.lacks(path)),
                None if b.is_single => {}
                None => self.only_in_a.push(name(path)),
            }
        }
        for path in b.checkpoints.iter().filter(|path| a.like(path).is_none()) {
            match () {
                () if b.is_single => return Err(a.lacks(path)),
                () if a.is_single => {}
                () => self.only_in_b.push(name(path)),
            }
        }
        Ok(pairs)
    }

    fn compare_files(&mut self, a: &Path, b: &Path) -> Result<(), DiffError> {
        let config = "config.toml";
        let (in_a, in_b) = (a.join(config), b.join(config));
        match (is_file(&in_a)?, is_file(&in_b)?) {
            (true, true) => self.compare_configs(&in_a, &in_b)?,
            (has_a, has_b) => self.note(config, has_a, has_b),
        }
        match (log_of(a)?, log_of(b)?) {
            (Some(log_a), Some(log_b)) => {
                let error = |error| DiffError::Read { path: a.join("log.jsonl"), error };
                self.log = log::compare(log_a, log_b).map_err(error)?;
            }
            (log_a, log_b) => self.note("log.jsonl", log_a.is_some(), log_b.is_some()),
        }
        Ok(())
    }

    /// Notes a file that at most one of the runs has.
    fn note(&mut self, file: &str, has_a: bool, has_b: bool) {
        self.only_in_a.extend(has_a.then(|| file.to_owned()));
        self.only_in_b.extend(has_b.then(|| file.to_owned()));
    }

    fn compare_configs(&mut self, a: &Path, b: &Path) -> Result<(), DiffError> {
        let read = |path: &Path| {
            let bytes = store::read_file(path).map_err(|error| DiffError::Read { path: path.to_owned(), error })?;
            Ok::<_, DiffError>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (text_a, text_b) = (read(a)?, read(b)?);
        if text_a == text_b {
            return Ok(());
        }
        let parsed = |text: &str| toml::from_str::<Value>(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        // A checkpoint's relative paths start at the same folder as those of the configuration.
        let places = [a, b].map(|file| file.with_file_name("step-0000000000"));
        let found = json::differences(&parsed(&text_a), &parsed(&text_b));
        let is_place = |found: &FieldDifference| checkpoint::is_same_place(&found.field, found, &places[0], &places[1]);
        (self.places, self.config) = found.into_iter().partition(is_place);
        if self.places.is_empty() && self.config.is_empty() {
            let (a, b) = (Some(text_a.into()), Some(text_b.into()));
            self.config.push(FieldDifference { field: String::new(), a, b });
        }
        Ok(())
    }
}

/// One side of the comparison, A or B.
struct Side {
    path: PathBuf,
    /// The directories of its checkpoints, oldest first.
    checkpoints: Vec<PathBuf>,
    /// Whether it is a single checkpoint, not a folder of checkpoints.
    is_single: bool,
    /// The directory of the configuration and the log beside the checkpoints.
    run: Option<PathBuf>,
}

impl Side {
    fn at(path: &Path) -> Result<Self, DiffError> {
        let checkpoints = resume::all_at(path)?;
        let is_single = checkpoints.first().is_some_and(|first| resume::same_file(path, first));
        let base = checkpoints.first().filter(|_| !is_single).map(|first| base_of(first));
        let is_run =
            |base: &PathBuf| Ok::<_, DiffError>(is_file(&base.join("config.toml"))? || log_of(base)?.is_some());
        let run = match base {
            Some(base) if is_run(&base)? => Some(base),
            _ => None,
        };
        Ok(Self { path: path.to_owned(), checkpoints, is_single, run })
    }

    /// Returns its checkpoint of the same step as `other`.
    fn like(&self, other: &Path) -> Option<&Path> {
        let step = resolved_step(other);
        self.checkpoints.iter().find(|path| resolved_step(path) == step).map(PathBuf::as_path)
    }

    fn lacks(&self, other: &Path) -> DiffError {
        DiffError::NoSuchStep { path: self.path.clone(), step: resolved_step(other).unwrap_or_default() }
    }
}

fn is_file(path: &Path) -> Result<bool, DiffError> {
    store::is_file(path).map_err(|error| DiffError::Read { path: path.to_owned(), error })
}

fn log_of(run: &Path) -> Result<Option<Box<dyn io::Read + Send>>, DiffError> {
    train::run_dir::log::read(run).map_err(|error| DiffError::Read { path: run.join("log.jsonl"), error })
}

/// Returns the step in the name of a checkpoint's directory, with links resolved.
fn resolved_step(path: &Path) -> Option<u64> {
    step_of(path).or_else(|| step_of(&path.canonicalize().ok()?))
}

fn name(checkpoint: &Path) -> String {
    step_of(checkpoint).map_or_else(|| checkpoint.display().to_string(), dir_name)
}
