//! Softmax.

use super::arguments::Argument::{Count, In, Out};
use super::arguments::Type;
use super::cases;
use super::emulator::launch;
use super::expected::{assert_near, by_cpu, numbers};
use rekindle::ops;

/// Sums of a block's rows are of numbers from 0 to 1, with `exp` good to two units.
const ROUNDINGS: f64 = 8.0;

#[test]
fn softmax_is_that_of_the_cpu() {
    for (of, [rows, width]) in cases() {
        let (x, dy) = (numbers(of, rows * width, 1), numbers(of, rows * width, 2));
        let expected = by_cpu(&[(&x, &[rows, width])], &dy, |x| ops::softmax(&x[0]));
        let sizes = [Count(rows), Count(width)];
        let arguments = [&[In(of, x), Out(of, rows * width)][..], &sizes].concat();
        let y = launch(format!("softmax_forward_{of}"), rows, &arguments).remove(0);
        assert_near(of, ROUNDINGS, &y, &expected[0]);
        // From probabilities that are not rounded, or their rounding would be part of the difference.
        let y = of.rounded(expected[0].clone());
        let arguments = [&[In(of, y.clone()), In(of, dy.clone()), Out(of, rows * width)][..], &sizes].concat();
        let dx = launch(format!("softmax_backward_{of}"), rows, &arguments).remove(0);
        let exact = (0..rows).flat_map(|row| {
            let row = row * width..(row + 1) * width;
            let sum: f64 = y[row.clone()].iter().zip(&dy[row.clone()]).map(|(y, dy)| y * dy).sum();
            row.map(|i| y[i] * (dy[i] - sum)).collect::<Vec<_>>()
        });
        assert_near(of, ROUNDINGS, &dx, &exact.collect::<Vec<_>>());
    }
}

#[test]
fn a_softmax_of_large_numbers_is_finite_and_one_of_no_numbers_is_not() {
    let infinity = f64::INFINITY;
    for &of in Type::of_tensors() {
        let rows =
            [[3e4, -3e4, 3e4], [0.0, -infinity, 0.0], [-infinity; 3], [0.0, infinity, 0.0], [0.0, f64::NAN, 0.0]];
        let arguments = [In(of, rows.concat()), Out(of, 15), Count(5), Count(3)];
        let y = launch(format!("softmax_forward_{of}"), 5, &arguments).remove(0);
        assert_eq!(y[..6], [0.5, 0.0, 0.5, 0.5, 0.0, 0.5]);
        assert!(y[6..].iter().all(|y| y.is_nan()), "{y:?}");
    }
}
