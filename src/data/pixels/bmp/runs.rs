//! Run-length encoding of BMP files: pixels of a palette as runs of equal ones, and as runs that are written out.

use super::truncated;
use crate::data::picture::Failure;

/// The bytes of the pixels, read from the front.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn pair(&mut self) -> Result<[u8; 2], Failure> {
        self.take(2)?.try_into().map_err(|_| truncated())
    }
}

/// Returns the index in the palette of every pixel, in the order of the file, which is from the bottom. A pixel has 4 or
/// 8 `bits`. Pixels that are skipped have the index 0, as in Pillow.
pub(super) fn indices(bytes: &[u8], width: usize, height: usize, bits: usize) -> Result<Vec<u8>, Failure> {
    let (mut indices, mut rest) = (vec![0; width * height], Rest(bytes));
    let (mut row, mut column) = (0, 0);
    let mut put = |row: usize, column: usize, index: u8| {
        // A run that is longer than its row is cut off.
        if column < width
            && let Some(place) = indices.get_mut(row * width + column)
        {
            *place = index;
        }
    };
    // Some writers leave out the mark of the end.
    while row * width + column.min(width) < width * height {
        match rest.pair()? {
            [0, 0] => (row, column) = (row + 1, 0),
            [0, 1] => return Err(truncated()),
            [0, 2] => {
                let [right, up] = rest.pair()?.map(usize::from);
                (row, column) = (row + up, column + right);
            }
            [0, count] => {
                let count = usize::from(count);
                let written = rest.take((count * bits).div_ceil(16) * 2)?;
                for at in 0..count {
                    put(row, column + at, of_pair(written, at, bits));
                }
                column += count;
            }
            [count, pair] => {
                for at in 0..usize::from(count) {
                    put(row, column + at, of_pair(&[pair, pair], if bits == 4 { at % 2 } else { 0 }, bits));
                }
                column += usize::from(count);
            }
        }
    }
    Ok(indices)
}

/// Returns the pixel at `at` in bytes of one pixel, or of two with the first in the upper half.
fn of_pair(bytes: &[u8], at: usize, bits: usize) -> u8 {
    let byte = bytes.get(at * bits / 8).copied().unwrap_or(0);
    match (bits, at % 2) {
        (4, 0) => byte >> 4,
        (4, _) => byte & 15,
        _ => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], bits: usize) -> Option<Vec<u8>> {
        indices(bytes, 4, 2, bits).ok()
    }

    #[test]
    fn runs_and_written_pixels_of_four_and_eight_bits() {
        let eight = [3, 7, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 1];
        assert_eq!(of(&eight, 8), Some(vec![7, 7, 7, 0, 1, 2, 3, 0]));
        let four = [3, 0x12, 0, 0, 0, 3, 0x12, 0x30];
        assert_eq!(of(&four, 4), None, "the last pixel is not there");
        assert_eq!(of(&[3, 0x12, 0, 0, 0, 4, 0x12, 0x34], 4), Some(vec![1, 2, 1, 0, 1, 2, 3, 4]));
    }

    #[test]
    fn a_jump_leaves_pixels_and_a_long_run_is_cut_off() {
        assert_eq!(of(&[0, 2, 1, 1, 9, 5, 0, 1], 8), Some(vec![0, 0, 0, 0, 0, 5, 5, 5]));
        assert_eq!(of(&[0, 2, 255, 255, 0, 1], 8), Some(vec![0; 8]));
        assert_eq!(of(&[4, 1, 0, 0, 3, 1, 0, 1], 8), None, "it ends before its last pixel");
    }

    #[test]
    fn pixels_that_are_cut_off_are_an_error() {
        for bytes in [&[][..], &[3], &[3, 7, 0], &[0, 2, 1], &[0, 3, 1, 2, 3]] {
            assert_eq!(of(bytes, 8), None, "{bytes:?}");
        }
    }
}
