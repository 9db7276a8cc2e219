//! Functions of each element, the sum of two tensors, and the bias of a layer.

use candle_core::{Result, Tensor};
use rekindle::ops;

use super::arguments::Argument::{Count, In, InOut, Null, Out, Real, Word};
use super::arguments::Type;
use super::cases;
use super::emulator::launch;
use super::expected::{assert_near, by_cpu, numbers};

/// Functions of a number and their derivatives are good to a few units of numbers of up to 4, as `tanh`, `erfc` and
/// `exp` are to two.
const ROUNDINGS: f64 = 8.0;

type Function = (&'static str, fn(&Tensor) -> Result<Tensor>);
const FUNCTIONS: [Function; 6] = [
    ("relu", ops::relu),
    ("tanh", ops::tanh),
    ("softplus", ops::softplus),
    ("gelu", ops::gelu),
    ("gelu_tanh", ops::gelu_tanh),
    ("silu", ops::silu),
];

#[test]
fn every_function_and_its_gradient_are_those_of_the_cpu() {
    for (of, [rows, width]) in cases() {
        let count = rows * width;
        let (x, dy) = (numbers(of, count, 1), numbers(of, count, 2));
        for (name, function) in FUNCTIONS {
            let expected = by_cpu(&[(&x, &[count])], &dy, |x| function(&x[0]));
            let y = launch(format!("{name}_forward_{of}"), 3, &[In(of, x.clone()), Out(of, count), Count(count)]);
            assert_near(of, ROUNDINGS, &y[0], &expected[0]);
            let arguments = [In(of, x.clone()), In(of, dy.clone()), Out(of, count), Count(count)];
            let dx = launch(format!("{name}_backward_{of}"), 3, &arguments);
            assert_near(of, ROUNDINGS, &dx[0], &expected[1]);
        }
    }
}

/// Zeros of both signs, numbers so large that functions are at their ends, infinities, and what is no number.
#[test]
fn every_function_ends_as_on_the_cpu() {
    let x = [0.0, -0.0, 30.0, -30.0, 3e4, -3e4, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    for &of in Type::of_tensors() {
        for (name, function) in FUNCTIONS {
            let (x, dy) = (x.to_vec(), vec![1.0; x.len()]);
            let expected = by_cpu(&[(&x, &[x.len()])], &dy, |x| function(&x[0]));
            let y = launch(format!("{name}_forward_{of}"), 1, &[In(of, x.clone()), Out(of, x.len()), Count(x.len())]);
            let arguments = [In(of, x.clone()), In(of, dy), Out(of, x.len()), Count(x.len())];
            let dx = launch(format!("{name}_backward_{of}"), 1, &arguments);
            for (found, expected) in [(&y[0], &expected[0]), (&dx[0], &expected[1])] {
                for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                    assert_near(of, 2.0, &[*found], &[*expected]);
                    assert_eq!(found.is_nan(), expected.is_nan(), "{name} of {}", x[i]);
                }
            }
        }
    }
}

#[test]
fn functions_of_two_tensors_are_those_of_the_cpu() {
    for (of, [rows, width]) in cases() {
        let count = rows * width;
        let [a, b, dy] = [1, 2, 3].map(|seed| numbers(of, count, seed));
        let inputs = [In(of, a.clone()), In(of, b.clone())];
        let shape = [count];
        let operands: [(&[f64], &[usize]); 2] = [(&a, &shape), (&b, &shape)];
        let sum = by_cpu(&operands, &dy, |x| ops::add(&x[0], &x[1]));
        let y = launch(format!("add_{of}"), 2, &[&inputs[..], &[Out(of, count), Count(count)]].concat());
        assert_near(of, 1.0, &y[0], &sum[0]);

        let gated = by_cpu(&operands, &dy, |x| ops::swiglu(&x[0], &x[1]));
        let y = launch(format!("swiglu_forward_{of}"), 2, &[&inputs[..], &[Out(of, count), Count(count)]].concat());
        assert_near(of, ROUNDINGS, &y[0], &gated[0]);
        let gradients = [In(of, dy.clone()), Out(of, count), Out(of, count), Count(count)];
        let found = launch(format!("swiglu_backward_{of}"), 2, &[&inputs[..], &gradients].concat());
        assert_near(of, ROUNDINGS, &found[0], &gated[1]);
        assert_near(of, ROUNDINGS, &found[1], &gated[2]);
        let gradients = [In(of, dy.clone()), Null, Out(of, count), Count(count)];
        let alone = launch(format!("swiglu_backward_{of}"), 2, &[&inputs[..], &gradients].concat());
        assert_eq!(alone[0], found[1]);
    }
}

/// A weight of identity makes the product that of the input, so that what remains is the bias.
#[test]
fn the_bias_of_a_layer_is_added_and_rectified() {
    for (of, [rows, width]) in cases() {
        let (x, bias) = (numbers(of, rows * width, 1), numbers(of, width, 2));
        let dy = numbers(of, rows * width, 3);
        let identity: Vec<f64> = (0..width * width).map(|i| f64::from(u8::from(i % (width + 1) == 0))).collect();
        let operands: [(&[f64], &[usize]); 3] = [(&x, &[rows, width]), (&identity, &[width, width]), (&bias, &[width])];
        let plain = by_cpu(&operands, &dy, |x| ops::linear(&x[0], &x[1], Some(x[2].as_tensor())));
        let rectified = by_cpu(&operands, &dy, |x| ops::linear_relu(&x[0], &x[1], &x[2]));
        let count = Count(rows * width);
        let arguments = [InOut(of, x.clone()), In(of, bias.clone()), count.clone(), Word(width as u32), Word(1)];
        assert_near(of, 1.0, &launch(format!("bias_{of}"), 2, &arguments)[0], &plain[0]);
        let y = launch(format!("bias_relu_{of}"), 2, &arguments).remove(0);
        assert_near(of, 1.0, &y, &rectified[0]);
        let arguments = [In(of, y), In(of, dy), Out(of, rows * width), count];
        assert_near(of, 0.0, &launch(format!("through_relu_{of}"), 2, &arguments)[0], &rectified[1]);
    }
}

#[test]
fn the_bias_of_a_convolution_is_that_of_a_plane() {
    for &of in Type::of_tensors() {
        let [rows, channels, plane] = [3, 5, 49];
        let (y, bias) = (numbers(of, rows * channels * plane, 1), numbers(of, channels, 2));
        let expected: Vec<f64> = y.iter().enumerate().map(|(i, y)| y + bias[i / plane % channels]).collect();
        let arguments = [InOut(of, y.clone()), In(of, bias), Count(y.len()), Word(channels as u32), Word(plane as u32)];
        assert_near(of, 1.0, &launch(format!("bias_{of}"), 2, &arguments)[0], &expected);
    }
}

/// The gradient has the same kernel.
#[test]
fn a_product_with_a_number_is_that_of_the_cpu() {
    for (of, [rows, width]) in cases() {
        let (x, factor) = (numbers(of, rows * width, 1), -0.3);
        let arguments = [In(of, x.clone()), Out(of, x.len()), Count(x.len()), Real(factor)];
        let y = launch(format!("scaled_{of}"), 3, &arguments).remove(0);
        // In f32 for all types but f64.
        let expected: Vec<f64> = x.iter().map(|x| x * of.wide().rounded(vec![factor])[0]).collect();
        assert_near(of, 1.0, &y, &expected);
    }
}
