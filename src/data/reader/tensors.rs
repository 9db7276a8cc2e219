//! Rows of tensors in a safetensors file, an `.npz` archive or `.npy` files, read batch by batch.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::ReadRows;
use crate::data::file::{self, DataFile};
use crate::data::files::Part;
use crate::data::format_kind::Format;
use crate::data::tensors::arrays::{self, Loaded};
use crate::data::tensors::{INPUTS, Stored};
use crate::data::{
    DataConfig, DataError, EVALUATION_ROWS, Input, Schema, Statistics, TargetKind, TargetScale, TensorError, integers,
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

/// The content of the files with the places of the tensors in it.
struct Opened {
    content: Box<dyn ReadSeek>,
    inputs: Stored,
    targets: Option<Stored>,
}

impl Opened {
    fn of(config: &DataConfig, with_targets: bool) -> Result<Self, DataError> {
        let (path, (inputs, targets)) = (config.path.as_path(), config.tensor_names());
        match (Format::of(config)?, with_targets) {
            (Format::Npy, false) => Self::of_arrays(path, arrays::of_file(DataFile::read(path)?)?, None),
            (Format::Npy, true) => {
                let targets = config.targets_beside(Part::Train, path)?;
                let (inputs, targets, _) = arrays::of_two_files(path, &targets)?;
                Self::of_arrays(path, inputs, Some(targets))
            }
            (Format::Npz, false) => {
                let [inputs] = arrays::of_archive(&DataFile::read_archive(path)?, [("inputs", inputs)])?;
                Self::of_arrays(path, inputs, None)
            }
            (Format::Npz, true) => {
                let names = [("inputs", inputs), ("targets", targets)];
                let [inputs, targets] = arrays::of_archive(&DataFile::read_archive(path)?, names)?;
                Self::of_arrays(path, inputs, Some(targets))
            }
            _ => Self::of_safetensors(path, inputs, with_targets.then_some(targets)),
        }
    }

    /// Puts the elements of the targets after those of the inputs.
    fn of_arrays(path: &Path, inputs: Loaded, targets: Option<Loaded>) -> Result<Self, DataError> {
        let stored = |option, array: &Loaded, start| {
            Stored::new(path, option, array.name.clone(), array.element, &array.shape, start)
        };
        let first = stored("inputs", &inputs, 0)?;
        let mut bytes = inputs.bytes;
        let second = targets.as_ref().map(|targets| stored("targets", targets, bytes.len() as u64)).transpose()?;
        bytes.extend(targets.into_iter().flat_map(|targets| targets.bytes));
        Ok(Self { content: Box::new(Cursor::new(bytes)), inputs: first, targets: second })
    }

    fn of_safetensors(path: &Path, inputs: &str, targets: Option<&str>) -> Result<Self, DataError> {
        file::require_file(path)?;
        let unreadable = |source| DataError::Read { path: path.into(), source };
        let mut content: Box<dyn ReadSeek> = if file::is_packed(path).map_err(unreadable)? {
            // A packed file can only be read from its start.
            Box::new(Cursor::new(DataFile::read(path)?.content))
        } else {
            Box::new(regular::open(path).map_err(unreadable)?)
        };
        let length = content.seek(SeekFrom::End(0)).map_err(unreadable)?;
        content.rewind().map_err(unreadable)?;
        let (start, metadata) = tensor_header::read(&mut content, length, Remarks::Ignored)
            .map_err(unreadable)?
            .map_err(|reason| TensorError::BadTensors { path: path.into(), reason })?;
        let find = |option, name| Stored::find(path, &metadata, start, option, name);
        let inputs = find("inputs", inputs)?;
        let targets = targets.map(|targets| find("targets", targets)).transpose()?;
        Ok(Self { content, inputs, targets })
    }
}

impl TensorRows {
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> Result<Self, DataError> {
        let path = config.path.clone();
        let Opened { content, inputs, targets } = Opened::of(config, with_targets)?;
        if inputs.shape.is_empty() {
            return Err(inputs.must_be(path, INPUTS));
        }
        if schema.input != Input::Numbers(inputs.shape.clone()) {
            return Err(DataError::OtherShape { path, found: inputs.shape, expected: schema.input.clone() });
        }
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
            let bytes = bytes_of(stored, content.as_mut(), *row, rows);
            bytes.map_err(|source| DataError::Read { path: path.clone(), source })
        };
        let mut floats = |stored: &Stored| -> Result<Vec<f32>, DataError> {
            let floats = stored.element.floats(&read(stored)?);
            floats.map_err(|(at, problem)| element(stored, at, problem).into())
        };
        let mut values = floats(&self.inputs)?;
        let targets = match &self.targets {
            Some((stored, TargetKind::Values { width })) => {
                let values = floats(stored)?;
                let values = self.scale.as_ref().map_or_else(|| values.clone(), |scale| scale.apply(&values));
                Some(Tensor::from_vec(values, (rows, *width), &Device::Cpu)?)
            }
            Some((stored, TargetKind::Classes { count })) => {
                let wrong = |(at, problem)| element(stored, at, problem);
                let numbers = stored.element.integers(&read(stored)?).map_err(wrong)?.into_iter().enumerate();
                let class = |(at, number)| {
                    integers::known(number, *count, self.classes.as_deref()).map_err(|problem| wrong((at, problem)))
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

/// Reads the bytes of `rows` rows of a tensor, starting with number `row`.
fn bytes_of(stored: &Stored, content: &mut dyn ReadSeek, row: usize, rows: usize) -> io::Result<Vec<u8>> {
    content.seek(SeekFrom::Start(stored.start + (row * stored.row_bytes()) as u64))?;
    let mut bytes = vec![0; rows * stored.row_bytes()];
    content.read_exact(&mut bytes)?;
    Ok(bytes)
}
