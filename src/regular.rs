//! Regular files, opened for reading. Reading a pipe would block, and `/dev/zero` has no end: files that are not
//! regular are refused before any byte is read. The caller's error message names the path.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use crate::memory;

/// Opens the regular file at `path`.
///
/// # Errors
/// As [`File::open`]; also `InvalidInput`, which names the kind of the file, if it is not a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    require(path)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        // With this flag, opening does not block if the file has become a pipe since.
        let flags = rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
    }
    let file = options.open(path)?;
    refuse_other_kinds(&file.metadata()?)?;
    Ok(file)
}

/// Refuses an existing file that is not regular. Links are followed.
///
/// # Errors
/// As [`open`].
pub(crate) fn require(path: &Path) -> io::Result<()> {
    refuse_other_kinds(&std::fs::metadata(path)?)
}

/// Like [`require`], for a file that may not exist.
///
/// # Errors
/// As [`open`].
pub(crate) fn require_or_none(path: &Path) -> io::Result<()> {
    match require(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        found => found,
    }
}

/// Reads the content of the regular file at `path`.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut file = open(path)?;
    memory::expect_failure(|| file.read_to_end(&mut content))?;
    Ok(content)
}

/// Reads the text of the regular file at `path`, or of a pipe that was passed to this program: `/dev/stdin`, or a
/// shell's `<(command)`.
///
/// # Errors
/// As [`open`]; `InvalidData` if it is not UTF-8, `FileTooLarge` if a pipe has more than 16 MiB.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    const LIMIT: u64 = 16 << 20;
    let mut text = String::new();
    let Some(pipe) = handed_over(path)? else {
        open(path)?.read_to_string(&mut text)?;
        return Ok(text);
    };
    if pipe.take(LIMIT + 1).read_to_string(&mut text)? as u64 > LIMIT {
        let message = "more than 16 MiB come through this pipe, which is more than a person writes";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Returns the pipe or terminal that `path` names among the open files of this process.
fn handed_over(path: &Path) -> io::Result<Option<File>> {
    let is_own =
        path == Path::new("/dev/stdin") || ["/dev/fd", "/proc/self/fd"].iter().any(|own| path.starts_with(own));
    if !is_own || std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let is_pipe = kind(file.metadata()?.file_type()) == PIPE;
    Ok((is_pipe || file.is_terminal()).then_some(file))
}

const PIPE: &str = "a pipe (FIFO)";

fn refuse_other_kinds(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = kind(metadata.file_type());
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, and must be a regular file")))
}

/// Returns the kind of a file that is not regular.
pub(crate) fn kind(file: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kinds = [
            (file.is_fifo(), PIPE),
            (file.is_char_device(), "a device"),
            (file.is_block_device(), "a disk (block device)"),
            (file.is_socket(), "a socket"),
        ];
        if let Some((_, kind)) = kinds.into_iter().find(|(is, _)| *is) {
            return kind;
        }
    }
    if file.is_dir() { "a folder" } else { "no file" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_regular_is_refused_by_its_kind_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, kind) in [
            (&*pipe, "a pipe (FIFO)"),
            (&link, "a pipe (FIFO)"),
            (&socket, "a socket"),
            (folder.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let expected = format!("it is {kind}, and must be a regular file");
            assert_eq!(open(path).unwrap_err().to_string(), expected);
            assert_eq!(read_to_string(path).unwrap_err().to_string(), expected);
            assert_eq!(require_or_none(path).unwrap_err().to_string(), expected);
        }
        assert!(require_or_none(&folder.path().join("none")).is_ok());
    }

    #[test]
    fn a_file_is_read_and_so_is_a_pipe_that_was_handed_over() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "text").unwrap();
        assert_eq!((read(file.path()).unwrap(), &*read_to_string(file.path()).unwrap()), (b"text".to_vec(), "text"));
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"through a pipe").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(read_to_string(Path::new(&path)).unwrap(), "through a pipe");
    }
}
