//! An orthonormal basis of vectors by Householder's reflections, a block of them at a time: Golub and Van Loan, "Matrix
//! Computations", section 5.2.3.

use super::reflections::{BLOCK, Block, Order, TASK, blocks, reflection};
use super::vectors::{Vectors, add_inline, dot_inline};
use crate::cpu::{for_chunks, vectorized};

/// Makes vectors orthonormal, each by the part of it that is orthogonal to those before. In place of one that depends
/// on those before there is any other direction. There are as many vectors as each has numbers.
pub(in crate::optim::rules) fn orthonormalize(mut vectors: Vectors) -> Vectors {
    let n = vectors.length;
    let mut along = Vectors { length: n, numbers: vec![0.0; n * n] };
    let mut signs = Vec::with_capacity(n);
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let (own, after) = vectors.numbers[start * n..].split_at_mut((end - start) * n);
        reduce(own, &mut along.numbers[start * n..end * n], n, &mut signs, start);
        let block = Block::new(&along, [start, end], start, Order::FirstToLast);
        let effort = after.len() * BLOCK;
        for_chunks(after, TASK * n, effort, |_, after| block.reflect(after, n));
    }
    let mut basis = Vectors::axes(n);
    let blocks = blocks(&along, 0, Order::LastToFirst);
    for_chunks(&mut basis.numbers, TASK * n, n * n * n, |task, axes| {
        for block in blocks.iter().rev() {
            // The axes before it are orthogonal to its vectors.
            let before = block.first.saturating_sub(task * TASK) * n;
            block.reflect(axes.get_mut(before..).unwrap_or_default(), n);
        }
    });
    for (vector, sign) in basis.numbers.chunks_exact_mut(n.max(1)).zip(signs) {
        vector.iter_mut().for_each(|x| *x *= sign);
    }
    basis
}

/// Writes the unit vectors of the reflections that take vectors of `n` numbers, which come after `start` others, to a
/// triangle, and the sign of each on its diagonal.
fn reduce(vectors: &mut [f64], along: &mut [f64], n: usize, signs: &mut Vec<f64>, start: usize) {
    for (place, v) in along.chunks_exact_mut(n).enumerate() {
        let (before, after) = vectors.split_at_mut((place + 1) * n);
        let v = &mut v[start + place..];
        v.copy_from_slice(&before[place * n + start + place..]);
        signs.push(reflection(v).signum());
        vectorized(
            #[inline(always)]
            || {
                for vector in after.chunks_exact_mut(n) {
                    let seen = &mut vector[start + place..];
                    add_inline(seen, -2.0 * dot_inline(seen, v), v);
                }
            },
        );
    }
}
