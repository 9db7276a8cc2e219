//! Standardization: every feature with mean 0 and deviation 1 over the training rows, and the statistics that
//! a checkpoint remembers.

use super::Split;
use crate::state::{Dtype, HostTensor, Part, State, StateError};

const MEAN: &str = "mean";
const STD: &str = "std";

/// What is subtracted from each feature, and what it is divided by.
///
/// They are part of what a run has learned: a resume takes the saved ones, bit for bit, whatever it would
/// compute itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Statistics {
    /// Mean and population standard deviation of each feature over the training rows of `split`, summed in f64
    /// in the order of the rows. `values` holds `width` features a row, row after row, for every row of the
    /// split. A constant feature has a deviation of 0; its divisor is 1, so that it becomes 0.
    pub(super) fn of(values: &[f32], width: usize, split: &Split) -> Self {
        let rows = || split.train().iter().map(|row| &values[row * width..][..width]);
        let count = split.train().len() as f64;
        let mut mean = vec![0.0; width];
        for row in rows() {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut std = vec![0.0; width];
        for row in rows() {
            for ((sum, &x), mean) in std.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(x) - mean).powi(2);
            }
        }
        std.iter_mut().for_each(|sum| *sum = if *sum > 0.0 { (*sum / count).sqrt() } else { 1.0 });
        Self { mean, std }
    }

    /// The mean of each feature, in its own unit.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// What each feature is divided by, in its own unit: its standard deviation, or 1 where that is 0.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// Replaces every value by `(value - mean) / std` of its feature, computed in f64.
    pub(super) fn apply(&self, values: &mut [f32]) {
        for row in values.chunks_exact_mut(self.mean.len()) {
            for ((x, mean), std) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *x = ((f64::from(*x) - mean) / std) as f32;
            }
        }
    }

    fn read(&self, state: &State) -> Result<Self, StateError> {
        let shape = [self.mean.len()];
        if !state.json.is_null() {
            return Err(StateError::Malformed("statistics have no settings, and some are saved".to_owned()));
        }
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

impl Part for Statistics {
    fn save(&self) -> Result<State, StateError> {
        let tensors = [(MEAN, &self.mean), (STD, &self.std)];
        let tensors = tensors.map(|(name, values)| (name.to_owned(), HostTensor::from_f64s(values)));
        Ok(State { tensors: tensors.into(), ..State::default() })
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        *self = self.read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> Statistics {
        Statistics::of(&[1.0, 5.0, 3.0, 5.0], 2, &Split::new(2, 0.0, 0).unwrap())
    }

    #[test]
    fn a_constant_feature_becomes_zero() {
        let statistics = statistics();
        assert_eq!((statistics.mean(), statistics.std()), ([2.0, 5.0].as_slice(), [1.0, 1.0].as_slice()));
        let mut values = [1.0, 5.0, 3.0, 5.0];
        statistics.apply(&mut values);
        assert_eq!(values, [-1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn only_training_rows_count() {
        let split = Split::new(3, 0.3, 1).unwrap();
        let values: Vec<f32> = (0..3).map(|row| if split.validation().to_vec() == [row] { 1e9 } else { 4.0 }).collect();
        assert_eq!(Statistics::of(&values, 1, &split).mean(), [4.0]);
    }

    #[test]
    fn saved_statistics_replace_the_computed_ones_bit_for_bit() {
        let saved = Statistics { mean: vec![0.1, -0.0], std: vec![f64::MIN_POSITIVE, 1.0 / 3.0] };
        let mut loaded = statistics();
        loaded.load(&saved.save().unwrap()).unwrap();
        assert_eq!(loaded.save().unwrap(), saved.save().unwrap());
    }

    #[test]
    fn statistics_that_cannot_be_are_refused() {
        let refused = |mean: &[f64], std: &[f64]| {
            let state = Statistics { mean: mean.into(), std: std.into() }.save().unwrap();
            statistics().check(&state).unwrap_err().to_string()
        };
        assert_eq!(refused(&[0.0; 3], &[1.0; 3]), "tensor `mean` is F64[3] in the checkpoint and F64[2] here");
        assert!(refused(&[0.0, f64::NAN], &[1.0; 2]).contains("`mean` is not finite"));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(&[0.0; 2], &[1.0, bad]).contains("`std` is not positive and finite"));
        }
    }
}
