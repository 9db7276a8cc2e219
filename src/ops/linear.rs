//! The affine map of a layer.

use candle_core::{Result, Tensor};

/// `x weightᵀ + bias` over the last dimension, as `torch.nn.Linear`: `x` is `[…, in]`, `weight` `[out, in]`, `bias`
/// `[out]`, and the result `[…, out]`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (mut shape, inputs) = (x.dims().to_vec(), weight.dim(1)?);
    let y = x.reshape(((), inputs))?.matmul(&weight.t()?)?;
    let y = bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))?;
    if let Some(last) = shape.last_mut() {
        *last = weight.dim(0)?;
    }
    y.reshape(shape)
}
