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
pub(crate) use self::table::lines_before_rows;
use super::csv::CsvRecords;
use super::format_kind::Format;
use super::{Augment, DataConfig, DataError, Schema};
use crate::Notice;
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
pub struct RowReader {
    rows: Rows,
    augment: Option<Augment>,
    /// What was seen before the first row was read.
    notices: Vec<Notice>,
}

enum Rows {
    Table(Box<dyn Remarking>),
    Others(Box<dyn Iterator<Item = Result<ReadRows, DataError>>>),
}

/// Rows of which there may be something to say, once they were read.
trait Remarking: Iterator<Item = Result<ReadRows, DataError>> {
    /// Likely mistakes in the rows that were read so far.
    fn notices(&self) -> Vec<Notice>;
}

impl RowReader {
    /// Opens `config.path`, which holds rows as `config` describes them, for a model whose data was of `schema` and is
    /// remembered by `memory`. Targets are looked at only `with_targets`, and need not be there otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or holds other rows than the model takes.
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let mut notices = Vec::new();
        let rows = match Format::of(config)? {
            Format::Csv => {
                let records = CsvRecords::in_file(config)?;
                Rows::Table(Box::new(TableRows::new(records, config, schema, memory, with_targets)?))
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                let records = super::parquet::ParquetRecords::in_file(&config.path)?;
                Rows::Table(Box::new(TableRows::new(records, config, schema, memory, with_targets)?))
            }
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(super::TableError::NoParquet { path: config.path.clone() }.into()),
            Format::Safetensors => {
                Rows::Others(Box::new(tensors::TensorRows::open(config, schema, memory, with_targets)?))
            }
            Format::Idx => Rows::Others(Box::new(images::of_idx(config, schema, with_targets)?)),
            Format::Images => {
                let (rows, said) = images::of_folder(config, schema, with_targets)?;
                notices = said;
                Rows::Others(Box::new(rows))
            }
            Format::Text => {
                return Err(DataError::NotRows { path: config.path.clone(), input: schema.input.clone() });
            }
            format @ (Format::Custom | Format::Own(_)) => {
                return Err(DataError::OwnFormat { path: config.path.clone(), format: format.word() });
            }
        };
        Ok(Self { rows, augment: config.augment.clone(), notices })
    }

    /// Likely mistakes in the rows that were read so far, such as categories that no training row has.
    pub fn notices(&self) -> Vec<Notice> {
        match &self.rows {
            Rows::Table(rows) => rows.notices(),
            Rows::Others(_) => self.notices.clone(),
        }
    }
}

impl Iterator for RowReader {
    type Item = Result<ReadRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = match &mut self.rows {
            Rows::Table(rows) => rows.next(),
            Rows::Others(rows) => rows.next(),
        }?;
        Some(rows.and_then(|rows| match &self.augment {
            Some(augment) => Ok(ReadRows { inputs: augment.evaluate(rows.inputs)?, ..rows }),
            None => Ok(rows),
        }))
    }
}
