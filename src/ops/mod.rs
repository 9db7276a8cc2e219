//! Differentiable operations that Candle lacks, or whose gradient it gets wrong, each with its backward pass.

mod batch_norm;
mod conv;
mod cpu;
pub mod dropout;
mod gemm;
mod linear;
pub mod loss;
mod pointwise;
mod pool;
#[cfg(test)]
mod testing;

pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, conv2d};
pub use linear::linear;
pub use pointwise::{relu, softplus};
pub use pool::{Pool2d, adaptive_avg_pool2d, avg_pool2d, max_pool2d};

/// Elements that one task works on; smaller tensors are not worth a second thread.
const CHUNK: usize = 1 << 15;

/// Applies `f` to each element of `source` with its index, on several threads where there is enough to do.
fn map<T: Copy + Send + Sync>(source: &[T], f: impl Fn(usize, T) -> T + Sync) -> Vec<T> {
    use rayon::prelude::*;
    if source.len() <= CHUNK {
        return source.iter().enumerate().map(|(i, &x)| f(i, x)).collect();
    }
    source.par_iter().with_min_len(CHUNK).enumerate().map(|(i, &x)| f(i, x)).collect()
}
