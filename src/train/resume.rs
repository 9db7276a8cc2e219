//! Taking up a run: which checkpoint, with which configuration, in which directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::TrainError;
use super::config::changes::written;
use super::config::load::{self, Setting};
use super::config::paths::base_of;
use super::config::{Config, written_config};
use super::find::{newest, single};
use super::given::Given;
use super::observe::control::Control;
use super::run::Run;
use super::run_dir::directory::RunDirectory;
use super::run_dir::log;
use super::run_dir::place::{Place, is_run, what_is, without_slash};
use super::session::Session;
use crate::checkpoint::{self, Checkpoint, Folder, WrittenBy};
use crate::{free_name, remedy, store};

pub use super::find::{all_at, folder_of, log_order_at, newest_at, newest_outline_at, not_a_part};

/// A run that was taken up, and what a person should know about it.
pub struct Resumed {
    /// The run, ready to train.
    pub run: Run,
    /// Damaged checkpoints that were passed over, changes, differences of machine.
    pub messages: Vec<String>,
}

/// How a run is to be taken up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices<'a> {
    /// What changes in the configuration that the checkpoint holds.
    pub settings: &'a [Setting],
    /// The run directory to go on in, where that is another one.
    pub out: Option<&'a Path>,
    /// Whether a damaged checkpoint is an error, rather than passed over for an older one.
    pub strict: bool,
}

/// Takes up the run at `path`: a run directory, a folder of checkpoints, or one checkpoint.
///
/// A run is continued in its own directory, from its newest valid checkpoint. A checkpoint that is not in a run
/// directory, or that later ones follow, starts a new one and stays as it is: `out`, or a free name under `runs`.
///
/// # Errors
/// When there is nothing to resume, no checkpoint is valid, a setting is refused, or a directory cannot be used.
pub fn resume(path: &Path, choices: Choices<'_>, control: Control) -> Result<Resumed, TrainError> {
    match locate(path)? {
        Place::Run(run) if choices.out.is_none_or(|out| same_file(out, &run)) => {
            in_place(&run, choices, None, Given::default(), control)
        }
        Place::Run(run) => {
            let (checkpoint, messages) = newest(&run.join("checkpoints"), choices.strict)?;
            written_config::compare(&run, &checkpoint, &configuration(&checkpoint, choices.settings)?)?;
            branch(&checkpoint, messages, choices, control)
        }
        Place::Folder(folder) => {
            let (checkpoint, messages) = newest(&folder, choices.strict)?;
            branch(&checkpoint, messages, choices, control)
        }
        Place::Single(path) => {
            let (checkpoint, messages) = single(&path)?;
            branch(&checkpoint, messages, choices, control)
        }
    }
}

/// Takes up the run in the directory `run` with `config`, and with what a program hands over.
pub(super) fn resume_as(run: &Path, config: Config, given: Given, control: Control) -> Result<Resumed, TrainError> {
    in_place(run, Choices::default(), Some(config), given, control)
}

/// The run in the directory `out`: taken up where there is one, else a new one of `config`. A program that trains by this
/// can be killed and started again with the same arguments.
///
/// # Errors
/// As [`resume`] or [`Run::start`], and those of `config`.
pub fn start_or_resume(
    out: &Path,
    control: Control,
    config: impl FnOnce() -> Result<Config, TrainError>,
) -> Result<Resumed, TrainError> {
    if is_run(out)? {
        return resume(out, Choices::default(), control);
    }
    Ok(Resumed { run: Run::start(config()?, out, control)?, messages: Vec::new() })
}

/// Where a resume of `path` goes on.
fn locate(path: &Path) -> Result<Place, TrainError> {
    Ok(match what_is(path)? {
        Place::Single(path) => place_of_checkpoint(path)?,
        place => place,
    })
}

/// The newest checkpoint of a run stands for the run. It was asked for by name, so no older one does in its place.
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
    Choices { settings, strict, .. }: Choices<'_>,
    asked: Option<Config>,
    given: Given,
    control: Control,
) -> Result<Resumed, TrainError> {
    let directory = RunDirectory::open(run)?;
    let folder = directory.checkpoints();
    let mut messages = swept(&directory);
    if Folder::new(&folder).list()?.is_empty() && is_empty_file(&directory.log_file())? {
        // Killed before its first checkpoint was whole: nothing is lost by beginning again.
        let is_asked = asked.is_some() || !settings.is_empty();
        let config = asked.map_or_else(|| load::from_file(&directory.config_file(), settings), Ok)?;
        let session = Session::of(config, given)?;
        if is_asked {
            messages.extend(directory.keep_edited_config()?);
        }
        messages.push("the run has no checkpoint yet and begins at its first step".to_owned());
        return Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages });
    }
    let (checkpoint, damaged) = newest(&folder, strict)?;
    messages.extend(damaged);
    let config = asked.map_or_else(|| configuration(&checkpoint, settings), Ok)?;
    let written = written_config::compare(run, &checkpoint, &config)?;
    let session = session(&checkpoint, config, settings, given, &mut messages)?;
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
    // What was changed here is saved at once, or a kill before the next checkpoint would silently take it back.
    let is_changed = changes_at(&session, checkpoint.step()).is_some();
    let last = (!is_changed).then(|| checkpoint.path().to_owned());
    Ok(Resumed { run: Run::enter(session, directory, control, last)?, messages })
}

/// Clears away what killed saves have left in a run, which this process holds, and says so.
fn swept(directory: &RunDirectory) -> Vec<String> {
    match directory.folder().sweep() {
        Ok(swept) if swept.is_empty() => Vec::new(),
        Ok(swept) if swept.len() == 1 => vec!["removed what a killed save left".to_owned()],
        Ok(swept) => vec![format!("removed what {} killed saves left", swept.len())],
        Err(error) => vec![format!("what a killed save left stays there: {error}")],
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
    checkpoint: &Checkpoint,
    mut messages: Vec<String>,
    Choices { settings, out, .. }: Choices<'_>,
    control: Control,
) -> Result<Resumed, TrainError> {
    let config = configuration(checkpoint, settings)?;
    let session = session(checkpoint, config, settings, Given::default(), &mut messages)?;
    let origin = base_of(checkpoint.path());
    let out = out.map_or_else(|| name_of_branch(&origin, checkpoint.step()), Path::to_path_buf);
    let directory = RunDirectory::create(&out)?;
    log::copy_before(&origin, &directory.log_file(), checkpoint.step())?;
    messages.push(format!("goes on in {}; {} stays as it is", out.display(), checkpoint.path().display()));
    Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages })
}

/// A name under `runs` that says where the run comes from and is not taken.
fn name_of_branch(origin: &Path, step: u64) -> PathBuf {
    let name = origin.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    free_name::of(&Path::new("runs").join(format!("{name}-from-step-{step}")))
}

/// The configuration of a checkpoint, with what `settings` change.
fn configuration(checkpoint: &Checkpoint, settings: &[Setting]) -> Result<Config, TrainError> {
    let config = checkpoint.field("config").ok_or_else(|| TrainError::NothingToResume {
        path: checkpoint.path().to_owned(),
        reason: "holds no configuration: it was saved by another program, which is the one to resume it".to_owned(),
    })?;
    load::from_checkpoint(config, settings, &base_of(checkpoint.path()))
}

fn session(
    checkpoint: &Checkpoint,
    config: Config,
    settings: &[Setting],
    given: Given,
    messages: &mut Vec<String>,
) -> Result<Session, TrainError> {
    let session = Session::resume_with(config, checkpoint, settings, given)?;
    messages.extend(other_machine(checkpoint, session.device_name()));
    let step = checkpoint.step();
    if let Some(latest) = changes_at(&session, step) {
        for change in latest["changes"].as_array().into_iter().flatten() {
            let key = change["key"].as_str().unwrap_or_default();
            let (from, to) = (written(&change["from"]), written(&change["to"]));
            messages.push(format!("{key} was {from} and is {to} from step {step} on"));
        }
    }
    Ok(session)
}

/// What to say where a checkpoint is used by another build or on another machine than that which saved it.
pub(crate) fn other_machine(checkpoint: &Checkpoint, device: &str) -> Option<String> {
    let differences = checkpoint.manifest().written_by.differences(&WrittenBy::this_build(device));
    let message = "the same bits are not promised, for this is not where it was saved";
    (!differences.is_empty()).then(|| format!("{message}: {}", differences.join("; ")))
}

/// The latest entry of the history, if it was made at `step`.
fn changes_at(session: &Session, step: u64) -> Option<&serde_json::Value> {
    session.history().last().filter(|entry| entry["step"] == step)
}
