//! The kind of a path: a run, a folder of checkpoints, or a checkpoint; and paths where a new run is refused.

use std::fs;
use std::path::{Path, PathBuf};

use super::outcome;
use crate::checkpoint::{self, Folder};
use crate::train::TrainError;
use crate::train::config::{paths, written_config};
use crate::{shell, store};

/// The kind of a path given to `--resume`.
#[derive(Debug)]
pub(crate) enum Place {
    /// A run directory: continue there with the newest checkpoint.
    Run(PathBuf),
    /// A folder of checkpoints outside a run: continue from the newest, in a new run directory.
    Folder(PathBuf),
    /// A checkpoint that is not the newest of its run, or outside a run: continue from it, in a new run directory.
    Single(PathBuf),
}

/// Returns the kind of `path`, by its content.
pub(crate) fn what_is(path: &Path) -> Result<Place, TrainError> {
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
        // Only the checkpoints of a run are left.
        _ if !Folder::new(path.join("checkpoints")).list()?.is_empty() => Ok(Place::Run(path)),
        _ if is_file(&path.join("config.toml"))? => {
            Err(nothing("has a `config.toml`, but no run; start one with `train CONFIG --out DIR`, in another folder"))
        }
        _ => Err(match runs_in(&path) {
            Some(runs) => nothing(&format!("is a folder of runs; choose one of them: {runs}")),
            None => nothing("holds no run and no checkpoint: it has neither a `config.toml` nor a `step-…` directory"),
        }),
    }
}

/// Lists the paths of the runs in a local folder for a message; `None` if it has no run.
fn runs_in(folder: &Path) -> Option<String> {
    const SHOWN: usize = 10;
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = entries.filter(|path| is_run(path).unwrap_or(false)).collect();
    runs.sort();
    let more = match runs.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more, which `inspect {}` lists", shell::path(folder)),
    };
    let shown: Vec<String> = runs.iter().take(SHOWN).map(|path| shell::path(path)).collect();
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

/// Returns the path of a local directory with all components needed to determine its kind.
fn whole_name(path: &Path) -> Result<PathBuf, TrainError> {
    let unread = |source| TrainError::Read { path: path.to_owned(), source };
    if !path.exists() {
        refuse_one_slash(path)?;
    }
    if !fs::metadata(path).map_err(unread)?.is_dir() {
        let reason = "is a file; give a run directory, a folder of checkpoints, or one checkpoint's directory";
        return Err(TrainError::NothingToResume { path: path.to_owned(), reason: reason.to_owned() });
    }
    // A path such as `.` has a name only once it is resolved, and a short one lacks the parent folders that are
    // searched for the run of a checkpoint.
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

/// Normalizes a URL for comparing and joining.
pub(crate) fn without_slash(url: &Path) -> PathBuf {
    url.to_str().map_or_else(|| url.to_owned(), |text| PathBuf::from(text.trim_end_matches('/')))
}

/// Whether there is a run at `path`, a directory or URL: a configuration, and another file that only a run leaves,
/// because users may have a `config.toml` anywhere. It is also a run if only the configuration is missing.
pub(crate) fn is_run(path: &Path) -> Result<bool, TrainError> {
    let config = path.join("config.toml");
    let has_config = is_file(&config)?;
    if store::is_url(path) {
        return Ok(has_config);
    }
    let mut traces = false;
    for name in ["lock", "log.jsonl", "timing.jsonl"] {
        traces |= is_file(&path.join(name))?;
    }
    let holds_checkpoints = || Ok::<_, TrainError>(!Folder::new(path.join("checkpoints")).list()?.is_empty());
    Ok(match (has_config, traces) {
        (true, true) => true,
        (true, false) => {
            path.join("checkpoints").is_dir()
                || written_config::read(&config)?.is_some_and(|text| written_config::is_as_written(&text))
        }
        (false, traces) => traces && holds_checkpoints()?,
    })
}

fn is_file(path: &Path) -> Result<bool, TrainError> {
    store::is_file(path).map_err(|source| TrainError::Unopened { path: path.to_owned(), source })
}

/// Returns a local path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let typed = paths::absolute(path, Path::new(""));
    let resolve = |above: &Path| Some(above.canonicalize().ok()?.join(typed.strip_prefix(above).ok()?));
    typed.ancestors().find_map(resolve).unwrap_or_else(|| typed.clone())
}

/// Refuses a path that was probably meant to be a URL.
pub(crate) fn refuse_one_slash(path: &Path) -> Result<(), TrainError> {
    match store::meant_url(path) {
        Some(url) => Err(TrainError::OneSlash { path: path.to_owned(), url }),
        None => Ok(()),
    }
}

/// Refuses a path for a new run that is inside another run's checkpoints, or is the root of the file system.
pub(super) fn refuse(path: &Path) -> Result<(), TrainError> {
    refuse_one_slash(path)?;
    let refused = |reason| Err(TrainError::NoPlace { path: path.to_owned(), reason });
    let whole = if store::is_url(path) { without_slash(path) } else { real(path) };
    if whole.parent().is_none() {
        return refused("is the root of the file system and cannot be used for a run");
    }
    for folder in whole.ancestors().take_while(|folder| store::is_url(folder) == store::is_url(path)) {
        if checkpoint::step_of(folder).is_some() && is_file(&folder.join("manifest.json"))? {
            return refused("is a checkpoint, or inside one, and cannot be used for a run");
        }
        let run = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == "checkpoints"));
        if run.is_some_and(|run| is_run(run).unwrap_or(true)) {
            return refused("is a run's folder of checkpoints, or inside one, and cannot be used for a run");
        }
    }
    let may_hold_some = store::is_url(path) || path.is_dir();
    if may_hold_some && !Folder::new(path).list()?.is_empty() {
        return refused("is a folder of checkpoints");
    }
    Ok(())
}

/// Refuses a folder for a new run that has a run, or a user's file in the place of a file of a run.
pub(super) fn refuse_occupied(path: &Path) -> Result<(), TrainError> {
    let taken = ["config.toml", "log.jsonl", "checkpoints", "timing.jsonl", outcome::NAME].map(|name| path.join(name));
    if let Some(there) = taken.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        let is_run = is_run(path)?;
        let run = || TrainError::HoldsARun { path: path.to_owned() };
        return Err(if is_run { run() } else { TrainError::Occupied { path: there } });
    }
    // The text in a lock file is short.
    let lock = path.join("lock");
    let is_a_runs = match lock.symlink_metadata() {
        Ok(found) if found.is_file() => {
            let text = fs::read(&lock).unwrap_or_default();
            text.is_empty() || text.starts_with(b"process ")
        }
        found => found.is_err(),
    };
    if is_a_runs { Ok(()) } else { Err(TrainError::Occupied { path: lock }) }
}
