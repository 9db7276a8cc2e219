//! Rows of tokens in shards of text. A block is tokenized when it is read, and its tokens are divided into rows without
//! those of others, so that the rows of a block are a function of its bytes.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::AT_ONCE;
use super::at_once::at_once;
use super::cuts;
use super::form::{BlockSize, Form, Placed};
use super::index::Index;
use super::jsonl::Jsonl;
use super::progress::Progress;
use super::shard::Shard;
use super::text::Text;
use crate::Notice;
use crate::data::documents::{Rows, Shape, Stream, TokenBatch, left_out};
use crate::data::error::{StreamError, TextError};
use crate::data::files::Part;
use crate::data::format_kind::Format;
use crate::data::packing::Packing;
use crate::data::processes::Division;
use crate::data::text::of_vocabulary;
use crate::data::{Batch, DataConfig, DataError, Input, Recalled, TargetKind, Unknown, Vocabulary};
use crate::state::{State, StateError};
use crate::store::Object;

/// The usual bytes of text in a block.
const BLOCK: u64 = 1 << 20;

/// The joint for formats of text: how a part of a shard becomes tokens, and these rows.
pub(super) trait Wording: Send + Sync {
    /// Returns the length in bytes up to which a line is not divided between blocks.
    fn longest_line(&self) -> u64;

    /// Returns the tokens of a block, and how many of them are unknown.
    fn tokens(&self, bytes: &[u8], at: At<'_>, vocabulary: &Vocabulary) -> Result<(Stream, usize), DataError>;

    /// Returns how tokens become rows.
    fn shape(&self) -> Shape;

    /// Returns the token that fills up rows.
    fn filler(&self) -> u32;

    /// Returns the token that begins a document, if those of a row are seen apart from each other.
    fn document_start(&self) -> Option<u32>;
}

/// The place of a block: its shard, and the text before it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub path: &'a Path,
    pub byte: u64,
    pub lines: u64,
}

impl At<'_> {
    /// Returns bytes of this place as text.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, TextError> {
        let wrong = |at: usize| TextError::NotText { path: self.path.to_owned(), byte: self.byte + at as u64 };
        std::str::from_utf8(bytes).map_err(|error| wrong(error.valid_up_to()))
    }
}

/// The rows of all shards.
pub(super) struct Tokens {
    reader: Reader,
    index: Index,
    notices: Vec<Notice>,
}

/// The shards, and how a block of one becomes rows.
pub(super) struct Reader {
    pub shards: Vec<Arc<Shard>>,
    pub wording: Box<dyn Wording>,
    pub vocabulary: Vocabulary,
}

/// A block in memory.
pub(super) struct TokenBlock {
    stream: Stream,
    rows: Vec<Range<usize>>,
}

/// Counts over blocks.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Counted {
    rows: usize,
    /// Documents whose ends are in no row, and those with nothing to learn.
    cut: usize,
    empty: usize,
    tokens: usize,
    unknown: usize,
}

/// Opens all shards, several at once.
pub(super) fn open_files(listed: &[(Part, Object)]) -> Result<Vec<Arc<Shard>>, DataError> {
    at_once(0..listed.len(), AT_ONCE, |at| {
        let (part, object) = listed.get(at).cloned().ok_or(DataError::NothingToVisit)?;
        let (shard, beginning) = Shard::open(part, object)?;
        match Packing::of(&beginning) {
            Packing::None => Ok(Arc::new(shard)),
            packing => Err(StreamError::Packed { path: shard.path, kind: packing.name() }.into()),
        }
    })
}

impl Tokens {
    /// Counts the rows of all shards; those of a run of a checkpoint are counted in it.
    pub fn open(
        shards: Vec<Arc<Shard>>,
        config: &DataConfig,
        format: Format,
        recalled: Option<Recalled<'_>>,
        division: Division<'_>,
    ) -> Result<Self, DataError> {
        let context = config.context.map(NonZeroUsize::get).ok_or(TextError::NoContext)?;
        let vocabulary = Vocabulary::given(config, recalled)?.ok_or(StreamError::Characters)?;
        let (vocabulary, wording): (_, Box<dyn Wording>) = match format {
            Format::Jsonl => {
                let vocabulary = vocabulary.separated_by(config.separator.as_deref())?;
                let wording = Jsonl::new(config, context, &vocabulary)?;
                (vocabulary, Box::new(wording))
            }
            _ => (vocabulary, Box::new(Text { context })),
        };
        let reader = Reader { shards, wording, vocabulary };
        let tokens = match recalled.and_then(|recalled| recalled.memory) {
            Some(memory) => Self { index: Index::load(memory, &reader.shards)?, reader, notices: Vec::new() },
            None => Self::counted(reader, BLOCK, division)?,
        };
        let has_rows = |part| tokens.shards().iter().any(|(of, rows)| *of == part && *rows > 0);
        let is_named = |part| tokens.reader.shards.iter().any(|shard| shard.part == part);
        if [Part::Train, Part::Validation, Part::Test].into_iter().any(|part| is_named(part) && !has_rows(part)) {
            return Err(TextError::NothingToLearn { path: config.path.clone(), context }.into());
        }
        Ok(tokens)
    }

    /// Counts the rows of all shards, in blocks of about `size` bytes.
    pub fn counted(reader: Reader, size: u64, division: Division<'_>) -> Result<Self, DataError> {
        let (index, notices) = reader.count(size, division)?;
        Ok(Self { reader, index, notices })
    }
}

impl Reader {
    fn path(&self) -> PathBuf {
        self.shards.first().map(|shard| shard.path.clone()).unwrap_or_default()
    }

    /// Returns the blocks of about `size` bytes of all shards with their numbers of rows, and notes on them.
    fn count(&self, size: u64, division: Division<'_>) -> Result<(Index, Vec<Notice>), DataError> {
        let longest = self.wording.longest_line();
        let ends = division.of(self.shards.len(), |own| {
            at_once(own, AT_ONCE, |at| {
                let shard = self.shards.get(at).ok_or(DataError::NothingToVisit)?;
                cuts::ends(shard.bytes, size, longest, |range| shard.read(range))
            })
        })?;
        let starts = |ends: &[u64]| [0].into_iter().chain(ends.iter().copied()).collect::<Vec<u64>>();
        let blocks: Vec<(&Shard, Range<u64>)> = self
            .shards
            .iter()
            .zip(&ends)
            .flat_map(|(shard, ends)| starts(ends).into_iter().zip(ends).map(|(start, &end)| (&**shard, start..end)))
            .collect();
        // A block from a store is waited for.
        let threads = thread::available_parallelism().map_or(1, usize::from).max(4);
        let counted = division.of(blocks.len(), |own| {
            let progress = Progress::new(own.len());
            at_once(own, threads, |at| {
                let (shard, bytes) = blocks.get(at).cloned().ok_or(DataError::NothingToVisit)?;
                let (_, counted) = self.block(shard, bytes)?;
                progress.step(|percent| {
                    tracing::info!("the rows of {} are counted, once for the run: {percent} %", self.path().display());
                });
                Ok(counted)
            })
        })?;
        let notices = self.notices(&counted)?;
        Ok((Index::new(ends, counted.iter().map(|counted| counted.rows)), notices))
    }

    /// Refuses text that is mostly unknown.
    fn notices(&self, counted: &[Counted]) -> Result<Vec<Notice>, DataError> {
        let sum = |of: fn(&Counted) -> usize| counted.iter().map(of).sum::<usize>();
        let unknown: Unknown = self.vocabulary.unknowns(sum(|all| all.unknown), sum(|all| all.tokens), "");
        let in_file = |source| TextError::InFile { path: self.path(), source: Box::new(source) };
        let unknown = unknown.require_few().map_err(in_file)?;
        let context = self.wording.shape().context;
        Ok(left_out(&self.path(), context, sum(|all| all.cut), sum(|all| all.empty), &unknown))
    }

    /// Reads a block.
    fn block(&self, shard: &Shard, range: Range<u64>) -> Result<(TokenBlock, Counted), DataError> {
        let bytes = shard.read(range.clone())?;
        let tokens = |lines| {
            let at = At { path: &shard.path, byte: range.start, lines };
            self.wording.tokens(&bytes, at, &self.vocabulary)
        };
        let (stream, unknown) = match tokens(0) {
            // The error names a line, for which those before the block are counted.
            Err(_) if range.start > 0 => tokens(cuts::lines_before(shard, range.start)?)?,
            found => found?,
        };
        let Rows { ranges, cut, empty } = stream.rows(self.wording.shape());
        let counted = Counted { rows: ranges.len(), cut, empty, tokens: stream.len(), unknown };
        Ok((TokenBlock { stream, rows: ranges }, counted))
    }
}

impl Form for Tokens {
    type Block = TokenBlock;

    fn shards(&self) -> Vec<(Part, usize)> {
        self.reader.shards.iter().map(|shard| shard.part).zip(self.index.rows()).collect()
    }

    fn block(&self, shard: usize, row: usize) -> Range<usize> {
        self.index.block(shard, row)
    }

    fn read(&self, shard: usize, rows: Range<usize>) -> Result<TokenBlock, DataError> {
        let bytes = self.index.bytes(shard, rows.start);
        let shard = self.reader.shards.get(shard).ok_or(DataError::NothingToVisit)?;
        let (block, counted) = self.reader.block(shard, bytes.clone())?;
        if counted.rows != rows.len() {
            let (path, byte) = (shard.path.clone(), bytes.start);
            return Err(StreamError::Recounted { path, byte, found: counted.rows, counted: rows.len() }.into());
        }
        Ok(block)
    }

    fn size(&self) -> BlockSize {
        let (rows, bytes) = self.index.size();
        // A token is seldom less than a byte of text.
        BlockSize { rows, bytes: bytes as usize * size_of::<u32>() }
    }

    fn batch(&self, rows: &[Placed<TokenBlock>]) -> Result<Batch, DataError> {
        let (Shape { context, .. }, filler) = (self.reader.wording.shape(), self.reader.wording.filler());
        let mut batch = TokenBatch::new(rows.len(), context, filler, self.reader.vocabulary.len() as u32);
        for Placed { row, block, at, .. } in rows {
            let range = block.rows.get(*at).ok_or(DataError::NoSuchRow { row: *row, rows: block.rows.len() })?;
            batch.add(&block.stream, range);
        }
        batch.batch()
    }

    of_vocabulary!(self => self.reader.vocabulary, self.reader.wording.shape().context);

    fn ignored(&self) -> Option<u32> {
        Some(self.reader.vocabulary.len() as u32)
    }

    fn document_start(&self) -> Option<u32> {
        self.reader.wording.document_start()
    }

    fn notices(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    /// The vocabulary is saved, so that a checkpoint alone can decode tokens to text; and the index, so that no resume
    /// counts again.
    fn save(&self) -> State {
        let mut state = self.reader.vocabulary.save();
        self.index.save(&mut state);
        state
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.reader.vocabulary.check(state)?;
        if Index::load(state, &self.reader.shards)? == self.index {
            return Ok(());
        }
        Err(StateError::Malformed("the index of the rows is not that of these shards".to_owned()))
    }
}
