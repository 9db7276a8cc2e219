//! Initial weights, computed from the seed and the parameter's name.

use candle_core::{Device, Result, Shape, Tensor, Var};

use crate::rng::Stream;

/// Uniform in `±1/sqrt(fan_in)`: what PyTorch's `Linear` and `Conv2d` start from (Kaiming uniform with `a = √5`).
///
/// # Errors
/// When the device fails.
pub fn linear_default(name: &str, shape: impl Into<Shape>, fan_in: usize, seed: u64, device: &Device) -> Result<Var> {
    let shape = shape.into();
    let count = shape.dims().iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    let fits = count.is_some_and(|count| Vec::<f32>::new().try_reserve_exact(count).is_ok());
    if !fits {
        candle_core::bail!("`{name}` of shape {shape:?} does not fit in memory; make the layer smaller");
    }
    let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
    let uniform = Stream::new(seed, &format!("init/{name}")).uniform(0, shape.elem_count());
    let values: Vec<f32> = uniform.into_iter().map(|u| (2.0 * u - 1.0) * bound).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, device)?)
}
