//! The convolution against finite differences, PyTorch and its reference.

use super::*;
use crate::cpu::workers;
use crate::ops::operand::with_operands;
use crate::ops::testing::{
    Reference, check, check_kernels, check_nan_before_relu, check_wide_weights, gradients, numbers, to_vec,
};

/// Shapes of input and weight, and options.
fn cases() -> Vec<([usize; 4], [usize; 4], Conv2d)> {
    let plain = Conv2d::default();
    vec![
        ([2, 1, 5, 6], [3, 1, 3, 3], plain),
        ([3, 2, 6, 5], [4, 2, 3, 2], Conv2d { padding: 1, relu: true, ..plain }),
        ([2, 3, 7, 6], [2, 3, 3, 3], Conv2d { stride: 2, padding: 1, ..plain }),
        ([2, 4, 6, 6], [6, 2, 2, 3], Conv2d { stride: 3, padding: 2, groups: 2, relu: true }),
        ([2, 4, 5, 5], [4, 1, 3, 3], Conv2d { padding: 1, groups: 4, ..plain }),
        ([2, 3, 5, 5], [2, 3, 1, 1], Conv2d { stride: 2, ..plain }),
        ([1, 1, 2, 2], [1, 1, 5, 5], Conv2d { padding: 2, ..plain }),
    ]
}

fn operands(x: &[usize], weight: &[usize]) -> [Tensor; 3] {
    [numbers(x, 0), numbers(weight, 1), numbers(&weight[..1], 2)]
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let reference = Reference::open("image_reference.safetensors");
    let plain = Conv2d::default();
    let cases = [
        ("conv2d.plain", plain),
        ("conv2d.strided", Conv2d { stride: 2, padding: 1, relu: true, ..plain }),
        ("conv2d.grouped", Conv2d { padding: 1, groups: 2, ..plain }),
    ];
    for (case, options) in cases {
        reference.assert(case, 1e-12, |t| conv2d(&t[0], &t[1], Some(&t[2]), options));
    }
}

#[test]
fn every_convolution_has_its_gradients() {
    for (x, weight, options) in cases() {
        let [x, weight, bias] = operands(&x, &weight);
        check(options, &[&x, &weight, &bias], 1e-9);
        check(options, &[&x, &weight], 1e-9);
    }
}

/// Larger than one tile and one part: 40 images of 9 by 40 by 40 numbers, each unrolled to 81 by 1600.
#[test]
fn inputs_of_half_types_take_weights_of_f32() {
    for (x, weight, options) in cases() {
        let [x, weight, bias] = operands(&x, &weight);
        // Far from zero, where rounding does not change a sign.
        let bias = (bias.sign().unwrap() * 40.0).unwrap();
        check_wide_weights(&[&x, &weight, &bias], |x| conv2d(&x[0], &x[1], Some(&x[2]), options));
        check_wide_weights(&[&x, &weight], |x| conv2d(&x[0], &x[1], None, Conv2d { relu: false, ..options }));
    }
}

#[test]
fn a_nan_before_relu_has_a_gradient() {
    let options = Conv2d { relu: true, ..Conv2d::default() };
    check_nan_before_relu(&[1, 1, 1, 1], |x| conv2d(&x[0], &x[1], Some(&x[2]), options));
}

#[test]
fn tiles_and_parts_of_a_batch_make_no_difference() {
    let [x, weight, bias] = operands(&[40, 9, 40, 40], &[5, 9, 3, 3]);
    let options = Conv2d { padding: 1, ..Conv2d::default() };
    let geometry = Geometry::new(options, x.dims(), weight.dims(), Some(bias.dims())).unwrap();
    assert!(geometry.tiles().count() > 1 && geometry.part() < 40);
    check_kernels(options, &[&x, &weight, &bias], 1e-9);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let [x, weight, bias] = operands(&[37, 8, 12, 12], &[6, 8, 3, 3]);
    let bits = |threads| {
        workers::with_threads(threads, || {
            let options = Conv2d { relu: true, ..Conv2d::default() };
            let found = gradients(&[&x, &weight, &bias], |t| conv2d(&t[0], &t[1], Some(&t[2]), options));
            found.iter().flat_map(to_vec).collect::<Vec<f64>>()
        })
    };
    let one = bits(1);
    assert!(one.iter().any(|x| *x != 0.0));
    for threads in [2, 3, 7] {
        assert_eq!(one, bits(threads), "{threads} threads");
    }
}

/// The data of a batch is not a variable; its gradient would be the costliest of the three.
#[test]
fn an_unneeded_gradient_is_not_computed() {
    let [x, weight, bias] = operands(&[2, 1, 4, 4], &[1, 1, 3, 3]);
    let [weight, bias] = [weight, bias].map(|x| candle_core::Var::from_tensor(&x).unwrap());
    let inputs = [x, weight.into_inner(), bias.into_inner()];
    let y = numbers(&[2, 1, 2, 2], 3);
    let gradients = with_operands::<f64, _>(&inputs, &|inputs| {
        with_operands(&[y.clone(), y.clone()], &|y| Op::backward(&Conv2d::default(), inputs, y[0], y[1]))
    });
    let lengths = gradients.unwrap().into_iter().map(|gradient| match gradient {
        Gradient::Elements(elements) => elements.len(),
        _ => panic!("elements were expected"),
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [0, 9, 1]);
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_both() {
    let refusal = |x: &[usize], weight: &[usize], bias: &[usize], options| {
        let [x, weight, bias] = [x, weight, bias].map(|shape| numbers(shape, 0));
        conv2d(&x, &weight, Some(&bias), options).unwrap_err().to_string()
    };
    let plain = Conv2d::default();
    let small = refusal(&[1, 1, 2, 9], &[1, 1, 3, 3], &[1], plain);
    assert!(small.contains("[1, 1, 2, 9]") && small.contains("smaller than the kernel of [1, 1, 3, 3]"), "{small}");
    assert!(refusal(&[1, 2, 5, 5], &[1, 3, 3, 3], &[1], plain).contains("does not fit an input of [1, 2, 5, 5]"));
    assert!(refusal(&[1, 2, 5, 5], &[3, 1, 3, 3], &[3], Conv2d { groups: 2, ..plain }).contains("in 2 groups"));
    assert!(refusal(&[1, 2, 5, 5], &[3, 2, 3, 3], &[2], plain).contains("a bias of Some([2])"));
    assert!(refusal(&[2, 5, 5], &[3, 2, 3, 3], &[3], plain).contains("four dimensions"));
    assert!(refusal(&[1, 2, 5, 5], &[3, 2, 3, 3], &[3], Conv2d { stride: 0, ..plain }).contains("a size of 0"));
}
