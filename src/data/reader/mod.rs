//! Rows for a model that is trained already: read one batch after the other, and made into numbers by what the run
//! remembers of its own data, not by what these rows say.
//!
//! 1. `table.rs`: records of a table.
//! 2. `tensors.rs`: rows of a tensor. `images.rs`: images of an IDX file or a folder.

mod images;
mod table;
mod tensors;

use candle_core::Tensor;

use self::table::TableRows;
use super::csv::CsvRecords;
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
/// An image file of IDX is read whole, and so is what is packed with gzip and is no CSV.
pub struct RowReader(Box<dyn Iterator<Item = Result<ReadRows, DataError>>>);

impl RowReader {
    /// Opens `config.path`, which holds rows as `config` describes them, for a model whose data was of `schema` and is
    /// remembered by `memory`. Targets are looked at only `with_targets`, and need not be there otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or holds other rows than the model takes.
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let rows: Box<dyn Iterator<Item = _>> = match Format::of(config)? {
            Format::Csv => {
                Box::new(TableRows::new(CsvRecords::in_file(config)?, config, schema, memory, with_targets)?)
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                let records = super::parquet::ParquetRecords::in_file(&config.path)?;
                Box::new(TableRows::new(records, config, schema, memory, with_targets)?)
            }
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(super::TableError::NoParquet { path: config.path.clone() }.into()),
            Format::Safetensors => Box::new(tensors::TensorRows::open(config, schema, memory, with_targets)?),
            Format::Idx => Box::new(images::of_idx(config, schema, with_targets)?),
            Format::Images => Box::new(images::of_folder(config, schema, with_targets)?),
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
}

impl Iterator for RowReader {
    type Item = Result<ReadRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
