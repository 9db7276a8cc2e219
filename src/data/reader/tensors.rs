//! Rows of tensors in a safetensors file, read batch by batch.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::ReadRows;
use crate::data::error::hint;
use crate::data::file::{self, DataFile};
use crate::data::{
    DataConfig, DataError, EVALUATION_ROWS, Input, Schema, Statistics, TargetKind, TargetScale, TensorError, integers,
    tensors,
};
use crate::regular;
use crate::state::State;
use crate::tensor_header::{self, Remarks};

trait ReadSeek: Read + Seek {}

impl<R: Read + Seek> ReadSeek for R {}

/// The rows of a tensor of inputs, and of targets if they are requested.
pub(super) struct TensorRows {
    path: PathBuf,
    content: Box<dyn ReadSeek>,
    inputs: Stored,
    targets: Option<(Stored, TargetKind)>,
    /// The names of the classes, if they have names.
    classes: Option<Vec<String>>,
    statistics: Option<Statistics>,
    scale: Option<TargetScale>,
    row: usize,
    rows: usize,
}

/// A tensor in a file.
struct Stored {
    name: String,
    dtype: Dtype,
    rows: usize,
    /// The shape of one row.
    shape: Vec<usize>,
    /// Its start in bytes.
    start: u64,
}

impl TensorRows {
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let path = config.path.clone();
        file::require_file(&path)?;
        let unreadable = |source| DataError::Read { path: path.clone(), source };
        let mut content: Box<dyn ReadSeek> = if file::is_packed(&path).map_err(unreadable)? {
            // A packed file can only be read from its start.
            Box::new(Cursor::new(DataFile::read(&path)?.content))
        } else {
            Box::new(regular::open(&path).map_err(unreadable)?)
        };
        let length = content.seek(SeekFrom::End(0)).map_err(unreadable)?;
        content.rewind().map_err(unreadable)?;
        let (start, metadata) = tensor_header::read(&mut content, length, Remarks::Ignored)
            .map_err(unreadable)?
            .map_err(|reason| TensorError::BadTensors { path: path.clone(), reason })?;
        let find = |option, name: &Option<String>, usual| Stored::find(config, &metadata, start, option, name, usual);
        let inputs = find("inputs", &config.inputs, "x")?;
        if inputs.dtype != Dtype::F32 || inputs.shape.is_empty() {
            return Err(inputs.must_be(path, "inputs", "F32 of shape [rows, …]"));
        }
        if schema.input != Input::Numbers(inputs.shape.clone()) {
            return Err(DataError::OtherShape { path, found: inputs.shape, expected: schema.input.clone() });
        }
        let targets = with_targets.then(|| find("targets", &config.targets, "y")).transpose()?;
        if let Some(targets) = &targets {
            targets.check_targets(&path, schema.targets)?;
            if targets.rows != inputs.rows {
                return Err(TensorError::RowsDisagree { path, inputs: inputs.rows, targets: targets.rows }.into());
            }
        }
        let statistics = (!memory.tensors.is_empty()).then(|| Statistics::read(memory, inputs.width())).transpose()?;
        let (rows, targets) = (inputs.rows, targets.map(|targets| (targets, schema.targets)));
        let classes = schema.names.classes.clone();
        let (scale, _) = TargetScale::split(&memory.json)?;
        Ok(Self { path, content, inputs, targets, classes, statistics, scale, row: 0, rows })
    }

    fn batch(&mut self, rows: usize) -> Result<ReadRows, DataError> {
        let Self { path, content, row, .. } = self;
        let element = |stored: &Stored, at: usize, problem| {
            let (path, name) = (path.clone(), stored.name.clone());
            TensorError::Element { path, name, row: *row + at / stored.width(), problem }
        };
        let mut read = |stored: &Stored| {
            let bytes = stored.read(content.as_mut(), *row, rows);
            bytes.map_err(|source| DataError::Read { path: path.clone(), source })
        };
        let mut values =
            tensors::floats(&read(&self.inputs)?).map_err(|(at, problem)| element(&self.inputs, at, problem))?;
        let targets = match &self.targets {
            Some((stored, TargetKind::Values { width })) => {
                let values = tensors::floats(&read(stored)?).map_err(|(at, problem)| element(stored, at, problem))?;
                let values = self.scale.as_ref().map_or_else(|| values.clone(), |scale| scale.apply(&values));
                Some(Tensor::from_vec(values, (rows, *width), &Device::Cpu)?)
            }
            Some((stored, TargetKind::Classes { count })) => {
                let numbers = tensors::to_integers(stored.dtype, &read(stored)?).into_iter().enumerate();
                let class = |(at, number)| {
                    integers::known(number, *count, self.classes.as_deref())
                        .map_err(|problem| element(stored, at, problem))
                };
                let labels: Vec<u32> = numbers.map(class).collect::<Result<_, _>>()?;
                Some(Tensor::from_vec(labels, rows, &Device::Cpu)?)
            }
            None => None,
        };
        if let Some(statistics) = &self.statistics {
            values = statistics.apply(&values.iter().copied().map(f64::from).collect::<Vec<_>>());
        }
        self.row += rows;
        let shape: Vec<usize> = [rows].into_iter().chain(self.inputs.shape.iter().copied()).collect();
        Ok(ReadRows { inputs: Tensor::from_vec(values, shape, &Device::Cpu)?, targets, names: None })
    }
}

impl Stored {
    fn find(
        config: &DataConfig,
        metadata: &Metadata,
        start: u64,
        option: &'static str,
        name: &Option<String>,
        usual: &str,
    ) -> Result<Self, DataError> {
        let name = name.clone().unwrap_or_else(|| usual.to_owned());
        let info = metadata.info(&name).ok_or_else(|| {
            let names = metadata.offset_keys();
            let hint = hint(&name, &names.iter().map(String::as_str).collect::<Vec<_>>());
            TensorError::NoSuchTensor { path: config.path.clone(), option, name: name.clone(), hint }
        })?;
        let (dtype, start) = (info.dtype, start + info.data_offsets.0 as u64);
        match info.shape.as_slice() {
            [rows, shape @ ..] => Ok(Self { name, dtype, rows: *rows, shape: shape.to_vec(), start }),
            [] => {
                let (path, kind) = (config.path.clone(), format!("{dtype:?}[]"));
                Err(TensorError::TensorKind { path, name, option, kind, expected: "of shape [rows, …]" }.into())
            }
        }
    }

    /// Refuses targets that do not fit a model with targets of `kind`.
    fn check_targets(&self, path: &Path, kind: TargetKind) -> Result<(), DataError> {
        let (fits, expected) = match (kind, self.dtype) {
            (TargetKind::Values { width }, dtype) => (
                dtype == Dtype::F32 && self.width() == width && self.shape.len() < 2,
                "F32 [rows, width], as many values a row as in the run's data",
            ),
            (TargetKind::Classes { .. }, Dtype::I64 | Dtype::U32 | Dtype::U8) => {
                (self.width() == 1 && self.shape.len() < 2, CLASSES)
            }
            (TargetKind::Classes { .. }, _) => (false, CLASSES),
        };
        if fits { Ok(()) } else { Err(self.must_be(path.to_owned(), "targets", expected)) }
    }

    fn must_be(&self, path: PathBuf, option: &'static str, expected: &'static str) -> DataError {
        let shape: Vec<usize> = [self.rows].into_iter().chain(self.shape.iter().copied()).collect();
        TensorError::TensorKind {
            path,
            name: self.name.clone(),
            option,
            kind: format!("{:?}{shape:?}", self.dtype),
            expected,
        }
        .into()
    }

    /// Returns the number of elements per row.
    fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Reads the bytes of `rows` rows, starting with number `row`.
    fn read(&self, content: &mut dyn ReadSeek, row: usize, rows: usize) -> io::Result<Vec<u8>> {
        let row_bytes = self.width() * self.dtype.bitsize() / 8;
        content.seek(SeekFrom::Start(self.start + (row * row_bytes) as u64))?;
        let mut bytes = vec![0; rows * row_bytes];
        content.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The required targets for a model of classes.
const CLASSES: &str = "I64, U32 or U8 [rows], since the run's data has classes";

impl Iterator for TensorRows {
    type Item = Result<ReadRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = (self.rows - self.row).min(EVALUATION_ROWS);
        if rows == 0 {
            return None;
        }
        let batch = self.batch(rows);
        if batch.is_err() {
            self.row = self.rows;
        }
        Some(batch)
    }
}
