//! Rotary position embedding: Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.

mod cuda;

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::{self, Real};
use crate::cuda::Place;

/// Rotates each pair of elements of each head by an angle that grows with the position, like Hugging Face's Llama: in a
/// head of size `n`, elements `i` and `i + n/2` rotate by `t / base^(2i/n)` at position `t`.
///
/// `x` and the result are `[batch, context, heads * n]`; `n` is even.
///
/// # Errors
/// The heads do not divide the width, or the device fails.
pub fn rotary(x: &Tensor, heads: usize, base: f64) -> Result<Tensor> {
    let (_, _, width) = x.dims3()?;
    if heads == 0 || !width.is_multiple_of(2 * heads) {
        bail!("rotary positions: a width of {width} is not {heads} heads of even size");
    }
    apply(Rotation { size: width / heads, base, sign: 1.0 }, &[x])
}

struct Rotation {
    /// Numbers in a head.
    size: usize,
    base: f64,
    /// 1 for the forward pass, -1 for the inverse rotation.
    sign: f64,
}

impl Rotation {
    /// Returns cosines and sines for each of `context` positions, `n / 2` of each per position.
    fn table<T: Real>(&self, context: usize) -> (Vec<T>, Vec<T>) {
        let half = self.size / 2;
        let angle = |at: usize| {
            let frequency = self.base.powf(-2.0 * (at % half) as f64 / self.size as f64);
            (at / half) as f64 * frequency
        };
        let angles = (0..context * half).map(angle);
        angles.map(|angle| (T::of(angle.cos()), T::of(self.sign * angle.sin()))).unzip()
    }

    fn turn<T: Real>(&self, x: &[T], context: usize, width: usize) -> Vec<T> {
        let half = self.size / 2;
        let (cosines, sines) = self.table::<T>(context);
        let mut result = x.to_vec();
        cpu::for_rows(&mut result, width, |first, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (row, values) in (first..).zip(rows.chunks_exact_mut(width)) {
                        let at = row % context * half;
                        let (cosines, sines) = (&cosines[at..at + half], &sines[at..at + half]);
                        for head in values.chunks_exact_mut(self.size) {
                            let (a, b) = head.split_at_mut(half);
                            for (((a, b), &cosine), &sine) in a.iter_mut().zip(b).zip(cosines).zip(sines) {
                                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                            }
                        }
                    }
                },
            );
        });
        result
    }
}

impl Op for Rotation {
    fn name(&self) -> &'static str {
        "rotary positions"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (_, context, width) = inputs[0].layout.shape().dims3()?;
        Ok(self.turn(inputs[0].elements, context, width))
    }

    /// The gradient is rotated back by the same angle.
    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (_, context, width) = inputs[0].layout.shape().dims3()?;
        let back = Self { sign: -self.sign, ..*self };
        Ok(vec![Gradient::of(inputs[0], || back.turn(dy.elements, context, width))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let x = inputs[0];
        let (batch, context, width) = x.dims3()?;
        let half = self.size / 2;
        let (cosines, sines) = self.table::<f64>(context);
        // Rounded before the transfer: Metal has no f64.
        let on_device = |values: Vec<f64>| {
            Tensor::from_vec(values, (context, 1, half), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())
        };
        let (cosines, sines) = (on_device(cosines)?, on_device(sines)?);
        let x = x.reshape((batch, context, width / self.size, self.size))?;
        let (a, b) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
        let turned_a = (a.broadcast_mul(&cosines)? - b.broadcast_mul(&sines)?)?;
        let turned_b = (b.broadcast_mul(&cosines)? + a.broadcast_mul(&sines)?)?;
        Tensor::cat(&[turned_a, turned_b], 3)?.reshape((batch, context, width))
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Reference, check, check_kernels, numbers};

    #[test]
    fn rotations_have_their_gradients() {
        check(Rotation { size: 6, base: 10_000.0, sign: 1.0 }, &[&numbers(&[2, 3, 12], 1)], 1e-14);
        check_kernels(Rotation { size: 24, base: 500.0, sign: 1.0 }, &[&numbers(&[9, 50, 96], 1)], 1e-14);
    }

    #[test]
    fn values_and_gradients_are_those_of_hugging_face() {
        Reference::open("gpt_reference.safetensors").assert("rotary", 1e-12, |x| rotary(&x[0], 3, 10_000.0));
    }

    #[test]
    fn a_head_of_odd_size_is_refused() {
        let message = rotary(&numbers(&[1, 2, 9], 1), 3, 1e4).unwrap_err().to_string();
        assert!(message.contains("a width of 9 is not 3 heads of even size"), "{message}");
    }
}
