//! Batch norm against finite differences, PyTorch and its reference.

use super::*;
use crate::cpu::workers;
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

#[test]
fn both_norms_have_their_gradients() {
    for shape in [&[5, 3][..], &[2, 3, 4, 5], &[1, 2, 17]] {
        let [x, weight, bias] = operands(shape);
        let of_batch = Normalize { eps: 1e-5, of_batch: true, statistics: Mutex::new(None) };
        check(of_batch, &[&x, &weight, &bias], 1e-11);
        let BatchNorm { mean, variance, eps, .. } = norm(shape[1]);
        let running = Statistics { mean: mean.into_inner(), variance: variance.into_inner() };
        let statistics = Mutex::new(Some(running));
        check(Normalize { eps, of_batch: false, statistics }, &[&x, &weight, &bias], 1e-11);
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
    for dtype in [DType::BF16, DType::F16] {
        let x = Var::from_tensor(&numbers(&shape, 0).to_dtype(dtype).unwrap()).unwrap();
        for is_training in [true, false] {
            let found = [false, true].map(|by_casts| {
                let norm = BatchNorm::new(f32s(&[5], 3), f32s(&[5], 4));
                norm.variance.set(&norm.variance.sqr().unwrap()).unwrap();
                let apply = |x: &Tensor| match is_training {
                    true => norm.train(x, &weight, &bias).unwrap(),
                    false => norm.evaluate(x, &weight, &bias).unwrap(),
                };
                let y = if by_casts { cast(&apply(&cast(&x, DType::F32).unwrap()), dtype).unwrap() } else { apply(&x) };
                let dy = numbers(&shape, 5).to_dtype(dtype).unwrap();
                let store = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
                let gradients = [&x, &weight, &bias].map(|x| store.get(x).unwrap().clone());
                let types = gradients.each_ref().map(|gradient| gradient.dtype());
                assert_eq!((y.dtype(), types), (dtype, [dtype, DType::F32, DType::F32]));
                let all = gradients.iter().chain([&y, norm.mean.as_tensor(), norm.variance.as_tensor()]);
                all.map(to_vec).collect::<Vec<_>>()
            });
            assert!(found[0] == found[1], "{dtype:?}, training: {is_training}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let [x, weight, bias] = operands(&[33, 19, 14, 14]);
    let bits = |threads| {
        workers::with_threads(threads, || {
            let norm = norm(19);
            let found = gradients(&[&x, &weight, &bias], |t| norm.train(&t[0], &t[1], &t[2]));
            found.iter().chain([norm.mean.as_tensor(), norm.variance.as_tensor()]).flat_map(to_vec).collect()
        })
    };
    let one: Vec<f64> = bits(1);
    for threads in [2, 3, 7] {
        assert_eq!(one, bits(threads), "{threads} threads");
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
}
