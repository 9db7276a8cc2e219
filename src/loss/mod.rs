//! Losses: the function that training minimizes, the accuracy, and the meaning of outputs.
//!
//! A loss is used by training, by validation and by a prediction alike. To add one, write its file and its
//! line in `catalogue.rs`; a program adds its own with [`register`].

mod binary_cross_entropy;
mod catalogue;
mod class_weights;
mod config;
mod cross_entropy;
mod custom;
mod focal;
mod link;
mod mean_squared_error;
mod of_values;
mod predicted;
mod targets;

use std::fmt::Debug;

use candle_core::{D, DType, Result, Tensor};
use thiserror::Error;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use catalogue::register;
pub use class_weights::ClassWeights;
pub use config::LossConfig;
pub use cross_entropy::CrossEntropy;
pub use custom::Custom;
pub use focal::Focal;
pub use link::Link;
pub use mean_squared_error::MeanSquaredError;
pub use of_values::{AbsoluteError, Huber, Poisson};
pub use predicted::Predicted;
pub(crate) use predicted::largest;
use predicted::sigmoid;
pub use targets::TargetKind;

/// A loss that a run minimizes. Its fields are the settings of the `[loss]` table.
///
/// ```
/// use candle_core::{Result, Tensor};
/// use rekindle::loss::{Loss, LossConfig, LossError, TargetKind, register};
/// use serde::{Deserialize, Serialize};
///
/// /// The mean root of distances of outputs from values.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct RootDistance {}
///
/// impl Loss for RootDistance {
///     fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
///         match targets {
///             TargetKind::Values { width } => Ok(width),
///             TargetKind::Classes { .. } => Err(LossError::Unfit { targets }),
///         }
///     }
///     fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
///         (outputs - targets)?.abs()?.sqrt()?.mean_all()
///     }
/// }
///
/// register::<RootDistance>("root_distance")?;
/// let config: LossConfig = toml::from_str("kind = 'root_distance'")?;
/// assert_eq!(config, LossConfig::of(&RootDistance {})?);
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

    /// Returns the sum of the weights of targets, by which [`Loss::measure`] divides: by default their number. The loss
    /// of a validation is then the mean over all its targets, whatever the batch size.
    ///
    /// # Errors
    /// The device fails.
    fn weight(&self, targets: &Tensor) -> Result<f64> {
        Ok(count(targets)? as f64)
    }

    /// Returns the class that marks positions without a target. They are left out of a validation.
    fn ignored(&self) -> Option<u32> {
        None
    }

    /// Returns the configuration of the same loss that leaves out the positions with this class; `None` if it cannot.
    fn ignoring(&self, _class: u32) -> Option<LossConfig> {
        None
    }

    /// Whether values are labels, each 0 or 1, and outputs their logits. Metrics of classes are then computed of them,
    /// and not those of values.
    fn takes_labels(&self) -> bool {
        false
    }

    /// Whether not every value can be a target, so that a run looks at them before its first step.
    fn limits_targets(&self) -> bool {
        false
    }

    /// Refuses values that cannot be targets. A device other than the CPU is not read.
    ///
    /// # Errors
    /// A value, and those that can be targets.
    fn check_targets(&self, _targets: &Tensor) -> Result<()> {
        Ok(())
    }

    /// Whether targets that are classes may also be the probabilities of all classes, `[rows, classes]`, f32, as those of
    /// mixed rows are.
    fn takes_probabilities(&self) -> bool {
        false
    }

    /// Returns outputs in the unit of the values that they predict, for metrics: by default unchanged.
    ///
    /// # Errors
    /// The device fails.
    fn values(&self, outputs: &Tensor) -> Result<Tensor> {
        Ok(outputs.clone())
    }

    /// Interprets the outputs of each row for a prediction: by default as values.
    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        Predicted::Values(outputs)
    }

    /// Like [`Loss::interpret`], for a loss whose outputs mean something else for other targets.
    fn interpret_for(&self, _targets: TargetKind, outputs: Vec<Vec<f32>>) -> Predicted {
        self.interpret(outputs)
    }

    /// Returns how the outputs of a row with such a target become a prediction, so that other programs can compute it;
    /// `None` if it is another function than these, as [`Loss::interpret_for`] of a loss of your own may be.
    fn link(&self, _targets: TargetKind) -> Option<Link> {
        None
    }

    /// Whether a setting depends on the number of training rows of each class.
    fn is_balanced(&self) -> bool {
        false
    }

    /// Returns the configuration in which such a setting is replaced by what follows from the numbers of training rows
    /// of the classes.
    ///
    /// # Errors
    /// It does not follow from them.
    fn with_counts(&self, _counts: &[usize]) -> std::result::Result<Option<LossConfig>, LossError> {
        Ok(None)
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
            "for classes there are `cross_entropy` and `focal`, for two also `binary_cross_entropy`; if the labels of a table are values, set `data.task = \"regression\"`"
        }
        TargetKind::Values { .. } => {
            "for values there are `mse`, `mae`, `huber` and `poisson`, for labels that are 0 or 1 `binary_cross_entropy`"
        }
    }
}

impl LossError {
    /// Creates the error of a setting.
    pub fn field(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), rule: rule.into() }
    }
}

/// Returns the number of targets: rows, or positions with a class each.
pub(crate) fn count(targets: &Tensor) -> Result<usize> {
    if targets.dtype().is_int() { Ok(targets.elem_count()) } else { targets.dim(0) }
}

/// Returns the outputs and targets of a batch without those that `loss` ignores; `None` if there are no others.
pub(crate) fn counted(loss: &dyn Loss, outputs: &Tensor, targets: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
    let all = || Ok(Some((outputs.clone(), targets.clone())));
    let Some(ignored) = loss.ignored().filter(|_| targets.dtype().is_int()) else { return all() };
    let targets = targets.flatten_all()?;
    let classes = targets.to_dtype(DType::U32)?.to_vec1::<u32>()?;
    let places = (0u32..).zip(&classes).filter(|(_, class)| **class != ignored).map(|(place, _)| place);
    let places: Vec<u32> = places.collect();
    match places.len() {
        0 => Ok(None),
        count if count == classes.len() => all(),
        count => {
            let places = Tensor::from_vec(places, count, targets.device())?;
            let outputs = outputs.reshape(((), outputs.dim(D::Minus1)?))?;
            Ok(Some((outputs.index_select(&places, 0)?, targets.index_select(&places, 0)?)))
        }
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
