//! Sums over rows and over channels, and means of losses.

use super::arguments::Argument::{Count, In, Out, Real};
use super::arguments::Type;
use super::cases;
use super::emulator::launch;
use super::expected::{assert_near, numbers};

/// Rows whose sum is one part, as `sums.h` has it.
pub const PART_ROWS: usize = 64;

/// The sum over parts.
pub fn total_of_parts(of: Type, parts: Vec<f64>, width: usize) -> Vec<f64> {
    let count = parts.len() / width;
    let arguments = [In(of.wide(), parts), Out(of, width), Count(count), Count(width)];
    launch(format!("total_of_parts_{of}"), width.div_ceil(32), &arguments).remove(0)
}

/// More rows than one part has, and more parts than threads that share a column.
#[test]
fn sums_over_rows_have_an_order() {
    let many = [(Type::F32, [PART_ROWS * 9 + 5, 3])];
    for (of, [rows, width]) in cases().into_iter().chain(many) {
        let x = numbers(of, rows * width, 1);
        let parts = rows.div_ceil(PART_ROWS);
        let arguments = [In(of, x.clone()), Out(of.wide(), parts * width), Count(rows), Count(width)];
        let found = launch(format!("row_parts_{of}"), 3, &arguments).remove(0);
        let found = total_of_parts(of, found, width);
        let expected: Vec<f64> = (0..width).map(|i| x.iter().skip(i).step_by(width).sum()).collect();
        // Partial sums of up to 64 numbers of about 1 have a size of about 8, and so do their roundings.
        assert_near(of, 64.0, &found, &expected);
    }
}

#[test]
fn sums_over_channels_have_an_order() {
    let shapes = [[1, 1, 1], [4, 3, 13], [5, 2, 70]];
    for (&of, [rows, channels, plane]) in Type::of_tensors().iter().flat_map(|of| shapes.map(|shape| (of, shape))) {
        let x = numbers(of, rows * channels * plane, 1);
        let arguments = [In(of, x.clone()), Out(of, channels), Count(rows), Count(channels), Count(plane)];
        let found = launch(format!("channel_sums_{of}"), channels.min(4), &arguments).remove(0);
        let mut expected = vec![0.0; channels];
        x.iter().enumerate().for_each(|(i, x)| expected[i / plane % channels] += x);
        assert_near(of, 1.0, &found, &expected);
    }
}

/// More parts than threads in a block.
#[test]
fn the_mean_of_parts_is_summed_in_f64() {
    for &of in Type::of_tensors() {
        let parts = numbers(Type::F64, 700, 1);
        let arguments = [In(Type::F64, parts.clone()), Out(of, 1), Count(700), Real(1400.0)];
        let found = launch(format!("mean_of_parts_{of}"), 1, &arguments).remove(0);
        assert_near(of, 1.0, &found, &[parts.iter().sum::<f64>() / 1400.0]);
    }
}
