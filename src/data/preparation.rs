//! How the numbers of a row become the input of a model, for a program that computes without this one.

use serde_json::Value;

use super::encoding::{Encoding, Precision};
use super::{DataConfig, DataError, Input, Normalize, Schema, Statistics, TargetScale};
use crate::state::{State, StateError};

/// The steps between a row and the input of its model, with the saved state of the run's data.
pub(crate) struct Preparation {
    /// Mean and divisor of each number of a row.
    pub statistics: Option<Statistics>,
    /// Mean and divisor of each channel of an image.
    pub normalize: Option<Normalize>,
    /// The columns of a table.
    pub columns: Option<Prepared>,
}

/// The columns of a table as numbers.
pub(crate) struct Prepared {
    /// The name of each number of a row.
    pub names: Vec<String>,
    /// How each column becomes numbers, as in a checkpoint; `None` if each is a number that may not be missing.
    pub encodings: Option<Value>,
    /// Whether numbers have 64 bits until they are standardized.
    pub are_double: bool,
}

impl Preparation {
    /// Reads it from the state `memory` of a run's data, whose rows have this `schema`.
    ///
    /// # Errors
    /// The state does not fit the rows.
    pub fn of(config: &DataConfig, schema: &Schema, memory: &State) -> Result<Self, DataError> {
        let columns = schema.names.columns.as_ref().map(|_| Prepared::of(schema, memory)).transpose()?;
        let has_statistics = !memory.tensors.is_empty() && matches!(schema.input, Input::Numbers(_));
        let statistics = has_statistics.then(|| Statistics::read(memory, schema.input.numbers())).transpose()?;
        let normalize = config.augment.as_ref().and_then(|augment| augment.normalize.clone());
        Ok(Self { statistics, normalize, columns })
    }
}

impl Prepared {
    fn of(schema: &Schema, memory: &State) -> Result<Self, StateError> {
        let columns = schema.names.columns.clone().unwrap_or_default();
        let known: Vec<&str> =
            columns.features().filter_map(|place| columns.all.get(place)).map(String::as_str).collect();
        let (_, state) = TargetScale::split(&memory.json)?;
        let encoding = Encoding::restore(&state, &known)?;
        let encodings = state.get("columns").filter(|columns| columns.as_array().is_some_and(|all| !all.is_empty()));
        Ok(Self {
            names: encoding.number_names(),
            encodings: encodings.cloned(),
            are_double: encoding.precision == Precision::Double,
        })
    }
}
