//! Files that are read whole, large ones on all threads: a copy from the system's cache and the first touch of the memory
//! take as long as half of the parsing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::prelude::*;

use crate::{memory, regular};

/// The number of bytes that a thread reads at once.
const PIECE: usize = 1 << 20;

/// Reads the content of the regular file at `path`.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = regular::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut content = if length < 2 * PIECE { Vec::new() } else { in_pieces(&file, length).unwrap_or_default() };
    // The file may be longer than its description says, and where it is shorter, or cannot be read, this finds it out.
    file.seek(SeekFrom::Start(content.len() as u64))?;
    memory::expect_failure(|| file.read_to_end(&mut content))?;
    Ok(content)
}

/// Reads the first bytes of a file on all threads; `None` if there are fewer, or they cannot be read.
fn in_pieces(file: &File, length: usize) -> Option<Vec<u8>> {
    memory::expect_failure(|| Vec::<u8>::new().try_reserve_exact(length)).ok()?;
    let mut content = vec![0; length];
    let pieces = content.par_chunks_mut(PIECE).enumerate();
    pieces.try_for_each(|(number, piece)| file.read_exact_at(piece, (number * PIECE) as u64)).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_length_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for length in [0, 1, PIECE, 2 * PIECE - 1, 2 * PIECE, 3 * PIECE + 7] {
            let content: Vec<u8> = (0..length).map(|at| ((at * 31) >> 7) as u8).collect();
            std::fs::write(&path, &content).unwrap();
            assert!(read(&path).unwrap() == content, "{length} bytes");
        }
        assert!(in_pieces(&File::open(&path).unwrap(), 4 * PIECE).is_none());
        assert_eq!(read(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
