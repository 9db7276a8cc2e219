//! Why there is no model for a configuration.

use thiserror::Error;

use crate::backtrace::from_candle;
use crate::model::Input;

/// Why there is no model for a configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A field has a value it cannot have.
    #[error("model.{field} = {value}: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// The model is for other data.
    #[error("{model} takes {takes}, and a row of the data is {data}")]
    OtherData {
        /// The model.
        model: &'static str,
        /// What it takes.
        takes: String,
        /// What one row of the data is.
        data: Input,
    },
    /// The device fails, for lack of memory for example.
    #[error(transparent)]
    Device(candle_core::Error),
}

from_candle!(ModelError => Device);

impl ModelError {
    /// The error of a setting.
    pub fn field(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), rule: rule.into() }
    }
}

/// Refuses a share of dropped units that is none.
pub(super) fn check_dropout(dropout: f64) -> Result<(), ModelError> {
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    Err(ModelError::field("dropout", dropout, "must be at least 0 and below 1"))
}
