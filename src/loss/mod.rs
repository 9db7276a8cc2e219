//! Losses: what training minimizes, what counts as right, and how outputs are read.
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

/// A loss, which a run minimizes. Its fields are the settings of the `[loss]` table.
///
/// ```
/// use candle_core::{Result, Tensor};
/// use rekindle::loss::{Loss, LossConfig, LossError, TargetKind, register};
/// use serde::{Deserialize, Serialize};
///
/// /// The mean distance from the values.
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
    /// Names the setting and its value.
    fn validate(&self) -> std::result::Result<(), LossError> {
        Ok(())
    }

    /// How many numbers the model has to put out for each row with such a target, or for each position of one.
    ///
    /// # Errors
    /// The loss is not for such targets, or a setting is not.
    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError>;

    /// The mean over the targets of a batch, a scalar to train on. `outputs` are `[rows, …, numbers]`; `targets` are
    /// `[rows, width]`, f32, where they are values, and `[rows]` or `[rows, positions]`, u32, where they are classes.
    ///
    /// # Errors
    /// The shapes do not fit, or the device fails.
    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// The mean that a validation reports: without what only regularizes training, such as label smoothing.
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

    /// How many targets the outputs have right; `None` where there is no accuracy.
    ///
    /// # Errors
    /// As [`Loss::forward`].
    fn correct(&self, _outputs: &Tensor, _targets: &Tensor) -> Result<Option<usize>> {
        Ok(None)
    }

    /// How a prediction reads the outputs of each row: as values, unless the loss says otherwise.
    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        Predicted::Values(outputs)
    }
}

/// Why a loss cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LossError {
    /// It is for other targets.
    #[error("does not fit the data, whose targets are {targets}")]
    Unfit {
        /// Those of the data.
        targets: TargetKind,
    },
    /// A setting has a value it cannot have.
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

impl LossError {
    /// The error of a setting.
    pub fn field(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), rule: rule.into() }
    }
}

/// In how many places two tensors of whole numbers agree.
fn count_equal(predicted: &Tensor, targets: &Tensor) -> Result<usize> {
    let equal = predicted.eq(targets)?.flatten_all()?.to_vec1::<u8>()?;
    Ok(equal.into_iter().map(usize::from).sum())
}

/// Refuses a share of the target that is not one.
fn check_smoothing(label_smoothing: f64) -> std::result::Result<(), LossError> {
    if (0.0..1.0).contains(&label_smoothing) {
        return Ok(());
    }
    Err(LossError::field("label_smoothing", label_smoothing, "must be at least 0 and below 1"))
}
