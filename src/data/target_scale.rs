//! Transformed targets: a model learns them standardized or as logarithms, and its outputs are brought back to their unit.

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Batch, Problem, RowSet};
use crate::state::StateError;

/// The transformation of targets before a model learns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TargetTransform {
    /// Each target minus the mean of the training rows, divided by their standard deviation.
    Standardize,
    /// The natural logarithm; targets are above 0.
    Log,
    /// The natural logarithm of the target and 1; targets are above -1.
    Log1p,
}

impl TargetTransform {
    /// Refuses a target without a logarithm.
    pub(super) fn require(self, value: f64) -> Result<(), Problem> {
        let (above, remedy) = match self {
            Self::Standardize => return Ok(()),
            Self::Log => (0, "\"log1p\" takes 0, and \"standardize\" any value"),
            Self::Log1p => (-1, "\"standardize\" takes any value"),
        };
        if value > f64::from(above) {
            return Ok(());
        }
        Err(Problem::NoLogarithm { value: value.to_string(), above, remedy })
    }
}

/// A transformation of targets with what it takes from the training rows. It is a part of the trained state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TargetScale {
    /// Of each value of a row.
    Standardize {
        /// The mean, in the unit of the targets.
        mean: Vec<f64>,
        /// The divisor: the standard deviation, or 1 if that is 0.
        std: Vec<f64>,
    },
    /// The natural logarithm.
    Log,
    /// The natural logarithm of the value and 1.
    Log1p,
}

/// The name of the scale in the state of a data set.
const NAME: &str = "target";

impl TargetScale {
    /// Computes the scale of targets of `width` values a row from the rows `train`, summed in their order.
    pub(super) fn learned(transform: TargetTransform, values: &[f32], width: usize, train: &RowSet) -> Self {
        match transform {
            TargetTransform::Standardize => {
                let row = |row: usize| values.chunks_exact(width).nth(row).unwrap_or_default();
                let (mean, std) = moments(width, || train.iter().map(row));
                Self::Standardize { mean, std }
            }
            TargetTransform::Log => Self::Log,
            TargetTransform::Log1p => Self::Log1p,
        }
    }

    /// Returns what the targets of some rows become, row after row; computed in f64 and rounded once.
    pub(super) fn apply(&self, values: &[f32]) -> Vec<f32> {
        self.each(values, |scale, value, place| match scale {
            Self::Standardize { mean, std } => (value - mean[place]) / std[place],
            Self::Log => value.ln(),
            Self::Log1p => value.ln_1p(),
        })
    }

    /// Returns the values of which these are the transformed ones, row after row.
    pub(crate) fn invert(&self, values: &[f32]) -> Vec<f32> {
        self.each(values, |scale, value, place| match scale {
            Self::Standardize { mean, std } => value * std[place] + mean[place],
            Self::Log => value.exp(),
            Self::Log1p => value.exp_m1(),
        })
    }

    fn each(&self, values: &[f32], change: impl Fn(&Self, f64, usize) -> f64) -> Vec<f32> {
        let width = match self {
            Self::Standardize { mean, .. } => mean.len().max(1),
            Self::Log | Self::Log1p => 1,
        };
        let values = values.iter().enumerate();
        values.map(|(at, &value)| change(self, f64::from(value), at % width) as f32).collect()
    }

    /// Inverts a tensor whose last dimension is the values of a row. The result is f32 in host memory.
    pub(crate) fn invert_tensor(&self, values: &Tensor) -> candle_core::Result<Tensor> {
        let flat = values.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Tensor::from_vec(self.invert(&flat), values.dims(), &Device::Cpu)
    }

    /// Returns a batch with its targets in their unit.
    pub(crate) fn invert_batch(&self, batch: &Batch) -> candle_core::Result<Batch> {
        Ok(Batch { inputs: batch.inputs.clone(), targets: self.invert_tensor(&batch.targets)? })
    }

    /// Adds the scale to the state of a data set.
    pub(super) fn save(&self, state: Value) -> Result<Value, StateError> {
        let mut table = match state {
            Value::Object(table) => table,
            _ => Map::new(),
        };
        table.insert(NAME.to_owned(), json!(self));
        Ok(Value::Object(table))
    }

    /// Splits the state of a data set into the scale, if there is one, and the rest, as if there were none.
    pub(crate) fn split(state: &Value) -> Result<(Option<Self>, Value), StateError> {
        let Some(saved) = state.get(NAME) else { return Ok((None, state.clone())) };
        let scale = Self::deserialize(saved)?;
        if let Self::Standardize { mean, std } = &scale {
            let is_valid = !mean.is_empty() && mean.len() == std.len() && mean.iter().all(|mean| mean.is_finite());
            if !is_valid || !std.iter().all(|std| std.is_finite() && *std > 0.0) {
                return Err(StateError::Malformed("the mean and deviation of the targets are not valid".to_owned()));
            }
        }
        let mut rest = state.clone();
        if let Value::Object(table) = &mut rest {
            table.remove(NAME);
            if table.is_empty() {
                rest = Value::Null;
            }
        }
        Ok((Some(scale), rest))
    }

    /// Whether it is of the same kind, for as many values a row.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Standardize { mean, .. }, Self::Standardize { mean: others, .. }) => mean.len() == others.len(),
            (own, other) => own == other,
        }
    }

    /// Returns its name for messages.
    pub(super) fn words(scale: Option<&Self>) -> String {
        let word = match scale {
            None => "unchanged",
            Some(Self::Standardize { .. }) => "standardized",
            Some(Self::Log) => "logarithms",
            Some(Self::Log1p) => "logarithms of the values and 1",
        };
        word.to_owned()
    }
}

/// Returns the mean and the population standard deviation of each value of the rows; 1 in place of a deviation of 0.
fn moments<'a, R: Iterator<Item = &'a [f32]>>(width: usize, rows: impl Fn() -> R) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut std, mut count) = (vec![0.0; width], vec![0.0; width], 0_u64);
    for row in rows() {
        mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1;
    }
    mean.iter_mut().for_each(|sum| *sum /= count as f64);
    for row in rows() {
        let distances = row.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean);
        std.iter_mut().zip(distances).for_each(|(sum, distance): (&mut f64, f64)| *sum += distance * distance);
    }
    std.iter_mut().for_each(|sum| *sum = if *sum > 0.0 { (*sum / count as f64).sqrt() } else { 1.0 });
    (mean, std)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    fn train(rows: usize) -> RowSet {
        Split::last(rows + 1, 1).unwrap().train().clone()
    }

    #[test]
    fn targets_are_standardized_by_the_training_rows_and_brought_back() {
        let values = [1.0, 10.0, 3.0, 10.0, 100.0, 7.0];
        let scale = TargetScale::learned(TargetTransform::Standardize, &values, 2, &train(2));
        assert_eq!(scale, TargetScale::Standardize { mean: vec![2.0, 10.0], std: vec![1.0, 1.0] });
        assert_eq!(scale.apply(&values), [-1.0, 0.0, 1.0, 0.0, 98.0, -3.0]);
        assert_eq!(scale.invert(&scale.apply(&values)), values);
    }

    #[test]
    fn logarithms_are_brought_back_within_rounding() {
        let values = [0.5, 1.0, 1e-6, 3e6];
        for transform in [TargetTransform::Log, TargetTransform::Log1p] {
            let scale = TargetScale::learned(transform, &values, 1, &train(3));
            let back = scale.invert(&scale.apply(&values));
            // The logarithm of 3e6 is about 15, so that half a unit in its last place is 5e-7 of the value.
            assert!(values.iter().zip(&back).all(|(value, back)| (value - back).abs() <= 1e-6 * value), "{back:?}");
        }
    }

    #[test]
    fn values_without_a_logarithm_are_refused_with_what_takes_them() {
        assert!(TargetTransform::Standardize.require(-5.0).is_ok() && TargetTransform::Log1p.require(0.0).is_ok());
        let message = TargetTransform::Log.require(0.0).unwrap_err().to_string();
        assert_eq!(
            message,
            "0 is not above 0, so that it has no logarithm for `data.target_transform`; \"log1p\" takes 0, and \
             \"standardize\" any value"
        );
        assert!(TargetTransform::Log1p.require(-1.0).is_err() && TargetTransform::Log.require(f64::NAN).is_err());
    }

    #[test]
    fn a_saved_scale_comes_back_bit_for_bit_beside_the_rest_of_the_state() {
        let scale = TargetScale::Standardize { mean: vec![0.1, -1e300], std: vec![1.0 / 3.0, f64::MIN_POSITIVE] };
        for rest in [Value::Null, json!({"classes": ["a"]})] {
            let saved: Value = serde_json::from_str(&scale.save(rest.clone()).unwrap().to_string()).unwrap();
            assert_eq!(TargetScale::split(&saved).unwrap(), (Some(scale.clone()), rest.clone()));
            assert_eq!(TargetScale::split(&rest).unwrap(), (None, rest));
        }
        for (mean, std) in [(json!([0.0]), json!([0.0])), (json!([]), json!([])), (json!([0.0]), json!([1.0, 1.0]))] {
            let damaged = json!({"target": {"kind": "standardize", "mean": mean, "std": std}});
            assert!(TargetScale::split(&damaged).is_err(), "{damaged}");
        }
    }
}
