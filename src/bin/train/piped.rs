//! `--data -`: rows that come through a pipe. A table is read at two places, because its first lines decide where its rows
//! begin, so they are kept in a file without a name, and the program begins again with that file as its stdin.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::trained::TrainedError;

/// Returns the path of the rows at `path`: `/dev/stdin` if it is `-`, when that is a file.
///
/// # Errors
/// The rows of a pipe cannot be kept.
pub fn rows_at(path: &Path) -> Result<PathBuf, TrainedError> {
    if path != Path::new("-") {
        return Ok(path.to_owned());
    }
    let stdin = PathBuf::from("/dev/stdin");
    if fs::metadata(&stdin).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(stdin);
    }
    let folder = std::env::temp_dir();
    // It only returns if it fails.
    let failed = |file: File| {
        let program = std::env::current_exe()?;
        Err(Command::new(program).args(std::env::args_os().skip(1)).stdin(file).exec())
    };
    kept(&folder).and_then(failed).map_err(|source| TrainedError::Stdin { folder, source })
}

/// Copies stdin to a file without a name in `folder`.
fn kept(folder: &Path) -> io::Result<File> {
    let name = folder.join(format!(".rekindle-rows-{}", std::process::id()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
    fs::remove_file(&name)?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.rewind()?;
    Ok(file)
}
