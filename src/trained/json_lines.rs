//! Predictions as JSON lines: an object for each row.

use std::io::{self, BufWriter, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::PredictedRows;
use super::columns::{Columns, Row};

/// Lines that are being written to `W`.
pub(super) struct JsonLines<W: Write> {
    columns: Columns,
    out: BufWriter<W>,
}

impl<W: Write> JsonLines<W> {
    pub fn new(columns: Columns, out: W) -> Self {
        Self { columns, out: BufWriter::new(out) }
    }

    pub fn write(&mut self, rows: &PredictedRows) -> io::Result<()> {
        for row in self.columns.rows(rows) {
            serde_json::to_writer(&mut self.out, &Line { columns: &self.columns, row: &row })?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

/// `{"class": "owl", "probabilities": {"owl": 0.9, …}}`, the classes in their order or the most probable first;
/// for values one entry for each.
struct Line<'a> {
    columns: &'a Columns,
    row: &'a Row<'a>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { columns, row } = self;
        let mut line = serializer.serialize_map(None)?;
        if columns.has_names {
            line.serialize_entry("file", &row.file)?;
        }
        match row.classes.first() {
            Some(&class) if columns.are_words => line.serialize_entry("class", columns.name_of(class))?,
            Some(class) => line.serialize_entry("class", class)?,
            None => {
                for (name, number) in columns.numbers.iter().zip(&row.numbers) {
                    line.serialize_entry(name, number)?;
                }
                return line.end();
            }
        }
        line.serialize_entry("probabilities", &Probabilities(self))?;
        line.end()
    }
}

/// The probabilities of a line, by the names of the classes.
struct Probabilities<'a>(&'a Line<'a>);

impl Serialize for Probabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Line { columns, row } = self.0;
        let class = |place: usize| match columns.top_k {
            Some(_) => row.classes.get(place).copied().unwrap_or_default(),
            None => place as u32,
        };
        let numbers = row.numbers.iter().enumerate();
        serializer.collect_map(numbers.map(|(place, number)| (columns.name_of(class(place)), number)))
    }
}
