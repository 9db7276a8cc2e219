//! Pooling, and images unrolled for convolutions.

use std::ops::Range;

use rekindle::ops::{self, Conv2d, Pool2d};

use super::arguments::Argument::{self, Count, In, Out};
use super::arguments::{Type, words};
use super::emulator::launch;
use super::expected::{assert_near, by_cpu, numbers, tensor, values};

/// Images, their height and width, with one channel each.
const IMAGES: [usize; 4] = [3, 2, 7, 6];
const PLANES: usize = IMAGES[0] * IMAGES[1];

/// The windows along a side, and for each number of the side the range of windows that it is in: as a program gives
/// them to the kernels.
struct Side {
    windows: Vec<Range<usize>>,
    length: usize,
}

impl Side {
    fn of(pool: Pool2d, length: usize) -> Self {
        let starts = (0..=length + 2 * pool.padding - pool.kernel).step_by(pool.stride);
        let window =
            |start: usize| start.saturating_sub(pool.padding)..(start + pool.kernel - pool.padding).min(length);
        Self { windows: starts.map(window).collect(), length }
    }

    fn adaptive(length: usize, count: usize) -> Self {
        let window = |i: usize| i * length / count..((i + 1) * length).div_ceil(count);
        Self { windows: (0..count).map(window).collect(), length }
    }

    fn windows(&self) -> Argument {
        pairs(self.windows.iter().cloned())
    }

    fn windows_of_places(&self) -> Argument {
        pairs((0..self.length).map(|place| {
            let first = self.windows.iter().position(|window| window.contains(&place)).unwrap_or(0);
            first..first + self.windows.iter().filter(|window| window.contains(&place)).count()
        }))
    }
}

fn pairs(ranges: impl Iterator<Item = Range<usize>>) -> Argument {
    words(&ranges.flat_map(|range| [range.start as u32, range.end as u32]).collect::<Vec<_>>())
}

/// The arguments of sizes, for windows along both sides.
fn sizes(rows: &Side, columns: &Side) -> Vec<Argument> {
    let sides = [Count(PLANES), Count(rows.length), Count(columns.length), rows.windows(), columns.windows()];
    [&sides[..], &[Count(rows.windows.len()), Count(columns.windows.len())]].concat()
}

/// Windows beside each other, over each other, with gaps between them, and over the edges.
fn pools() -> [Pool2d; 4] {
    [[2, 2, 0], [3, 1, 1], [3, 2, 1], [1, 2, 0]].map(|[kernel, stride, padding]| Pool2d { kernel, stride, padding })
}

/// Whole numbers, of which many are the same: the first of the largest has the gradient.
fn ties(of: Type) -> Vec<f64> {
    numbers(of, PLANES * IMAGES[2] * IMAGES[3], 1).iter().map(|x| x.round()).collect()
}

#[test]
fn the_largest_of_each_window_is_that_of_the_cpu() {
    for &of in Type::of_tensors() {
        let mut x = ties(of);
        x[10] = f64::NAN;
        for pool in pools() {
            let (rows, columns) = (Side::of(pool, IMAGES[2]), Side::of(pool, IMAGES[3]));
            let count = PLANES * rows.windows.len() * columns.windows.len();
            let dy = numbers(of, count, 2);
            let expected = by_cpu(&[(&x, &IMAGES)], &dy, |x| ops::max_pool2d(&x[0], pool));
            let sizes = sizes(&rows, &columns);
            let arguments = [&[In(of, x.clone()), Out(of, count)], &sizes[..]].concat();
            let y = launch(format!("max_pool_forward_{of}"), 2, &arguments).remove(0);
            assert_near(of, 0.0, &y, &expected[0]);
            let tensors = [In(of, x.clone()), In(of, y), In(of, dy), Out(of, x.len())];
            let places = [rows.windows_of_places(), columns.windows_of_places()];
            let dx = launch(format!("max_pool_backward_{of}"), 2, &[&tensors[..], &sizes, &places].concat());
            assert_near(of, 4.0, &dx[0], &expected[1]);
        }
    }
}

#[test]
fn the_mean_of_each_window_is_that_of_the_cpu() {
    for &of in Type::of_tensors() {
        let x = numbers(of, PLANES * IMAGES[2] * IMAGES[3], 1);
        let check = |rows: Side, columns: Side, size: usize, pool: &dyn Fn(&candle_core::Tensor) -> _| {
            let count = PLANES * rows.windows.len() * columns.windows.len();
            let dy = numbers(of, count, 2);
            let expected = by_cpu(&[(&x, &IMAGES)], &dy, |x| pool(&x[0]));
            let sizes = sizes(&rows, &columns);
            let arguments = [&[In(of, x.clone()), Out(of, count)], &sizes[..], &[Count(size)]].concat();
            assert_near(of, 8.0, &launch(format!("avg_pool_forward_{of}"), 2, &arguments)[0], &expected[0]);
            let places = [rows.windows_of_places(), columns.windows_of_places(), Count(size)];
            let arguments = [&[In(of, dy), Out(of, x.len())], &sizes[..], &places].concat();
            assert_near(of, 8.0, &launch(format!("avg_pool_backward_{of}"), 2, &arguments)[0], &expected[1]);
        };
        for pool in pools() {
            let (rows, columns) = (Side::of(pool, IMAGES[2]), Side::of(pool, IMAGES[3]));
            check(rows, columns, pool.kernel * pool.kernel, &|x| ops::avg_pool2d(x, pool));
        }
        for [height, width] in [[1, 1], [3, 4]] {
            let (rows, columns) = (Side::adaptive(IMAGES[2], height), Side::adaptive(IMAGES[3], width));
            check(rows, columns, 0, &|x| ops::adaptive_avg_pool2d(x, height, width));
        }
    }
}

/// A convolution by the kernels and by products in the test; the gradient of the input is the products' unrolled one,
/// rolled up.
#[test]
fn unrolled_images_make_up_the_convolution_of_the_cpu() {
    let [images, channels, height, width] = IMAGES;
    let out = 4;
    for &of in Type::of_tensors() {
        for ([kernel_height, kernel_width], stride, padding, groups) in
            [([3, 3], 1, 1, 1), ([3, 2], 2, 0, 2), ([5, 4], 3, 3, 1), ([1, 1], 2, 0, 1)]
        {
            let options = Conv2d { stride, padding, groups, relu: false };
            let side = |side: usize, kernel: usize| (side + 2 * padding - kernel) / stride + 1;
            let (out_height, out_width) = (side(height, kernel_height), side(width, kernel_width));
            let (positions, weights) = (out_height * out_width, channels / groups * kernel_height * kernel_width);
            let x = numbers(of, images * channels * height * width, 1);
            let weight = numbers(of, out * weights, 2);
            let dy = numbers(of, images * out * positions, 3);
            let shape = [out, channels / groups, kernel_height, kernel_width];
            let expected =
                by_cpu(&[(&x, &IMAGES), (&weight, &shape)], &dy, |x| ops::conv2d(&x[0], &x[1], None, options));
            let sizes = [images, channels, height, width, kernel_height, kernel_width, out_height, out_width];
            let sizes = [sizes.map(Count).to_vec(), vec![Count(stride), Count(padding)]].concat();
            let unrolled_len = images * groups * weights * positions;
            let arguments = [&[In(of, x.clone()), Out(of, unrolled_len)], &sizes[..]].concat();
            let unrolled = launch(format!("im2col_{of}"), 3, &arguments).remove(0);
            let matrices = [images, groups, out / groups, weights];
            let kernels = tensor(&weight, &matrices[1..]).unsqueeze(0).unwrap();
            let unrolled = tensor(&unrolled, &[images, groups, weights, positions]);
            let y = kernels.broadcast_matmul(&unrolled).unwrap();
            assert_near(Type::F64, 16.0, &values(&y), &expected[0]);

            let dy = tensor(&dy, &[images, groups, out / groups, positions]);
            let dunrolled = kernels.transpose(2, 3).unwrap().contiguous().unwrap().broadcast_matmul(&dy).unwrap();
            let arguments = [In(of, of.rounded(values(&dunrolled))), Out(of, x.len())];
            let dx = launch(format!("col2im_{of}"), 3, &[&arguments[..], &sizes].concat()).remove(0);
            // The products are rounded to the type, once each, and up to 20 of them added up.
            let roundings = 20.0 * of.epsilon() / of.wide().epsilon();
            assert_near(of, roundings, &dx, &expected[1]);
        }
    }
}
