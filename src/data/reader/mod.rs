//! Reads rows for a trained model: batch by batch, converted with the saved state of the run's data, not with
//! statistics of these rows.
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

/// Some consecutive rows.
#[derive(Clone, Debug)]
pub struct ReadRows {
    /// Inputs as in a [`Batch`](super::Batch), in host memory.
    pub inputs: Tensor,
    /// Targets as in a [`Batch`](super::Batch), if they were requested.
    pub targets: Option<Tensor>,
    /// The name of each row, if it is a separate file.
    pub names: Option<Vec<String>>,
}

/// Reads rows [`EVALUATION_ROWS`](super::EVALUATION_ROWS) at a time, in memory that does not grow with their number.
///
/// An IDX file of images and arrays of NumPy are read whole, and so are gzip files other than CSV.
pub struct RowReader {
    rows: Rows,
    augment: Option<Augment>,
    /// Notices from before the first row was read.
    notices: Vec<Notice>,
}

enum Rows {
    Table(Box<dyn Remarking>),
    Others(Box<dyn Iterator<Item = Result<ReadRows, DataError>>>),
}

/// Rows that may yield remarks when they were read.
trait Remarking: Iterator<Item = Result<ReadRows, DataError>> {
    /// Returns likely mistakes in the rows read so far.
    fn notices(&self) -> Vec<Notice>;
}

impl RowReader {
    /// Opens `config.path`, with rows as `config` describes them, for a model whose data had `schema` and the state
    /// `memory`. Targets are only read `with_targets`, and may be missing otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or has other rows than the model takes.
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
            Format::Safetensors | Format::Npy | Format::Npz => {
                Rows::Others(Box::new(tensors::TensorRows::open(config, schema, memory, with_targets)?))
            }
            Format::Idx => Rows::Others(Box::new(images::of_idx(config, schema, with_targets)?)),
            Format::Images => {
                let (rows, said) = images::of_folder(config, schema, memory, with_targets)?;
                notices = said;
                Rows::Others(Box::new(rows))
            }
            Format::Text | Format::Jsonl => {
                return Err(DataError::NotRows { path: config.path.clone(), input: schema.input.clone() });
            }
            format @ (Format::Custom | Format::Own(_)) => {
                return Err(DataError::OwnFormat { path: config.path.clone(), format: format.word() });
            }
        };
        Ok(Self { rows, augment: config.augment.clone(), notices })
    }

    /// Returns likely mistakes in the rows read so far, such as categories that no training row has.
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
