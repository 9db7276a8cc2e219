//! The formats of data: how one is told, which options it takes, and who reads it.

use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::dataset::Source;
use super::file::DataFile;
use super::{DataConfig, DataError, Rows, Split, Table, csv, idx, tensors, text};

/// A format of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// Tensors by name.
    Safetensors,
    /// Images and labels as MNIST has them.
    Idx,
    /// Text, as rows of tokens.
    Text,
}

/// Options that every format takes: where the data is, how it is divided, and in which order it comes.
const COMMON: [&str; 6] = ["path", "format", "validation", "batch_size", "shuffle", "drop_last"];

impl Format {
    /// The format that is named, or else told by the ending of the file's name.
    fn of(config: &DataConfig) -> Result<Self, DataError> {
        let is = |path: &Path, ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        let bare = if is(&config.path, "gz") { config.path.with_extension("") } else { config.path.clone() };
        let named = match bare {
            path if is(&path, "csv") => Some(Self::Csv),
            path if is(&path, "safetensors") => Some(Self::Safetensors),
            path if is(&path, "txt") => Some(Self::Text),
            _ => None,
        };
        config.format.or(named).ok_or_else(|| DataError::UnknownFormat { path: config.path.clone() })
    }

    /// Its name in a message.
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Safetensors => "safetensors",
            Self::Idx => "IDX",
            Self::Text => "text",
        }
    }

    /// What it takes beside the [`COMMON`] options.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &["header", "skip_lines", "label", "task", "classes", "standardize"],
            Self::Safetensors => &["inputs", "targets", "classes", "standardize"],
            Self::Idx => &["images", "labels", "validation_images", "validation_labels", "classes"],
            Self::Text => &["tokens", "tokenizer", "context", "cache"],
        }
    }

    /// Refuses the first option that was given though it has no meaning here.
    fn check(self, config: &DataConfig) -> Result<(), DataError> {
        let given = serde_json::to_value(config).unwrap_or_default();
        let mut given = given.as_object().into_iter().flat_map(|options| options.keys());
        let known = |option: &str| COMMON.contains(&option) || self.options().contains(&option);
        match given.find(|option| !known(option)) {
            Some(option) => Err(DataError::meaningless(option, self.name())),
            None => Ok(()),
        }
    }
}

/// The data set that `config` describes, and its split by `seed`. A table is brought to `device`.
pub(super) fn open(config: &DataConfig, seed: u64, device: &Device) -> Result<(Box<dyn Source>, Split), DataError> {
    let format = Format::of(config)?;
    format.check(config)?;
    match format {
        Format::Csv => table(config, seed, device, true, |file| csv::CsvReader::new(config)?.read(file)),
        Format::Safetensors => table(config, seed, device, false, |file| tensors::TensorReader::new(config).read(file)),
        Format::Idx => idx::open(config, seed),
        Format::Text => text::open(config),
    }
}

fn table(
    config: &DataConfig,
    seed: u64,
    device: &Device,
    standardize: bool,
    read: impl FnOnce(&DataFile) -> Result<Rows, DataError>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let file = DataFile::read(&config.path)?;
    let rows = read(&file)?;
    let split = Split::new(rows.len(), config.validation, seed)?;
    let mut table = Table::new(rows, file.fingerprint, device)?;
    if config.standardize.unwrap_or(standardize) {
        table = table.standardized(&split)?;
    }
    Ok((Box::new(table), split))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_name_tells_the_format() {
        let format = |path: &str| Format::of(&DataConfig::new(path));
        for csv in ["a.csv", "a.CSV", "a.csv.gz", "dir.safetensors/a.csv"] {
            assert_eq!(format(csv).unwrap(), Format::Csv);
        }
        assert_eq!(format("a.safetensors").unwrap(), Format::Safetensors);
        assert_eq!(format("a.txt.gz").unwrap(), Format::Text);
        assert_eq!(
            format("a.dat").unwrap_err().to_string(),
            "the name of a.dat does not tell its format; set `data.format` to \"csv\", \"safetensors\", \"idx\" or \"text\""
        );
    }
}
