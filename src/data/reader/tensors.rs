//! Rows of a tensor in a safetensors file, of which a batch at a time is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::ReadRows;
use crate::data::error::hint;
use crate::data::file::{self, DataFile};
use crate::data::{DataConfig, DataError, EVALUATION_ROWS, Input, Problem, Schema, Statistics};
use crate::state::State;

/// A longer header is refused, as by the format itself.
const HEADER_LIMIT: u64 = 100_000_000;

trait ReadSeek: Read + Seek {}

impl<R: Read + Seek> ReadSeek for R {}

/// The rows of a tensor.
pub(super) struct TensorRows {
    path: PathBuf,
    name: String,
    content: Box<dyn ReadSeek>,
    shape: Vec<usize>,
    statistics: Option<Statistics>,
    row: usize,
    rows: usize,
}

impl TensorRows {
    pub fn open(config: &DataConfig, schema: &Schema, memory: &State) -> Result<Self, DataError> {
        let (path, name) = (config.path.clone(), config.inputs.clone().unwrap_or_else(|| "x".to_owned()));
        file::require_file(&path)?;
        let unreadable = |source| DataError::Read { path: path.clone(), source };
        let (_, is_packed) = file::unpacked(&path).map_err(unreadable)?;
        let mut content: Box<dyn ReadSeek> = if is_packed {
            // What is packed can only be read from its start.
            Box::new(Cursor::new(DataFile::read(&path)?.content))
        } else {
            Box::new(BufReader::new(File::open(&path).map_err(unreadable)?))
        };
        let (start, metadata) = header(&mut content)
            .map_err(unreadable)?
            .map_err(|reason| DataError::BadTensors { path: path.clone(), reason })?;
        let info = metadata.info(&name).ok_or_else(|| {
            let names = metadata.offset_keys();
            let hint = hint(&name, &names.iter().map(String::as_str).collect::<Vec<_>>());
            DataError::NoSuchTensor { path: path.clone(), option: "inputs", name: name.clone(), hint }
        })?;
        let (rows, shape) = match (info.dtype, info.shape.as_slice()) {
            (Dtype::F32, [rows, shape @ ..]) if !shape.is_empty() => (*rows, shape.to_vec()),
            (dtype, shape) => {
                let (option, kind) = ("inputs", format!("{dtype:?}{shape:?}"));
                return Err(DataError::TensorKind { path, name, option, kind, expected: "F32 of shape [rows, …]" });
            }
        };
        if schema.input != Input::Numbers(shape.clone()) {
            return Err(DataError::OtherShape { path, found: shape, expected: schema.input.clone() });
        }
        let width = shape.iter().product();
        let statistics = (!memory.tensors.is_empty()).then(|| Statistics::read(memory, width)).transpose()?;
        content.seek(SeekFrom::Start(start + info.data_offsets.0 as u64)).map_err(unreadable)?;
        Ok(Self { path, name, content, shape, statistics, row: 0, rows })
    }

    fn batch(&mut self, rows: usize) -> Result<ReadRows, DataError> {
        let width: usize = self.shape.iter().product();
        let mut bytes = vec![0; rows * width * size_of::<f32>()];
        let read = self.content.read_exact(&mut bytes);
        read.map_err(|source| DataError::Read { path: self.path.clone(), source })?;
        let mut values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (path, name, row) = (self.path.clone(), self.name.clone(), self.row + at / width);
            return Err(DataError::Element { path, name, row, problem: Problem::NotFinite(values[at].to_string()) });
        }
        if let Some(statistics) = &self.statistics {
            statistics.apply(&mut values);
        }
        self.row += rows;
        let shape: Vec<usize> = [rows].into_iter().chain(self.shape.iter().copied()).collect();
        Ok(ReadRows { inputs: Tensor::from_vec(values, shape, &Device::Cpu)?, targets: None, names: None })
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

/// Where the tensors begin, and which there are; or what is wrong with the header. Nothing is allocated that the length
/// of the content does not account for.
fn header(content: &mut dyn ReadSeek) -> io::Result<Result<(u64, Metadata), String>> {
    let length = content.seek(SeekFrom::End(0))?;
    content.rewind()?;
    let Some(room) = length.checked_sub(8) else { return Ok(Err(format!("{length} bytes hold no header"))) };
    let mut bytes = [0; 8];
    content.read_exact(&mut bytes)?;
    let claimed = u64::from_le_bytes(bytes);
    if claimed > room.min(HEADER_LIMIT) {
        return Ok(Err(format!("its header claims {claimed} bytes, and the file has {length}")));
    }
    let mut json = vec![0; claimed as usize];
    content.read_exact(&mut json)?;
    Ok(parse(&json).and_then(|metadata| match metadata.data_len() as u64 {
        described if described == room - claimed => Ok((8 + claimed, metadata)),
        described => Err(format!("its tensors fill {described} bytes, and {} are there", room - claimed)),
    }))
}

fn parse(json: &[u8]) -> Result<Metadata, String> {
    let mut entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(json).map_err(|error| error.to_string())?;
    entries.remove("__metadata__");
    let infos = entries.into_iter().map(|(name, info)| Ok((name, serde_json::from_value::<TensorInfo>(info)?)));
    let mut infos = infos.collect::<Result<Vec<_>, serde_json::Error>>().map_err(|error| error.to_string())?;
    infos.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, infos).map_err(|error| error.to_string())
}
