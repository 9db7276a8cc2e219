//! Rows of numbers with their targets: tensors of which consecutive rows are consecutive bytes.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::at_once::at_once;
use super::form::{BlockSize, Form, Placed};
use super::shard::Shard;
use super::{AT_ONCE, npy, npz, safetensors};
use crate::data::error::StreamError;
use crate::data::files::Part;
use crate::data::format_kind::Format;
use crate::data::tensors::{Element, INPUTS, Stored};
use crate::data::{Batch, DataConfig, DataError, Input, Problem, TargetKind, TensorError, integers};
use crate::state::{State, StateError};
use crate::store::Object;

/// Bytes of a block, if its rows are not larger.
const BLOCK: usize = 4 << 20;

/// Bytes of a block where a process needs few of its rows. Requests for less take about as long.
const SMALL_BLOCK: usize = 64 << 10;

/// The rows of all shards.
#[derive(Clone)]
pub(super) struct Numbers {
    shards: Arc<[Pair]>,
    targets: TargetKind,
    block_rows: usize,
}

/// The inputs and the targets of a shard.
pub(super) struct Pair {
    pub inputs: Column,
    pub targets: Column,
}

/// A tensor in a shard.
pub(super) struct Column {
    pub shard: Arc<Shard>,
    pub stored: Stored,
    pub is_big_endian: bool,
}

/// Consecutive rows, as bytes.
pub(super) struct Bytes {
    inputs: Vec<u8>,
    targets: Vec<u8>,
}

impl Column {
    /// Reads these rows, little-endian.
    fn read(&self, rows: Range<usize>) -> Result<Vec<u8>, DataError> {
        let place = |row: usize| self.stored.start + (row * self.stored.row_bytes()) as u64;
        let mut bytes = self.shard.read(place(rows.start)..place(rows.end))?;
        if self.is_big_endian {
            bytes.chunks_exact_mut(self.stored.element.size()).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

impl Numbers {
    /// Reads the headers of all shards, several at once. Also returns the files.
    pub fn open(
        listed: &[(Part, Object)],
        config: &DataConfig,
        format: Format,
    ) -> Result<(Self, Vec<Arc<Shard>>), DataError> {
        let open: fn(Part, Object, &DataConfig) -> Result<Pair, DataError> = match format {
            Format::Npy => npy::open,
            Format::Npz => npz::open,
            _ => safetensors::open,
        };
        let shards = at_once(0..listed.len(), AT_ONCE, |at| match listed.get(at) {
            Some((part, object)) => open(*part, object.clone(), config),
            None => Err(DataError::NothingToVisit),
        })?;
        shards.iter().try_for_each(Pair::check)?;
        require_alike(&shards)?;
        let targets = targets_of(&shards, config)?;
        let files = shards.iter().flat_map(Pair::files).collect();
        let row_bytes = shards.first().map_or(1, Pair::row_bytes).max(1);
        Ok((Self { shards: shards.into(), targets, block_rows: (BLOCK / row_bytes).max(1) }, files))
    }

    /// Creates the error of an element of these rows.
    fn wrong(&self, of: fn(&Pair) -> &Column, rows: &[Placed<Bytes>], at: usize, problem: Problem) -> DataError {
        let width = self.shards.first().map_or(1, |shard| of(shard).stored.width().max(1));
        match rows.get(at / width).and_then(|row| Some((self.shards.get(row.shard)?, row.row))) {
            Some((shard, row)) => {
                let Column { shard, stored, .. } = of(shard);
                TensorError::Element { path: shard.path.clone(), name: stored.name.clone(), row, problem }.into()
            }
            None => DataError::Row { row: at / width, problem },
        }
    }

    fn target_tensor(&self, stored: &Stored, rows: &[Placed<Bytes>], bytes: &[u8]) -> Result<Tensor, DataError> {
        let wrong = |(at, problem)| self.wrong(|pair| &pair.targets, rows, at, problem);
        match self.targets {
            TargetKind::Values { width } => {
                Ok(Tensor::from_vec(stored.element.floats(bytes).map_err(wrong)?, (rows.len(), width), &Device::Cpu)?)
            }
            TargetKind::Classes { count } => {
                let numbers = stored.element.integers(bytes).map_err(wrong)?;
                let class = |(at, number)| integers::known(number, count, None).map_err(|problem| wrong((at, problem)));
                let labels: Vec<u32> = numbers.into_iter().enumerate().map(class).collect::<Result<_, _>>()?;
                Ok(Tensor::from_vec(labels, rows.len(), &Device::Cpu)?)
            }
        }
    }
}

impl Form for Numbers {
    type Block = Bytes;

    fn shards(&self) -> Vec<(Part, usize)> {
        self.shards.iter().map(|pair| (pair.inputs.shard.part, pair.rows())).collect()
    }

    fn block(&self, shard: usize, row: usize) -> Range<usize> {
        let start = row / self.block_rows * self.block_rows;
        start..(start + self.block_rows).min(self.shards.get(shard).map_or(0, Pair::rows))
    }

    fn read(&self, shard: usize, rows: Range<usize>) -> Result<Bytes, DataError> {
        let pair = self.shards.get(shard).ok_or(DataError::NothingToVisit)?;
        Ok(Bytes { inputs: pair.inputs.read(rows.clone())?, targets: pair.targets.read(rows)? })
    }

    fn size(&self) -> BlockSize {
        let longest = self.shards.iter().map(Pair::rows).max().unwrap_or(0).min(self.block_rows);
        BlockSize { rows: self.block_rows, bytes: longest * self.shards.first().map_or(0, Pair::row_bytes) }
    }

    /// Smaller blocks are better if more than half of them have no row of the process.
    fn among(&self, ranks: usize) -> Option<Self> {
        let row_bytes = self.shards.first().map_or(1, Pair::row_bytes).max(1);
        let block_rows = (SMALL_BLOCK / row_bytes).max(1);
        let without_own = (1.0 - 1.0 / ranks.max(1) as f64).powf(block_rows as f64);
        (without_own >= 0.5 && block_rows < self.block_rows).then(|| Self { block_rows, ..self.clone() })
    }

    fn batch(&self, rows: &[Placed<Bytes>]) -> Result<Batch, DataError> {
        let Some(Pair { inputs, targets }) = self.shards.first() else { return Err(DataError::NothingToVisit) };
        let joined = |column: &Column, of: fn(&Bytes) -> &Vec<u8>| {
            let size = column.stored.row_bytes();
            let mut bytes = Vec::with_capacity(rows.len() * size);
            for row in rows {
                bytes.extend_from_slice(of(&row.block).get(row.at * size..(row.at + 1) * size).unwrap_or_default());
            }
            bytes
        };
        let values = inputs.stored.element.floats(&joined(inputs, |block| &block.inputs));
        let values = values.map_err(|(at, problem)| self.wrong(|pair| &pair.inputs, rows, at, problem))?;
        let shape: Vec<usize> = [rows.len()].into_iter().chain(inputs.stored.shape.iter().copied()).collect();
        let targets = self.target_tensor(&targets.stored, rows, &joined(targets, |block| &block.targets))?;
        Ok(Batch { inputs: Tensor::from_vec(values, shape, &Device::Cpu)?, targets })
    }

    fn input(&self) -> Input {
        Input::Numbers(self.shards.first().map(|pair| pair.inputs.stored.shape.clone()).unwrap_or_default())
    }

    fn targets(&self) -> TargetKind {
        self.targets
    }

    fn save(&self) -> State {
        State::default()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        state.expect_tensors([])
    }
}

impl Pair {
    fn rows(&self) -> usize {
        self.inputs.stored.rows
    }

    fn row_bytes(&self) -> usize {
        self.inputs.stored.row_bytes() + self.targets.stored.row_bytes()
    }

    /// Returns the file of both, or the two files.
    fn files(&self) -> Vec<Arc<Shard>> {
        let (inputs, targets) = (&self.inputs.shard, &self.targets.shard);
        let others = (!Arc::ptr_eq(inputs, targets)).then(|| Arc::clone(targets));
        [Arc::clone(inputs)].into_iter().chain(others).collect()
    }

    /// Refuses inputs that are not rows, and another number of targets.
    fn check(&self) -> Result<(), DataError> {
        let (path, inputs, targets) = (self.inputs.shard.path.clone(), &self.inputs.stored, &self.targets.stored);
        if inputs.shape.is_empty() || inputs.width() == 0 {
            return Err(inputs.must_be(path, INPUTS));
        }
        if inputs.rows != targets.rows {
            return Err(TensorError::RowsDisagree { path, inputs: inputs.rows, targets: targets.rows }.into());
        }
        Ok(())
    }
}

/// Refuses shards with rows of different forms.
fn require_alike(shards: &[Pair]) -> Result<(), DataError> {
    let Some(first) = shards.first() else { return Ok(()) };
    for pair in shards {
        for (own, usual) in [(&pair.inputs, &first.inputs), (&pair.targets, &first.targets)] {
            let (found, expected) = (&own.stored, &usual.stored);
            if (found.element, &found.shape) != (expected.element, &expected.shape) {
                let form = |stored: &Stored| format!("{}[rows, {:?}]", stored.element, stored.shape);
                let difference = format!("{}, and {}", form(found), form(expected));
                let (path, first, name) = (own.shard.path.clone(), usual.shard.path.clone(), found.name.clone());
                return Err(TensorError::OtherRows { path, first, name, difference }.into());
            }
        }
    }
    Ok(())
}

/// Returns the kind of the targets, which all shards share.
fn targets_of(shards: &[Pair], config: &DataConfig) -> Result<TargetKind, DataError> {
    const TARGETS: &str =
        "floats [rows] or [rows, width] for values, or whole numbers [rows] for classes, or BOOL [rows, width]";
    let Some(Pair { targets: Column { shard, stored, .. }, .. }) = shards.first() else {
        return Err(DataError::NothingToVisit);
    };
    let kind = match config.classes {
        _ if stored.shape.len() > 1 || stored.width() == 0 => None,
        Some(_) if stored.element.is_float() => {
            return Err(DataError::meaningless("classes", "targets that are floats"));
        }
        _ if stored.element.is_float() => Some(TargetKind::Values { width: stored.width() }),
        // Several yes or no for each row are labels, which may all be true.
        _ if stored.element == Element::Bool && stored.width() > 1 => {
            Some(TargetKind::Values { width: stored.width() })
        }
        _ if stored.width() > 1 => None,
        Some(count) => Some(TargetKind::Classes { count: count.get() }),
        None => return Err(StreamError::NoClasses.into()),
    };
    kind.ok_or_else(|| stored.must_be(shard.path.clone(), TARGETS))
}
