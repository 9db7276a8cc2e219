//! Metrics that a validation computes in addition to the loss and the accuracy.
//!
//! A configuration lists them in `validation.metrics`. The log has each as `validation_<name>`. By that name a schedule
//! can follow it (`train.metric`) and the best checkpoints be kept (`checkpoint.keep.metric`). To add one,
//! write its file and its line in `catalogue.rs`; a program adds its own with [`register`].

mod accuracy;
mod auroc;
mod average_precision;
mod brier_score;
mod by_class;
mod calibration_error;
mod catalogue;
mod class_counts;
mod config;
mod confusion_matrix;
mod exact_sum;
mod mean;
mod mean_absolute_error;
mod perplexity;
mod quantile_loss;
mod r_squared;
mod ranked;
mod root_mean_squared_error;
mod scored;
mod task;
#[cfg(test)]
mod tests;
mod top_k_accuracy;

use std::fmt::Debug;

use candle_core::{Result, Tensor};

pub(crate) use accuracy::ACCURACY;
pub use accuracy::Accuracy;
pub use auroc::Auroc;
pub use average_precision::AveragePrecision;
pub use brier_score::BrierScore;
pub use by_class::{
    BalancedAccuracy, F1, F1Macro, F1Micro, F1PerClass, Precision, PrecisionMacro, PrecisionMicro, PrecisionPerClass,
    Recall, RecallMacro, RecallMicro, RecallPerClass,
};
pub use calibration_error::{CalibrationError, CalibrationNorm};
pub(crate) use catalogue::more_is_better;
pub use catalogue::register;
pub use config::MetricConfig;
pub use confusion_matrix::ConfusionMatrix;
pub use mean::Mean;
pub use mean_absolute_error::MeanAbsoluteError;
pub use perplexity::{BitsPerByte, Perplexity};
pub use quantile_loss::QuantileLoss;
pub use r_squared::RSquared;
pub use root_mean_squared_error::RootMeanSquaredError;
pub use task::Task;
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

    /// Like [`Metric::check`], for a metric that needs more than the targets.
    ///
    /// # Errors
    /// A message that names the data that it needs.
    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        self.check(task.targets)
    }

    /// Creates an empty tally, for one validation.
    fn tally(&self) -> Box<dyn Tally>;

    /// Like [`Metric::tally`], for a metric that needs more than outputs and targets.
    fn tally_for(&self, _task: &Task) -> Box<dyn Tally> {
        self.tally()
    }
}

/// A metric accumulated over the batches of a validation.
pub trait Tally {
    /// Takes in a batch: the model's outputs for it, and its targets, of the shapes that
    /// [`Loss::forward`](crate::loss::Loss::forward) takes.
    ///
    /// # Errors
    /// The shapes do not fit, or the device fails.
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()>;

    /// Returns the metric over all added batches; not a finite number where it is not defined.
    fn value(&self) -> f64;

    /// Returns lists of numbers beside the value, by their names, such as one number for each class.
    fn lists(&self) -> Vec<(&'static str, Vec<f64>)> {
        Vec::new()
    }

    /// Returns the numbers that make up the value so far, if those of several batches can be added one after the other.
    /// Several processes then share a validation; without, each computes all of it.
    fn sums(&self) -> Option<Vec<f64>> {
        None
    }

    /// Takes in a batch by the [`Tally::sums`] of a tally to which only this batch was added.
    fn add_sums(&mut self, _sums: &[f64]) {}
}
