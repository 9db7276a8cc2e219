//! Resuming a run: choice of the checkpoint, the configuration and the directory.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::TrainError;
use super::config::changes::written_or_default;
use super::config::load::{self, Setting};
use super::config::paths::base_of;
use super::config::{Config, written_config};
use super::continued::{Why, continued, newest_of};
use super::find::{newest, single};
use super::given::Given;
use super::joining::Origin;
use super::observe::control::Control;
use super::run::Run;
use super::run_dir::directory::RunDirectory;
use super::run_dir::log;
use super::run_dir::place::{Place, is_run, what_is, without_slash};
use super::session::Session;
use crate::checkpoint::{self, Checkpoint, Folder, WrittenBy};
use crate::{free_name, remedy, store};

pub use super::find::{all_at, folder_of, log_order_at, newest_at, newest_outline_at, not_a_part};

/// A resumed run, and messages for the user.
pub struct Resumed {
    /// The run, ready to train.
    pub run: Run,
    /// Messages about skipped damaged checkpoints, changes, and differences of the machine.
    pub messages: Vec<String>,
}

/// Options of a resume.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResumeOptions<'a> {
    /// Changes to the configuration of the checkpoint.
    pub settings: &'a [Setting],
    /// The run directory to continue in, if it is another one.
    pub out: Option<&'a Path>,
    /// Whether a damaged checkpoint is an error, instead of being skipped for an older one.
    pub strict: bool,
}

/// Resumes the run at `path`: a run directory, a folder of checkpoints, or one checkpoint.
///
/// A run is continued in its own directory, from its newest valid checkpoint. A checkpoint outside a run, or one
/// followed by later ones, starts a new run and is not changed: in `out`, or under a free name in `runs`.
///
/// # Errors
/// There is nothing to resume, no checkpoint is valid, a setting is refused, or a directory cannot be used.
pub fn resume(path: &Path, choices: ResumeOptions<'_>, control: Control) -> Result<Resumed, TrainError> {
    resume_first(path, choices, Given::default(), control)
}

/// The same, as the first process of a run.
pub(super) fn resume_first(
    path: &Path,
    choices: ResumeOptions<'_>,
    given: Given,
    control: Control,
) -> Result<Resumed, TrainError> {
    match locate(path)? {
        Place::Run(run) if choices.out.is_none_or(|out| same_file(out, &run)) => {
            in_place(&run, choices, None, given, control)
        }
        Place::Run(run) => {
            let (checkpoint, why, messages) = newest_of(&run.join("checkpoints"), choices.strict)?;
            written_config::compare(&run, &checkpoint, &configuration(&checkpoint, choices.settings)?)?;
            branch((&checkpoint, why), messages, choices, given, control)
        }
        Place::Folder(folder) => {
            let (checkpoint, why, messages) = newest_of(&folder, choices.strict)?;
            branch((&checkpoint, why), messages, choices, given, control)
        }
        Place::Single(path) => {
            let (checkpoint, messages) = single(&path)?;
            branch((&checkpoint, Why::Given), messages, choices, given, control)
        }
    }
}

/// Resumes the run in the directory `run` with `config`, and with values passed by a program.
pub(super) fn resume_as(run: &Path, config: Config, given: Given, control: Control) -> Result<Resumed, TrainError> {
    in_place(run, ResumeOptions::default(), Some(config), given, control)
}

/// Resumes the run in the directory `out` if there is one, otherwise starts one with `config`. A program that uses this
/// can be killed and started again with the same arguments.
///
/// # Errors
/// As [`resume`] or [`Run::start`], and errors of `config`.
pub fn start_or_resume(
    out: &Path,
    control: Control,
    config: impl FnOnce() -> Result<Config, TrainError>,
) -> Result<Resumed, TrainError> {
    if is_run(out)? {
        return resume(out, ResumeOptions::default(), control);
    }
    Ok(Resumed { run: Run::start(config()?, out, control)?, messages: Vec::new() })
}

/// Returns the run directory in which [`resume`] of `path` would train, and whether it is the run at `path`. Nothing is
/// written.
///
/// # Errors
/// There is nothing to resume, or no checkpoint is valid.
#[doc(hidden)]
pub fn directory_of(path: &Path, out: Option<&Path>, strict: bool) -> Result<(PathBuf, bool), TrainError> {
    let place = match locate(path)? {
        Place::Run(run) if out.is_none_or(|out| same_file(out, &run)) => return Ok((run, true)),
        place => place,
    };
    if let Some(out) = out {
        return Ok((out.to_owned(), false));
    }
    let (checkpoint, _) = match place {
        Place::Run(run) => newest(&run.join("checkpoints"), strict)?,
        Place::Folder(folder) => newest(&folder, strict)?,
        Place::Single(path) => single(&path)?,
    };
    Ok((name_of_branch(&base_of(checkpoint.path()), checkpoint.step()), false))
}

/// Determines the place that a resume of `path` continues from.
fn locate(path: &Path) -> Result<Place, TrainError> {
    Ok(match what_is(path)? {
        Place::Single(path) => place_of_checkpoint(path)?,
        place => place,
    })
}

/// The newest checkpoint of a run means the run. It was given by its path, so no older one replaces it.
fn place_of_checkpoint(path: PathBuf) -> Result<Place, TrainError> {
    let (folder, run) = (path.parent().unwrap_or(&path), base_of(&path));
    let newest = Folder::new(folder).list()?.pop();
    let is_newest = newest.is_some_and(|(step, _)| Some(step) == checkpoint::step_of(&path));
    if !(is_newest && run != folder && is_run(&run)?) {
        return Ok(Place::Single(path));
    }
    Checkpoint::verify(&path)?;
    Ok(Place::Run(run))
}

pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    if store::is_url(a) {
        return without_slash(a) == without_slash(b);
    }
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn in_place(
    run: &Path,
    ResumeOptions { settings, strict, .. }: ResumeOptions<'_>,
    asked: Option<Config>,
    given: Given,
    control: Control,
) -> Result<Resumed, TrainError> {
    let directory = RunDirectory::open(run)?;
    let folder = directory.checkpoints();
    let mut messages = swept(&directory);
    if Folder::new(&folder).list()?.is_empty() && is_empty_file(&directory.log_file())? {
        // Killed before its first checkpoint was complete: starting again loses nothing.
        let is_asked = asked.is_some() || !settings.is_empty();
        let config = asked.map_or_else(|| load::from_file(&directory.config_file(), settings), Ok)?;
        let joining = given.joining.clone();
        joining.tell(&Origin::Directory { run: run.to_owned(), config: directory.config_file() })?;
        let session = joining.same(Session::of(config, given)?)?;
        if is_asked {
            messages.extend(directory.keep_edited_config()?);
        }
        messages.push("the run has no checkpoint yet and begins at its first step".to_owned());
        return Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages });
    }
    let (checkpoint, why, damaged) = newest_of(&folder, strict)?;
    messages.extend(damaged);
    let config = asked.map_or_else(|| configuration(&checkpoint, settings), Ok)?;
    let written = written_config::compare(run, &checkpoint, &config)?;
    let session = session(&checkpoint, config, settings, (given, run), &mut messages)?;
    match written {
        written_config::Found::Missing => {
            let file = directory.config_file();
            messages.push(format!(
                "{} was missing, and is written again from {}",
                file.display(),
                checkpoint.path().display()
            ));
        }
        written_config::Found::Behind => messages.extend(directory.keep_edited_config()?),
        written_config::Found::AsWritten | written_config::Found::Agrees => {}
    }
    messages.extend(continued(&checkpoint, why, &session, None));
    // Changes are saved at once, because a kill before the next checkpoint would silently revert them.
    let is_changed = changes_at(&session, checkpoint.step()).is_some();
    let last = (!is_changed).then(|| checkpoint.path().to_owned());
    Ok(Resumed { run: Run::enter(session, directory, control, last)?, messages })
}

/// Removes the remains of killed saves in a run, which this process holds, and returns messages.
fn swept(directory: &RunDirectory) -> Vec<String> {
    match directory.folder().sweep() {
        Ok(swept) if swept.is_empty() => Vec::new(),
        Ok(swept) if swept.len() == 1 => vec!["removed the remains of a killed save".to_owned()],
        Ok(swept) => vec![format!("removed the remains of {} killed saves", swept.len())],
        Err(error) => vec![format!("warning: the remains of a killed save cannot be removed: {error}")],
    }
}

fn is_empty_file(path: &Path) -> Result<bool, TrainError> {
    match fs::metadata(path) {
        Err(error) if remedy::is_absence(&error) => Ok(true),
        Err(error) => Err(TrainError::Unopened { path: path.to_owned(), source: error }),
        Ok(metadata) => Ok(metadata.len() == 0),
    }
}

fn branch(
    (checkpoint, why): (&Checkpoint, Why),
    mut messages: Vec<String>,
    ResumeOptions { settings, out, .. }: ResumeOptions<'_>,
    given: Given,
    control: Control,
) -> Result<Resumed, TrainError> {
    let config = configuration(checkpoint, settings)?;
    let origin = base_of(checkpoint.path());
    let out = out.map_or_else(|| name_of_branch(&origin, checkpoint.step()), Path::to_path_buf);
    let session = session(checkpoint, config, settings, (given, &out), &mut messages)?;
    let directory = RunDirectory::create(&out)?;
    log::copy_before(&origin, &directory.log_file(), checkpoint.step())?;
    messages.extend(continued(checkpoint, why, &session, Some(&out)));
    Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages })
}

/// Returns a free name under `runs` that shows the origin of the run.
fn name_of_branch(origin: &Path, step: u64) -> PathBuf {
    let name = origin.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    free_name::of(&Path::new("runs").join(format!("{name}-from-step-{step}")))
}

/// Returns the configuration of a checkpoint, with the changes of `settings`.
pub(super) fn configuration(checkpoint: &Checkpoint, settings: &[Setting]) -> Result<Config, TrainError> {
    let config = checkpoint.field("config").ok_or_else(|| TrainError::NothingToResume {
        path: checkpoint.path().to_owned(),
        reason: "holds no configuration: it was saved by another program; resume it with that program".to_owned(),
    })?;
    load::from_checkpoint(config, settings, &base_of(checkpoint.path()))
}

fn session(
    checkpoint: &Checkpoint,
    config: Config,
    settings: &[Setting],
    (given, run): (Given, &Path),
    messages: &mut Vec<String>,
) -> Result<Session, TrainError> {
    let joining = given.joining.clone();
    joining.tell(&Origin::Checkpoint { run: run.to_owned(), checkpoint: checkpoint.path().to_owned() })?;
    let session = joining.same(Session::resume_with(config, checkpoint, settings, given)?)?;
    messages.extend(other_machine(checkpoint, &session.written_by()));
    let step = checkpoint.step();
    if let Some(latest) = changes_at(&session, step) {
        let config = json!(session.config().complete());
        for change in latest["changes"].as_array().into_iter().flatten() {
            let key = change["key"].as_str().unwrap_or_default();
            let of_key = |value| written_or_default(&config, key, value);
            let (from, to) = (of_key(&change["from"]), of_key(&change["to"]));
            messages.push(format!("{key} was {from} and is {to} from step {step} on"));
        }
    }
    Ok(session)
}

/// Returns a message if a checkpoint was saved by another build or on another machine.
pub(crate) fn other_machine(checkpoint: &Checkpoint, here: &WrittenBy) -> Option<String> {
    let differences = checkpoint.manifest().written_by.differences(here);
    let message =
        "warning: the same bits are not promised, because it was saved by another build or on another machine";
    (!differences.is_empty()).then(|| format!("{message}: {}", differences.join("; ")))
}

/// Returns the latest entry of the history, if it has changes that were made at `step`.
fn changes_at(session: &Session, step: u64) -> Option<&serde_json::Value> {
    session.history().last().filter(|entry| entry["step"] == step && entry["changes"].is_array())
}
