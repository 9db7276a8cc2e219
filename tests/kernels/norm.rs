//! Layer norm, RMS norm and batch norm.

use candle_core::{Result, Tensor, Var};
use rekindle::ops::{self, BatchNorm};

use super::arguments::Argument::{self, Count, In, InOut, Null, Out, Real};
use super::arguments::Type;
use super::cases;
use super::emulator::launch;
use super::expected::{assert_near, assert_near_sums_of, by_cpu, largest, numbers, tensor, values};
use super::sums::{PART_ROWS, total_of_parts};

/// A row's statistics take a few roundings, and what is computed with them a few more.
const ROUNDINGS: f64 = 16.0;
/// Not negligible, so that a kernel that forgets it is found.
const EPS: f64 = 0.01;

/// Input, weight, bias and the gradient of the result, for `rows` of `width`.
fn operands(of: Type, rows: usize, width: usize) -> [Vec<f64>; 4] {
    let count = rows * width;
    [numbers(of, count, 1), numbers(of, width, 2), numbers(of, width, 3), numbers(of, count, 4)]
}

#[test]
fn layer_norm_is_that_of_the_cpu() {
    for (of, [rows, width]) in cases() {
        let [x, weight, bias, dy] = operands(of, rows, width);
        let inputs: [(&[f64], &[usize]); 3] = [(&x, &[rows, width]), (&weight, &[width]), (&bias, &[width])];
        let expected = by_cpu(&inputs, &dy, |x| ops::layer_norm(&x[0], &x[1], Some(x[2].as_tensor()), EPS));
        let without = by_cpu(&inputs[..2], &dy, |x| ops::layer_norm(&x[0], &x[1], None, EPS));
        let sizes = [Out(of, rows * width), Count(rows), Count(width), Real(EPS)];
        let forward = |bias: Argument| {
            let arguments = [&[In(of, x.clone()), In(of, weight.clone()), bias], &sizes[..]].concat();
            launch(format!("layer_norm_forward_{of}"), rows, &arguments).remove(0)
        };
        assert_near(of, ROUNDINGS, &forward(In(of, bias.clone())), &expected[0]);
        assert_near(of, ROUNDINGS, &forward(Null), &without[0]);
        let (found, terms) = gradients("layer_norm", of, [&x, &weight, &dy], [rows, width]);
        assert_near_sums_of(terms, of, ROUNDINGS, &found[0], &expected[1]);
        found[1..].iter().zip(&expected[2..]).for_each(|(found, expected)| assert_near(of, ROUNDINGS, found, expected));
    }
}

#[test]
fn rms_norm_is_that_of_the_cpu() {
    for (of, [rows, width]) in cases() {
        let [x, weight, _, dy] = operands(of, rows, width);
        let inputs: [(&[f64], &[usize]); 2] = [(&x, &[rows, width]), (&weight, &[width])];
        let expected = by_cpu(&inputs, &dy, |x| ops::rms_norm(&x[0], &x[1], EPS));
        let arguments =
            [In(of, x.clone()), In(of, weight.clone()), Out(of, rows * width), Count(rows), Count(width), Real(EPS)];
        let y = launch(format!("rms_norm_forward_{of}"), rows, &arguments).remove(0);
        assert_near(of, ROUNDINGS, &y, &expected[0]);
        let ([dx, dweight, _], terms) = gradients("rms_norm", of, [&x, &weight, &dy], [rows, width]);
        assert_near_sums_of(terms, of, ROUNDINGS, &dx, &expected[1]);
        assert_near(of, ROUNDINGS, &dweight, &expected[2]);
    }
}

/// More rows than one part of the weight's gradient has, with statistics that a row may have.
#[test]
fn the_gradient_of_a_weight_is_the_sum_over_parts() {
    let (of, rows, width) = (Type::F32, PART_ROWS * 2 + 1, 3);
    let [x, _, _, dy] = operands(of, rows, width);
    let [means, inverses] = [8, 9].map(|seed| numbers(of, rows, seed));
    let [dweight, dbias] = of_parts(of, [&x, &dy, &means, &inverses], [rows, width]);
    let mut expected = [vec![0.0; width], vec![0.0; width]];
    for i in 0..rows * width {
        expected[0][i % width] += dy[i] * ((x[i] - means[i / width]) * inverses[i / width]);
        expected[1][i % width] += dy[i];
    }
    assert_near(of, 4.0 * ROUNDINGS, &dweight, &expected[0]);
    assert_near(of, 4.0 * ROUNDINGS, &dbias, &expected[1]);
}

/// The gradients of input, weight and bias, and how large the terms of that of the input are.
fn gradients(norm: &str, of: Type, [x, weight, dy]: [&Vec<f64>; 3], [rows, width]: [usize; 2]) -> ([Vec<f64>; 3], f64) {
    let (wide, sizes) = (of.wide(), [Count(rows), Count(width)]);
    let arguments = [
        &[In(of, x.clone()), In(of, weight.clone()), In(of, dy.clone()), Out(of, rows * width)][..],
        &[Out(wide, rows), Out(wide, rows)],
        &sizes,
        &[Real(EPS)],
    ];
    let mut found = launch(format!("{norm}_backward_{of}"), rows.min(5), &arguments.concat()).into_iter();
    let [dx, means, inverses] = std::array::from_fn(|_| found.next().unwrap());
    let terms = largest(&inverses) * largest(dy) * largest(weight);
    let [dweight, dbias] = of_parts(of, [x, dy, &means, &inverses], [rows, width]);
    ([dx, dweight, dbias], terms)
}

/// The gradients of weight and bias, from input, gradient, means and inverses.
fn of_parts(of: Type, [x, dy, means, inverses]: [&Vec<f64>; 4], [rows, width]: [usize; 2]) -> [Vec<f64>; 2] {
    let (wide, parts) = (of.wide(), rows.div_ceil(PART_ROWS) * width);
    let inputs = [In(of, x.clone()), In(of, dy.clone()), In(wide, means.clone()), In(wide, inverses.clone())];
    let results = [Out(wide, parts), Out(wide, parts), Count(rows), Count(width)];
    let mut found = launch(format!("norm_parts_{of}"), 2, &[&inputs[..], &results].concat()).into_iter();
    std::array::from_fn(|_| total_of_parts(of, found.next().unwrap(), width))
}

/// Rows, channels and planes of batch norm.
const IMAGES: [usize; 3] = [4, 3, 70];

fn batch_norm(of: Type, running: [&[f64]; 2]) -> BatchNorm {
    let [mean, variance] = running.map(|running| Var::from_tensor(&tensor(running, &[running.len()])).unwrap());
    assert_eq!(of.rounded(running[0].to_vec()), running[0]);
    BatchNorm { eps: EPS, momentum: 0.3, ..BatchNorm::new(mean, variance) }
}

/// In training and in evaluation: the result, the gradients, and where the running statistics move.
#[test]
fn batch_norm_is_that_of_the_cpu() {
    for &of in Type::of_tensors() {
        let [rows, channels, plane] = IMAGES;
        let count = rows * channels * plane;
        let [x, dy] = [1, 2].map(|seed| numbers(of, count, seed));
        let [weight, bias, running_mean] = [3, 4, 5].map(|seed| numbers(of, channels, seed));
        let running_variance = of.rounded(numbers(of, channels, 6).iter().map(|x| x * x + 0.5).collect());
        let running = || [In(of, running_mean.clone()), In(of, running_variance.clone())];
        let norm = batch_norm(of, [&running_mean, &running_variance]);
        let by = |f: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>| {
            by_cpu(&[(&x, &IMAGES), (&weight, &[channels]), (&bias, &[channels])], &dy, |x| f(&x[0], &x[1], &x[2]))
        };
        let evaluated = by(&|x, weight, bias| norm.evaluate(x, weight, bias));
        let trained = by(&|x, weight, bias| norm.train(x, weight, bias));
        let sizes = [Count(rows), Count(channels), Count(plane)];
        let f64s = |count| Out(Type::F64, count);

        let arguments =
            [&[In(of, x.clone()), f64s(channels), f64s(channels), f64s(channels)], &sizes[..], &[Real(EPS)]];
        let found = launch(format!("batch_norm_statistics_{of}"), channels, &arguments.concat());
        let [means, variances, inverses] = std::array::from_fn(|i| In(Type::F64, found[i].clone()));
        let moving = [&running_mean, &running_variance].map(|running| InOut(of, running.clone()));
        let arguments = [&moving[..], &[means.clone(), variances, Count(channels), Count(rows * plane), Real(0.3)]];
        let moved = launch(format!("batch_norm_running_{of}"), 1, &arguments.concat());
        assert_near(of, 2.0, &moved[0], &values(norm.mean.as_tensor()));
        assert_near(of, 2.0, &moved[1], &values(norm.variance.as_tensor()));

        let arguments = [&running()[..], &[f64s(channels), f64s(channels), Count(channels), Real(EPS)]].concat();
        let fixed = launch(format!("batch_norm_fixed_{of}"), 1, &arguments);
        let fixed = [In(Type::F64, fixed[0].clone()), In(Type::F64, fixed[1].clone())];
        for (statistics, expected, of_batch) in [([means, inverses], trained, true), (fixed, evaluated, false)] {
            let places = [Count(count), Count(channels), Count(plane)];
            let affine = [In(of, weight.clone()), In(of, bias.clone()), Out(of, count)];
            let arguments = [&[In(of, x.clone())], &statistics[..], &affine, &places].concat();
            let y = launch(format!("batch_norm_forward_{of}"), 3, &arguments);
            assert_near(of, ROUNDINGS, &y[0], &expected[0]);
            let inputs = [&[In(of, x.clone()), In(of, dy.clone())], &statistics[..]].concat();
            let results = [f64s(2 * channels), Out(of, channels), Out(of, channels)];
            let found = launch(format!("batch_norm_sums_{of}"), channels, &[&inputs[..], &results, &sizes].concat());
            assert_near(of, ROUNDINGS, &found[1], &expected[2]);
            assert_near(of, ROUNDINGS, &found[2], &expected[3]);
            let sums = if of_batch { In(Type::F64, found[0].clone()) } else { Null };
            let arguments = [&inputs[..], &[In(of, weight.clone()), sums, Out(of, count)], &places].concat();
            let dx = launch(format!("batch_norm_backward_{of}"), 3, &arguments);
            assert_near(of, ROUNDINGS, &dx[0], &expected[1]);
        }
    }
}
