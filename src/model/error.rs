//! Errors of building a model.

use thiserror::Error;

use crate::backtrace::from_candle;
use crate::model::Input;

/// Errors of building a model from a configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A field has an invalid value.
    #[error("model.{field} = {value}: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The valid values.
        rule: String,
    },
    /// The model is for other data.
    #[error("{model} takes {takes}, and a row of the data is {data}")]
    OtherData {
        /// The model.
        model: &'static str,
        /// The data that it takes.
        takes: String,
        /// The form of a row of the data.
        data: Input,
    },
    /// The model computes in f32 only.
    #[error(
        "precision = {0}: this model computes in f32 only; set it to \"f32\", or implement \
         `ModelSpec::build_with_policy` for the model"
    )]
    Precision(&'static str),
    /// The device failed, for example for lack of memory.
    #[error(transparent)]
    Device(candle_core::Error),
}

from_candle!(ModelError => Device);

impl ModelError {
    /// Creates the error of a setting.
    pub fn field(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), rule: rule.into() }
    }
}

/// Checks that a dropout is in `[0, 1)`.
pub(super) fn check_dropout(dropout: f64) -> Result<(), ModelError> {
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    Err(ModelError::field("dropout", dropout, "must be at least 0 and below 1"))
}
