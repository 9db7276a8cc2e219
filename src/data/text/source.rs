//! Text files of any length, plain, gzip or zstd, read in pieces that fit in memory.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::data::error::TextError;
use crate::data::file::{self, DataFile};
use crate::data::files::Files;
use crate::data::packing::Packing;
use crate::data::{DataConfig, DataError, Fingerprint};
use crate::hashed::Hashed;
use crate::regular;

/// Maximal size of a piece in bytes. It ends with a line if it contains one, so that a tokenizer does not see a split
/// word.
const PIECE: usize = 1 << 20;

/// A text file with its fingerprint.
pub(in crate::data) struct TextFile {
    pub path: PathBuf,
    pub fingerprint: Fingerprint,
}

/// The text of one file or several, one after the other, with nothing between them.
pub(in crate::data) struct Texts {
    /// At least one.
    pub files: Vec<TextFile>,
    pub fingerprint: Fingerprint,
}

impl Texts {
    /// Reads the training files of `config` once, for their fingerprints.
    pub fn of_training(config: &DataConfig) -> Result<Self, DataError> {
        let files = Files::of(&config.training())?;
        let texts: Vec<TextFile> = files.iter().map(|(_, path)| TextFile::open(path)).collect::<Result<_, _>>()?;
        let fingerprints: Vec<Fingerprint> = texts.iter().map(|text| text.fingerprint.clone()).collect();
        Ok(Self { fingerprint: files.identity(&fingerprints), files: texts })
    }

    /// Returns the path of the first file.
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |file| &file.path)
    }

    /// Returns the beginning of the text, for examples.
    pub fn beginning(&self) -> String {
        self.files.first().map(TextFile::beginning).unwrap_or_default()
    }
}

impl TextFile {
    /// Reads the file once, for its fingerprint.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let fingerprint = DataFile::fingerprint(path)?;
        Ok(Self { path: path.to_owned(), fingerprint })
    }

    /// Returns the beginning of the text, for examples.
    pub fn beginning(&self) -> String {
        let mut bytes = Vec::new();
        let read = file::unpacked(&self.path).and_then(|(text, _)| text.take(PIECE as u64).read_to_end(&mut bytes));
        // Without the example the message is still useful.
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes[..end_of_piece(&bytes)]).into_owned())
    }

    /// Passes the decompressed bytes to `see` in pieces, each with the number of bytes before it. If the content does
    /// not match the fingerprint, this is an error: the file is hashed again while it is read.
    pub fn pieces<E: From<DataError>>(&self, see: impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let unreadable = |source| DataError::Read { path: self.path.clone(), source };
        let file = regular::open(&self.path).map_err(unreadable)?;
        let mut file = BufReader::new(Hashed::new(file));
        let packing = Packing::of_reader(&mut file).map_err(unreadable)?;
        let shown = if packing.is_packed() {
            let damaged = |source| DataError::Unpack { path: self.path.clone(), kind: packing.name(), source };
            cut(packing.unpack(&mut file), damaged, see)
        } else {
            cut(&mut file, unreadable, see)
        };
        // If the text has changed, that explains any error.
        io::copy(&mut file, &mut io::sink()).map_err(unreadable)?;
        if file.get_ref().digest() != self.fingerprint.blake3 {
            return Err(DataError::Changed { path: self.path.clone() }.into());
        }
        shown
    }

    /// Refuses a file that is packed in a way that this build does not read.
    pub fn require_readable(&self) -> Result<(), DataError> {
        let packing = file::unpacked(&self.path).map_or(Packing::None, |(_, packing)| packing);
        file::require_readable(&self.path, packing)
    }

    /// Like [`TextFile::pieces`], for text.
    pub fn text<E: From<DataError>>(&self, mut see: impl FnMut(u64, &str) -> Result<(), E>) -> Result<(), E> {
        self.pieces(|before, bytes| match std::str::from_utf8(bytes) {
            Ok(text) => see(before, text),
            Err(error) => {
                self.require_readable()?;
                let byte = before + error.valid_up_to() as u64;
                Err(DataError::from(TextError::NotText { path: self.path.clone(), byte }).into())
            }
        })
    }
}

/// Passes the content of `reader` to `see`, in pieces with the number of bytes before each.
fn cut<E: From<DataError>>(
    mut reader: impl Read,
    failed: impl Fn(io::Error) -> DataError,
    mut see: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut buffer, mut before) = (Vec::with_capacity(PIECE), 0);
    loop {
        let missing = (PIECE - buffer.len()) as u64;
        let read = reader.by_ref().take(missing).read_to_end(&mut buffer).map_err(&failed)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = if (read as u64) < missing { buffer.len() } else { end_of_piece(&buffer) };
        see(before, &buffer[..end])?;
        before += end as u64;
        buffer.drain(..end);
    }
}

/// Returns the position to cut a full buffer: after its last line, or before its last character if it has no line end.
fn end_of_piece(buffer: &[u8]) -> usize {
    let line = buffer.iter().rposition(|&byte| byte == b'\n').map(|end| end + 1);
    let last_character = || buffer.iter().rposition(|byte| byte & 0b1100_0000 != 0b1000_0000);
    line.or_else(last_character).filter(|&end| end > 0).unwrap_or(buffer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let mut pieces: Vec<String> = Vec::new();
        let text = TextFile::open(file.path()).unwrap();
        text.text::<DataError>(|before, piece| {
            assert_eq!(before as usize, pieces.iter().map(String::len).sum::<usize>());
            pieces.push(piece.to_owned());
            Ok(())
        })
        .unwrap();
        pieces
    }

    #[test]
    fn pieces_are_the_text_and_end_with_lines_or_characters() {
        let lines = "a line of text\n".repeat(150_000);
        let long = "ä€".repeat(500_000);
        for content in [&lines, &long, &"x".repeat(PIECE), &"\n".repeat(2 * PIECE), &lines[..lines.len() - 1]] {
            let pieces = pieces(content);
            assert_eq!(&pieces.concat(), content);
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE));
        }
        let (last, full) = pieces(&lines).split_last().map(|(last, full)| (last.clone(), full.to_vec())).unwrap();
        assert!(full.len() == 2 && full.iter().all(|piece| piece.ends_with('\n')) && last.ends_with('\n'));
    }

    /// Both plain and gzip, and with new content that is text or not.
    #[test]
    fn a_text_that_changed_since_it_was_opened_is_refused() {
        let gzip = |content: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut encoder, content).unwrap();
            encoder.finish().unwrap()
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        for old in [b"to be or not".to_vec(), gzip(b"to be or not")] {
            std::fs::write(file.path(), &old).unwrap();
            let text = TextFile::open(file.path()).unwrap();
            assert!(text.text::<DataError>(|_, _| Ok(())).is_ok());
            for new in [b"to be or nut".to_vec(), b"to be".to_vec(), b"\xff".to_vec(), vec![], gzip(b"to be or nut")] {
                std::fs::write(file.path(), new).unwrap();
                let message = text.text::<DataError>(|_, _| Ok(())).unwrap_err().to_string();
                assert!(
                    message.ends_with(
                        "changed while it was read; stop other programs from writing to it, and start again"
                    ),
                    "{message}"
                );
            }
        }
    }
}
