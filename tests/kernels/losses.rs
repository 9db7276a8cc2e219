//! Losses and their gradients.

use candle_core::{Device, Tensor};
use rekindle::ops::loss::{binary_cross_entropy, cross_entropy, mean_squared_error};

use super::arguments::Argument::{self, Count, In, Null, Out, Real};
use super::arguments::{Type, words};
use super::cases;
use super::emulator::launch;
use super::expected::{assert_near, assert_near_sums_of, by_cpu, numbers};

/// Losses are made of a few roundings each, with `exp` and `log` good to two units.
const ROUNDINGS: f64 = 8.0;
/// Elements whose losses are one part, as `elementwise_loss.cu` has it.
const PART_ELEMENTS: usize = 4096;

/// The gradient of the loss itself; other than 1, so that a kernel that forgets it is found.
const DLOSS: f64 = 0.75;

fn mean_of_parts(of: Type, parts: Vec<f64>, divisor: usize) -> Vec<f64> {
    let count = parts.len();
    let arguments = [In(Type::F64, parts), Out(of, 1), Count(count), Real(divisor as f64)];
    launch(format!("mean_of_parts_{of}"), 1, &arguments).remove(0)
}

#[test]
fn cross_entropy_is_that_of_the_cpu() {
    for (of, [rows, classes]) in cases() {
        let x = numbers(of, rows * classes, 1);
        let targets: Vec<u32> = (0..rows as u32).map(|row| (row * 7 + 3) % classes as u32).collect();
        for smoothing in [0.0, 0.2] {
            let tensor = Tensor::from_slice(&targets, rows, &Device::Cpu).unwrap();
            let expected = by_cpu(&[(&x, &[rows, classes])], &[DLOSS], |x| cross_entropy(&x[0], &tensor, smoothing));
            let inputs = [In(of, x.clone()), words(&targets)];
            let sizes = [Count(rows), Count(classes), Real(smoothing)];
            let arguments = [&inputs[..], &[Out(Type::F64, rows)], &sizes].concat();
            let losses = launch(format!("cross_entropy_forward_{of}"), rows, &arguments).remove(0);
            assert_near(of, ROUNDINGS, &mean_of_parts(of, losses, rows), &expected[0]);
            let arguments = [&inputs[..], &[In(of, vec![DLOSS]), Out(of, rows * classes)], &sizes].concat();
            let found = launch(format!("cross_entropy_backward_{of}"), rows, &arguments).remove(0);
            // With one class a probability and its target cancel out.
            assert_near_sums_of(DLOSS / rows as f64, of, ROUNDINGS, &found, &expected[1]);
        }
    }
}

#[test]
fn cross_entropy_is_exact_at_saturation_and_not_a_number_for_a_class_that_there_is_not() {
    let x = vec![3e4, -3e4, 0.0, 0.0, f64::INFINITY, 0.0];
    let arguments = [In(Type::F32, x), words(&[1, 2, 0]), Out(Type::F64, 3), Count(3), Count(2), Real(0.0)];
    let losses = launch("cross_entropy_forward_f32", 3, &arguments).remove(0);
    assert!(losses[0] == 6e4 && losses[1].is_nan() && losses[2].is_nan(), "{losses:?}");
}

/// One element, and more than one part.
fn counts(of: Type) -> Vec<usize> {
    if of == Type::F32 { vec![1, 300, PART_ELEMENTS + 301] } else { vec![300] }
}

#[test]
fn binary_cross_entropy_is_that_of_the_cpu() {
    for &of in Type::of_tensors() {
        for count in counts(of) {
            let x = numbers(of, count, 1);
            let targets = of.rounded(numbers(of, count, 2).iter().map(|x| 1.0 / (1.0 + x.exp())).collect());
            for smoothing in [0.0, 0.2] {
                let inputs: [(&[f64], &[usize]); 2] = [(&x, &[count, 1]), (&targets, &[count, 1])];
                let expected = by_cpu(&inputs, &[DLOSS], |x| binary_cross_entropy(&x[0], &x[1], smoothing));
                check_elementwise("binary_cross_entropy", of, [&x, &targets], &[Real(smoothing)], &expected);
            }
        }
    }
}

#[test]
fn the_squared_error_is_that_of_the_cpu() {
    for &of in Type::of_tensors() {
        for count in counts(of) {
            let (x, targets) = (numbers(of, count, 1), numbers(of, count, 2));
            let inputs: [(&[f64], &[usize]); 2] = [(&x, &[count, 1]), (&targets, &[count, 1])];
            let expected = by_cpu(&inputs, &[DLOSS], |x| mean_squared_error(&x[0], &x[1]));
            check_elementwise("squared_error", of, [&x, &targets], &[], &expected);
        }
    }
}

/// Loss and gradients, the latter also where only one is needed.
fn check_elementwise(loss: &str, of: Type, inputs: [&Vec<f64>; 2], more: &[Argument], expected: &[Vec<f64>]) {
    let count = inputs[0].len();
    let inputs = inputs.map(|input| In(of, input.clone()));
    let parts = count.div_ceil(PART_ELEMENTS);
    let arguments = [&inputs[..], &[Out(Type::F64, parts), Count(count)], more].concat();
    let sums = launch(format!("{loss}_forward_{of}"), parts, &arguments).remove(0);
    assert_near(of, ROUNDINGS, &mean_of_parts(of, sums, count), &expected[0]);
    let gradients = |results: [Argument; 2]| {
        let arguments = [&inputs[..], &[In(of, vec![DLOSS])], &results, &[Count(count)], more].concat();
        launch(format!("{loss}_backward_{of}"), 3, &arguments)
    };
    let found = gradients([Out(of, count), Out(of, count)]);
    assert_near(of, ROUNDINGS, &found[0], &expected[1]);
    assert_near(of, ROUNDINGS, &found[1], &expected[2]);
    assert_eq!(gradients([Out(of, count), Null])[0], found[0]);
}
