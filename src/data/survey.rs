//! A first look at data that nobody has described yet: which format it has, and, as far as a look at its beginning
//! tells, what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::columns::MISSING_VALUES;
use super::csv::CsvRecords;
use super::file;
use super::format::Format;
use super::records::Records;
use super::value::Value;
use super::{DataConfig, DataError, picture};

/// So many rows of a table are looked at.
const ROWS: usize = 5000;

/// The kind of data that was recognized.
#[derive(Clone, Debug, PartialEq)]
pub enum Survey {
    /// A table.
    Table(TableSurvey),
    /// Tensors by name, with element type and shape.
    Tensors(Vec<(String, String, Vec<usize>)>),
    /// MNIST's files.
    Idx {
        /// Whether there are files for validation beside those to train on.
        has_validation: bool,
        /// How many images there are, and their height and width.
        shape: [usize; 3],
    },
    /// A folder of images for each class.
    Images {
        /// The folder of the classes.
        path: PathBuf,
        /// The folder of those for validation.
        validation_path: Option<PathBuf>,
        /// How many files there are to train on.
        files: usize,
        /// Height and width of the first image.
        sides: [usize; 2],
    },
    /// A text.
    Text {
        /// How many bytes it has, unpacked, as far as it was read.
        bytes: usize,
        /// Whether it is Unicode as far as it was read.
        is_unicode: bool,
    },
}

/// The columns of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSurvey {
    /// Whether it is a Parquet file.
    pub is_parquet: bool,
    /// Whether the first line names the columns.
    pub has_header: bool,
    /// The columns.
    pub columns: Vec<ColumnSurvey>,
    /// How many rows were looked at, and whether those were all.
    pub rows: usize,
    /// Whether there are no more rows.
    pub is_whole: bool,
}

/// A column of a table, as far as it was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSurvey {
    /// Its name, where it has one that no other column has.
    pub name: Option<String>,
    /// How many values are missing.
    pub missing: usize,
    /// How many different values there are.
    pub distinct: usize,
    /// Whether all values are numbers.
    pub is_numeric: bool,
    /// Whether all values are whole numbers from 0 up.
    pub is_counting: bool,
    /// The largest value, of a column of numbers.
    pub largest: f64,
    /// How many rows have the value that the fewest have.
    pub rarest: usize,
}

/// Looks at the data at `path`; none where it is no format that is known.
///
/// # Errors
/// When it cannot be read.
pub fn survey(path: &Path) -> Result<Option<Survey>, DataError> {
    let unreadable = |source| DataError::Read { path: path.into(), source };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return folder(path);
    }
    file::require_file(path)?;
    let config = DataConfig::new(path);
    Ok(match Format::of(&config) {
        Ok(Format::Csv) => Some(Survey::Table(csv(path)?)),
        Ok(Format::Parquet) => Some(Survey::Table(parquet(path)?)),
        Ok(Format::Safetensors) => tensors(path).map_err(unreadable)?,
        Ok(Format::Text) => Some(text(path).map_err(unreadable)?),
        Ok(Format::Idx | Format::Images | Format::Custom | Format::Own(_)) | Err(_) => None,
    })
}

fn csv(path: &Path) -> Result<TableSurvey, DataError> {
    let records = CsvRecords::in_file(&DataConfig { header: Some(false), ..DataConfig::new(path) })?;
    let (mut rows, is_whole) = beginning(records)?;
    let is_number = |value: &Option<String>| value.as_ref().is_none_or(|value| value.parse::<f64>().is_ok());
    // Names stand above numbers; a table of words alone is taken for one with names.
    let has_header = match &rows[..] {
        [first, rest @ ..] => {
            let column = |at: usize| rest.iter().all(|row| row.get(at).is_none_or(is_number));
            let is_named = first.iter().enumerate().any(|(at, name)| !is_number(name) && column(at));
            let is_named_in_words = first.iter().all(|name| name.is_some() && !is_number(name));
            is_named || is_named_in_words
        }
        [] => true,
    };
    let names = if has_header && !rows.is_empty() { rows.remove(0) } else { Vec::new() };
    Ok(table(&names, &rows, has_header, is_whole))
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path) -> Result<TableSurvey, DataError> {
    let records = super::parquet::ParquetRecords::in_file(path)?;
    let names: Vec<Option<String>> = records.names().into_iter().flatten().cloned().map(Some).collect();
    let (rows, is_whole) = beginning(records)?;
    Ok(TableSurvey { is_parquet: true, ..table(&names, &rows, true, is_whole) })
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path) -> Result<TableSurvey, DataError> {
    Err(super::TableError::NoParquet { path: path.into() }.into())
}

type Row = Vec<Option<String>>;

/// The first rows as text, where a value is not missing, and whether they are all there are.
fn beginning(mut records: impl Records) -> Result<(Vec<Row>, bool), DataError> {
    let mut rows = Vec::new();
    while let Some(record) = records.next()? {
        if rows.len() > ROWS {
            return Ok((rows, false));
        }
        let text = |column| {
            let value = records.value(&record, column).map_err(|problem| records.wrong(&record, column, problem))?;
            let text = match value {
                Value::Missing => String::new(),
                Value::Number(number) => number.to_string(),
                Value::Word(text) | Value::Text(text) => text.to_owned(),
            };
            Ok(Some(text).filter(|text| !MISSING_VALUES.contains(&text.as_str())))
        };
        rows.push((0..records.width()).map(text).collect::<Result<Row, DataError>>()?);
    }
    Ok((rows, true))
}

fn table(names: &[Option<String>], rows: &[Row], has_header: bool, is_whole: bool) -> TableSurvey {
    let width = rows.first().map_or(names.len(), Vec::len);
    let name = |at: usize| {
        let name = names.get(at)?.clone()?;
        let is_only = names.iter().filter(|other| other.as_ref() == Some(&name)).count() == 1;
        is_only.then_some(name)
    };
    let column = |at: usize| {
        let values: Vec<&str> = rows.iter().filter_map(|row| row.get(at)?.as_deref()).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        values.iter().for_each(|value| *counts.entry(value).or_default() += 1);
        let numbers: Vec<f64> = values.iter().filter_map(|value| value.parse().ok()).collect();
        ColumnSurvey {
            name: name(at),
            missing: rows.len() - values.len(),
            distinct: counts.len(),
            is_numeric: numbers.len() == values.len(),
            is_counting: numbers.len() == values.len() && numbers.iter().all(|x| *x >= 0.0 && x.fract() == 0.0),
            largest: numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            rarest: counts.values().copied().min().unwrap_or(0),
        }
    };
    let columns = (0..width).map(column).collect();
    TableSurvey { is_parquet: false, has_header, columns, rows: rows.len(), is_whole }
}

/// The header of a safetensors file.
fn tensors(path: &Path) -> std::io::Result<Option<Survey>> {
    const LONGEST: u64 = 100 << 20;
    let (mut file, mut length) = (File::open(path)?, [0; 8]);
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST {
        return Ok(None);
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let Ok(serde_json::Value::Object(header)) = serde_json::from_slice(&header) else { return Ok(None) };
    let tensor = |(name, tensor): (&String, &serde_json::Value)| {
        let shape = tensor["shape"].as_array()?.iter().filter_map(|side| Some(side.as_u64()? as usize)).collect();
        Some((name.clone(), tensor["dtype"].as_str()?.to_owned(), shape))
    };
    Ok(Some(Survey::Tensors(header.iter().filter_map(tensor).collect())))
}

fn text(path: &Path) -> std::io::Result<Survey> {
    const LOOKED_AT: u64 = 1 << 20;
    let mut beginning = Vec::new();
    file::unpacked(path)?.0.take(LOOKED_AT).read_to_end(&mut beginning)?;
    // The last character may be cut off.
    let is_unicode = match std::str::from_utf8(&beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && beginning.len() as u64 == LOOKED_AT,
    };
    Ok(Survey::Text { bytes: beginning.len(), is_unicode })
}

fn folder(path: &Path) -> Result<Option<Survey>, DataError> {
    let unreadable = |source| DataError::Read { path: path.into(), source };
    if let Some(images) = idx_file(path, "train-images-idx3-ubyte") {
        let mut head = [0; 16];
        file::unpacked(&images).and_then(|(mut file, _)| file.read_exact(&mut head)).map_err(unreadable)?;
        let [_, count, height, width] =
            [0, 4, 8, 12].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize);
        let has_validation = idx_file(path, "t10k-images-idx3-ubyte").is_some();
        return Ok(Some(Survey::Idx { has_validation, shape: [count, height, width] }));
    }
    let of = |names: &[&str]| names.iter().map(|name| path.join(name)).find(|path| path.is_dir());
    let (train, validation) = (of(&["train", "training"]), of(&["val", "valid", "validation", "test"]));
    let (path, validation_path) = match (train, validation) {
        (Some(train), validation) => (train, validation),
        (None, _) => (path.to_owned(), None),
    };
    let images = images(&path).map_err(unreadable)?;
    let Some(first) = images.first() else { return Ok(None) };
    let size = picture::size(first, &picture::read(first)?)?;
    let sides = [size.height, size.width];
    Ok(Some(Survey::Images { path, validation_path, files: images.len(), sides }))
}

fn idx_file(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The pictures in the folders of a folder.
fn images(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = |folder: &Path| -> std::io::Result<BTreeSet<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        ["png", "jpg", "jpeg"].contains(&ending.as_str())
    };
    let mut found = Vec::new();
    for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        found.extend(entries(&class)?.into_iter().filter(is_picture));
    }
    Ok(found)
}
