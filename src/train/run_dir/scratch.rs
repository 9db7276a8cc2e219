//! Directories on the local disk for runs that are elsewhere. What is in one can be lost at any moment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::train::TrainError;

/// Directories that are tried for one run. They are taken where a run of the same name in another store trains.
const ATTEMPTS: u32 = 100;

/// Makes a directory for the run at `url` and holds it; one that is held already stays with whom it belongs to.
pub(super) fn hold<T>(url: &Path, hold: impl Fn(&Path) -> Result<T, TrainError>) -> Result<T, TrainError> {
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

/// Removes what a process that was killed has left.
fn empty(path: &Path) {
    let files = fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.file_name() != "lock");
    // Whatever matters of them is written anew, and says if it cannot be.
    files.for_each(|file| drop(fs::remove_file(file.path())));
}

/// `REKINDLE_SCRATCH`, or the place for caches of the user, or else that for temporary files.
fn base() -> PathBuf {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("REKINDLE_SCRATCH").unwrap_or_else(|| cache().unwrap_or_else(env::temp_dir).join("rekindle"))
}
