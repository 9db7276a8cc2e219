//! Differentiable operations that Candle lacks, or whose gradient it gets wrong, each with its backward pass.
//!
//! On the CPU, in f32 and f64, each is one pass over memory or a few (`cpu.rs`, `math.rs`, `gemm.rs`); other devices
//! and dtypes get the same function composed from Candle's operations, of those that have gradients.

mod attention;
mod batch_norm;
mod checkpoint;
mod conv;
mod cpu;
pub mod dropout;
mod embedding;
mod gemm;
mod graph;
mod linear;
pub mod loss;
mod math;
mod norm;
mod op;
mod operand;
mod pointwise;
mod pool;
mod rotary;
mod tape;
#[cfg(test)]
mod testing;

pub use attention::{Heads, attention, attention_packed};
pub use batch_norm::BatchNorm;
pub use checkpoint::checkpoint;
pub use conv::{Conv2d, conv2d};
pub use embedding::{embedding, embedding_with_positions};
pub use linear::{affine, linear, linear_relu};
pub use norm::{layer_norm, rms_norm, softmax};
pub use pointwise::{add, gelu, gelu_tanh, relu, silu, softplus, swiglu};
pub use pool::{Pool2d, adaptive_avg_pool2d, avg_pool2d, max_pool2d};
pub use rotary::rotary;
pub use tape::Tape;
pub(crate) use tape::flatten;

/// Elements that one task works on; smaller tensors are not worth a second thread.
const CHUNK: usize = 1 << 15;
