//! Chunks as parts of an array: which elements of one are where in the other.

use super::metadata::Array;
use crate::peers::tensor::row_major;

/// Copies the part of a chunk that lies within the array to its place.
pub fn place(array: &Array, place: &[usize], chunk: &[u8], whole: &mut [u8]) {
    let start: Vec<usize> = place.iter().zip(&array.chunk).map(|(at, length)| at * length).collect();
    let part = array
        .shape
        .iter()
        .zip(&start)
        .zip(&array.chunk)
        .map(|((length, start), chunk)| chunk.min(&(length - start)).to_owned());
    copy(chunk, &array.chunk, whole, &array.shape, &start, &part.collect::<Vec<_>>(), array.size);
}

/// Copies the first `part` of a block in row-major order to `start` in another.
pub fn copy(
    from: &[u8],
    from_shape: &[usize],
    to: &mut [u8],
    to_shape: &[usize],
    start: &[usize],
    part: &[usize],
    size: usize,
) {
    let (from_strides, to_strides) = (row_major(from_shape), row_major(to_shape));
    let Some((row, outer)) = part.split_last() else {
        to[..size].copy_from_slice(&from[..size]);
        return;
    };
    let rows: usize = outer.iter().product();
    let row_bytes = row * size;
    for index in 0..rows {
        // The place of this row, by its index among the rows of the part.
        let (mut rest, mut from_at, mut to_at) = (index, 0, start[outer.len()]);
        for axis in (0..outer.len()).rev() {
            let at = rest % outer[axis];
            rest /= outer[axis];
            from_at += at * from_strides[axis];
            to_at += (start[axis] + at) * to_strides[axis];
        }
        to[to_at * size..][..row_bytes].copy_from_slice(&from[from_at * size..][..row_bytes]);
    }
}

/// Returns a block, stored with its axes in `order`, in row-major order of `shape`.
pub fn transposed_back(stored: &[u8], shape: &[usize], order: &[usize], size: usize) -> Vec<u8> {
    let stored_shape: Vec<usize> = order.iter().map(|axis| shape[*axis]).collect();
    let stored_strides = row_major(&stored_shape);
    let mut strides = vec![0; shape.len()];
    order.iter().zip(stored_strides).for_each(|(axis, stride)| strides[*axis] = stride);
    let elements: usize = shape.iter().product();
    let mut block = Vec::with_capacity(stored.len());
    for index in 0..elements {
        let mut rest = index;
        let mut at = 0;
        for axis in (0..shape.len()).rev() {
            at += (rest % shape[axis]) * strides[axis];
            rest /= shape[axis];
        }
        block.extend_from_slice(&stored[at * size..][..size]);
    }
    block
}
