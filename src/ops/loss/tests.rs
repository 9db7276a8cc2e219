//! The losses against their definitions, finite differences and PyTorch.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::binary_cross_entropy::BinaryCrossEntropy;
use super::cross_entropy::CrossEntropy;
use super::squared_error::SquaredError;
use super::*;
use crate::ops::testing::{Reference, assert_gradients, check, check_kernels, check_on, numbers};

fn logits() -> Var {
    Var::from_slice(&[1.0f64, 2.0, 0.5, -1.0, 0.0, 3.0], (2, 3), &Device::Cpu).unwrap()
}

fn classes(classes: &[u32]) -> Tensor {
    Tensor::new(classes, &Device::Cpu).unwrap()
}

/// Compared with the definition written out in f64; 1e-14 is a few units in the last place.
#[test]
fn cross_entropy_agrees_with_its_definition() {
    let rows = [[1.0f64, 2.0, 0.5], [-1.0, 0.0, 3.0]];
    let log_p = |row: &[f64; 3], i: usize| row[i] - row.iter().map(|x| x.exp()).sum::<f64>().ln();
    for smoothing in [0.0, 0.1] {
        let of_row = |row: &[f64; 3], class: usize| {
            let uniform = (0..3).map(|i| log_p(row, i)).sum::<f64>() / 3.0;
            -(1.0 - smoothing) * log_p(row, class) - smoothing * uniform
        };
        let expected = (of_row(&rows[0], 1) + of_row(&rows[1], 0)) / 2.0;
        let loss = cross_entropy(&logits(), &classes(&[1, 0]), smoothing).unwrap().to_scalar::<f64>().unwrap();
        assert!((loss - expected).abs() < 1e-14, "{loss} {expected}");
    }
}

#[test]
fn losses_of_values_and_of_two_classes_have_their_gradients() {
    let x = numbers(&[6, 1], 1);
    let targets = ((numbers(&[6, 1], 2).tanh().unwrap() * 0.5).unwrap() + 0.5).unwrap();
    check(SquaredError, &[&x, &targets], 1e-14);
    for label_smoothing in [0.0, 0.2] {
        check(BinaryCrossEntropy { label_smoothing }, &[&x, &targets], 1e-14);
    }
    let classes = classes(&[1, 0, 1, 1, 0, 0]);
    assert_gradients(&[&x], |x| binary_cross_entropy(&x[0], &classes, 0.2));
}

/// Several tasks, and rows with several positions, each with a class.
#[test]
fn cross_entropy_has_its_gradient() {
    let (x, classes) = (numbers(&[40, 9, 37], 5), Tensor::from_iter((0..360u32).map(|i| i * 7 % 37), &Device::Cpu));
    let classes = classes.unwrap().reshape((40, 9)).unwrap();
    for smoothing in [0.0, 0.3] {
        let on = |classes: &Tensor, device: &Device| {
            Arc::new(CrossEntropy::new(&classes.to_device(device).unwrap(), smoothing).unwrap())
        };
        check_on(|device| on(&classes, device), &[&x], 1e-13);
        let (x, classes) = (x.narrow(0, 0, 2).unwrap(), classes.narrow(0, 0, 2).unwrap());
        assert_gradients(&[&x], |x| cross_entropy(&x[0], &classes, smoothing));
    }
}

/// Sums over several tasks: 100,000 elements of either sign.
#[test]
fn sums_over_several_tasks_are_those_of_the_reference() {
    let (x, targets) = (numbers(&[50_000, 2], 1), numbers(&[50_000, 2], 2));
    check_kernels(SquaredError, &[&x, &targets], 1e-12);
    check_kernels(BinaryCrossEntropy { label_smoothing: 0.1 }, &[&x, &targets], 1e-12);
}

#[test]
fn cross_entropy_and_its_gradient_are_those_of_pytorch() {
    let reference = Reference::open("gpt_reference.safetensors");
    let targets = reference.get("cross_entropy.targets");
    reference.assert("cross_entropy", 1e-12, |x| cross_entropy(&x[0], &targets, 0.0));
    reference.assert("cross_entropy_smooth", 1e-12, |x| cross_entropy(&x[0], &targets, 0.2));
}

#[test]
fn a_class_that_there_is_not_is_refused() {
    let message = cross_entropy(&logits(), &classes(&[1, 3]), 0.0).unwrap_err().to_string();
    assert!(message.contains("class 3 is not below the number of classes, 3"), "{message}");
    let floats = classes(&[1, 0]).to_dtype(DType::F32).unwrap();
    let message = cross_entropy(&logits(), &floats, 0.0).unwrap_err().to_string();
    assert!(message.contains("cross-entropy: targets must be whole numbers, such as u32, and are f32"), "{message}");
    let long = classes(&[1, 0]).to_dtype(DType::I64).unwrap();
    assert!(cross_entropy(&logits(), &long, 0.0).is_ok());
    let message = cross_entropy(&logits(), &classes(&[1]), 0.0).unwrap_err().to_string();
    assert!(message.contains("[2, 3]") && message.contains("[1]"), "{message}");
}

#[test]
fn losses_stay_finite_at_saturation() {
    let huge = Tensor::new(&[[1e4f32], [-1e4]], &Device::Cpu).unwrap();
    let loss = binary_cross_entropy(&huge, &classes(&[0, 1]), 0.0).unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(loss, 1e4);
    let huge = Tensor::new(&[[1e4f32, -1e4]], &Device::Cpu).unwrap();
    assert_eq!(cross_entropy(&huge, &classes(&[1]), 0.0).unwrap().to_scalar::<f32>().unwrap(), 2e4);
}
