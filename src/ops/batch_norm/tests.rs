//! Batch norm against finite differences, PyTorch and its reference.

use super::*;
use crate::cpu::workers;
use crate::distributed::{SingleProcess, in_step};
use crate::ops::testing::{Reference, assert_same_numbers, check, gradients, numbers, to_vec};

fn norm(channels: usize) -> BatchNorm {
    let mean = numbers(&[channels], 3);
    let variance = (numbers(&[channels], 4).sqr().unwrap() + 0.5).unwrap();
    BatchNorm::new(Var::from_tensor(&mean).unwrap(), Var::from_tensor(&variance).unwrap())
}

fn operands(x: &[usize]) -> [Tensor; 3] {
    [numbers(x, 0), numbers(&x[1..2], 1), numbers(&x[1..2], 2)]
}

#[test]
fn values_gradients_and_running_statistics_are_those_of_pytorch() {
    let reference = Reference::open("image_reference.safetensors");
    for case in ["batch_norm.1d", "batch_norm.2d"] {
        let start = || {
            let var = |part| Var::from_tensor(&reference.get(&format!("{case}.{part}"))).unwrap();
            BatchNorm::new(var("mean"), var("var"))
        };
        reference.assert(&format!("{case}.evaluation"), 1e-12, |t| start().evaluate(&t[0], &t[1], &t[2]));
        reference.assert(&format!("{case}.training"), 1e-12, |t| {
            let norm = start();
            let y = norm.train(&t[0], &t[1], &t[2])?;
            let tolerance = if t[0].dtype() == DType::F64 { 1e-12 } else { 1e-6 };
            assert_same_numbers(&norm.mean, &reference.get(&format!("{case}.mean_after")), tolerance);
            assert_same_numbers(&norm.variance, &reference.get(&format!("{case}.var_after")), tolerance);
            Ok(y)
        });
    }
}

/// Numbers whose distance from 0 is about `size`, with signs that change every `period` elements. So neither rounding nor
/// a finite difference changes the sign of what a ReLU gets.
fn apart_from_zero(shape: &[usize], size: f64, period: usize, seed: u64) -> Tensor {
    let sign = |i: usize| if (i / period).is_multiple_of(2) { size } else { -size };
    let signs: Vec<f64> = (0..shape.iter().product()).map(sign).collect();
    (Tensor::from_vec(signs, shape, &Device::Cpu).unwrap() + (numbers(shape, seed) * 0.2).unwrap()).unwrap()
}

/// All ways to finish a result: whether a tensor is added, and whether a ReLU follows.
const FINISHES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
fn both_norms_have_their_gradients_with_all_that_follows() {
    for shape in [&[5, 3][..], &[2, 3, 4, 5], &[1, 2, 17]] {
        let x = apart_from_zero(shape, 3.0, 1, 0);
        let [weight, bias] = [1, 2].map(|seed| (numbers(&shape[1..2], seed) * 0.1).unwrap());
        let (weight, added) = ((weight + 1.0).unwrap(), apart_from_zero(shape, 5.0, 2, 6));
        for (adds, relu) in FINISHES {
            let inputs = [&x, &weight, &bias, &added];
            let inputs = &inputs[..if adds { 4 } else { 3 }];
            check(Normalize { eps: 1e-5, of_batch: true, relu, statistics: Mutex::new(None) }, inputs, 1e-11);
            let BatchNorm { mean, variance, eps, .. } = norm(shape[1]);
            let running = Statistics { mean: mean.into_inner(), variance: variance.into_inner(), of_all: None };
            check(Normalize { eps, of_batch: false, relu, statistics: Mutex::new(Some(running)) }, inputs, 1e-11);
        }
    }
}

/// Applies a norm in training or evaluation, and finishes its result in the same pass if `fused`.
fn finished(norm: &BatchNorm, is_training: bool, fused: bool, inputs: &[Tensor], relu: bool) -> Result<Tensor> {
    let (add, [x, weight, bias]) = (inputs.get(3), [0, 1, 2].map(|at| &inputs[at]));
    let after = if fused { After { add, relu } } else { After::default() };
    let y = match is_training {
        true => norm.train_then(x, weight, bias, after)?,
        false => norm.evaluate_then(x, weight, bias, after)?,
    };
    match (fused, add) {
        (true, _) => Ok(y),
        (false, add) => {
            let y = add.map_or(Ok(y.clone()), |add| super::super::add(&y, add))?;
            if relu { super::super::relu(&y) } else { Ok(y) }
        }
    }
}

#[test]
fn one_pass_has_the_bits_of_three_for_every_gradient_that_is_needed() {
    for (dtype, shape) in [(DType::F32, [5, 3, 7, 9]), (DType::F64, [70, 9, 13, 5]), (DType::F32, [40, 33, 1, 2])] {
        let [x, weight, bias] = operands(&shape);
        let inputs = [x, weight, bias, numbers(&shape, 6)].map(|x| x.to_dtype(dtype).unwrap());
        for (adds, relu) in FINISHES {
            let inputs = &inputs[..if adds { 4 } else { 3 }];
            for (is_training, tracked) in [true, false].into_iter().flat_map(|mode| (1..16).map(move |set| (mode, set)))
            {
                let found = [true, false].map(|fused| {
                    let tracked = |at: usize| tracked >> at & 1 == 1;
                    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
                    let tensor = |(at, var): (usize, &Var)| match tracked(at) {
                        true => var.as_tensor().clone(),
                        false => var.as_detached_tensor(),
                    };
                    let tensors: Vec<Tensor> = vars.iter().enumerate().map(tensor).collect();
                    let norm = norm(shape[1]);
                    let to_type = |var: &Var| Var::from_tensor(&var.to_dtype(dtype).unwrap()).unwrap();
                    let norm = BatchNorm::new(to_type(&norm.mean), to_type(&norm.variance));
                    let y = finished(&norm, is_training, fused, &tensors, relu).unwrap();
                    let weights = numbers(&shape, 7).to_dtype(dtype).unwrap();
                    let store = (&y * weights).unwrap().sum_all().unwrap().backward();
                    let gradients = vars.iter().map(|var| store.as_ref().ok()?.get(var).map(to_vec));
                    gradients.chain([Some(to_vec(&y))]).collect::<Vec<_>>()
                });
                assert!(found[0] == found[1], "{dtype:?}, {adds}, {relu}, training: {is_training}, of {tracked:b}");
                let all = found[0].iter().take(inputs.len()).enumerate();
                all.for_each(|(at, gradient)| assert_eq!(gradient.is_some(), tracked >> at & 1 == 1));
            }
        }
    }
}

/// The gradient passes where a ReLU got a NaN, whose place nobody would find otherwise.
#[test]
fn a_nan_before_relu_has_a_gradient() {
    for dtype in [DType::F32, DType::BF16] {
        let tensor = |numbers: &[f32], shape: &[usize]| {
            Tensor::from_slice(numbers, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
        };
        let (norm, one) = (norm(1), tensor(&[1.0], &[1]));
        let x = tensor(&[1.0, f32::NAN, -9.0, 9.0], &[4, 1]);
        let added = tensor(&[f32::NAN, 0.0, 0.0, 0.0], &[4, 1]);
        let found = gradients(&[&x, &one, &one, &added], |t| finished(&norm, false, true, t, true));
        let expected = numbers(&[4, 1], 99) * tensor(&[1.0, 1.0, 0.0, 1.0], &[4, 1]).to_dtype(DType::F64).unwrap();
        assert_same_numbers(&found[3], &expected.unwrap(), 1e-2);
    }
}

/// The first plane of a channel, from whose mean its distances are measured, may be far from all others.
#[test]
fn statistics_are_exact_where_the_first_row_is_far_from_all_others() {
    for first in [0.0, 1e6, -3e4] {
        let mut x = to_vec(&numbers(&[50, 1, 300], 5));
        x.iter_mut().for_each(|x| *x = 1000.0 + *x * 1e-2);
        x[..300].fill(first);
        let count = x.len() as f64;
        let mean = x.iter().sum::<f64>() / count;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        let normalize = Normalize { eps: 1e-5, of_batch: true, relu: false, statistics: Mutex::new(None) };
        let normalize = Arc::new(normalize);
        let x = Tensor::from_vec(x, (50, 1, 300), &Device::Cpu).unwrap();
        let one = Tensor::ones(1, DType::F64, &Device::Cpu).unwrap();
        apply_shared(Arc::clone(&normalize), &[&x, &one, &one]).unwrap();
        let found = normalize.moments().unwrap()[0];
        let error = |found: f64, expected: f64| ((found - expected) / expected).abs();
        let errors = [error(found.mean, mean), error(found.variance, variance)];
        assert!(errors[0] < 1e-13 && errors[1] < 1e-12, "{first}: {errors:?}");
    }
}

/// A device without a kernel.
#[test]
fn the_running_statistics_follow_the_reference_too() {
    let [x, weight, bias] = operands(&[4, 3, 5]).map(|x| x.to_dtype(DType::BF16).unwrap());
    let (found, expected) = (norm(3), norm(3));
    found.train(&x, &weight, &bias).unwrap();
    let [x, weight, bias] = [x, weight, bias].map(|x| x.to_dtype(DType::F64).unwrap());
    expected.train(&x, &weight, &bias).unwrap();
    for (found, expected) in [(&found.mean, &expected.mean), (&found.variance, &expected.variance)] {
        assert_same_numbers(found, expected, 1e-2);
        assert!(to_vec(found) != to_vec(&norm(3).mean));
    }
}

/// As models in half precision use it: by casts on devices without this kernel.
#[test]
fn a_batch_norm_of_a_half_type_by_weights_in_f32_has_the_bits_of_casts() {
    let shape = [6, 5, 7, 9];
    let f32s = |shape: &[usize], seed| Var::from_tensor(&numbers(shape, seed).to_dtype(DType::F32).unwrap()).unwrap();
    let (weight, bias) = (f32s(&[5], 1), f32s(&[5], 2));
    for (dtype, is_training) in [DType::BF16, DType::F16].into_iter().flat_map(|d| [(d, true), (d, false)]) {
        let half = |seed| Var::from_tensor(&numbers(&shape, seed).to_dtype(dtype).unwrap()).unwrap();
        let (x, added) = (half(0), half(6));
        for (adds, relu) in FINISHES {
            let found = [false, true].map(|by_casts| {
                let norm = BatchNorm::new(f32s(&[5], 3), f32s(&[5], 4));
                norm.variance.set(&norm.variance.sqr().unwrap()).unwrap();
                let vars = [&x, &weight, &bias, &added];
                let vars = &vars[..if adds { 4 } else { 3 }];
                let wide = |var: &&Var| if by_casts { cast(var, DType::F32).unwrap() } else { var.as_tensor().clone() };
                let inputs: Vec<Tensor> = vars.iter().map(wide).collect();
                let y = cast(&finished(&norm, is_training, true, &inputs, relu).unwrap(), dtype).unwrap();
                let dy = numbers(&shape, 5).to_dtype(dtype).unwrap();
                let store = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
                let gradients: Vec<Tensor> = vars.iter().map(|&x| store.get(x).unwrap().clone()).collect();
                let types: Vec<DType> = gradients.iter().map(Tensor::dtype).collect();
                assert_eq!((y.dtype(), &types[..]), (dtype, &[dtype, DType::F32, DType::F32, dtype][..vars.len()]));
                let all = gradients.iter().chain([&y, norm.mean.as_tensor(), norm.variance.as_tensor()]);
                all.map(to_vec).collect::<Vec<_>>()
            });
            assert!(found[0] == found[1], "{dtype:?}, training: {is_training}, {adds}, {relu}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for shape in [&[33, 19, 14, 14][..], &[40, 1100]] {
        let [x, weight, bias] = operands(shape);
        let added = numbers(shape, 6);
        let bits = |threads| {
            workers::with_threads(threads, || {
                let norm = norm(shape[1]);
                let inputs = [&x, &weight, &bias, &added];
                let found = gradients(&inputs, |t| finished(&norm, true, true, t, true));
                found.iter().chain([norm.mean.as_tensor(), norm.variance.as_tensor()]).flat_map(to_vec).collect()
            })
        };
        let one: Vec<f64> = bits(1);
        for threads in [2, 3, 7] {
            assert_eq!(one, bits(threads), "{threads} threads");
        }
    }
}

#[test]
fn a_single_value_has_no_variance() {
    let [x, weight, bias] = operands(&[1, 3]);
    let message = norm(3).train(&x, &weight, &bias).unwrap_err().to_string();
    assert!(message.contains("a batch of [1, 3] has 1") && message.contains("data.drop_last"), "{message}");
    assert!(norm(3).evaluate(&x, &weight, &bias).is_ok());
    let message = norm(2).train(&x, &weight, &bias).unwrap_err().to_string();
    assert!(message.contains("[2] channels do not fit an input of [1, 3]"), "{message}");
    let x = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
    assert!(norm(3).evaluate(&x, &weight, &bias).is_err());
    let [x, weight, bias] = operands(&[4, 3]);
    let message = norm(3).train_then(&x, &weight, &bias, After { add: Some(&numbers(&[4, 1], 5)), relu: true });
    assert!(message.unwrap_err().to_string().contains("is added to a result of [4, 3]"));
}

/// The result of some rows, its gradients for what has rows, and for weight and bias.
fn of_rows(norm: &BatchNorm, inputs: &[Tensor], relu: bool, rows: std::ops::Range<usize>) -> Result<[Vec<Tensor>; 2]> {
    let cut = |x: &Tensor| x.narrow(0, rows.start, rows.len())?.copy();
    let has_rows = |at: usize| at == 0 || at == 3;
    let var = |(at, x): (usize, &Tensor)| Var::from_tensor(&if has_rows(at) { cut(x)? } else { x.clone() });
    let vars = inputs.iter().enumerate().map(var).collect::<Result<Vec<Var>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = finished(norm, true, true, &tensors, relu)?;
    let dy = cut(&numbers(inputs[0].dims(), 7))?;
    let store = (&y * dy)?.sum_all()?.backward()?;
    let gradients = vars.iter().enumerate().map(|(at, var)| (has_rows(at), store.get(var).unwrap().clone()));
    let (of_rows, of_weights): (Vec<_>, Vec<_>) = gradients.partition(|(has_rows, _)| *has_rows);
    let tensors = |found: Vec<(bool, Tensor)>| found.into_iter().map(|(_, tensor)| tensor);
    Ok([std::iter::once(y.detach()).chain(tensors(of_rows)).collect(), tensors(of_weights).collect()])
}

/// In micro-batches of unequal sizes, one of them a single number for each channel.
#[test]
fn synchronized_micro_batches_have_the_values_and_gradients_of_the_whole_batch() {
    for (shape, cuts) in [(&[7, 3, 4, 5][..], [0..3, 3..4, 4..7]), (&[5, 3][..], [0..1, 1..2, 2..5])] {
        for (adds, relu) in FINISHES {
            let [x, weight, bias] = operands(shape);
            let inputs = [x, weight, bias, numbers(shape, 6)];
            let inputs = &inputs[..if adds { 4 } else { 3 }];
            let (whole, norm) = (norm(3), norm(3));
            let expected = of_rows(&whole, inputs, relu, 0..shape[0]).unwrap();
            let parts = in_step(&SingleProcess, 0..3, |number, place| {
                let exchange = move |numbers| place.exchange(numbers);
                let rows = cuts[number].clone();
                let (found, seen) = collect_seen(|| synchronized(exchange, || of_rows(&norm, inputs, relu, rows)));
                found.map(|found| (found, seen))
            });
            let (parts, seen): (Vec<_>, Vec<_>) = parts.unwrap().into_iter().unzip();
            for (at, expected) in expected[0].iter().enumerate() {
                let found: Vec<&Tensor> = parts.iter().map(|[of_rows, _]| &of_rows[at]).collect();
                assert_same_numbers(&Tensor::cat(&found, 0).unwrap(), expected, 1e-11);
            }
            for (at, expected) in expected[1].iter().enumerate() {
                let sum = parts.iter().map(|[_, of_weights]| of_weights[at].clone()).reduce(|a, b| (a + b).unwrap());
                assert_same_numbers(&sum.unwrap(), expected, 1e-11);
            }
            let values: Vec<_> = seen.iter().map(|seen| seen[0].values().unwrap()).collect();
            assert!(values.iter().all(|of_one| *of_one == values[0]));
            seen[2][0].apply().unwrap();
            assert_same_numbers(&norm.mean, &whole.mean, 1e-12);
            assert_same_numbers(&norm.variance, &whole.variance, 1e-12);
        }
    }
}

#[test]
fn a_device_without_synchronized_batch_norms_says_so() {
    let [x, weight, bias] = operands(&[4, 3, 5]);
    let exchange = |_: Vec<f64>| -> Result<_> { panic!("it has no numbers to exchange") };
    let on_a_gpu = || crate::cuda::host::with_kernels(1, || norm(3).train(&x, &weight, &bias));
    let error = synchronized(exchange, on_a_gpu).unwrap_err().to_string();
    assert!(error.starts_with("batch norm is synchronized over micro-batches on the CPU only"), "{error}");
}
