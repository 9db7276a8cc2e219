//! Rows of a Parquet file.

use std::path::PathBuf;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;

use super::ReadRows;
use super::table::Decoder;
use crate::data::parquet::value;
use crate::data::{DataConfig, DataError, Problem, Schema};
use crate::state::State;

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    path: PathBuf,
    records: RowIter<'static>,
    decoder: Decoder,
    names: Vec<String>,
    /// How many were read.
    row: usize,
    ended: bool,
}

impl ParquetRows {
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let path = config.path.clone();
        crate::data::file::require_file(&path)?;
        let file = std::fs::File::open(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        let damaged = |error: parquet::errors::ParquetError| {
            let reason = error.to_string();
            DataError::Parquet { path: path.clone(), reason }
        };
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        let fields = reader.metadata().file_metadata().schema().get_fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        let decoder = Decoder::new(config, schema, memory, with_targets, Some(&names), names.len())?;
        let records = RowIter::from_file_into(Box::new(reader));
        Ok(Self { path, records, decoder, names, row: 0, ended: false })
    }

    fn batch(&mut self) -> Result<Option<ReadRows>, DataError> {
        while !self.decoder.is_full() {
            let Some(record) = self.records.next() else { break };
            let row = self.row;
            let record = record.map_err(|error| DataError::Parquet {
                path: self.path.clone(),
                reason: format!("row {row} (counted from 0): {error}"),
            })?;
            let fields: Vec<_> = record.get_column_iter().map(|(_, field)| field).collect();
            let pushed =
                self.decoder.push(|column| fields.get(column).map_or(Err(Problem::Empty), |field| value(field)));
            pushed.map_err(|(column, problem)| {
                let column = format!("column `{}`", self.names.get(column).map_or("", String::as_str));
                DataError::ParquetField { path: self.path.clone(), row, column, problem }
            })?;
            self.row += 1;
        }
        self.decoder.take()
    }
}

impl Iterator for ParquetRows {
    type Item = Result<ReadRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}
