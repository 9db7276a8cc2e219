//! Shards in object storage: a data set that may be larger than any disk, of which only the rows that are needed soon are
//! held.
//!
//! 1. `listing.rs`: the shards that a configuration names. `shard.rs`: one of them, from its header.
//! 2. `known.rs`: their identities, compared with those in a checkpoint.
//! 3. `blocks.rs`: rows in blocks, which other threads read in advance, in bounded memory.
//!
//! The order, in which shuffled rows stay near each other, is that of `shard_order.rs`.

mod blocks;
mod known;
mod listing;
mod shard;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use self::blocks::Blocks;
use self::known::Known;
use self::shard::{Block, Shard};
use super::dataset::Source;
use super::error::StreamError;
use super::files::{Counts, Part};
use super::format_kind::Format;
use super::shard_order::Shards;
use super::tensors::{Element, Stored};
use super::{
    Batch, BatchSize, DataConfig, DataError, Dataset, Fingerprint, Input, Problem, Recalled, Split, TargetKind,
    TensorError, integers,
};
use crate::memory::{self, Need, Size};
use crate::state::{State, StateError, Stateful};
use crate::store;

/// Number of rows that are shuffled together, by default.
pub(super) const WINDOW: usize = 10_000;

/// Bytes of a block, if its rows are not larger.
const BLOCK: usize = 4 << 20;

/// The rows of shards: those for training first, then those for validation and for a test.
pub(super) struct Streamed {
    shards: Arc<[Shard]>,
    /// The number of the first row of each shard.
    starts: Vec<usize>,
    rows: usize,
    window: usize,
    block_rows: usize,
    blocks: Blocks<Block>,
    targets: TargetKind,
    known: Known,
    fingerprint: Fingerprint,
}

/// Whether the data is in object storage.
pub(super) fn is_remote(config: &DataConfig) -> bool {
    let others = config.validation_path.iter().chain(&config.test_path);
    config.paths().iter().chain(others.flat_map(super::Paths::iter)).any(store::is_url)
}

/// Opens the shards that `config` describes; a run of a checkpoint has the same shards.
pub(super) fn open(
    config: &DataConfig,
    format: Format,
    recalled: Option<Recalled<'_>>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    check(config, format)?;
    let shards = shard::read_all(listing::of(config)?, config)?;
    let known = Known::of(&shards);
    let fingerprint = known.fingerprint();
    if let Some(recalled) = recalled {
        known.require_same(recalled.memory, &shards, config)?;
        recalled.check(config, &fingerprint)?;
    }
    let targets = targets_of(&shards, config)?;
    let mut counts = Counts::default();
    shards.iter().for_each(|shard| counts.add(shard.part, shard.rows()));
    let Counts { train, validation, test } = counts;
    let split = Split::last(train + validation, validation)?.with_test(test);
    let window = config.shuffle_window.map_or(WINDOW, usize::from).min(train);
    Ok((Box::new(Streamed::new(shards, window, targets, known, fingerprint)?), split))
}

/// Refuses options for which all rows would have to be read first.
fn check(config: &DataConfig, format: Format) -> Result<(), DataError> {
    if format != Format::Safetensors {
        return Err(StreamError::Format { path: config.path.clone(), format: format.name() }.into());
    }
    let given = [
        ("validation", config.validation > 0.0),
        ("fold", config.fold.is_some()),
        ("stratify", config.stratify == Some(true)),
        ("standardize", config.standardize == Some(true)),
        ("target_transform", config.target_transform.is_some()),
        ("sampling", config.sampling.is_some()),
        ("batch_size = \"all\"", config.batch_size == BatchSize::All),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(StreamError::Meaningless { option }.into()),
        None => Ok(()),
    }
}

/// Returns the kind of the targets, which all shards share.
fn targets_of(shards: &[Shard], config: &DataConfig) -> Result<TargetKind, DataError> {
    const TARGETS: &str =
        "floats [rows] or [rows, width] for values, or whole numbers [rows] for classes, or BOOL [rows, width]";
    let Some(Shard { path, targets, .. }) = shards.first() else { return Err(DataError::NothingToVisit) };
    let kind = match config.classes {
        _ if targets.shape.len() > 1 || targets.width() == 0 => None,
        Some(_) if targets.element.is_float() => {
            return Err(DataError::meaningless("classes", "targets that are floats"));
        }
        _ if targets.element.is_float() => Some(TargetKind::Values { width: targets.width() }),
        // Several yes or no for each row are labels, which may all be true.
        _ if targets.element == Element::Bool && targets.width() > 1 => {
            Some(TargetKind::Values { width: targets.width() })
        }
        _ if targets.width() > 1 => None,
        Some(count) => Some(TargetKind::Classes { count: count.get() }),
        None => return Err(StreamError::NoClasses.into()),
    };
    kind.ok_or_else(|| targets.must_be(path.clone(), TARGETS))
}

impl Streamed {
    fn new(
        shards: Vec<Shard>,
        window: usize,
        targets: TargetKind,
        known: Known,
        fingerprint: Fingerprint,
    ) -> Result<Self, DataError> {
        let shards: Arc<[Shard]> = shards.into();
        let (mut starts, mut rows) = (Vec::with_capacity(shards.len()), 0);
        for shard in shards.iter() {
            starts.push(rows);
            rows += shard.rows();
        }
        let row_bytes = shards.first().map_or(1, Shard::row_bytes).max(1);
        let block_rows = (BLOCK / row_bytes).max(1);
        let most = blocks_of(&shards, window, block_rows);
        let longest = shards.iter().map(Shard::rows).max().unwrap_or(0).min(block_rows);
        let needs = vec![Need::new(
            "rows read in advance",
            (most * longest * row_bytes) as u64,
            format!("blocks of up to {} for windows of {window} rows", Size((longest * row_bytes) as u64)),
        )];
        let name = shards.first().map(|shard| shard.path.display().to_string()).unwrap_or_default();
        memory::require(&name, needs, 0, vec!["a smaller `data.shuffle_window`".to_owned()])?;
        let read = {
            let shards = Arc::clone(&shards);
            move |(shard, block): blocks::Id| {
                let shard: &Shard = shards.get(shard).ok_or(DataError::NothingToVisit)?;
                shard.block(block * block_rows..((block + 1) * block_rows).min(shard.rows()))
            }
        };
        let blocks = Blocks::new(read, most);
        Ok(Self { shards, starts, rows, window, block_rows, blocks, targets, known, fingerprint })
    }

    /// Returns the number of the shard of a row, the shard, and the row's number in it.
    fn place(&self, row: usize) -> Result<(usize, &Shard, usize), DataError> {
        let missing = || DataError::NoSuchRow { row, rows: self.rows };
        if row >= self.rows {
            return Err(missing());
        }
        let at = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let (shard, start) = self.shards.get(at).zip(self.starts.get(at)).ok_or_else(missing)?;
        Ok((at, shard, row - start))
    }

    /// Returns the blocks of consecutive rows.
    fn blocks_of_rows(&self, rows: &Range<usize>) -> Vec<blocks::Id> {
        let (mut ids, mut next) = (Vec::new(), rows.start);
        while let Some((at, shard, row)) = (next < rows.end).then(|| self.place(next).ok()).flatten() {
            ids.push((at, row / self.block_rows));
            next += ((row / self.block_rows + 1) * self.block_rows).min(shard.rows()) - row;
        }
        ids
    }

    /// Creates the error of an element of these rows.
    fn wrong(&self, of: fn(&Shard) -> &Stored, rows: &[usize], at: usize, problem: Problem) -> DataError {
        let width = self.shards.first().map_or(1, |shard| of(shard).width().max(1));
        match rows.get(at / width).map(|&row| self.place(row)) {
            Some(Ok((_, shard, row))) => {
                let (path, name) = (shard.path.clone(), of(shard).name.clone());
                TensorError::Element { path, name, row, problem }.into()
            }
            _ => DataError::Row { row: at / width, problem },
        }
    }

    fn target_tensor(&self, stored: &Stored, rows: &[usize], bytes: &[u8]) -> Result<Tensor, DataError> {
        let wrong = |(at, problem)| self.wrong(Shard::targets, rows, at, problem);
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

/// Returns the largest number of blocks to hold: those of the window in use, of the next, and of one more, as batches are
/// made ahead; and some for rows beside them.
fn blocks_of(shards: &[Shard], window: usize, block_rows: usize) -> usize {
    const BESIDE: usize = 8;
    let shortest = shards.iter().map(Shard::rows).filter(|rows| *rows > 0).min().unwrap_or(1);
    let touched = (window.div_ceil(shortest) + 1).min(shards.len());
    3 * (window.div_ceil(block_rows) + touched) + BESIDE
}

impl Dataset for Streamed {
    fn len(&self) -> usize {
        self.rows
    }

    fn input(&self) -> Input {
        Input::Numbers(self.shards.first().map(|shard| shard.inputs.shape.clone()).unwrap_or_default())
    }

    fn targets(&self) -> TargetKind {
        self.targets
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn shards(&self) -> Option<Shards> {
        let train = self.shards.iter().filter(|shard| shard.part == Part::Train);
        Some(Shards { lengths: train.map(Shard::rows).collect(), window: self.window })
    }

    fn expect(&self, rows: &[Range<usize>]) {
        self.blocks.expect(rows.iter().flat_map(|rows| self.blocks_of_rows(rows)).collect());
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let Some(first) = self.shards.first() else { return Err(DataError::NothingToVisit) };
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for &row in rows {
            let (at, _, row) = self.place(row)?;
            let block = self.blocks.get((at, row / self.block_rows))?;
            block.push_row(row % self.block_rows, first, &mut inputs, &mut targets);
        }
        let values = first.inputs.element.floats(&inputs);
        let values = values.map_err(|(at, problem)| self.wrong(Shard::inputs, rows, at, problem))?;
        let shape: Vec<usize> = [rows.len()].into_iter().chain(first.inputs.shape.iter().copied()).collect();
        let targets = self.target_tensor(&first.targets, rows, &targets)?;
        Ok(Batch { inputs: Tensor::from_vec(values, shape, &Device::Cpu)?, targets })
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("shards", &self.shards.len()).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// The identities of the shards are saved, so that a resume names the one that has changed.
impl Stateful for Streamed {
    fn save(&self) -> Result<State, StateError> {
        Ok(self.known.save())
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.known.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}
