//! Taking up a run: which checkpoint, with which configuration, in which directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::changes::written;
use super::control::Control;
use super::directory::RunDirectory;
use super::load::{self, Setting};
use super::run::Run;
use super::session::Session;
use super::{TrainError, log};
use crate::checkpoint::{self, Checkpoint, CheckpointError, Damaged, Folder, Outline, WrittenBy};
use crate::store;

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

/// What a path given to `--resume` is.
#[derive(Debug)]
enum Place {
    /// A run directory: continue there with the newest checkpoint.
    Run(PathBuf),
    /// A folder of checkpoints outside a run: continue with the newest, in a new run directory.
    Folder(PathBuf),
    /// One checkpoint that is not the newest of its run, or in none: continue with it, in a new run directory.
    Single(PathBuf),
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
        Place::Run(run) if choices.out.is_none_or(|out| same_file(out, &run)) => in_place(&run, choices, control),
        Place::Run(run) => {
            let (checkpoint, messages) = newest(&run.join("checkpoints"), choices.strict)?;
            branch(&checkpoint, messages, choices, control)
        }
        Place::Folder(folder) => {
            let (checkpoint, messages) = newest(&folder, choices.strict)?;
            branch(&checkpoint, messages, choices, control)
        }
        Place::Single(path) => branch(&Checkpoint::read(&path)?, Vec::new(), choices, control),
    }
}

/// The checkpoint that a resume of `path` would take, and a message for each damaged one that is passed over.
///
/// # Errors
/// When there is none, or none is valid.
pub fn newest_at(path: &Path) -> Result<(Checkpoint, Vec<String>), TrainError> {
    match what_is(path)? {
        Place::Run(run) => newest(&run.join("checkpoints"), false),
        Place::Folder(folder) => newest(&folder, false),
        Place::Single(path) => Ok((Checkpoint::read(&path)?, Vec::new())),
    }
}

/// As [`newest_at`], and of the checkpoint no more than its outline, which is quick where it is large and far away.
///
/// # Errors
/// As [`newest_at`], for what is looked at.
pub fn newest_outline_at(path: &Path) -> Result<(Outline, Vec<String>), TrainError> {
    let folder = match what_is(path)? {
        Place::Run(run) => run.join("checkpoints"),
        Place::Folder(folder) => folder,
        Place::Single(path) => return Ok((Outline::read(&path)?, Vec::new())),
    };
    let newest = Folder::new(folder).newest_outline()?;
    Ok((newest.checkpoint, newest.damaged.iter().map(passed_over).collect()))
}

/// The directories of all checkpoints at `path`, oldest first, whether or not they are valid.
///
/// # Errors
/// When there is none.
pub fn all_at(path: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let folder = match what_is(path)? {
        Place::Run(run) => run.join("checkpoints"),
        Place::Folder(folder) => folder,
        Place::Single(path) => return Ok(vec![path]),
    };
    let found = Folder::new(&folder).list()?;
    if found.is_empty() {
        return Err(CheckpointError::Empty { folder }.into());
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Where a resume of `path` goes on.
fn locate(path: &Path) -> Result<Place, TrainError> {
    Ok(match what_is(path)? {
        Place::Single(path) => place_of_checkpoint(path)?,
        place => place,
    })
}

/// What `path` is, by what lies in it.
fn what_is(path: &Path) -> Result<Place, TrainError> {
    let nothing = |reason: &str| TrainError::NothingToResume { path: path.to_owned(), reason: reason.to_owned() };
    let is_elsewhere = store::at(path).map_err(|source| TrainError::Store { path: path.to_owned(), source })?.is_some();
    let path = if is_elsewhere { without_slash(path) } else { whole_name(path)? };
    if is_file(&path.join("manifest.json"))? || checkpoint::step_of(&path).is_some() {
        return Ok(Place::Single(path));
    }
    if is_run(&path)? {
        return Ok(Place::Run(path));
    }
    match path.parent() {
        Some(parent) if path.file_name().is_some_and(|name| name == "checkpoints") && is_run(parent)? => {
            Ok(Place::Run(parent.to_owned()))
        }
        _ if !Folder::new(&path).list()?.is_empty() => Ok(Place::Folder(path)),
        _ => Err(nothing("holds no run and no checkpoint: neither `config.toml` nor a `step-…` directory is in it")),
    }
}

/// The path of a directory here, with all in it that what it is can be told by.
fn whole_name(path: &Path) -> Result<PathBuf, TrainError> {
    let unread = |source| TrainError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(unread)?.is_dir() {
        let reason = "is a file; give a run directory, a folder of checkpoints, or one checkpoint's directory";
        return Err(TrainError::NothingToResume { path: path.to_owned(), reason: reason.to_owned() });
    }
    // A path such as `.` has a name only once it is resolved, and a short one lacks the folders above it in which the
    // run of a checkpoint is looked for.
    let resolved = path.canonicalize().map_err(unread)?;
    let folders_needed = match path.file_name() {
        None => usize::MAX,
        Some(_) if checkpoint::step_of(path).is_some() => 3,
        Some(name) if name == "checkpoints" => 2,
        Some(_) => 1,
    };
    let is_short = path.is_relative() && path.components().count() < folders_needed;
    Ok(if is_short || path.file_name().is_none() { resolved } else { path.to_owned() })
}

/// A URL as it is compared and joined with others.
fn without_slash(url: &Path) -> PathBuf {
    url.to_str().map_or_else(|| url.to_owned(), |text| PathBuf::from(text.trim_end_matches('/')))
}

/// Whether a run is at `path`: a directory or URL with a configuration in it.
pub(super) fn is_run(path: &Path) -> Result<bool, TrainError> {
    is_file(&path.join("config.toml"))
}

fn is_file(path: &Path) -> Result<bool, TrainError> {
    store::is_file(path).map_err(|source| TrainError::Store { path: path.to_owned(), source })
}

/// The newest checkpoint of a run stands for the run. It was asked for by name, so no older one does in its place.
fn place_of_checkpoint(path: PathBuf) -> Result<Place, TrainError> {
    let (folder, run) = (path.parent().unwrap_or(&path), load::base_of(&path));
    let newest = Folder::new(folder).list().ok().and_then(|all| all.into_iter().next_back());
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

/// The newest valid checkpoint in `folder`, and a message for each newer one that is not; with `strict` the newest of
/// all, which must be valid.
fn newest(folder: &Path, strict: bool) -> Result<(Checkpoint, Vec<String>), TrainError> {
    let mut newest = Folder::new(folder).require_newest()?;
    if strict && !newest.damaged.is_empty() {
        return Err(newest.damaged.swap_remove(0).error.into());
    }
    Ok((newest.checkpoint, newest.damaged.iter().map(passed_over).collect()))
}

fn passed_over(damaged: &Damaged) -> String {
    format!("passed over a damaged checkpoint: {damaged}")
}

fn in_place(
    run: &Path,
    Choices { settings, strict, .. }: Choices<'_>,
    control: Control,
) -> Result<Resumed, TrainError> {
    let directory = RunDirectory::open(run)?;
    let folder = directory.checkpoints();
    let mut messages = swept(&directory);
    if Folder::new(&folder).list()?.is_empty() && is_empty_file(&directory.log_file()) {
        // Killed before its first checkpoint was whole: nothing is lost by beginning again.
        let session = Session::new(load::from_file(&directory.config_file(), settings)?)?;
        messages.push("the run has no checkpoint yet and begins at its first step".to_owned());
        return Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages });
    }
    let (checkpoint, damaged) = newest(&folder, strict)?;
    messages.extend(damaged);
    let session = session(&checkpoint, settings, &mut messages)?;
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

fn is_empty_file(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.len() == 0)
}

fn branch(
    checkpoint: &Checkpoint,
    mut messages: Vec<String>,
    Choices { settings, out, .. }: Choices<'_>,
    control: Control,
) -> Result<Resumed, TrainError> {
    let session = session(checkpoint, settings, &mut messages)?;
    let origin = load::base_of(checkpoint.path());
    let out = out.map_or_else(|| free_name(&origin, checkpoint.step()), Path::to_path_buf);
    let directory = RunDirectory::create(&out)?;
    log::copy_before(&origin, &directory.log_file(), checkpoint.step())?;
    messages.push(format!("goes on in {}; {} stays as it is", out.display(), checkpoint.path().display()));
    Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages })
}

/// A name under `runs` that says where the run comes from and is not taken.
fn free_name(origin: &Path, step: u64) -> PathBuf {
    let name = origin.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
    let base = Path::new("runs").join(format!("{name}-from-step-{step}"));
    let numbered = (2..).map(|n: u32| PathBuf::from(format!("{}-{n}", base.display())));
    std::iter::once(base.clone()).chain(numbered).find(|path| !path.exists()).unwrap_or(base)
}

fn session(checkpoint: &Checkpoint, settings: &[Setting], messages: &mut Vec<String>) -> Result<Session, TrainError> {
    let config = checkpoint.field("config").ok_or_else(|| TrainError::NothingToResume {
        path: checkpoint.path().to_owned(),
        reason: "holds no configuration: it was saved by another program, which is the one to resume it".to_owned(),
    })?;
    let config = load::from_checkpoint(config, settings, &load::base_of(checkpoint.path()))?;
    let session = Session::resume(config, checkpoint)?;
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
