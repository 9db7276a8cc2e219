//! Standardization: every feature with mean 0 and deviation 1 over the training rows, and the saved statistics.

use std::ops::Range;

use rayon::prelude::*;

use super::Split;
use crate::state::{Dtype, HostTensor, State, StateError};

const MEAN: &str = "mean";
const STD: &str = "std";

/// The mean subtracted from each feature, and its divisor.
///
/// They are part of the trained state: a resume uses the saved ones, bit for bit, and does not compute them again.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Statistics {
    /// Computes mean and population standard deviation of each feature over the training rows of `split`, summed in f64
    /// in the order of the rows. `values` returns some rows of the split, one row of features after the other. A
    /// constant feature has a deviation of 0; its divisor is 1, so that it becomes 0. A feature that is not continuous,
    /// by `measures`, is unchanged: mean 0 and divisor 1.
    pub(super) fn of(measures: &[bool], split: &Split, values: impl Fn(Range<usize>) -> Vec<f64> + Sync) -> Self {
        let (width, count) = (measures.len(), split.train().len() as f64);
        let blocks: Vec<Range<usize>> = blocks(split.rows()).collect();
        let each = |take: &mut dyn FnMut(&[f64])| {
            let mut train = split.train().iter().peekable();
            // Every thread reads a block, and the rows are added in their order.
            for some in blocks.chunks(rayon::current_num_threads()) {
                let read: Vec<Vec<f64>> = some.par_iter().map(|block| values(block.clone())).collect();
                for (block, values) in some.iter().zip(read) {
                    while let Some(row) = train.next_if(|row| block.contains(row)) {
                        take(&values[(row - block.start) * width..][..width]);
                    }
                }
            }
        };
        let mut mean = vec![0.0; width];
        each(&mut |row| mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x));
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut std = vec![0.0; width];
        each(&mut |row| {
            for ((sum, &x), mean) in std.iter_mut().zip(row).zip(&mean) {
                *sum += (x - mean).powi(2);
            }
        });
        std.iter_mut().for_each(|sum| *sum = if *sum > 0.0 { (*sum / count).sqrt() } else { 1.0 });
        for feature in (0..width).filter(|&feature| !measures[feature]) {
            (mean[feature], std[feature]) = (0.0, 1.0);
        }
        Self { mean, std }
    }

    /// Returns the mean of each feature, in its own unit.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Returns the divisor of each feature, in its own unit: its standard deviation, or 1 if that is 0.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// Computes `(value - mean) / std` of every value by its feature, in f64, rounded once to f32.
    pub(super) fn apply(&self, values: &[f64]) -> Vec<f32> {
        let mut into = vec![0.0; values.len()];
        self.apply_to(values, &mut into);
        into
    }

    /// Writes what [`Statistics::apply`] computes.
    pub(super) fn apply_to(&self, values: &[f64], into: &mut [f32]) {
        let width = self.mean.len().max(1);
        for (row, into) in values.chunks(width).zip(into.chunks_mut(width)) {
            for (((x, into), mean), std) in row.iter().zip(into).zip(&self.mean).zip(&self.std) {
                *into = ((x - mean) / std) as f32;
            }
        }
    }

    /// Returns the state for a checkpoint.
    pub(super) fn save(&self) -> State {
        let tensors = [(MEAN, &self.mean), (STD, &self.std)];
        let tensors = tensors.map(|(name, values)| (name.to_owned(), HostTensor::from_f64s(values)));
        State { tensors: tensors.into(), ..State::default() }
    }

    /// Reads the statistics of `width` features from `state`.
    pub(super) fn read(state: &State, width: usize) -> Result<Self, StateError> {
        let shape = [width];
        state.expect_tensors([(MEAN, Dtype::F64, &shape[..]), (STD, Dtype::F64, &shape[..])])?;
        let values = |name: &str| {
            let values = state.tensors.get(name).and_then(HostTensor::to_f64s);
            values.ok_or_else(|| StateError::MissingTensor(name.to_owned()))
        };
        let (mean, std) = (values(MEAN)?, values(STD)?);
        if !mean.iter().all(|mean| mean.is_finite()) {
            return Err(StateError::Malformed(format!("a value of `{MEAN}` is not finite")));
        }
        if !std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return Err(StateError::Malformed(format!("a value of `{STD}` is not positive and finite")));
        }
        Ok(Self { mean, std })
    }
}

/// Number of rows of a block, so that a large table is never in memory as 64-bit numbers.
pub(super) const BLOCK: usize = 1024;

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |start| start..rows.min(start + BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], measures: &[bool], split: &Split) -> Statistics {
        let width = measures.len();
        Statistics::of(measures, split, |rows| values[rows.start * width..rows.end * width].to_vec())
    }

    fn statistics() -> Statistics {
        of(&[1.0, 5.0, 3.0, 5.0], &[true; 2], &Split::new(2, 0.0, 0).unwrap())
    }

    #[test]
    fn a_constant_feature_becomes_zero() {
        let statistics = statistics();
        assert_eq!((statistics.mean(), statistics.std()), ([2.0, 5.0].as_slice(), [1.0, 1.0].as_slice()));
        assert_eq!(statistics.apply(&[1.0, 5.0, 3.0, 5.0]), [-1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_feature_that_measures_nothing_is_left_as_it_is() {
        let values = [1.0, 1.0, 3.0, 0.0];
        let statistics = of(&values, &[true, false], &Split::new(2, 0.0, 0).unwrap());
        assert_eq!(statistics.apply(&values), [-1.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn only_training_rows_count() {
        let split = Split::new(5000, 0.3, 1).unwrap();
        let mut values = vec![4.0; 5000];
        split.validation().iter().for_each(|row| values[row] = 1e9);
        assert_eq!(of(&values, &[true], &split).mean(), [4.0]);
    }

    #[test]
    fn saved_statistics_come_back_bit_for_bit() {
        let saved = Statistics { mean: vec![0.1, -0.0], std: vec![f64::MIN_POSITIVE, 1.0 / 3.0] };
        let loaded = Statistics::read(&saved.save(), 2).unwrap();
        assert_eq!(loaded.save(), saved.save());
    }

    #[test]
    fn statistics_that_cannot_be_are_refused() {
        let refused = |mean: &[f64], std: &[f64]| {
            let state = Statistics { mean: mean.into(), std: std.into() }.save();
            Statistics::read(&state, 2).unwrap_err().to_string()
        };
        assert_eq!(refused(&[0.0; 3], &[1.0; 3]), "tensor `mean` is F64[3] in the checkpoint and F64[2] here");
        assert!(refused(&[0.0, f64::NAN], &[1.0; 2]).contains("`mean` is not finite"));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(&[0.0; 2], &[1.0, bad]).contains("`std` is not positive and finite"));
        }
    }
}
