//! The rate at which a device multiplies matrices: the most that a training step can reach.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use rekindle::ops;
use rekindle::rng::Stream;

/// Products before the ones that count.
const WARM_UP: usize = 3;

/// Products that count.
const TURNS: usize = 10;

/// Returns the floating-point operations per second of a linear layer without bias whose matrices are square and of
/// type `f32` or `bf16`, two for each multiplication with addition; the median of several.
pub fn rate(size: usize, dtype: &str, device: &Device) -> Result<f64> {
    let dtype = match dtype {
        "f32" => DType::F32,
        "bf16" => DType::BF16,
        other => candle_core::bail!("there is no type `{other}`; there are f32 and bf16"),
    };
    // Numbers as in a model: a GPU multiplies zeros faster.
    let matrix = |number| {
        let values = Stream::new(1, "product").normal(number, size * size);
        Tensor::from_vec(values, (size, size), device)?.to_dtype(dtype)
    };
    let (a, b) = (matrix(0)?, matrix(1)?);
    let mut seconds = Vec::with_capacity(WARM_UP + TURNS);
    for _ in 0..WARM_UP + TURNS {
        device.synchronize()?;
        let began = Instant::now();
        let product = ops::linear_in_out(&a, &b, None)?;
        device.synchronize()?;
        seconds.push(began.elapsed().as_secs_f64());
        drop(product);
    }
    let counted = &mut seconds[WARM_UP..];
    counted.sort_by(f64::total_cmp);
    Ok(2.0 * (size as f64).powi(3) / counted[TURNS / 2])
}
