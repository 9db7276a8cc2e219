//! Each update has several forms: a fused one, tensor operations, kernels of a GPU. They agree.

use candle_core::{DType, Device, Tensor};

use super::kinds::{every_kind, with_kernels};
use super::matrix_and_vector;
use crate::cuda::{host, kernel_launches};
use crate::optim::optimizer::*;
use crate::optim::{AdamW, Decay};

/// The two forms of each update do the same arithmetic in another order: 1e-6 is a few units in the last place for
/// weights of size one after seven updates.
#[test]
fn the_fused_update_agrees_with_tensor_operations() {
    for config in every_kind() {
        let (fused, composed) = (matrix_and_vector(), matrix_and_vector());
        let mut one = Optimizer::new(&fused, config.clone()).unwrap();
        let other = Optimizer::new(&composed, config.clone()).unwrap();
        for updates_before in 0..7 {
            let gradient = |slot: &Slot| {
                let cube = (slot.parameter.powf(3.0).unwrap() * 4.0).unwrap();
                // Every second element of a tensor cannot be accessed as a slice.
                let rank = cube.rank();
                let twice = Tensor::stack(&[&cube, &cube], rank).unwrap();
                twice.narrow(rank, 0, 1).unwrap().squeeze(rank).unwrap()
            };
            let gradients: Vec<Tensor> = other.slots.iter().map(gradient).collect();
            for (index, group) in other.groups.iter().enumerate() {
                let of_group = other.slots.iter().zip(&gradients).filter(|(slot, _)| slot.group == index);
                let members: Vec<_> = of_group
                    .map(|(slot, gradient)| {
                        let Slot { parameter, states, .. } = slot;
                        let tensors = Update { parameter, states, gradient, gradient_scale: 1.0 };
                        assert_eq!(tensors.slice_dtype(), None);
                        (tensors, Step { updates_before, ..other.step_of(slot, 0.02.into()) })
                    })
                    .collect();
                group.rule.update_group(&members).unwrap();
            }
            let power = |(_, var): (&str, &Var)| var.powf(4.0).unwrap().sum_all().unwrap();
            let loss = fused.iter().map(power).reduce(|a, b| (a + b).unwrap()).unwrap();
            one.update(
                &Gradients::from_loss(&loss, &fused).unwrap().measure().unwrap(),
                &vec![0.02; one.groups().len()],
            )
            .unwrap();
        }
        for ((_, a), (_, b)) in fused.iter().zip(composed.iter()) {
            let difference = (a.as_tensor() - b.as_tensor()).unwrap().abs().unwrap();
            let difference = difference.flatten_all().unwrap().max(0).unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-6, "{config:?}: {a} {b}");
        }
    }
}

/// Three updates; by a GPU's kernels, run on the processor, if `on_kernels`.
fn weights_after(config: &OptimizerConfig, dtype: DType, on_kernels: bool) -> Vec<Vec<f64>> {
    let var = |shape: &[usize], first: f64| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f64> = (0..count).map(|i| first + (i * 7 % 11) as f64 / 8.0).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap()
    };
    // The second has more than one chunk.
    let tensors = [("a", var(&[3], -0.5)), ("b", var(&[70, 60], 0.25)), ("c", var(&[2, 2], -1.0))];
    let parameters: Parameters = tensors.into_iter().map(|(name, var)| (name.to_owned(), var)).collect();
    let config = OptimizerConfig { decay: Decay::Matrices, ..config.clone() };
    let mut optimizer = Optimizer::new(&parameters, config).unwrap();
    for _ in 0..3 {
        let power = |(_, var): (&str, &Var)| var.sqr().unwrap().sqr().unwrap().sum_all().unwrap();
        let loss = parameters.iter().map(power).reduce(|a, b| (a + b).unwrap()).unwrap();
        let gradients = Gradients::from_loss(&loss, &parameters).unwrap().clip(3.0).unwrap();
        let lrs = vec![0.02; optimizer.groups().len()];
        let before = kernel_launches();
        if on_kernels {
            host::with_kernels(1, || optimizer.update(&gradients, &lrs)).unwrap();
        } else {
            optimizer.update(&gradients, &lrs).unwrap();
        }
        assert_eq!(kernel_launches() - before, if on_kernels { optimizer.groups().len() as u64 } else { 0 });
    }
    let values = |(_, var): (&str, &Var)| var.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    parameters.iter().map(values).collect()
}

/// Both compute each element alone, so the bits are the same; in half precision the tensor operations round otherwise.
#[test]
fn one_launch_for_a_group_has_the_bits_of_one_pass_for_each_parameter() {
    for config in with_kernels() {
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let [passes, launches] = [false, true].map(|on_kernels| weights_after(&config, dtype, on_kernels));
            if dtype == DType::BF16 {
                let pairs = passes.concat().into_iter().zip(launches.concat());
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 0.01), "{config:?}");
            } else {
                assert!(passes == launches, "{config:?} {dtype:?}");
            }
        }
    }
}

#[test]
fn large_tensors_are_updated_like_small_ones() {
    let values: Vec<f32> = (0..100_000).map(|i| (i as f32).sin()).collect();
    let large: Parameters =
        [("w".to_owned(), Var::from_slice(&values, values.len(), &Device::Cpu).unwrap())].into_iter().collect();
    let mut optimizer = Optimizer::new(&large, AdamW::default()).unwrap();
    let gradient_norm = |_: ()| {
        let loss = large.get("w").unwrap().sqr().unwrap().sum_all().unwrap();
        Gradients::from_loss(&loss, &large).unwrap().measure().unwrap()
    };
    let gradients = gradient_norm(());
    let exact = values.iter().map(|&x| f64::from(2.0 * x).powi(2)).sum::<f64>().sqrt();
    assert!((gradients.norm() / exact - 1.0).abs() < 1e-12);
    optimizer.update(&gradients, &[0.1]).unwrap();
    let small = Var::from_slice(&values[90_000..90_003], 3, &Device::Cpu).unwrap();
    let few: Parameters = [("w".to_owned(), small)].into_iter().collect();
    let loss = few.get("w").unwrap().sqr().unwrap().sum_all().unwrap();
    let mut other = Optimizer::new(&few, AdamW::default()).unwrap();
    other.update(&Gradients::from_loss(&loss, &few).unwrap().measure().unwrap(), &[0.1]).unwrap();
    let tail: Tensor = large.get("w").unwrap().narrow(0, 90_000, 3).unwrap();
    assert_eq!(tail.to_vec1::<f32>().unwrap(), few.get("w").unwrap().to_vec1::<f32>().unwrap());
}
