//! A forecast of a run before it begins: its memory, the size of a checkpoint, and the time of a step and of a save,
//! from a few real steps in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::TrainError;
use super::observe::control::{Control, Stake};
use super::session::Session;
use crate::checkpoint::fs::LocalDisk;
use crate::checkpoint::save::save;
use crate::free_name;
use crate::memory::{Available, Need};
use crate::store;

/// A forecast of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// The objects that take memory, each at least of this size, in the order in which they are made.
    pub memory: Vec<Need>,
    /// The memory that is available now, in bytes; `None` if the system does not report it.
    pub available: Option<u64>,
    /// Size of a checkpoint in bytes.
    pub checkpoint_bytes: u64,
    /// The time of an update in seconds: the median of three after a first one. `None` if a signal came before it.
    pub step_seconds: Option<f64>,
    /// The time of a save in seconds, measured in the folder of the run; `None` where nothing could be saved there, and in
    /// an object store.
    pub save_seconds: Option<f64>,
}

/// Number of updates that are timed, after one that is not.
pub const TIMED: usize = 3;

impl Forecast {
    /// Makes a few updates of `session`, which is at its start, and saves it once beside the future run directory `out`.
    /// The saved state is removed at once.
    ///
    /// # Errors
    /// A step fails. A save that fails is no error.
    pub fn of(mut session: Session, out: &Path, control: &Control) -> Result<Self, TrainError> {
        let memory = session.memory()?;
        let available = Available::now().map(|available| available.bytes);
        // A signal now would leave the saved state behind.
        control.put_at_stake(Stake {
            in_order: "stopping when the saved state is removed".to_owned(),
            at_once: "the folder `.rekindle-plan` is left behind".to_owned(),
            save: String::new(),
        });
        let (checkpoint_bytes, save_seconds) = timed_save(&session, out)?;
        control.nothing_at_stake();
        let step_seconds = timed_steps(&mut session, control)?;
        Ok(Self { memory, available, checkpoint_bytes, step_seconds, save_seconds })
    }

    /// Returns the time between saves at which a run loses the least of its time where it fails once in `mean` on
    /// average: the first order of Young, "A first order approximation to the optimum checkpoint interval" (1974),
    /// `sqrt(2 * save * mean)`.
    pub fn best_interval(&self, mean: Duration) -> Option<Duration> {
        let seconds = (2.0 * self.save_seconds? * mean.as_secs_f64()).sqrt();
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Returns the share of the time that is lost with saves every `interval` where a run fails once in `mean`: the
    /// saves, and the half of an interval that is computed again after each failure.
    pub fn lost_share(&self, interval: Duration, mean: Duration) -> Option<f64> {
        let (interval, mean) = (interval.as_secs_f64(), mean.as_secs_f64());
        Some(self.save_seconds? / interval + interval / (2.0 * mean))
    }
}

/// Makes updates as a run would, and returns the median of their times.
fn timed_steps(session: &mut Session, control: &Control) -> Result<Option<f64>, TrainError> {
    let stop = || control.stop_requested().is_some();
    let mut times = Vec::new();
    for number in 0..=TIMED {
        let began = Instant::now();
        let Some(batch) = session.batch(&stop)?.filter(|_| !stop()) else { return Ok(None) };
        let rates = session.rates();
        let (loss, gradients, _) = session.gradients(&batch, control).map_err(|error| session.explained(error))?;
        session.update(&gradients, &rates, loss).map_err(|error| session.explained(error))?;
        // The first update also starts threads, and takes new memory from the system.
        if number > 0 {
            times.push(began.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied())
}

/// Returns the size of a checkpoint, and the time of a save on the disk of `out`.
fn timed_save(session: &Session, out: &Path) -> Result<(u64, Option<f64>), TrainError> {
    let began = Instant::now();
    let snapshot = session.snapshot(out)?;
    let size = || snapshot.bytes().map_err(TrainError::from);
    let here = if store::is_url(out) { None } else { Temporary::beside(out) };
    let Some(folder) = here else { return Ok((size()?, None)) };
    match save(&LocalDisk, &folder.0, &snapshot, &session.written_by()) {
        Ok(saved) => Ok((saved.bytes, Some(began.elapsed().as_secs_f64()))),
        Err(_) => Ok((size()?, None)),
    }
}

/// A folder that is removed when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    /// Creates a folder on the disk where the run would be, in the nearest folder that exists.
    fn beside(out: &Path) -> Option<Self> {
        let near =
            out.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let folder = near.into_iter().find(|folder| folder.is_dir())?;
        let path = free_name::of(&folder.join(".rekindle-plan"));
        fs::create_dir(&path).ok().map(|()| Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is in the way of nothing; a person can delete it.
        drop(fs::remove_dir_all(&self.0));
    }
}
