//! Updates that compute each weight from its own numbers alone. A rule writes its formula once; it is then computed in
//! one pass over the slices of a parameter, or with tensor operations where the memory is not accessible.

use std::array::from_fn;

use candle_core::{DType, Result, Tensor, WithDType};

use super::Update;
use super::number::{Number, Whole};
use crate::cpu::{self, Element, prefetch_after, vectorized};

/// A formula of a weight, its `N - 1` numbers of state and its gradient.
pub(super) trait Formula<const N: usize>: Copy + Sync {
    /// Returns the new weight and state. The gradient is the clipped one.
    fn apply<X: Number>(self, numbers: [X; N], gradient: X) -> [X; N];

    /// Updates a parameter.
    fn update(self, tensors: &Update<'_>) -> Result<()> {
        Without(self).update_and_sum(tensors).map(|[]| ())
    }
}

/// A formula that also has terms, whose sums over the parameter are needed.
pub(super) trait Summed<const N: usize, const K: usize>: Copy + Sync {
    /// Returns the new weight and state, and the terms.
    fn apply<X: Number>(self, numbers: [X; N], gradient: X) -> ([X; N], [X; K]);

    /// Updates a parameter and returns the sums, which are added in a fixed order.
    fn update_and_sum(self, tensors: &Update<'_>) -> Result<[f64; K]> {
        match tensors.slice_dtype() {
            Some(DType::F32) => fused::<f32, N, K>(self, tensors),
            Some(DType::F64) => fused::<f64, N, K>(self, tensors),
            _ => reference(self, tensors),
        }
    }
}

/// A formula as one without terms.
#[derive(Clone, Copy)]
struct Without<F>(F);

impl<F: Formula<N>, const N: usize> Summed<N, 0> for Without<F> {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; N], gradient: X) -> ([X; N], [X; 0]) {
        (self.0.apply(numbers, gradient), [])
    }
}

/// A direction in which weights move. Parts of it that contradict the gradient can be left out ([`aligned`]).
pub(super) trait Direction<const N: usize>: Copy + Sync {
    /// Returns the direction.
    fn direction<X: Number>(self, numbers: &[X; N], gradient: &X) -> X;
}

/// Returns the number of weights whose direction has the sign of their gradient. Nothing is changed.
pub(super) fn aligned<const N: usize>(direction: impl Direction<N>, tensors: &Update<'_>) -> Result<f64> {
    let [count] = Aligned(direction).update_and_sum(tensors)?;
    Ok(count)
}

#[derive(Clone, Copy)]
struct Aligned<D>(D);

impl<D: Direction<N>, const N: usize> Summed<N, 1> for Aligned<D> {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; N], gradient: X) -> ([X; N], [X; 1]) {
        let agreement = self.0.direction(&numbers, &gradient) * gradient;
        (numbers, [agreement.positive()])
    }
}

/// Weights at a time: their numbers are loaded before the new ones are stored, so that a processor computes several at
/// once, whatever their number of states.
const LANES: usize = 16;

/// Makes one pass over the slices of the parameter.
fn fused<T: Element + Number, const N: usize, const K: usize>(
    formula: impl Summed<N, K>,
    tensors: &Update<'_>,
) -> Result<[f64; K]> {
    let scale = <T as WithDType>::from_f64(tensors.gradient_scale);
    tensors.in_place_with_sums(|slices: [&mut [T]; N], gradient| {
        vectorized(
            #[inline(always)]
            || pass(formula, slices, gradient, scale),
        )
    })
}

/// Applies the formula to a chunk, and returns the sums of its terms. All slices have one length.
#[inline(always)]
fn pass<T: Element + Number, const N: usize, const K: usize>(
    formula: impl Summed<N, K>,
    slices: [&mut [T]; N],
    gradient: &[T],
    scale: T,
) -> [f64; K] {
    let mut sums = [[0.0; LANES]; K];
    let mut slices = slices.map(|slice| slice.as_chunks_mut::<LANES>());
    let (blocks, rest) = gradient.as_chunks::<LANES>();
    for (block, gradient) in blocks.iter().enumerate() {
        prefetch_after(gradient);
        slices.iter().for_each(|slice| prefetch_after(&slice.0[block]));
        let mut numbers: [[T; LANES]; N] = from_fn(|k| slices[k].0[block]);
        for lane in 0..LANES {
            let (new, terms) = formula.apply(from_fn(|k| numbers[k][lane]), gradient[lane] * scale);
            (0..N).for_each(|k| numbers[k][lane] = new[k]);
            (0..K).for_each(|k| sums[k][lane] += WithDType::to_f64(terms[k]));
        }
        (0..N).for_each(|k| slices[k].0[block] = numbers[k]);
    }
    for (place, &gradient) in rest.iter().enumerate() {
        let (new, terms) = formula.apply(from_fn(|k| slices[k].1[place]), gradient * scale);
        (0..N).for_each(|k| slices[k].1[place] = new[k]);
        (0..K).for_each(|k| sums[k][place] += WithDType::to_f64(terms[k]));
    }
    sums.map(|lanes| lanes.iter().sum())
}

/// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
fn reference<const N: usize, const K: usize>(formula: impl Summed<N, K>, tensors: &Update<'_>) -> Result<[f64; K]> {
    let number = |index: usize| match index {
        0 => tensors.weights(),
        state => tensors.state(state - 1),
    };
    let numbers: [Whole; N] = from_fn(|index| Whole::from(number(index)));
    let (new, terms) = formula.apply(numbers.clone(), Whole::from(tensors.gradient()));
    // The weights last: a state may be set to the weights from before.
    for (index, (before, number)) in numbers.into_iter().zip(new).enumerate().rev() {
        let (before, number) = (before.tensor()?, number.tensor()?);
        match index {
            _ if number.id() == before.id() => {}
            0 => tensors.set_weights(&number)?,
            state => tensors.set_state(state - 1, &number)?,
        }
    }
    let mut sums = [0.0; K];
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum = term.tensor()?.sum_all()?.to_dtype(DType::F64)?.to_scalar()?;
    }
    Ok(sums)
}

/// Returns the sum of squares of the weights.
pub(super) fn square_of_weights(tensors: &Update<'_>) -> Result<f64> {
    square_sum(&tensors.weights()?)
}

/// Returns the sum of squares of a tensor; on the CPU it is added in f64 and in a fixed order.
pub(super) fn square_sum(tensor: &Tensor) -> Result<f64> {
    match (cpu::is_sliceable(tensor), tensor.dtype()) {
        (true, DType::F32) => cpu::read(tensor, |x: &[f32]| Ok(cpu::sum_of_squares(x))),
        (true, DType::F64) => cpu::read(tensor, |x: &[f64]| Ok(cpu::sum_of_squares(x))),
        _ => tensor.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar(),
    }
}
