//! Convolutions of this module against those with unrolled images in f64.

use candle_core::WithDType;
use half::bf16;

use super::*;
use crate::cpu::workers;
use crate::rng::Stream;

/// A batch with the gradient of its result, weights and biases.
struct Case<T: Stored> {
    geometry: Geometry,
    x: Vec<T>,
    weight: Vec<T>,
    bias: Vec<T::Sum>,
    dy: Vec<T>,
}

/// A result, and the gradients of input, weight and bias.
type Found = [Vec<f64>; 4];

const ALL: Needed = Needed { x: true, weight: true, bias: true };

impl<T: Stored> Case<T> {
    /// A batch of `[images, channels, height, width]`, and weights of `[outputs, channels, height, width]`.
    fn new(x: [usize; 4], weight: [usize; 4], options: Conv2d) -> Self {
        let geometry = Geometry::new(options, &x, &weight, None).unwrap();
        let numbers = |seed, len| Stream::new(seed, "direct").normal(0, len).into_iter().map(f64::from);
        let stored = |seed, len| numbers(seed, len).map(T::from_f64).collect::<Vec<T>>();
        let bias = numbers(3, weight[0]).map(<T::Sum as WithDType>::from_f64).collect();
        let dy = stored(4, x[0] * geometry.output_len());
        Self { geometry, x: stored(1, x.iter().product()), weight: stored(2, weight.iter().product()), bias, dy }
    }

    fn exact(&self) -> Case<f64> {
        let Self { geometry, x, weight, bias, dy } = self;
        Case { geometry: *geometry, x: wide(x), weight: wide(weight), bias: wide(bias), dy: wide(dy) }
    }

    /// Computes by this module.
    fn direct(&self, needed: Needed) -> Found {
        let Self { geometry, x, weight, bias, dy } = self;
        let y = convolve(geometry, x, weight, Some(bias));
        let direct = Gradients::new(geometry, x, weight, needed);
        let (dx, dweight, dbias) = geometry.gradients_by(direct.as_ref(), (x, weight, &y, dy), needed);
        [wide(&y), wide(&dx), wide(&dweight), wide(&dbias)]
    }

    /// Computes with unrolled images; ReLU lets gradients through as for the result `y`.
    fn unrolled(&self, y: &[f64]) -> Found {
        let Self { geometry, x, weight, bias, dy } = self;
        let found = geometry.convolve_unrolled(x, weight, Some(bias));
        let y: Vec<T> = y.iter().map(|&y| T::from_f64(y)).collect();
        let (dx, dweight, dbias) = geometry.gradients_by(None, (x, weight, &y, dy), ALL);
        [wide(&found), wide(&dx), wide(&dweight), wide(&dbias)]
    }

    /// Compares with sums in f64. A sum of `n` products of normal numbers is about `sqrt(n)`, and rounding in f32
    /// changes it by less than a hundred thousandth of that. Then results are rounded to their type.
    fn check(&self) {
        let Geometry { batch, input, output, kernel, .. } = self.geometry;
        let found = self.direct(ALL);
        let expected = self.exact().unrolled(&found[0]);
        let (kernel, positions) = (kernel[0] * kernel[1], batch * self.geometry.positions());
        let terms = [input[0] * kernel, output[0] * kernel, positions, positions];
        let rounding = if T::DTYPE == DType::F32 { 0.0 } else { 1.0 / 250.0 };
        let (names, roundings) = (["y", "dx", "dweight", "dbias"], [rounding, rounding, 0.0, 0.0]);
        for i in 0..4 {
            assert_eq!(found[i].len(), expected[i].len());
            for (at, (found, expected)) in found[i].iter().zip(&expected[i]).enumerate() {
                let tolerance = 1e-5 * (1.0 + (terms[i] as f64).sqrt()) + roundings[i] * expected.abs();
                let is_close = (found - expected).abs() <= tolerance;
                assert!(is_close, "{} at {at}: {found}, not {expected}: {:?}", names[i], self.geometry);
            }
        }
    }
}

fn wide<T: WithDType>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

/// Calls `work` with shapes that have ragged ends in every direction.
fn for_each_shape(work: impl Fn([usize; 4], [usize; 4], Conv2d)) {
    let (channels, batches) = ([1, 3, 5, 17, 33], [1, 2, 5]);
    let mut number = 0;
    for side in (1..=9).chain([28]) {
        for (kernel, padding) in [(1, 0), (3, 0), (3, 1), (3, 2), (5, 1), (5, 2)] {
            if side + 2 * padding < kernel {
                continue;
            }
            number += 1;
            let (inputs, outputs) = (channels[number % 5], channels[(number / 5 + number) % 5]);
            let batch = if side == 28 { 2 } else { batches[number % 3] };
            for stride in [1, 2] {
                let options = Conv2d { stride, padding, relu: number % 2 == 0, groups: 1 };
                work([batch, inputs, side, side], [outputs, inputs, kernel, kernel], options);
            }
        }
    }
    let padded = Conv2d { padding: 1, ..Conv2d::default() };
    work([64, 3, 7, 5], [9, 3, 3, 3], padded);
    for stride in [1, 2] {
        work([3, 2, 6, 9], [4, 2, 3, 2], Conv2d { stride, ..padded });
        work([2, 2, 5, 70], [4, 2, 2, 4], Conv2d { stride, ..padded });
    }
    work([2, 2, 4, 37], [4, 2, 4, 5], padded);
    // Several chunks of places.
    work([1, 70, 40, 40], [9, 70, 3, 3], padded);
}

/// Calls a function for each type of this module that the processor has instructions for.
macro_rules! for_each_type {
    ($check:ident($($argument:expr),*)) => {
        let any = Geometry::new(Conv2d::default(), &[1, 1, 1, 1], &[1, 1, 1, 1], None).unwrap();
        if any.registers(DType::F32).is_some() {
            $check::<f32>($($argument),*);
        }
        if any.registers(DType::BF16).is_some() {
            $check::<bf16>($($argument),*);
        }
    };
}

#[test]
fn results_and_gradients_are_those_of_f64() {
    fn check<T: Stored>() {
        let checked = std::cell::Cell::new(0);
        for_each_shape(|x, weight, options| {
            let case = Case::<T>::new(x, weight, options);
            if case.geometry.registers(T::DTYPE).is_some() {
                case.check();
                checked.set(checked.get() + 1);
            }
        });
        // Not the smallest images, nor a large padding, with a stride of two.
        assert!(checked.get() > 80, "{} shapes", checked.get());
    }
    for_each_type!(check());
}

/// Also of few images, which are computed in pieces.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    fn check<T: Stored>(batch: usize) {
        let options = Conv2d { padding: 1, relu: true, ..Conv2d::default() };
        let case = Case::<T>::new([batch, 17, 9, 9], [70, 17, 3, 3], options);
        let one = workers::with_threads(1, || case.direct(ALL));
        assert!(one.iter().all(|numbers| numbers.iter().any(|x| *x != 0.0)));
        for threads in [2, 3, 7] {
            assert!(one == workers::with_threads(threads, || case.direct(ALL)), "{threads} threads");
        }
    }
    for batch in [1, 2, 37] {
        for_each_type!(check(batch));
    }
}

#[test]
fn gradients_that_are_not_needed_change_no_others() {
    fn check<T: Stored>() {
        let case = Case::<T>::new([5, 3, 6, 6], [4, 3, 3, 3], Conv2d { padding: 1, ..Conv2d::default() });
        let all = case.direct(ALL);
        for bits in 0..8 {
            let needed = Needed { x: bits & 1 != 0, weight: bits & 2 != 0, bias: bits & 4 != 0 };
            let found = case.direct(needed);
            for (i, is_needed) in [needed.x, needed.weight, needed.bias].into_iter().enumerate() {
                assert!(if is_needed { found[i + 1] == all[i + 1] } else { found[i + 1].is_empty() });
            }
        }
    }
    for_each_type!(check());
}

/// In the middle and at an edge, of each operand, what is not finite reaches the same results as with unrolled images.
#[test]
fn nan_and_infinity_reach_the_same_results() {
    fn check<T: Stored>(value: f64) {
        let stored = T::from_f64(value);
        let places = (0..3).flat_map(|operand| [0, 14, 35].map(|at| (operand, at)));
        for ((operand, at), stride) in places.flat_map(|place| [1, 2].map(|stride| (place, stride))) {
            let options = Conv2d { stride, padding: 1, ..Conv2d::default() };
            let mut case = Case::<T>::new([2, 3, 6, 6], [5, 3, 3, 3], options);
            [&mut case.x, &mut case.weight, &mut case.dy][operand][at] = stored;
            let found = case.direct(ALL);
            for (found, expected) in found.iter().zip(case.unrolled(&found[0])) {
                for (found, expected) in found.iter().zip(expected) {
                    let is_same = match expected.is_finite() {
                        true => (found - expected).abs() <= 1e-4 + expected.abs() / 100.0,
                        false => found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                    };
                    assert!(is_same, "{value} at {at} of {operand}: {found}, not {expected}");
                }
            }
        }
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for_each_type!(check(value));
    }
}

/// Otherwise they would only be slower, with results that are as right.
#[test]
fn the_convolutions_of_a_residual_network_are_direct() {
    fn check<T: Stored>() {
        let is_direct = |side, kernel, stride, padding| {
            let options = Conv2d { stride, padding, ..Conv2d::default() };
            let geometry = Geometry::new(options, &[64, 16, side, side], &[32, 16, kernel, kernel], None).unwrap();
            geometry.is_direct(T::DTYPE)
        };
        for side in [28, 14, 7] {
            assert!(is_direct(side, 3, 1, 1) && is_direct(side, 3, 2, 1) && is_direct(side, 1, 2, 0), "{side}");
        }
        assert!(!is_direct(1, 3, 1, 1) && !is_direct(28, 3, 3, 1));
    }
    for_each_type!(check());
}

/// Of no images there is nothing, and the gradient of the weights is zero.
#[test]
fn an_empty_batch_has_a_gradient_of_zeros() {
    fn check<T: Stored>() {
        let [y, dx, dweight, dbias] = Case::<T>::new([0, 3, 6, 6], [5, 3, 3, 3], Conv2d::default()).direct(ALL);
        assert!(y.is_empty() && dx.is_empty());
        assert_eq!((dweight, dbias), (vec![0.0; 5 * 27], vec![0.0; 5]));
    }
    for_each_type!(check());
}

/// On a processor that has both.
#[test]
fn both_registers_give_the_same_bits() {
    if !Registers::Avx512.are_there() {
        return;
    }
    for_each_shape(|x, weight, options| {
        let case = Case::<f32>::new(x, weight, options);
        let (geometry, [batch, channels, ..], [outputs, ..]) = (case.geometry, x, weight);
        if geometry.registers(DType::F32).is_none() {
            return;
        }
        let found = [Registers::Avx512, Registers::Avx2].map(|registers| {
            let gradient = InputGradient::new(&geometry, registers, &case.weight);
            let weights = WeightGradient::new(geometry.form(), channels, outputs, registers);
            let mut sums = vec![0.0; weights.sums()];
            let mut dx = vec![MaybeUninit::new(0.0); case.x.len()];
            let images = case.x.chunks_exact(case.x.len() / batch).zip(case.dy.chunks_exact(case.dy.len() / batch));
            for ((x, dy), dx) in images.zip(dx.chunks_exact_mut(case.x.len() / batch)) {
                // SAFETY: the processor has the registers, and the image's parts have their sizes.
                unsafe {
                    weights.add(x, dy, &mut sums);
                    gradient.of_image(dy, dx);
                }
            }
            // SAFETY: as above; all of `dx` was written.
            unsafe { (weights.weights(&sums), dx.into_iter().map(|x| x.assume_init()).collect::<Vec<f32>>()) }
        });
        assert!(found[0] == found[1], "{geometry:?}");
    });
}
