//! A file that appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that is being written next to its final place.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    temporary: PathBuf,
    place: PathBuf,
    is_whole: bool,
}

impl AtomicFile {
    /// Starts a file that will be at `place`; an existing file stays there until then.
    pub fn create(place: &Path) -> io::Result<Self> {
        // The target of a link is replaced, not the link.
        let place = place.canonicalize().unwrap_or_else(|_| place.to_owned());
        if fs::metadata(&place).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there and is not a file"));
        }
        let name = place.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no name"))?;
        let temporary = place.with_file_name(format!(".{}.tmp-{}", name.to_string_lossy(), std::process::id()));
        Self::create_as(temporary, place)
    }

    /// Starts a file that will be at `place`, and is called `temporary` until then, in the same folder. The remains of
    /// a killed process under that name are overwritten.
    pub fn create_as(temporary: PathBuf, place: PathBuf) -> io::Result<Self> {
        Ok(Self { file: File::create(&temporary)?, temporary, place, is_whole: false })
    }

    /// Flushes the file to the disk and moves it to its place.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.place)?;
        self.is_whole = true;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_whole {
            drop(fs::remove_file(&self.temporary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.csv");
        fs::write(&place, "old").unwrap();
        let mut half = AtomicFile::create(&place).unwrap();
        half.write_all(b"ne").unwrap();
        drop(half);
        assert_eq!(fs::read_to_string(&place).unwrap(), "old");
        let mut whole = AtomicFile::create(&place).unwrap();
        whole.write_all(b"new").unwrap();
        whole.finish().unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(AtomicFile::create(folder.path()).is_err());
    }
}
