//! `--data -`: rows that come through a pipe. They are kept in a file without a name, because a table is read at two
//! places: its first lines decide where its rows begin.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rekindle::trained::TrainedError;

/// Rows in a file. It has no name where they came through a pipe, and is gone when this is.
pub struct Rows {
    /// The path under which they can be read.
    pub path: PathBuf,
    _kept: Option<File>,
}

impl Rows {
    /// Takes the rows at `path`, or those of stdin if it is `-`.
    pub fn at(path: &Path) -> Result<Self, TrainedError> {
        if path != Path::new("-") {
            return Ok(Self { path: path.to_owned(), _kept: None });
        }
        let stdin = PathBuf::from("/dev/stdin");
        if fs::metadata(&stdin).is_ok_and(|metadata| metadata.is_file()) {
            return Ok(Self { path: stdin, _kept: None });
        }
        let folder = std::env::temp_dir();
        let file = kept(&folder).map_err(|source| TrainedError::Stdin { folder, source })?;
        Ok(Self { path: PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd())), _kept: Some(file) })
    }
}

/// Copies stdin to a file without a name in `folder`.
fn kept(folder: &Path) -> io::Result<File> {
    let name = folder.join(format!(".rekindle-rows-{}", std::process::id()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
    fs::remove_file(&name)?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}
