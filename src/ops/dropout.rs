//! Dropout with a mask that is a function of the step: Srivastava et al., JMLR 2014, in the inverted form.

mod cuda;

use candle_core::{DType, Device, Result, Shape, Tensor};
use num_traits::Float;

use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::{Half, LARGE_CHUNK, Real, for_chunks, vectorized};
use crate::cuda::Place;
use crate::rng::{StepRng, Stream};

/// Number of elements whose random words are computed together.
const TOGETHER: usize = 64;

/// Sets each element to zero with probability `p` and divides the others by `1 - p`.
///
/// The mask depends only on `(seed, purpose, step, index)`; it is the same on every device and is not stored: the
/// backward pass computes it again. `p` is in `[0, 1)`; with 0 the input is returned unchanged.
///
/// # Errors
/// When the device fails.
pub fn dropout(x: &Tensor, p: f64, draws: &StepRng, purpose: &str) -> Result<Tensor> {
    match Mask::new(p, draws, purpose) {
        Some(mask) => apply(mask, &[x]),
        None => Ok(x.clone()),
    }
}

/// Dropout mask of one place in a model at one step.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    stream: Stream,
    step: u64,
    p: f64,
}

impl Mask {
    /// Returns the mask of `purpose` that drops an element with probability `p` in `[0, 1)`; `None` for 0.
    pub fn new(p: f64, draws: &StepRng, purpose: &str) -> Option<Self> {
        (p > 0.0).then(|| Self { stream: draws.stream(purpose), step: draws.step, p })
    }

    /// Elements with a random word below this are dropped.
    fn threshold(&self) -> u32 {
        (self.p * 2f64.powi(32)) as u32
    }

    /// Returns the factors of the first `count` elements.
    pub(super) fn factors<T: Float>(&self, count: usize) -> Vec<T> {
        let (kept, threshold) = (T::from(1.0 / (1.0 - self.p)).unwrap_or_else(T::one), self.threshold());
        self.stream.words(self.step, count).map(|word| if word < threshold { T::zero() } else { kept }).collect()
    }

    /// Applies the mask to elements of which the first has number `start`.
    pub(super) fn apply_from<T: Float>(&self, start: usize, elements: &mut [T]) {
        let kept = T::from(1.0 / (1.0 - self.p)).unwrap_or_else(T::one);
        // Not a product with the mask: it would turn an infinity into a NaN and leave a sign on zero.
        self.choose(start, elements, T::zero(), |x| x * kept);
    }

    /// Replaces dropped elements by `dropped`, and the others by `keep` of them.
    #[inline(always)]
    fn choose<T: Copy>(&self, start: usize, elements: &mut [T], dropped: T, keep: impl Fn(T) -> T) {
        let threshold = self.threshold();
        vectorized(
            #[inline(always)]
            || {
                let (mut at, mut rest) = (start, elements);
                while !rest.is_empty() {
                    // Four elements share a block of random words.
                    let words: [[u32; 4]; TOGETHER / 4] = self.stream.blocks(self.step, at as u64 / 4);
                    let words = &words.as_flattened()[at % 4..];
                    let (now, later) = rest.split_at_mut(rest.len().min(words.len()));
                    for (x, &word) in now.iter_mut().zip(words) {
                        *x = if word < threshold { dropped } else { keep(*x) };
                    }
                    (at, rest) = (at + now.len(), later);
                }
            },
        );
    }

    /// Returns the masked elements.
    fn apply<T: Float + Send + Sync>(&self, x: &[T]) -> Vec<T> {
        let mut result = x.to_vec();
        for_chunks(&mut result, LARGE_CHUNK, x.len(), |number, result| self.apply_from(number * LARGE_CHUNK, result));
        result
    }

    /// [`Mask::apply`] for a half type.
    fn apply_in_half<H: Half>(&self, x: &[H]) -> Vec<H> {
        let (mut result, kept) = (x.to_vec(), (1.0 / (1.0 - self.p)) as f32);
        for_chunks(&mut result, LARGE_CHUNK, x.len(), |number, result| {
            self.choose(number * LARGE_CHUNK, result, H::zero(), |x| H::rounded(x.widened() * kept));
        });
        result
    }
}

impl Op for Mask {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        Ok(self.apply(inputs[0].elements))
    }

    /// Dropout is linear in its input: its gradient is the same mask applied to the gradient.
    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        Ok(vec![Gradient::of(inputs[0], || self.apply(dy.elements))])
    }

    fn forward_in_half<H: Half>(&self, inputs: &[Operand<'_, H>]) -> Option<Vec<H>> {
        Some(self.apply_in_half(inputs[0].elements))
    }

    fn backward_in_half<H: Half>(
        &self,
        inputs: &[Operand<'_, H>],
        _: Operand<'_, H>,
        dy: Operand<'_, H>,
    ) -> Option<Vec<Gradient<H>>> {
        Some(vec![Gradient::of(inputs[0], || self.apply_in_half(dy.elements))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let x = inputs[0];
        let factors = self.factors::<f32>(x.elem_count());
        x * Tensor::from_vec(factors, x.shape(), x.device())?.to_dtype(x.dtype())?
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::{check, numbers};

    fn ones(count: usize) -> Var {
        Var::from_vec(vec![1f32; count], count, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_mask_depends_on_step_and_purpose_alone() {
        let x = ones(64);
        let at = |step, purpose| dropout(&x, 0.5, &StepRng::at(1, step), purpose).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(at(3, "a"), at(3, "a"));
        assert_ne!(at(3, "a"), at(4, "a"));
        assert_ne!(at(3, "a"), at(3, "b"));
    }

    /// 100,000 draws at p = 0.3: five standard errors are 0.0073.
    #[test]
    fn the_share_dropped_is_p_and_the_mean_is_kept() {
        let y = dropout(&ones(100_000), 0.3, &StepRng::at(0, 0), "a").unwrap().to_vec1::<f32>().unwrap();
        let dropped = y.iter().filter(|&&y| y == 0.0).count() as f64 / 1e5;
        assert!((dropped - 0.3).abs() < 0.0073, "{dropped}");
        assert!(y.iter().all(|&y| y == 0.0 || y == 1.0 / 0.7));
    }

    #[test]
    fn an_element_has_its_mask_wherever_one_begins() {
        let mask = Mask::new(0.5, &StepRng::at(1, 2), "a").unwrap();
        let all = mask.apply(&[1f32; 300]);
        assert_eq!(all, mask.factors::<f32>(300));
        for start in [1, 3, 4, 62, 64, 67] {
            let mut rest = vec![1f32; 300 - start];
            mask.apply_from(start, &mut rest);
            assert_eq!(rest, all[start..]);
        }
    }

    /// The reference has its factors in f32.
    #[test]
    fn the_mask_has_its_gradient() {
        check(Mask::new(0.3, &StepRng::at(3, 5), "a").unwrap(), &[&numbers(&[5, 31], 1)], 1e-6);
    }

    #[test]
    fn the_gradient_passes_through_the_same_mask() {
        let x = ones(40_001);
        let y = dropout(&x, 0.4, &StepRng::at(9, 2), "a").unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(gradient, y.to_vec1::<f32>().unwrap());
        let mask = Mask { stream: StepRng::at(9, 2).stream("a"), step: 2, p: 0.4 };
        assert_eq!(gradient, mask.factors::<f32>(40_001), "other devices see the same mask");
        let mut part = vec![1f32; 30];
        mask.apply_from(1021, &mut part);
        assert_eq!(part, gradient[1021..1051], "and so does whoever begins in the middle");
    }
}
