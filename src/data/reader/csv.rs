//! Rows of a CSV file.

use super::ReadRows;
use super::table::Decoder;
use crate::data::csv::{CsvReader, Records};
use crate::data::frame::Value;
use crate::data::{DataConfig, DataError, Schema};
use crate::state::State;

/// The rows of a CSV file.
pub(super) struct CsvRows {
    records: Records<'static>,
    decoder: Decoder,
    names: Option<Vec<String>>,
    count: usize,
    /// A record that was looked at for its columns.
    first: Option<csv::StringRecord>,
    ended: bool,
}

impl CsvRows {
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let CsvReader { header, skip_lines, .. } = CsvReader::new(config)?;
        let mut records = Records::in_file(&config.path, skip_lines)?;
        let first = records.next()?.ok_or_else(|| DataError::NoRows { path: config.path.clone() })?;
        let (count, names) = (first.len(), header.then(|| first.iter().map(str::to_owned).collect::<Vec<_>>()));
        let decoder = Decoder::new(config, schema, memory, with_targets, names.as_deref(), count)?;
        let first = (!header).then_some(first);
        Ok(Self { records, decoder, names, count, first, ended: false })
    }

    fn batch(&mut self) -> Result<Option<ReadRows>, DataError> {
        while !self.decoder.is_full() {
            let Some(record) = self.first.take().map_or_else(|| self.records.next(), |first| Ok(Some(first)))? else {
                break;
            };
            if record.len() != self.count {
                let (found, expected) = (record.len(), self.count);
                let line = self.records.line(&record);
                return Err(DataError::Ragged { path: self.records.path().into(), line, found, expected });
            }
            let pushed = self.decoder.push(|column| Ok(Value::Text(record.get(column).unwrap_or_default())));
            pushed.map_err(|(column, problem)| DataError::Field {
                path: self.records.path().into(),
                line: self.records.line(&record),
                column: match self.names.as_ref().and_then(|names| names.get(column)) {
                    Some(name) => format!("column `{name}`"),
                    None => format!("column {column} (counted from 0)"),
                },
                problem,
            })?;
        }
        self.decoder.take()
    }
}

impl Iterator for CsvRows {
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
