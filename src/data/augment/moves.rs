//! Flip and shift.

use super::geometry::Size;
use crate::rng::{StepRng, Stream};

/// The move of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Move {
    flip: bool,
    down: isize,
    right: isize,
}

impl Move {
    /// Returns the random numbers of flips, and of shifts down and right.
    pub fn draws(rng: &StepRng) -> [Stream; 3] {
        ["augment/flip", "augment/down", "augment/right"].map(|purpose| rng.stream(purpose))
    }

    /// Returns the move at a place of the batch of `step`.
    pub fn at(draws: &[Stream; 3], flip: bool, shift: usize, step: u64, place: usize) -> Self {
        let [flips, down, right] = draws.map(|stream| stream.bits(step, place as u64));
        Self { flip: flip && flips & 1 == 1, down: offset(down, shift), right: offset(right, shift) }
    }

    /// Writes the moved image to `into`, which is zeros.
    pub fn apply(self, from: &[f32], size: Size, into: &mut [f32]) {
        let pixels = size.height * size.width;
        for (from, into) in from.chunks_exact(pixels).zip(into.chunks_exact_mut(pixels)) {
            self.plane(from, size.width, into);
        }
    }

    fn plane(self, from: &[f32], width: usize, into: &mut [f32]) {
        let height = from.len() / width;
        for (y, into) in into.chunks_exact_mut(width).enumerate() {
            let Some(row) = y.checked_add_signed(-self.down).filter(|row| *row < height) else { continue };
            let from = &from[row * width..][..width];
            for (x, into) in into.iter_mut().enumerate() {
                let Some(x) = x.checked_add_signed(-self.right).filter(|x| *x < width) else { continue };
                *into = from[if self.flip { width - 1 - x } else { x }];
            }
        }
    }
}

/// Returns an integer from `-shift` to `shift`, uniform up to 2^-60.
fn offset(bits: u64, shift: usize) -> isize {
    let drawn = (u128::from(bits) * (2 * shift as u128 + 1)) >> 64;
    drawn as isize - shift as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_flipped_and_then_shifted_and_zeros_come_in() {
        let from: Vec<f32> = (1..=6).map(|x| x as f32).collect();
        let moved = |flip, down, right| {
            let mut into = vec![0.0; 6];
            Move { flip, down, right }.apply(&from, Size { height: 2, width: 3 }, &mut into);
            into
        };
        assert_eq!(moved(false, 0, 0), from);
        assert_eq!(moved(true, 0, 0), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(moved(false, 1, 0), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(moved(false, -1, 2), [0.0, 0.0, 4.0, 0.0, 0.0, 0.0]);
        assert_eq!(moved(true, 0, -1), [2.0, 1.0, 0.0, 5.0, 4.0, 0.0]);
    }
}
