//! The losses against their definitions, finite differences and PyTorch.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::binary_cross_entropy::BinaryCrossEntropy;
use super::cross_entropy::CrossEntropy;
use super::focal::Focal;
use super::of_classes::OfClasses;
use super::of_values::{AbsoluteError, Huber, OfValues, Poisson};
use super::soft_cross_entropy::SoftCrossEntropy;
use super::squared_error::SquaredError;
use super::weighted_binary_cross_entropy::WeightedBinaryCrossEntropy;
use super::weighted_cross_entropy::WeightedCrossEntropy;
use super::*;
use crate::ops::testing::{
    Reference, assert_gradients, check, check_kernels, check_on, check_on_cpu, check_without_gpu, numbers,
};

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

/// In f64 the sums differ in their last digits.
#[test]
fn weighted_and_other_losses_and_their_gradients_are_those_of_pytorch() {
    let reference = Reference::open("loss_reference.safetensors");
    let [classes, some] = ["classes", "some"].map(|name| reference.get(name));
    let [weights, positive] = ["weights", "positive"].map(|name| reference.get(name).to_vec1::<f64>().unwrap());
    let weighted = |targets: &Tensor, smoothing, weights: Option<&[f64]>, ignored| {
        let (targets, class_weights) = (targets.clone(), weights.map(<[f64]>::to_vec));
        let rows = RowWeights { class_weights, ignored };
        move |x: &[Tensor]| weighted_cross_entropy(&x[0], &targets, smoothing, &rows)
    };
    reference.assert("weighted", 1e-12, weighted(&classes, 0.0, Some(&weights), None));
    reference.assert("ignored", 1e-12, weighted(&some, 0.0, None, Some(7)));
    reference.assert("ignored_smooth", 1e-12, weighted(&some, 0.2, None, Some(7)));
    reference.assert("everything", 1e-12, weighted(&some, 0.2, Some(&weights), Some(7)));
    reference.assert("soft", 1e-12, |x| soft_cross_entropy(&x[0], &x[1], 0.1));
    reference.assert("focal", 1e-12, |x| focal(&x[0], &classes, 2.0, None));
    reference.assert("focal_weighted", 1e-12, |x| focal(&x[0], &classes, 1.5, Some(&weights)));
    reference.assert("absolute", 1e-12, |x| mean_absolute_error(&x[0], &x[1]));
    reference.assert("huber", 1e-12, |x| huber(&x[0], &x[1], 0.7));
    reference.assert("poisson", 1e-12, |x| poisson(&x[0], &x[1]));
    let labels = reference.get("labels");
    let binary = |smoothing, weights: Option<&[f64]>| {
        let (labels, weights) = (labels.clone(), weights.map(<[f64]>::to_vec));
        move |x: &[Tensor]| weighted_binary_cross_entropy(&x[0], &labels, smoothing, weights.as_deref())
    };
    reference.assert("labels", 1e-12, binary(0.0, None));
    reference.assert("labels_weighted", 1e-12, binary(0.0, Some(&positive)));
    reference.assert("labels_smooth", 1e-12, binary(0.2, Some(&positive)));
}

/// On the kernels in f64, f32 and bf16, and composed of Candle's operations as on a GPU.
#[test]
fn weighted_and_other_losses_have_their_gradients_in_every_type_and_with_every_kernel() {
    let (x, y) = (numbers(&[8, 5], 1), numbers(&[8, 5], 2));
    let classes = Tensor::from_iter((0..8u32).map(|i| if i == 3 { 9 } else { i * 7 % 5 }), &Device::Cpu).unwrap();
    let weights = vec![0.5, 2.0, 0.0, 1.25, 3.0];
    let everything =
        WeightedCrossEntropy { label_smoothing: 0.3, class_weights: Some(weights.clone()), ignored: Some(9) };
    check_without_gpu(OfClasses::new(&classes, everything).unwrap(), &[&x]);
    let known = Tensor::from_iter((0..8u32).map(|i| i % 5), &Device::Cpu).unwrap();
    check_without_gpu(
        OfClasses::new(&known, Focal { gamma: 2.0, class_weights: Some(weights.clone()) }).unwrap(),
        &[&x],
    );
    check_without_gpu(OfValues(AbsoluteError), &[&x, &y]);
    check_without_gpu(OfValues(Huber { delta: 0.7 }), &[&x, &y]);
    check_without_gpu(OfValues(Poisson), &[&x, &y]);
    let labels = ((y.tanh().unwrap() * 0.5).unwrap() + 0.5).unwrap();
    check_without_gpu(WeightedBinaryCrossEntropy { weights }, &[&x, &labels]);
    check_without_gpu(SoftCrossEntropy { label_smoothing: 0.3 }, &[&x, &labels]);
}

/// Sums over several tasks: 200,000 elements.
#[test]
fn weighted_losses_over_several_tasks_are_those_of_the_reference() {
    let (x, y) = (numbers(&[40_000, 5], 1), numbers(&[40_000, 5], 2));
    let classes = Tensor::from_iter((0..40_000u32).map(|i| i * 7 % 5), &Device::Cpu).unwrap();
    let weights = Some(vec![0.5, 2.0, 0.0, 1.25, 3.0]);
    let loss = WeightedCrossEntropy { label_smoothing: 0.1, class_weights: weights, ignored: Some(2) };
    check_on_cpu(OfClasses::new(&classes, loss).unwrap(), &[&x]);
    check_on_cpu(OfValues(Huber { delta: 0.7 }), &[&x, &y]);
}

#[test]
fn a_batch_without_a_target_has_no_loss_and_no_gradient() {
    let rows = RowWeights { class_weights: None, ignored: Some(1) };
    let x = logits();
    let loss = weighted_cross_entropy(&x, &classes(&[1, 1]), 0.1, &rows).unwrap();
    assert_eq!(loss.to_scalar::<f64>().unwrap(), 0.0);
    let store = loss.backward().unwrap();
    assert_eq!(store.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap(), [0.0; 6]);
}

#[test]
fn losses_of_certain_rows_are_finite_with_finite_gradients() {
    let x = Var::from_slice(&[200f32, -200.0, -200.0, 200.0], (2, 2), &Device::Cpu).unwrap();
    for gamma in [0.0, 0.5, 1.0, 2.0] {
        let loss = focal(&x, &classes(&[0, 0]), gamma, None).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 200.0);
        let store = loss.backward().unwrap();
        let gradient = store.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(gradient, [0.0, 0.0, -0.5, 0.5], "{gamma}");
    }
    let labels = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
    let loss = weighted_binary_cross_entropy(&x, &labels, 0.0, Some(&[2.0, 3.0])).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn weights_that_are_not_one_for_each_class_are_refused() {
    let rows = RowWeights { class_weights: Some(vec![1.0; 2]), ignored: None };
    let message = weighted_cross_entropy(&logits(), &classes(&[1, 0]), 0.0, &rows).unwrap_err().to_string();
    assert!(message.contains("2 weights are not one for each of 3 classes"), "{message}");
    let message = weighted_binary_cross_entropy(&logits(), &logits(), 0.0, Some(&[1.0])).unwrap_err().to_string();
    assert!(message.contains("1 weights are not one for each label of [2, 3]"), "{message}");
}
