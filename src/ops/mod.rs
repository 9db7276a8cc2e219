//! Differentiable operations that Candle lacks or whose gradient it gets wrong, each with its backward pass.
//!
//! Each is a type that implements the trait `Op` (`op.rs`). On the CPU, in f32 and f64, its kernel makes one or a few
//! passes over memory (`src/cpu`, `gemm.rs`); bf16 and f16 are widened to f32 and its results rounded (`widened.rs`),
//! and some processors multiply bf16 themselves (`bf16.rs`).
//! Other devices and types use its reference: the same function composed of Candle operations that have gradients.
//! Results of kernels are on the tape (`tape.rs`) and in Candle's graph (`graph.rs`).

mod attention;
mod batch_norm;
mod bf16;
mod by_tensor;
mod cast;
mod conv;
mod drop_path;
pub mod dropout;
mod embedding;
mod gemm;
mod graph;
mod linear;
pub mod loss;
mod matmul;
mod norm;
mod op;
mod operand;
mod pointwise;
mod pool;
mod recompute;
mod rotary;
mod scaled;
mod tape;
#[cfg(test)]
mod testing;
mod widened;

pub use attention::{Documents, Heads, attention, attention_packed, attention_packed_within, attention_within};
pub use batch_norm::{After, BatchNorm, Seen, collect_seen, synchronized};
pub(crate) use cast::cast;
pub use conv::{Conv2d, conv2d};
pub use drop_path::drop_path;
pub use embedding::{embedding, embedding_with_positions};
pub(crate) use gemm::{Matrix, product};
pub use linear::{linear, linear_in_out, linear_relu};
pub(crate) use matmul::{matmul, product_with_transpose};
pub use norm::{layer_norm, rms_norm, softmax};
pub use pointwise::{add, gelu, gelu_tanh, relu, silu, softplus, swiglu, tanh};
pub use pool::{Pool2d, adaptive_avg_pool2d, avg_pool2d, max_pool2d};
pub use recompute::recompute;
pub use rotary::rotary;
pub use scaled::scaled;
pub use tape::Tape;
pub(crate) use tape::flatten;
