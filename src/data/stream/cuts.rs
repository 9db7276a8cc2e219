//! Where the blocks of a shard of text end: after a line, so that a block is divided into tokens without the others.

use std::ops::Range;

use super::shard::Shard;
use crate::data::DataError;
use crate::data::text::line_ends;

/// Bytes that are looked at first for the end of a line, and most of those that are read at once.
const FIRST: u64 = 16 << 10;
const MOST: u64 = 1 << 20;

/// Returns the ends of blocks of about `size` bytes in a text of `bytes` bytes, of which `read` reads some. A line is not
/// divided if it is no longer than `longest`; another one is divided between two characters.
pub(super) fn ends(
    bytes: u64,
    size: u64,
    longest: u64,
    read: impl Fn(Range<u64>) -> Result<Vec<u8>, DataError>,
) -> Result<Vec<u64>, DataError> {
    let (mut ends, mut next) = (Vec::new(), size);
    while next < bytes {
        let end = match after_line(next, bytes, longest, &read)? {
            Some(end) => end,
            None => before_character(next, bytes, &read)?,
        };
        ends.push(end);
        next = (end / size + 1) * size;
    }
    if ends.last() != Some(&bytes) {
        ends.push(bytes);
    }
    Ok(ends)
}

/// Returns the first place from `from` on that follows the end of a line, or of the text; `None` if it is more than
/// `longest` bytes away.
fn after_line(
    from: u64,
    bytes: u64,
    longest: u64,
    read: impl Fn(Range<u64>) -> Result<Vec<u8>, DataError>,
) -> Result<Option<u64>, DataError> {
    let (mut at, mut step) = (from.saturating_sub(1), FIRST);
    while at < bytes && at - from.saturating_sub(1) <= longest {
        let end = bytes.min(at + step);
        if let Some(found) = read(at..end)?.iter().position(|&byte| byte == b'\n') {
            return Ok(Some(at + found as u64 + 1));
        }
        (at, step) = (end, MOST.min(2 * step));
    }
    Ok((at >= bytes).then_some(bytes))
}

/// Returns the first place from `from` on that is not inside a character of UTF-8.
fn before_character(
    from: u64,
    bytes: u64,
    read: impl Fn(Range<u64>) -> Result<Vec<u8>, DataError>,
) -> Result<u64, DataError> {
    let some = read(from..bytes.min(from + 4))?;
    let inside = some.iter().take_while(|&byte| byte & 0b1100_0000 == 0b1000_0000).count();
    Ok(if inside < 4 { from + inside as u64 } else { from })
}

/// Counts the lines of a shard that end before a byte.
pub(super) fn lines_before(shard: &Shard, byte: u64) -> Result<u64, DataError> {
    let (mut lines, mut at) = (0, 0);
    while at < byte {
        let end = byte.min(at + MOST);
        lines += line_ends(&shard.read(at..end)?);
        at = end;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str, size: u64, longest: u64) -> Vec<String> {
        let bytes = text.as_bytes();
        let read = |range: Range<u64>| Ok(bytes[range.start as usize..range.end as usize].to_vec());
        let ends = ends(bytes.len() as u64, size, longest, read).unwrap();
        let starts = [0].into_iter().chain(ends.iter().copied());
        starts.zip(&ends).map(|(start, &end)| text[start as usize..end as usize].to_owned()).collect()
    }

    #[test]
    fn a_block_ends_with_a_line() {
        assert_eq!(blocks("ab\ncdefgh\ni\n", 4, 100), ["ab\ncdefgh\n", "i\n"]);
        assert_eq!(blocks("abc\ndef\ngh", 4, 100), ["abc\n", "def\n", "gh"]);
        assert_eq!(blocks("abc\ndef\ngh", 100, 100), ["abc\ndef\ngh"]);
        assert_eq!(blocks("abcdefgh", 2, 100), ["abcdefgh"]);
        let lines = "a line of text\n".repeat(40_000);
        for size in [1000, 100_000, 1 << 20] {
            let blocks = blocks(&lines, size, 1 << 20);
            assert!(blocks.concat() == lines && blocks.iter().all(|block| block.ends_with('\n')));
            assert_eq!(blocks.len() as u64, (lines.len() as u64).div_ceil(size));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_divided_between_characters() {
        let long = "ä€".repeat(20_000);
        let blocks = blocks(&long, 30_001, 9);
        assert!(blocks.concat() == long && blocks.len() > 2);
    }
}
