//! Norms of a half type by weights in f32, on the CPU: a row at a time in f32, without copies of the whole input.

use std::sync::Arc;

use candle_core::{DType, Result, Storage, Tensor};
use half::{bf16, f16};

use super::{Norm, collect};
use crate::cpu::{self, Half, round_to, widen_to};
use crate::ops::graph::{Differentiable, attach};
use crate::ops::op::Op;
use crate::ops::operand::{Gradient, Reading, rows_and_width};

/// Inputs: `x` of a half type; the weight, and perhaps the bias, in f32.
struct HalfNorm(Norm);

/// Returns the norm in the type of `x`: that of `x` in f32, rounded.
pub(super) fn normalize(norm: Norm, inputs: &[&Tensor]) -> Result<Tensor> {
    let shape = norm.shape(inputs)?;
    let inputs = inputs.iter().map(|x| x.contiguous()).collect::<Result<Vec<_>>>()?;
    let y = match inputs[0].dtype() {
        DType::BF16 => forward::<bf16>(norm, &inputs)?,
        _ => forward::<f16>(norm, &inputs)?,
    };
    attach(Arc::new(HalfNorm(norm)), inputs, y, shape)
}

fn forward<H: Half>(norm: Norm, inputs: &[Tensor]) -> Result<Storage> {
    let (x, weight, bias) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]), inputs.get(2).map(Reading::of));
    let (x, weight) = (x.elements::<H>()?, weight.elements::<f32>()?);
    let bias = bias.as_ref().map(Reading::elements::<f32>).transpose()?;
    let width = weight.len();
    let mut y = vec![H::zero(); x.len()];
    cpu::for_rows(&mut y, width, |first, rows| {
        let (mut wide_x, mut wide_y) = (vec![0.0; width], vec![0.0; width]);
        cpu::vectorized(
            #[inline(always)]
            || {
                for (row, y) in x[first * width..].chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
                    widen_to(row, &mut wide_x);
                    norm.normalize_row(&wide_x, weight, bias, &mut wide_y);
                    round_to(&wide_y, y);
                }
            },
        );
    });
    Ok(Storage::Cpu(H::to_cpu_storage_owned(y)))
}

fn backward<H: Half>(norm: Norm, inputs: &[Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let (read_x, read_weight, read_dy) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]), Reading::of(dy));
    let (x, weight, g) = (read_x.elements::<H>()?, read_weight.elements::<f32>()?, read_dy.elements::<H>()?);
    let (_, width) = rows_and_width("norm", inputs[0].dims())?;
    let parts = cpu::map_rows(x.len() / width, width, |rows| {
        let (x, g) = (&x[rows.start * width..rows.end * width], &g[rows.start * width..]);
        let mut dx = vec![H::zero(); x.len()];
        let (mut dweight, mut dbias) = (vec![0.0; width], vec![0.0; width]);
        let [mut wide_x, mut wide_dy, mut wide_dx] = [0; 3].map(|_| vec![0.0; width]);
        cpu::vectorized(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(width).zip(g.chunks_exact(width));
                for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
                    widen_to(x, &mut wide_x);
                    widen_to(dy, &mut wide_dy);
                    let sums = [&mut dweight[..], &mut dbias];
                    norm.gradients_of_row(&wide_x, weight, &wide_dy, &mut wide_dx, sums);
                    round_to(&wide_dx, dx);
                }
            },
        );
        (dx, dweight, dbias)
    });
    let (dx, of_weights) = collect(parts, x.len(), width);
    let mut gradients = vec![Gradient::Elements(dx).into_tensor(&inputs[0], dy)?];
    for (input, gradient) in inputs[1..].iter().zip(of_weights) {
        gradients.push(Gradient::Elements(gradient).into_tensor(input, dy)?);
    }
    Ok(gradients)
}

impl Differentiable for HalfNorm {
    fn name(&self) -> &'static str {
        Op::name(&self.0)
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dy = dy.contiguous()?;
        match dy.dtype() {
            DType::BF16 => backward::<bf16>(self.0, inputs, &dy),
            _ => backward::<f16>(self.0, inputs, &dy),
        }
    }
}
