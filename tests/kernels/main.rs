//! The kernels for CUDA, each run from its own source on the threads of this machine (`src/cuda/kernels/host.h`):
//! they agree with the operations on the CPU in f64, and their bits depend on no order of blocks and threads.

mod arguments;
mod emulator;
mod expected;

mod attention;
mod conversions;
mod dropout;
mod embedding;
mod images;
mod losses;
mod norm;
mod optimizers;
mod pointwise;
mod race;
mod softmax;
mod sums;

use arguments::Type;

/// Types of tensors, each with rows and their width: one number, one column, one row, a row that is shorter than a
/// block, and one that is longer. The search for races, which is slow, takes the longest.
fn cases() -> Vec<(Type, [usize; 2])> {
    let shapes = [[1, 1], [3, 1], [1, 70], [5, 37], [3, 700]];
    let last = if emulator::searches_races() { 4 } else { 3 };
    let of_type = |&of: &Type| {
        let first = if of == Type::F32 && !emulator::searches_races() { 0 } else { last };
        shapes[first..].iter().map(move |&shape| (of, shape))
    };
    Type::of_tensors().iter().flat_map(of_type).collect()
}
