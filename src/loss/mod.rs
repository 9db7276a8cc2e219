//! Losses: the function that training minimizes, the accuracy, and the meaning of outputs.
//!
//! A loss is used by training, by validation and by a prediction alike. To add one, write its file and its
//! line in `catalogue.rs`; a program adds its own with [`register`].

mod binary_cross_entropy;
mod catalogue;
mod config;
mod cross_entropy;
mod custom;
mod mean_squared_error;
mod predicted;
mod targets;

use std::fmt::Debug;

use candle_core::{Result, Tensor};
use thiserror::Error;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use catalogue::register;
pub use config::LossConfig;
pub use cross_entropy::CrossEntropy;
pub use custom::Custom;
pub use mean_squared_error::MeanSquaredError;
pub use predicted::Predicted;
pub(crate) use predicted::largest;
pub use targets::TargetKind;

/// A loss that a run minimizes. Its fields are the settings of the `[loss]` table.
///
/// ```
/// use candle_core::{Result, Tensor};
/// use rekindle::loss::{Loss, LossConfig, LossError, TargetKind, register};
/// use serde::{Deserialize, Serialize};
///
/// /// The mean distance of outputs from values.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct MeanAbsoluteError {}
///
/// impl Loss for MeanAbsoluteError {
///     fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
///         match targets {
///             TargetKind::Values { width } => Ok(width),
///             TargetKind::Classes { .. } => Err(LossError::Unfit { targets }),
///         }
///     }
///     fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
///         (outputs - targets)?.abs()?.mean_all()
///     }
/// }
///
/// register::<MeanAbsoluteError>("mae")?;
/// let config: LossConfig = toml::from_str("kind = 'mae'")?;
/// assert_eq!(config, LossConfig::of(&MeanAbsoluteError {})?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Loss: Debug + Send + Sync + 'static {
    /// Checks the settings before any data is read.
    ///
    /// # Errors
    /// The setting and its value.
    fn validate(&self) -> std::result::Result<(), LossError> {
        Ok(())
    }

    /// Returns the number of model outputs for each row with such a target, or for each position in a row.
    ///
    /// # Errors
    /// The loss, or a setting, does not fit such targets.
    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError>;

    /// The mean over the targets of a batch, a scalar to train on. `outputs` are `[rows, …, numbers]`; `targets` are
    /// `[rows, width]`, f32, where they are values, and `[rows]` or `[rows, positions]`, u32, where they are classes.
    ///
    /// # Errors
    /// The shapes do not fit, or the device fails.
    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// Returns the mean for validation, without terms that only regularize training, such as label smoothing.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    fn measure(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.forward(outputs, targets)
    }

    /// Whether targets can be right or wrong, so that there is an accuracy.
    fn has_accuracy(&self) -> bool {
        false
    }

    /// Returns how many targets are predicted correctly; `None` if there is no accuracy.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    fn correct(&self, _outputs: &Tensor, _targets: &Tensor) -> Result<Option<usize>> {
        Ok(None)
    }

    /// Interprets the outputs of each row for a prediction: by default as values.
    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        Predicted::Values(outputs)
    }
}

/// Errors of choosing a loss.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// The loss is for other targets.
    #[error("does not fit the data, whose targets are {targets}; {}", remedy(*targets))]
    Unfit {
        /// The targets of the data.
        targets: TargetKind,
    },
    /// A setting has an invalid value.
    #[error("{field} = {value}: {rule}")]
    Field {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// The rule for it.
        rule: String,
    },
}

/// Returns the loss that fits targets.
fn remedy(targets: TargetKind) -> &'static str {
    match targets {
        TargetKind::Classes { .. } => {
            "for classes there is `cross_entropy`; if the labels of a table are values, set `data.task = \"regression\"`"
        }
        TargetKind::Values { .. } => "for values there is `mse`",
    }
}

impl LossError {
    /// Creates the error of a setting.
    pub fn field(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), rule: rule.into() }
    }
}

/// Counts the positions where two tensors of integers are equal.
fn count_equal(predicted: &Tensor, targets: &Tensor) -> Result<usize> {
    let equal = predicted.eq(targets)?.flatten_all()?.to_vec1::<u8>()?;
    Ok(equal.into_iter().map(usize::from).sum())
}

/// Checks that a label smoothing is in `[0, 1)`.
fn check_smoothing(label_smoothing: f64) -> std::result::Result<(), LossError> {
    if (0.0..1.0).contains(&label_smoothing) {
        return Ok(());
    }
    Err(LossError::field("label_smoothing", label_smoothing, "must be at least 0 and below 1"))
}
