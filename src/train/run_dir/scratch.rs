//! Directories on the local disk for runs and sweeps in object stores. Their content can be lost at any moment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::train::TrainError;

/// Maximal number of directories tried for one run. Some are taken if a run of the same name in another store trains.
const ATTEMPTS: u32 = 100;

/// Creates a directory for the run at `url` and locks it; a locked one is left to its owner.
pub(crate) fn hold<T>(url: &Path, hold: impl Fn(&Path) -> Result<T, TrainError>) -> Result<T, TrainError> {
    let name = blake3::hash(url.as_os_str().as_encoded_bytes()).to_hex();
    let base = base();
    let mut number = 1;
    loop {
        let path = base.join(format!("{}-{number}", &name[..16]));
        fs::create_dir_all(&path).map_err(TrainError::write(&path, "make the scratch directory"))?;
        match hold(&path) {
            Err(TrainError::InUse { .. }) if number < ATTEMPTS => number += 1,
            held => return held.inspect(|_| empty(&path)),
        }
    }
}

/// Removes the files of a killed process.
fn empty(path: &Path) {
    let files = fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.file_name() != "lock");
    // Important files are written again, with an error if that fails.
    files.for_each(|file| drop(fs::remove_file(file.path())));
}

/// Returns `REKINDLE_SCRATCH`, otherwise the user's cache folder, otherwise the folder of temporary files.
fn base() -> PathBuf {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("REKINDLE_SCRATCH").unwrap_or_else(|| cache().unwrap_or_else(env::temp_dir).join("rekindle"))
}
