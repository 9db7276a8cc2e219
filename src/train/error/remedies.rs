//! The remedy at the end of an error's message, by its path and its cause.

use std::io;
use std::path::Path;

use super::ConfigPlace;
use crate::{remedy, shell, store};

pub(super) fn last_good(checkpoint: Option<&Path>) -> String {
    match checkpoint {
        Some(path) => format!(
            "the last good checkpoint is {}: `train --resume {} --set optimizer.lr=…` continues from there",
            path.display(),
            shell::path(path)
        ),
        None => "there is no earlier checkpoint; check the data and the initial weights".to_owned(),
    }
}

pub(super) fn write_remedy(path: &Path, source: &io::Error) -> String {
    match remedy::of(source) {
        _ if store::is_url(path) => store::remedy(source).to_owned(),
        _ if is_of_another_kind(source) => MOVE_AWAY.to_owned(),
        Some(remedy) if source.kind() != io::ErrorKind::PermissionDenied => format!("; {remedy}"),
        _ => "; choose another place with --out, or make room there".to_owned(),
    }
}

pub(super) fn prune_remedy(source: &io::Error) -> &'static str {
    remedy::of(source).unwrap_or("pruning deletes files, so this must be allowed there")
}

pub(super) fn open_remedy(path: &Path, source: &io::Error) -> String {
    match store::is_url(path) {
        true => store::remedy(source).to_owned(),
        false if is_of_another_kind(source) => MOVE_AWAY.to_owned(),
        false => remedy::after(source),
    }
}

/// The remedy if another file is in the place of a run's file.
const MOVE_AWAY: &str = "; move it away, and try again";

/// Whether the error is about a pipe, a device or a folder in place of a regular file.
fn is_of_another_kind(source: &io::Error) -> bool {
    source.kind() == io::ErrorKind::InvalidInput && source.raw_os_error().is_none()
}

pub(super) fn read_remedy(source: &io::Error) -> String {
    if remedy::is_absence(source) {
        return "; give a run directory, a folder of checkpoints, or one checkpoint's directory".to_owned();
    }
    remedy::after(source)
}

pub(super) fn config_remedy(path: &Path, place: ConfigPlace, source: &io::Error) -> String {
    match place {
        ConfigPlace::Folder => format!("a run directory is continued with `train --resume {}`", shell::path(path)),
        ConfigPlace::Data => for_data(path),
        ConfigPlace::Other => remedy::of(source).unwrap_or("give the path of a TOML file").to_owned(),
    }
}

/// The remedy for data that is given instead of a configuration.
pub(in crate::train) fn for_data(path: &Path) -> String {
    format!("this is data by its name; `train init {}` writes a configuration for it", shell::path(path))
}

/// The remedy for a device that cannot be opened; `begun` is whether the run has begun, perhaps elsewhere.
pub(super) fn processor(begun: bool) -> &'static str {
    match begun {
        true => {
            "`--device cpu` continues on the processor, with the same learning rates, and weights that agree within \
             rounding"
        }
        false => "`--device cpu` computes on the processor",
    }
}
