//! Metrics that a validation computes in addition to the loss and the accuracy.
//!
//! A configuration lists them in `validation.metrics`. The log has each as `validation_<name>`. By that name a schedule
//! can follow it (`train.metric`) and the best checkpoints be kept (`checkpoint.keep.metric`). To add one,
//! write its file and its line in `catalogue.rs`; a program adds its own with [`register`].

mod catalogue;
mod config;
mod mean_absolute_error;
mod top_k_accuracy;

use std::fmt::Debug;

use candle_core::{Result, Tensor};

pub(crate) use catalogue::more_is_better;
pub use catalogue::register;
pub use config::MetricConfig;
pub use mean_absolute_error::MeanAbsoluteError;
pub use top_k_accuracy::TopKAccuracy;

use crate::loss::TargetKind;

/// A metric of a validation. Its fields are the settings of its table in `validation.metrics`.
///
/// ```
/// use candle_core::{Result, Tensor};
/// use rekindle::metric::{Mean, Metric, Tally, register};
/// use serde::{Deserialize, Serialize};
///
/// /// The share of values within a tolerance of the target.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Within {
///     tolerance: f64,
/// }
///
/// impl Metric for Within {
///     fn more_is_better() -> bool {
///         true
///     }
///     fn tally(&self) -> Box<dyn Tally> {
///         let tolerance = self.tolerance;
///         Box::new(Mean::of(move |outputs: &Tensor, targets: &Tensor| {
///             (outputs - targets)?.abs()?.le(tolerance)?.to_dtype(candle_core::DType::F64)
///         }))
///     }
/// }
///
/// register::<Within>("within")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Metric: Debug + Send + Sync + 'static {
    /// Whether larger values are better.
    fn more_is_better() -> bool
    where
        Self: Sized;

    /// Checks the settings before any data is read.
    ///
    /// # Errors
    /// A message that names the invalid setting and the valid values.
    fn validate(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Checks that it can be computed for these targets.
    ///
    /// # Errors
    /// A message that names the targets that it needs.
    fn check(&self, _targets: TargetKind) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Creates an empty tally, for one validation.
    fn tally(&self) -> Box<dyn Tally>;
}

/// A metric accumulated over the batches of a validation.
pub trait Tally {
    /// Takes in a batch: the model's outputs for it, and its targets, of the shapes that
    /// [`Loss::forward`](crate::loss::Loss::forward) takes.
    ///
    /// # Errors
    /// The shapes do not fit, or the device fails.
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()>;

    /// Returns the metric over all added batches.
    fn value(&self) -> f64;

    /// Returns the sums that make up the value so far, if those of several batches can be added one after the other.
    /// Several processes then share a validation; without, each computes all of it.
    fn sums(&self) -> Option<Vec<f64>> {
        None
    }

    /// Takes in a batch by the [`Tally::sums`] of a tally to which only this batch was added.
    fn add_sums(&mut self, _sums: &[f64]) {}
}

/// The mean of the elements of a tensor that is computed for each batch.
pub struct Mean<F> {
    numbers: F,
    sum: f64,
    count: usize,
}

impl<F: Fn(&Tensor, &Tensor) -> Result<Tensor>> Mean<F> {
    /// Creates the mean of `numbers`, a function of the outputs and targets of each batch.
    pub fn of(numbers: F) -> Self {
        Self { numbers, sum: 0.0, count: 0 }
    }
}

impl<F: Fn(&Tensor, &Tensor) -> Result<Tensor>> Tally for Mean<F> {
    /// The sum is computed in f64 and in order, so it does not depend on the device's order of additions.
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let numbers = (self.numbers)(outputs, targets)?.to_dtype(candle_core::DType::F64)?.flatten_all()?;
        let numbers = numbers.to_vec1::<f64>()?;
        self.sum += numbers.iter().sum::<f64>();
        self.count += numbers.len();
        Ok(())
    }

    fn value(&self) -> f64 {
        self.sum / self.count as f64
    }

    fn sums(&self) -> Option<Vec<f64>> {
        Some(vec![self.sum, self.count as f64])
    }

    fn add_sums(&mut self, sums: &[f64]) {
        if let &[sum, count] = sums {
            self.sum += sum;
            self.count += count as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn value(metric: &dyn Metric, batches: &[(Tensor, Tensor)]) -> f64 {
        let mut tally = metric.tally();
        batches.iter().for_each(|(outputs, targets)| tally.add(outputs, targets).unwrap());
        tally.value()
    }

    #[test]
    fn a_mean_is_over_all_rows_and_not_over_batches() {
        let tensor = |values: &[f32]| Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap();
        let batches = [(tensor(&[1.0, 2.0, 3.0]), tensor(&[1.0, 4.0, 3.0])), (tensor(&[5.0]), tensor(&[1.0]))];
        assert_eq!(value(&MeanAbsoluteError {}, &batches), 1.5);
        assert!(MeanAbsoluteError {}.check(TargetKind::Classes { count: 2 }).is_err());
    }

    #[test]
    fn a_class_among_the_k_largest_logits_is_right() {
        let logits = Tensor::new(&[[3f32, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]], &Device::Cpu).unwrap();
        let batches = [(logits, Tensor::new(&[1u32, 0], &Device::Cpu).unwrap())];
        let of = |k| value(&TopKAccuracy { k }, &batches);
        assert_eq!([of(1), of(2), of(3), of(4)], [0.0, 0.5, 0.5, 1.0]);
        assert!(TopKAccuracy { k: 0 }.validate().is_err());
        assert!(TopKAccuracy { k: 1 }.check(TargetKind::Values { width: 1 }).is_err());
    }
}
