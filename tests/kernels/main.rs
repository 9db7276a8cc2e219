//! The kernels for CUDA, each run from its own source on the threads of this machine (`src/cuda/kernels/host.h`):
//! they agree with the operations on the CPU in f64, and their bits depend on no order of blocks and threads.

mod arguments;
mod emulator;
mod expected;
#[path = "../../src/cuda/host/library.rs"]
mod library;

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

/// Types of tensors, each with rows and their width: for f32 one number, one column, one row, rows that are shorter
/// than a block, and ones that are longer; the last for the other types, which take the same path through the same
/// source, and for the search for races, which is slow.
fn cases() -> Vec<(Type, [usize; 2])> {
    let shapes = [[1, 1], [3, 1], [1, 70], [5, 37], [3, 700]];
    let of_type = |&of: &Type| {
        let all = of == Type::F32 && !emulator::searches_races();
        shapes[if all { 0 } else { shapes.len() - 1 }..].iter().map(move |&shape| (of, shape))
    };
    Type::of_tensors().iter().flat_map(of_type).collect()
}
