//! Data sets that may be larger than memory, or than any disk: shards in object storage or on the local disk, of which only
//! the rows that are needed soon are held.
//!
//! 1. `listing.rs`: the shards that a configuration names. `shard.rs`: one of them, of which ranges are read.
//! 2. `known.rs`: their identities, compared with those in a checkpoint.
//! 3. `form.rs`: the joint for formats. `numbers.rs`: rows of numbers, in `safetensors.rs`, `npy.rs` and `npz.rs`.
//!    `tokens.rs`: rows of tokens, in `text.rs` and `jsonl.rs`; `index.rs`: how many there are in each block, counted once;
//!    `cuts.rs`: where blocks of text end.
//! 4. `blocks.rs`: rows in blocks, which other threads read in advance, in bounded memory. `at_once.rs`: work on many shards;
//!    `progress.rs`: how far it is.
//!
//! The order, in which shuffled rows stay near each other, is that of `shard_order.rs`.

mod at_once;
mod blocks;
mod cuts;
mod form;
mod index;
mod jsonl;
mod known;
mod listing;
mod npy;
mod npz;
mod numbers;
mod progress;
mod safetensors;
mod shard;
mod text;
mod tokens;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use self::blocks::Blocks;
use self::form::{BlockSize, Form, Placed};
use self::known::Known;
use self::numbers::Numbers;
use self::shard::Shard;
use self::tokens::Tokens;
use super::dataset::Source;
use super::error::StreamError;
use super::files::{Counts, Part};
use super::format_kind::Format;
use super::processes::Division;
use super::shard_order::Shards;
use super::{
    Batch, BatchSize, DataConfig, DataError, Dataset, Fingerprint, Input, Paths, Processes, Recalled, Split, TargetKind,
};
use crate::Notice;
use crate::memory::{self, Need, Size};
use crate::state::{State, StateError, Stateful};
use crate::store;

/// Number of rows that are shuffled together, by default.
pub(super) const WINDOW: usize = 10_000;

/// The name of the identities of shards in the saved state.
const SHARDS: &str = "shards";

/// Number of headers that are read at once.
const AT_ONCE: usize = 16;

/// Returns a saved state without what is saved of shards: that of a vocabulary, if the rows are tokens.
pub(super) fn without_shards(state: &State) -> State {
    let mut state = state.clone();
    if let Some(fields) = state.json.as_object_mut() {
        fields.remove(SHARDS);
    }
    index::remove(&mut state);
    state
}

/// Whether files of this format are read as shards.
pub(super) fn reads(format: Format) -> bool {
    matches!(format, Format::Safetensors | Format::Npy | Format::Npz | Format::Text | Format::Jsonl)
}

/// Whether the data is in object storage.
pub(super) fn is_remote(config: &DataConfig) -> bool {
    let others = config.validation_path.iter().chain(&config.test_path);
    config.paths().iter().chain(others.flat_map(Paths::iter)).any(store::is_url)
}

/// Whether the data is read as shards: in object storage always, on the local disk if a window is given.
pub(super) fn is_streamed(config: &DataConfig) -> bool {
    config.shuffle_window.is_some() || is_remote(config)
}

/// Returns the first shard of the training rows in object storage, with its first bytes, if it can be read.
pub(super) fn beginning(config: &DataConfig) -> Option<(PathBuf, Vec<u8>)> {
    /// A longer first record is not looked at.
    const LONGEST: u64 = 1 << 20;
    let training = config.training();
    let (part, object) = listing::of(&training).ok()?.into_iter().next()?;
    let range = 0..object.bytes.min(LONGEST);
    let (shard, _) = Shard::open(part, object).ok()?;
    let bytes = shard.read(range).ok()?;
    Some((shard.path, bytes))
}

/// Opens the shards that `config` describes; a run of a checkpoint has the same shards.
pub(super) fn open(
    config: &DataConfig,
    format: Format,
    recalled: Option<Recalled<'_>>,
    processes: Option<&dyn Processes>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    check(config, format)?;
    let listed = listing::of(config)?;
    let of_same = |files: &[Arc<Shard>]| {
        let known = Known::of(files);
        if let Some(recalled) = recalled {
            known.require_same(recalled.memory, files, config)?;
            recalled.check(config, &known.fingerprint())?;
        }
        Ok::<_, DataError>(known)
    };
    match format {
        Format::Text | Format::Jsonl => {
            let files = tokens::open_files(&listed)?;
            let known = of_same(&files)?;
            let division = Division { processes, content: &known.fingerprint() };
            Streamed::of(Tokens::open(files, config, format, recalled, division)?, known, config)
        }
        _ => {
            let (numbers, files) = Numbers::open(&listed, config, format)?;
            let known = of_same(&files)?;
            Streamed::of(numbers, known, config)
        }
    }
}

/// Refuses formats that are not read in shards, and options for which all rows would have to be read first.
fn check(config: &DataConfig, format: Format) -> Result<(), DataError> {
    if !reads(format) {
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
        None if config.cache.is_some() => {
            Err(DataError::meaningless("cache", "text in shards, whose tokens are not kept"))
        }
        None => Ok(()),
    }
}

/// The rows of shards: those for training first, then those for validation and for a test.
struct Streamed<F: Form> {
    form: Arc<F>,
    /// The use and the number of rows of each shard, and the number of its first row.
    shards: Vec<(Part, usize)>,
    starts: Vec<usize>,
    rows: usize,
    window: usize,
    blocks: Blocks<F::Block>,
    known: Known,
    fingerprint: Fingerprint,
}

impl<F: Form> Streamed<F> {
    /// Returns the data set of these rows with its split.
    fn of(form: F, known: Known, config: &DataConfig) -> Result<(Box<dyn Source>, Split), DataError> {
        let shards = form.shards();
        let mut counts = Counts::default();
        shards.iter().for_each(|(part, rows)| counts.add(*part, *rows));
        let Counts { train, validation, test } = counts;
        let split = Split::last(train + validation, validation)?.with_test(test);
        let window = config.shuffle_window.map_or(WINDOW, usize::from).min(train);
        Ok((Box::new(Self::new(form, shards, window, known, &config.path.display().to_string())?), split))
    }

    fn new(form: F, shards: Vec<(Part, usize)>, window: usize, known: Known, name: &str) -> Result<Self, DataError> {
        let (mut starts, mut rows) = (Vec::with_capacity(shards.len()), 0);
        for (_, length) in &shards {
            starts.push(rows);
            rows += length;
        }
        let size = form.size();
        let needs = vec![Need::new(
            "rows read in advance",
            (most_blocks(&shards, window, size) as u64).saturating_mul(size.bytes as u64),
            format!("blocks of up to {} for windows of {window} rows", Size(size.bytes as u64)),
        )];
        memory::require(name, needs, 0, vec!["a smaller `data.shuffle_window`".to_owned()])?;
        let form = Arc::new(form);
        let (blocks, fingerprint) = (blocks_of(&form, &shards, window), known.fingerprint());
        Ok(Self { form, shards, starts, rows, window, blocks, known, fingerprint })
    }

    /// Returns the number of the shard of a row, and the row's number in it.
    fn place(&self, row: usize) -> Result<(usize, usize), DataError> {
        let missing = || DataError::NoSuchRow { row, rows: self.rows };
        if row >= self.rows {
            return Err(missing());
        }
        let shard = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let start = self.starts.get(shard).ok_or_else(missing)?;
        Ok((shard, row - start))
    }

    /// Returns the blocks of consecutive rows.
    fn blocks_of_rows(&self, rows: &Range<usize>) -> Vec<blocks::Id> {
        let (mut ids, mut next) = (Vec::new(), rows.start);
        while let Some((shard, row)) = (next < rows.end).then(|| self.place(next).ok()).flatten() {
            let block = self.form.block(shard, row);
            ids.push((shard, block.start));
            next += (block.end - row).max(1);
        }
        ids
    }
}

/// Creates the blocks of rows. The number of one in its shard is that of its first row.
fn blocks_of<F: Form>(form: &Arc<F>, shards: &[(Part, usize)], window: usize) -> Blocks<F::Block> {
    let most = most_blocks(shards, window, form.size());
    let form = Arc::clone(form);
    Blocks::new(move |(shard, row)| form.read(shard, form.block(shard, row)), most)
}

/// Returns the largest number of blocks to hold: those of the window in use, of the next, and of one more, as batches are
/// made ahead; and some for rows beside them.
fn most_blocks(shards: &[(Part, usize)], window: usize, size: BlockSize) -> usize {
    const BESIDE: usize = 8;
    let lengths = shards.iter().map(|(_, rows)| *rows).filter(|rows| *rows > 0);
    let all: usize = lengths.clone().map(|rows| rows.div_ceil(size.rows)).sum();
    let touched = (window.div_ceil(lengths.min().unwrap_or(1)) + 1).min(shards.len());
    (3 * (window.div_ceil(size.rows) + touched) + BESIDE).min(all + BESIDE)
}

impl<F: Form> Dataset for Streamed<F> {
    fn len(&self) -> usize {
        self.rows
    }

    fn input(&self) -> Input {
        self.form.input()
    }

    fn targets(&self) -> TargetKind {
        self.form.targets()
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn notices(&self) -> Vec<Notice> {
        self.form.notices()
    }

    fn token_bytes(&self) -> Option<Vec<u32>> {
        self.form.token_bytes()
    }

    fn ignored(&self) -> Option<u32> {
        self.form.ignored()
    }

    fn document_start(&self) -> Option<u32> {
        self.form.document_start()
    }

    fn shards(&self) -> Option<Shards> {
        let train = self.shards.iter().filter(|(part, _)| *part == Part::Train);
        Some(Shards { lengths: train.map(|(_, rows)| *rows).collect(), window: self.window })
    }

    fn expect(&self, rows: &[Range<usize>]) {
        self.blocks.expect(rows.iter().flat_map(|rows| self.blocks_of_rows(rows)).collect());
    }

    fn shared(&mut self, ranks: usize) {
        if let Some(form) = self.form.among(ranks) {
            self.form = Arc::new(form);
            self.blocks = blocks_of(&self.form, &self.shards, self.window);
        }
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let placed = rows.iter().map(|&row| {
            let (shard, row) = self.place(row)?;
            let start = self.form.block(shard, row).start;
            Ok(Placed { shard, row, block: self.blocks.get((shard, start))?, at: row - start })
        });
        self.form.batch(&placed.collect::<Result<Vec<_>, DataError>>()?)
    }
}

impl<F: Form> fmt::Debug for Streamed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("shards", &self.shards.len()).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// The identities of the shards are saved, so that a resume names the one that has changed.
impl<F: Form> Stateful for Streamed<F> {
    fn save(&self) -> Result<State, StateError> {
        let mut state = self.form.save();
        let fields = state.json.as_object().cloned().unwrap_or_default();
        state.json = json!(fields);
        state.json[SHARDS] = self.known.save();
        Ok(state)
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.known.check(&state.json[SHARDS])?;
        self.form.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}

#[cfg(test)]
mod tests;
