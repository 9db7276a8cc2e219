//! An orthonormal basis of vectors, each by the part of it that is orthogonal to those before.
//!
//! Blocks of vectors leave the parts along those before by products of matrices, on all threads, and the parts along each
//! other one by one: block Gram-Schmidt, made twice, because rounding leaves a little of the others after the first time.

use candle_core::{DType, Device, Result, Tensor};

use super::vectors::{Vectors, dot, unit};
use crate::cpu::vectorized;
use crate::ops::{linear, linear_in_out};

/// Vectors of a block.
const BLOCK: usize = 64;

/// Makes vectors orthonormal. In place of one that depends on those before there is any other direction.
pub(in crate::optim::rules) fn orthonormalize(vectors: Vectors) -> Result<Vectors> {
    let (count, length) = (vectors.len(), vectors.first().map_or(0, Vec::len));
    let mut done: Vectors = Vec::with_capacity(count);
    // The same vectors as a matrix.
    let basis = Tensor::zeros((count, length), DType::F64, &Device::Cpu)?;
    let mut free_axes = 0..length;
    let mut vectors = vectors.into_iter().peekable();
    while vectors.peek().is_some() {
        let mut block: Vectors = vectors.by_ref().take(BLOCK).collect();
        let start = done.len();
        for _ in 0..2 {
            let sizes: Vec<f64> = block.iter().map(|vector| size(vector)).collect();
            if start > 0 {
                block = without(block, &basis.narrow(0, 0, start)?)?;
            }
            for (place, size) in sizes.into_iter().enumerate() {
                let (before, rest) = block.split_at_mut(place);
                let vector = std::mem::take(&mut rest[0]);
                rest[0] = next(vector, size, [&done, before], &mut free_axes);
            }
        }
        let rows = Tensor::from_vec(block.concat(), (block.len(), length), &Device::Cpu)?;
        basis.slice_set(&rows, 0, start)?;
        done.append(&mut block);
    }
    Ok(done)
}

/// Returns a block without its parts along the rows of `basis`.
fn without(block: Vectors, basis: &Tensor) -> Result<Vectors> {
    let shape = (block.len(), basis.dim(1)?);
    let block = Tensor::from_vec(block.concat(), shape, &Device::Cpu)?;
    let along = linear(&block, basis, None)?.detach();
    (block - linear_in_out(&along, basis, None)?.detach())?.to_vec2::<f64>()
}

/// Returns the unit vector of what a vector is without its parts along those before it in its block, or of a free axis if
/// rounding is all that is left of its first size.
fn next(
    mut vector: Vec<f64>,
    first_size: f64,
    before: [&[Vec<f64>]; 2],
    free_axes: &mut std::ops::Range<usize>,
) -> Vec<f64> {
    let [done, in_block] = before;
    leave(&mut vector, in_block);
    // Less than this is rounding. Not with NaN.
    let least = first_size * f64::EPSILON * vector.len() as f64;
    let is_left = |vector: &[f64]| size(vector) > least;
    while !is_left(&vector) {
        let Some(axis) = free_axes.next() else { break };
        vector = unit(vector.len(), axis);
        for _ in 0..2 {
            leave(&mut vector, done);
            leave(&mut vector, in_block);
        }
        if dot(&vector, &vector) > 1e-3 / vector.len() as f64 {
            break;
        }
    }
    let size = size(&vector);
    vector.iter_mut().for_each(|x| *x /= size);
    vector
}

fn size(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// Subtracts the parts of `vector` along others, which are orthonormal.
fn leave(vector: &mut [f64], others: &[Vec<f64>]) {
    for other in others {
        let along = dot(vector, other);
        vectorized(
            #[inline(always)]
            || vector.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y),
        );
    }
}
