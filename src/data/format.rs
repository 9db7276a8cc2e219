//! Formats of data: their recognition, options and readers.

use std::path::Path;

use candle_core::Device;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::columns::TableOptions;
use super::dataset::Source;
use super::encoding::EncodingOptions;
use super::file::DataFile;
use super::frame::Frame;
use super::{DataConfig, DataError, DatasetSpec, Fingerprint, Recalled, Split, Table, csv, folder, idx, tensors, text};
use crate::registry::Named;

/// A format of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// A columnar table format.
    Parquet,
    /// Named tensors.
    Safetensors,
    /// Images and labels in MNIST's format.
    Idx,
    /// Text, as rows of tokens.
    Text,
    /// A folder with one subfolder of images per class.
    Images,
    /// Rows that the training program passes as a value; there is no `data.path`.
    Custom,
    /// A registered format, by its name.
    #[schemars(skip)]
    Own(&'static str),
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let registered = || <dyn DatasetSpec>::registry().find(&word).map(|kind| Self::Own(kind.name));
        let found = Self::BUILT_IN.into_iter().find(|format| format.word() == word).or_else(registered);
        found.ok_or_else(|| {
            let known = Self::BUILT_IN.map(|format| format!("`{}`", format.word())).join(", ");
            let register = "a user-defined one must be registered first, with rekindle::data::register";
            D::Error::custom(format!("unknown variant `{word}`, expected one of {known}; {register}"))
        })
    }
}

/// Options of CSV.
const CSV: &[&str] = &[
    "header",
    "skip_lines",
    "delimiter",
    "missing_values",
    "label",
    "task",
    "ignore",
    "categories",
    "encoding",
    "missing",
    "missing_indicator",
    "classes",
    "standardize",
];

/// Options of every table format.
const TABLE: &[&str] = CSV.split_at(4).1;

/// Options of every format: the place of the data, its split, its order, and changes at every step.
pub(super) const COMMON: [&str; 7] = ["path", "format", "validation", "batch_size", "shuffle", "drop_last", "augment"];

impl Format {
    /// All formats except registered ones.
    pub(super) const BUILT_IN: [Self; 7] =
        [Self::Csv, Self::Parquet, Self::Safetensors, Self::Idx, Self::Text, Self::Images, Self::Custom];

    /// Returns its word in a configuration.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
            Self::Idx => "idx",
            Self::Text => "text",
            Self::Images => "images",
            Self::Custom => "custom",
            Self::Own(name) => name,
        }
    }

    /// Returns the given format, otherwise the one for the ending of the file's name.
    pub(super) fn of(config: &DataConfig) -> Result<Self, DataError> {
        let is = |path: &Path, ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        let bare = if is(&config.path, "gz") { config.path.with_extension("") } else { config.path.clone() };
        let named = match bare {
            path if is(&path, "csv") || is(&path, "tsv") => Some(Self::Csv),
            path if is(&path, "parquet") => Some(Self::Parquet),
            path if is(&path, "safetensors") => Some(Self::Safetensors),
            path if is(&path, "txt") => Some(Self::Text),
            _ => None,
        };
        config.format.or(named).ok_or_else(|| DataError::UnknownFormat { path: config.path.clone() })
    }

    /// Returns the format of other data at `path`, for a model trained on that of `config`: the same one, except that a
    /// table may be CSV or Parquet.
    ///
    /// # Errors
    /// The file's name has the ending of another format.
    pub(crate) fn of_other(config: &DataConfig, path: &Path) -> Result<Self, DataError> {
        let trained = Self::of(config)?;
        let by_name = |path: &Path| Self::of(&DataConfig::new(path)).ok();
        // A program's own format may have any ending.
        let is_own = matches!(trained, Self::Custom | Self::Own(_));
        let Some(named) = by_name(path).filter(|_| !is_own) else { return Ok(trained) };
        let are = |some: [Self; 2]| some.contains(&trained) && some.contains(&named);
        if are([Self::Csv, Self::Parquet]) {
            return Ok(named);
        }
        // If the run's own file has the same ending, or both are text, the name does not matter.
        if named == trained || by_name(&config.path) == Some(named) || are([Self::Csv, Self::Text]) {
            return Ok(trained);
        }
        Err(DataError::OtherFormat { path: path.to_owned(), found: named.name(), trained: trained.name() })
    }

    /// Returns its name for a message.
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Safetensors => "safetensors",
            Self::Idx => "IDX",
            Self::Text => "text",
            Self::Images => "images",
            Self::Custom => "custom data",
            Self::Own(name) => name,
        }
    }

    /// Returns its options besides the [`COMMON`] ones.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Csv => CSV,
            // A Parquet file contains column names and missing values.
            Self::Parquet => TABLE,
            Self::Safetensors => &["inputs", "targets", "classes", "standardize"],
            Self::Idx => &["images", "labels", "validation_images", "validation_labels", "classes"],
            Self::Text => &["tokens", "tokenizer", "context", "cache"],
            Self::Images => &["validation_path", "channels", "skip_bad", "check_images"],
            // Settings of a registered format are checked when they are read.
            Self::Custom | Self::Own(_) => &[],
        }
    }

    /// Refuses the first given option that does not apply to the format.
    fn check(self, config: &DataConfig) -> Result<(), DataError> {
        let given = serde_json::to_value(config).unwrap_or_default();
        let mut given = given.as_object().into_iter().flat_map(|options| options.keys());
        let is_own = |option: &str| config.own.as_ref().is_some_and(|own| own.settings().contains_key(option));
        let known = |option: &str| is_own(option) || COMMON.contains(&option) || self.options().contains(&option);
        match given.find(|option| !known(option)) {
            Some(option) => Err(DataError::meaningless(option, self.name())),
            None => Ok(()),
        }
    }
}

/// Opens the data set that `config` describes, with its split by `seed`. A table is transferred to `device`.
pub(super) fn open(
    config: &DataConfig,
    seed: u64,
    device: &Device,
    recalled: Option<Recalled<'_>>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let format = Format::of(config)?;
    format.check(config)?;
    // Data that an earlier version accepted must still be accepted on a resume.
    let has_begun = recalled.is_some();
    match format {
        Format::Csv => read_csv(config, seed, device, has_begun),
        Format::Parquet => read_parquet(config, seed, device, has_begun),
        Format::Safetensors => read_safetensors(config, seed, device, has_begun),
        Format::Idx => idx::open(config, seed, has_begun),
        Format::Text => text::open(config, recalled),
        Format::Images => folder::open(config, seed, recalled.and_then(|recalled| recalled.memory)),
        Format::Custom => Err(DataError::NotGiven),
        Format::Own(_) => {
            let own = config.own.as_ref().ok_or(DataError::NotGiven)?;
            config.validate()?;
            let source = own.get().open(&config.path)?;
            let split = Split::new(source.len(), config.validation, seed)?;
            Ok((source, split))
        }
    }
}

fn read_csv(
    config: &DataConfig,
    seed: u64,
    device: &Device,
    has_begun: bool,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let options = TableOptions::of_run(config, has_begun)?;
    let file = DataFile::read(&config.path)?;
    table(config, csv::read(&file, config, &options)?, options.encoding, file.fingerprint, seed, device)
}

#[cfg(feature = "parquet")]
fn read_parquet(
    config: &DataConfig,
    seed: u64,
    device: &Device,
    has_begun: bool,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let options = TableOptions::of_run(config, has_begun)?;
    let file = DataFile::read(&config.path)?;
    let fingerprint = file.fingerprint.clone();
    table(config, super::parquet::read(file, &options)?, options.encoding, fingerprint, seed, device)
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(config: &DataConfig, _: u64, _: &Device, _: bool) -> Result<(Box<dyn Source>, Split), DataError> {
    Err(super::TableError::NoParquet { path: config.path.clone() }.into())
}

fn table(
    config: &DataConfig,
    frame: Frame,
    encoding: EncodingOptions,
    fingerprint: Fingerprint,
    seed: u64,
    device: &Device,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let split = Split::new(frame.targets.len(), config.validation, seed)?;
    let mut table = Table::encoded(frame, &split, encoding, fingerprint, device)?;
    table = if config.standardize.unwrap_or(true) { table.standardized(&split)? } else { table.not_standardized() };
    Ok((Box::new(table), split))
}

fn read_safetensors(
    config: &DataConfig,
    seed: u64,
    device: &Device,
    has_begun: bool,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let file = DataFile::read(&config.path)?;
    let (rows, notices) = tensors::TensorReader::new(config).read(&file, has_begun)?;
    let split = Split::new(rows.len(), config.validation, seed)?;
    let mut table = Table::new(rows, file.fingerprint, device)?.saying(notices);
    if config.standardize.unwrap_or(false) {
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
        for csv in ["a.csv", "a.CSV", "a.csv.gz", "a.tsv", "dir.safetensors/a.csv"] {
            assert_eq!(format(csv).unwrap(), Format::Csv);
        }
        assert_eq!(format("a.safetensors").unwrap(), Format::Safetensors);
        assert_eq!(format("a.txt.gz").unwrap(), Format::Text);
        assert_eq!(
            format("a.dat").unwrap_err().to_string(),
            "the name of a.dat does not show its format; set `data.format` to \"csv\", \"parquet\", \"safetensors\", \
             \"idx\", \"text\" or \"images\""
        );
    }

    #[test]
    fn a_format_of_a_program_may_have_any_ending() {
        let run = |format| DataConfig { format: Some(format), ..DataConfig::new("rows.dat") };
        for own in [Format::Custom, Format::Own("lines")] {
            assert_eq!(Format::of_other(&run(own), Path::new("other.parquet")).unwrap(), own);
        }
        assert!(Format::of_other(&run(Format::Idx), Path::new("other.parquet")).is_err());
    }
}
