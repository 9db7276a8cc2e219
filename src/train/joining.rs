//! How the processes of a run begin together: the first one opens the run directory and finds the checkpoint, all build
//! the same session, and none makes a step unless all can.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::Config;
use super::config::changes::{differences, written};
use super::config::load;
use super::error::RanksError;
use super::find::single;
use super::given::Given;
use super::observe::control::Control;
use super::resume::{self, ResumeOptions, Resumed};
use super::run::Run;
use super::run_dir::directory::RunDirectory;
use super::run_dir::place::is_run;
use super::session::Session;
use super::{Setting, TrainError};
use crate::checkpoint::Checkpoint;
use crate::data::{Data, DataError, Fingerprint, Processes};
use crate::distributed::{self, Communicator, SingleProcess};

/// The names of the identity of the data, and of what a process has found in it.
pub(super) const CONTENT: &str = "content of data";
const FOUND: &str = "found";

/// The beginning of a run, as its first process tells the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Origin {
    /// At its start, with the configuration that each has.
    Start { run: PathBuf },
    /// At its start, with the configuration in the run directory.
    Directory { run: PathBuf, config: PathBuf },
    /// At a checkpoint.
    Checkpoint { run: PathBuf, checkpoint: PathBuf },
}

/// The beginning of a run in one process or several. Clones belong to the same one.
#[derive(Clone)]
pub(super) struct Joining {
    communicator: Arc<dyn Communicator>,
    /// Whether all processes know that one of them cannot begin.
    failed: Rc<Cell<bool>>,
}

impl Default for Joining {
    fn default() -> Self {
        Self::of(Arc::new(SingleProcess))
    }
}

/// The word of a process at a point that all of them pass.
#[derive(Serialize, Deserialize)]
enum Word {
    Ready(Value),
    Failed { message: String, is_input_error: bool },
}

impl Joining {
    pub fn of(communicator: Arc<dyn Communicator>) -> Self {
        Self { communicator, failed: Rc::default() }
    }

    pub fn communicator(&self) -> Arc<dyn Communicator> {
        self.communicator.clone()
    }

    fn is_alone(&self) -> bool {
        self.communicator.world() == 1
    }

    /// Whether this process keeps the run.
    fn is_first(&self) -> bool {
        self.communicator.rank() == 0
    }

    /// Passes a point with all other processes. Returns what each of them says, or the error of one that cannot go on.
    fn point(&self, own: &Word) -> Result<Vec<Value>, TrainError> {
        let (rank, world) = (self.communicator.rank(), self.communicator.world());
        let lost = |error| TrainError::from(RanksError::LostTouch { rank, world, step: 0, error });
        let bytes = serde_json::to_vec(own).map_err(|error| lost(error.into()))?;
        let all = distributed::gather(&*self.communicator, &bytes).map_err(|error| {
            self.failed.set(true);
            lost(error)
        })?;
        let words = all.iter().map(|bytes| serde_json::from_slice(bytes)).collect::<Result<Vec<Word>, _>>();
        let mut values = Vec::new();
        for (rank, word) in words.map_err(|error| lost(error.into()))?.into_iter().enumerate() {
            match word {
                Word::Ready(value) => values.push(value),
                Word::Failed { message, is_input_error } => {
                    self.failed.set(true);
                    return Err(RanksError::Other { rank, world, message, is_input_error }.into());
                }
            }
        }
        Ok(values)
    }

    /// Does the work of this process up to its first step, and returns it if all processes have done theirs.
    fn together<T>(&self, work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
        let done = work();
        if self.is_alone() || self.failed.get() {
            return done;
        }
        match done {
            Ok(done) => self.point(&Word::Ready(Value::Null)).map(|_| done),
            Err(error) => {
                let word = Word::Failed { message: error.to_string(), is_input_error: error.is_input_error() };
                // The others have the same error, or learn of it.
                let _ = self.point(&word);
                Err(error)
            }
        }
    }

    /// Tells the other processes where the run begins. Only the first process does.
    pub fn tell(&self, origin: &Origin) -> Result<(), TrainError> {
        if self.is_alone() {
            return Ok(());
        }
        self.point(&Word::Ready(json!(origin))).map(drop)
    }

    fn told(&self) -> Result<Origin, TrainError> {
        let told = self.point(&Word::Ready(Value::Null))?.into_iter().next().unwrap_or_default();
        let (rank, world) = (self.communicator.rank(), self.communicator.world());
        let wrong = |error: serde_json::Error| RanksError::LostTouch { rank, world, step: 0, error: error.into() };
        Ok(Origin::deserialize(told).map_err(wrong)?)
    }

    /// Refuses processes that were given other configurations, before their data is read.
    pub fn same_configuration(&self, config: &Config) -> Result<(), TrainError> {
        if self.is_alone() {
            return Ok(());
        }
        self.agree(&self.point(&Word::Ready(config.in_common()))?)
    }

    /// Refuses facts of a process that are not those of the first one. All processes have this error.
    fn agree(&self, all: &[Value]) -> Result<(), TrainError> {
        let (world, mut others) = (self.communicator.world(), all.iter().enumerate().skip(1));
        let difference = others.find_map(|(rank, other)| {
            let (key, first, own) = differences(&all[0], other).into_iter().next()?;
            Some(RanksError::Differ { rank, world, key, own: written(&own), first: written(&first) })
        });
        difference.map_or(Ok(()), |difference| {
            self.failed.set(true);
            Err(difference.into())
        })
    }

    /// Returns the session if all processes have the same one.
    pub fn same(&self, session: Session) -> Result<Session, TrainError> {
        if self.is_alone() {
            return Ok(session);
        }
        self.agree(&self.point(&Word::Ready(session.identity()))?)?;
        // Each knows how this ends: there is no point to pass after it.
        session.connect().inspect_err(|_| self.failed.set(true))?;
        Ok(session)
    }

    /// Opens the data that a configuration describes, together with the other processes.
    pub fn open(&self, config: &Config, device: &Device) -> Result<Data, TrainError> {
        if self.is_alone() {
            return Ok(Data::open(&config.data, config.seed, device)?);
        }
        Data::open_among(&config.data, config.seed, device, self).map_err(|error| match error {
            DataError::Processes(error) => {
                error.downcast::<TrainError>().map_or_else(|error| DataError::Processes(error).into(), |error| *error)
            }
            error => error.into(),
        })
    }
}

impl Processes for Joining {
    fn rank(&self) -> usize {
        self.communicator.rank()
    }

    fn world(&self) -> usize {
        self.communicator.world()
    }

    fn gather(&self, content: &Fingerprint, own: Value) -> Result<Vec<Value>, DataError> {
        let gathered = || -> Result<Vec<Value>, TrainError> {
            let mut all = self.point(&Word::Ready(json!({CONTENT: content, FOUND: own})))?;
            let found = all.iter_mut().map(|word| word.get_mut(FOUND).map(Value::take).unwrap_or_default()).collect();
            // The content is compared alone.
            self.agree(&all)?;
            Ok(found)
        };
        gathered().map_err(|error| DataError::Processes(error.into()))
    }
}

/// Starts a new run in the directory `out`, computed together with the processes that `communicator` connects; each calls
/// this. The first one keeps the run: only it writes files and sends records to sinks.
///
/// # Errors
/// As [`Run::start`]; another process cannot start; or it has another configuration, build or data.
pub fn start(
    config: impl FnOnce() -> Result<Config, TrainError>,
    out: &Path,
    communicator: Arc<dyn Communicator>,
    control: Control,
) -> Result<Run, TrainError> {
    let joining = Joining::of(communicator);
    joining.together(|| {
        let given = Given { joining: joining.clone(), ..Given::default() };
        let config = config()?;
        if joining.is_first() {
            start_first(config, given, out, control)
        } else {
            Ok(follow(Some(config), &[], given, control)?.run)
        }
    })
}

/// Starts a run in the directory `out` as its first process.
pub(super) fn start_first(config: Config, given: Given, out: &Path, control: Control) -> Result<Run, TrainError> {
    let joining = given.joining.clone();
    joining.tell(&Origin::Start { run: out.to_owned() })?;
    let session = joining.same(Session::of(config, given)?)?;
    session.require_figures()?;
    Run::enter(session, RunDirectory::create(out)?, control, None)
}

/// Resumes the run at `path`, as [`resume::resume`] does, together with the processes that `communicator` connects; each
/// calls this. They may be more or fewer than before.
///
/// # Errors
/// As [`resume::resume`] and [`start`].
pub fn resume(
    path: &Path,
    options: ResumeOptions<'_>,
    communicator: Arc<dyn Communicator>,
    control: Control,
) -> Result<Resumed, TrainError> {
    let joining = Joining::of(communicator);
    joining.together(|| {
        let given = Given { joining: joining.clone(), ..Given::default() };
        if joining.is_first() {
            resume::resume_first(path, options, given, control)
        } else {
            follow(None, options.settings, given, control)
        }
    })
}

/// Starts or resumes the run in the directory `out` with `config`, and with values passed by a program.
pub(super) fn start_or_resume(
    config: Config,
    given: Given,
    out: &Path,
    control: Control,
) -> Result<Resumed, TrainError> {
    let joining = given.joining.clone();
    joining.together(|| {
        if !joining.is_first() {
            return follow(Some(config), &[], given, control);
        }
        if is_run(out)? {
            return resume::resume_as(out, config, given, control);
        }
        Ok(Resumed { run: start_first(config, given, out, control)?, messages: Vec::new() })
    })
}

/// Begins in a process other than the first, where that one says, with `config` or the saved configuration.
fn follow(config: Option<Config>, settings: &[Setting], given: Given, control: Control) -> Result<Resumed, TrainError> {
    let joining = given.joining.clone();
    let (session, run) = match joining.told()? {
        Origin::Start { run } => match config {
            Some(config) => (Session::of(config, given)?, run),
            None => return Err(RanksError::Request.into()),
        },
        Origin::Directory { run, config: file } => {
            let config = config.map_or_else(|| load::from_file(&file, settings), Ok)?;
            (Session::of(config, given)?, run)
        }
        Origin::Checkpoint { run, checkpoint } => {
            let (checkpoint, _): (Checkpoint, _) = single(&checkpoint)?;
            let config = config.map_or_else(|| resume::configuration(&checkpoint, settings), Ok)?;
            (Session::resume_with(config, &checkpoint, settings, given)?, run)
        }
    };
    let session = joining.same(session)?;
    Ok(Resumed { run: Run::follow(session, run, control), messages: Vec::new() })
}
