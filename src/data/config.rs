//! What a user may write about data, and what it means.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::csv::CsvReader;
use super::file::DataFile;
use super::tensors::TensorReader;
use super::{BatchSize, DataError, LastBatch, Rows};

/// The `[data]` table of a config, as it was typed. Options left out have the defaults named here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The file, plain or gzip.
    pub path: PathBuf,
    /// What the file is; left out, the ending of its name says it, `.gz` aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// CSV: whether the first line names the columns. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// CSV: how many lines to pass over before the header or the first row. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_lines: Option<usize>,
    /// CSV: the column that is the target. Default -1, the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// CSV: whether the label is a class or a value. Default classification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// safetensors: the name of the inputs, F32 `[rows, …]`. Default "x".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// safetensors: the name of the targets. F32 `[rows]` or `[rows, width]` are values; I64, U32 or U8 `[rows]` or
    /// `[rows, 1]` are classes. Default "y".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// How many classes there are. Default: one more than the largest label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<NonZeroUsize>,
    /// Whether every feature gets mean 0 and deviation 1. Default true for CSV, false for safetensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standardize: Option<bool>,
    /// The share of the rows that is set aside for validation, in `[0, 1)`. Default 0.
    #[serde(default)]
    pub validation: f64,
    /// Rows per update, or "all". Default 32.
    #[serde(default = "default_batch_size")]
    pub batch_size: BatchSize,
    /// Whether each epoch has its own order. Default true; false where a batch is all rows, which would only be
    /// summed in another order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<bool>,
    /// Whether a last batch that is not full is left out. Default false.
    #[serde(default)]
    pub drop_last: bool,
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// Tensors by name.
    Safetensors,
}

/// What is to be learned from a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The label is a class, a whole number from 0.
    Classification,
    /// The label is a number.
    Regression,
}

/// A column of a CSV file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`label` is the name of a column, or its number: 0 is the first, -1 the last")]
pub enum Label {
    /// By its number, from 0; negative numbers count from the end.
    Index(i64),
    /// By its name in the header.
    Name(String),
}

fn default_batch_size() -> BatchSize {
    BatchSize::Rows(NonZeroUsize::MIN.saturating_add(31))
}

impl DataConfig {
    /// The defaults for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            header: None,
            skip_lines: None,
            label: None,
            task: None,
            inputs: None,
            targets: None,
            classes: None,
            standardize: None,
            validation: 0.0,
            batch_size: default_batch_size(),
            shuffle: None,
            drop_last: false,
        }
    }

    /// What becomes of the rows that do not fill a batch.
    pub(super) fn last_batch(&self) -> LastBatch {
        if self.drop_last { LastBatch::Drop } else { LastBatch::Keep }
    }

    /// The run's seed, where the order is shuffled.
    pub(super) fn shuffle_seed(&self, seed: u64) -> Option<u64> {
        self.shuffle.unwrap_or(self.batch_size != BatchSize::All).then_some(seed)
    }

    /// How the file is to be read.
    pub(super) fn reader(&self) -> Result<Reader<'_>, DataError> {
        match self.format()? {
            Format::Csv => {
                let foreign = [("inputs", self.inputs.is_some()), ("targets", self.targets.is_some())];
                refuse(&foreign, "CSV")?;
                let task = self.task.unwrap_or(Task::Classification);
                if task == Task::Regression {
                    refuse(&[("classes", self.classes.is_some())], "regression")?;
                }
                Ok(Reader::Csv(CsvReader {
                    header: self.header.unwrap_or(true),
                    skip_lines: self.skip_lines.unwrap_or(0),
                    label: self.label.as_ref().unwrap_or(&Label::Index(-1)),
                    task,
                    classes: self.classes,
                }))
            }
            Format::Safetensors => {
                let foreign = [
                    ("header", self.header.is_some()),
                    ("skip_lines", self.skip_lines.is_some()),
                    ("label", self.label.is_some()),
                    ("task", self.task.is_some()),
                ];
                refuse(&foreign, "safetensors")?;
                Ok(Reader::Tensors(TensorReader {
                    inputs: self.inputs.as_deref().unwrap_or("x"),
                    targets: self.targets.as_deref().unwrap_or("y"),
                    classes: self.classes,
                }))
            }
        }
    }

    fn format(&self) -> Result<Format, DataError> {
        let named = || {
            let is = |path: &Path, ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
            let bare = if is(&self.path, "gz") { self.path.with_extension("") } else { self.path.clone() };
            match bare {
                path if is(&path, "csv") => Some(Format::Csv),
                path if is(&path, "safetensors") => Some(Format::Safetensors),
                _ => None,
            }
        };
        self.format.or_else(named).ok_or_else(|| DataError::UnknownFormat { path: self.path.clone() })
    }
}

/// Names the first option that was given though it has no meaning for `place`.
fn refuse(options: &[(&'static str, bool)], place: &'static str) -> Result<(), DataError> {
    match options.iter().find(|(_, given)| *given) {
        Some(&(option, _)) => Err(DataError::Meaningless { option, place }),
        None => Ok(()),
    }
}

/// A format with its options: what the typed words mean.
pub(super) enum Reader<'a> {
    Csv(CsvReader<'a>),
    Tensors(TensorReader<'a>),
}

impl Reader<'_> {
    /// The rows of `file`.
    pub fn read(&self, file: &DataFile) -> Result<Rows, DataError> {
        match self {
            Self::Csv(reader) => reader.read(file.path, &file.content),
            Self::Tensors(reader) => reader.read(file.path, &file.content),
        }
    }

    /// Whether features are standardized where the user does not say.
    pub fn standardizes(&self) -> bool {
        matches!(self, Self::Csv(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_name_tells_the_format() {
        let format = |path: &str| DataConfig::new(path).format();
        for csv in ["a.csv", "a.CSV", "a.csv.gz", "dir.safetensors/a.csv"] {
            assert_eq!(format(csv).unwrap(), Format::Csv);
        }
        assert_eq!(format("a.safetensors").unwrap(), Format::Safetensors);
        assert_eq!(
            format("a.dat").unwrap_err().to_string(),
            "the name of a.dat does not tell its format; set `data.format` to \"csv\" or \"safetensors\""
        );
    }

    #[test]
    fn a_config_is_written_as_it_was_typed() {
        let text = "path = \"a.csv\"\nlabel = -2\nvalidation = 0.2\nbatch_size = \"all\"\ndrop_last = true\n";
        let config: DataConfig = toml::from_str(text).unwrap();
        assert_eq!(config.label, Some(Label::Index(-2)));
        assert_eq!(toml::to_string(&config).unwrap(), text);
    }

    #[test]
    fn defaults_are_those_of_new() {
        assert_eq!(toml::from_str::<DataConfig>("path = \"a.csv\"").unwrap(), DataConfig::new("a.csv"));
    }

    #[test]
    fn a_whole_batch_is_shuffled_only_on_request() {
        let mut config = DataConfig::new("a.csv");
        assert_eq!(config.shuffle_seed(7), Some(7));
        config.batch_size = BatchSize::All;
        assert_eq!(config.shuffle_seed(7), None);
        config.shuffle = Some(true);
        assert_eq!(config.shuffle_seed(7), Some(7));
    }

    #[test]
    fn bad_options_say_what_is_expected() {
        let message =
            |line: &str| toml::from_str::<DataConfig>(&format!("path = \"a\"\n{line}")).unwrap_err().to_string();
        assert!(message("label = 1.5").contains("`label` is the name of a column, or its number"));
        assert!(message("batch_size = 0").contains("`batch_size` is a positive number of rows, or \"all\""));
        assert!(message("classes = 0").contains("nonzero"));
        assert!(message("batchsize = 1").contains("unknown field `batchsize`"));
    }
}
