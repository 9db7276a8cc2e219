//! Rows for a model that is trained already: read one batch after the other, and made into numbers by what the run
//! remembers of its own data, not by what these rows say.
//!
//! 1. `table.rs`: from the fields of a record to numbers; `csv.rs` and `parquet.rs`: the records.
//! 2. `tensors.rs`: rows of a tensor. `images.rs`: images of an IDX file or a folder.

mod csv;
mod images;
#[cfg(feature = "parquet")]
mod parquet;
mod table;
mod tensors;

use candle_core::Tensor;

use super::format::Format;
use super::{DataConfig, DataError, Schema};
use crate::state::State;

/// Some rows, one after the other.
#[derive(Clone, Debug)]
pub struct ReadRows {
    /// As in a [`Batch`](super::Batch), in host memory.
    pub inputs: Tensor,
    /// As in a [`Batch`](super::Batch), where they were asked for.
    pub targets: Option<Tensor>,
    /// What identifies each row, where it is a file of its own.
    pub names: Option<Vec<String>>,
}

/// Reads rows [`EVALUATION_ROWS`](super::EVALUATION_ROWS) at a time, in memory that does not grow with their number.
///
/// An image file of IDX is read whole.
pub struct RowReader(Box<dyn Iterator<Item = Result<ReadRows, DataError>>>);

impl RowReader {
    /// Opens `config.path`, which holds rows as `config` describes them, for a model whose data was of `schema` and is
    /// remembered by `memory`. Targets are looked at only `with_targets`, and need not be there otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or holds other rows than the model takes.
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let rows: Box<dyn Iterator<Item = _>> = match Format::of(config)? {
            Format::Csv => Box::new(csv::CsvRows::open(config, schema, memory, with_targets)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => Box::new(parquet::ParquetRows::open(config, schema, memory, with_targets)?),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(DataError::NoParquet { path: config.path.clone() }),
            Format::Safetensors => Box::new(tensors::TensorRows::open(config, schema, memory)?),
            Format::Idx => Box::new(images::of_idx(config, schema)?),
            Format::Images => Box::new(images::of_folder(config, schema)?),
            Format::Text => {
                return Err(DataError::NotRows { path: config.path.clone(), input: schema.input.clone() });
            }
        };
        let Some(augment) = config.augment.clone() else { return Ok(Self(rows)) };
        Ok(Self(Box::new(rows.map(move |rows| {
            let rows: ReadRows = rows?;
            Ok(ReadRows { inputs: augment.evaluate(rows.inputs)?, ..rows })
        }))))
    }

    /// Whether targets can be read in this format, with classes by their names.
    pub(crate) fn reads_targets(config: &DataConfig) -> Result<bool, DataError> {
        Ok(matches!(Format::of(config)?, Format::Csv | Format::Parquet))
    }
}

impl Iterator for RowReader {
    type Item = Result<ReadRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
