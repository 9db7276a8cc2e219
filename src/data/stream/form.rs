//! The joint for formats of shards: what their rows are, and how a block of them is read.

use std::ops::Range;
use std::sync::Arc;

use crate::Notice;
use crate::data::files::Part;
use crate::data::{Batch, DataError, Input, TargetKind};
use crate::state::{State, StateError};

/// The rows of shards. Shards, and the rows of each, are counted from 0.
///
/// How many rows a shard has is known when a run begins. A block is read whole, and is a function of its shard alone, so
/// that it does not matter when and how often it is read.
pub(super) trait Form: Send + Sync + 'static {
    /// Consecutive rows of a shard in memory.
    type Block: Send + Sync + 'static;

    /// Returns the use and the number of rows of each shard.
    fn shards(&self) -> Vec<(Part, usize)>;

    /// Returns the rows of the block that a row of a shard is in.
    fn block(&self, shard: usize, row: usize) -> Range<usize>;

    /// Reads a block with these rows.
    fn read(&self, shard: usize, rows: Range<usize>) -> Result<Self::Block, DataError>;

    /// Returns how large blocks are.
    fn size(&self) -> BlockSize;

    /// Returns the same rows in other blocks, if another size is better for a process that needs a share of each batch,
    /// one of `ranks`.
    fn among(&self, _ranks: usize) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// Returns these rows as a batch.
    fn batch(&self, rows: &[Placed<Self::Block>]) -> Result<Batch, DataError>;

    /// As [`Dataset::input`](crate::data::Dataset::input), and so on.
    fn input(&self) -> Input;
    fn targets(&self) -> TargetKind;
    fn token_bytes(&self) -> Option<Vec<u32>> {
        None
    }
    fn ignored(&self) -> Option<u32> {
        None
    }
    fn document_start(&self) -> Option<u32> {
        None
    }
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }

    /// Returns what a checkpoint has to hold of it.
    fn save(&self) -> State;

    /// Refuses the saved state of other rows.
    fn check(&self, state: &State) -> Result<(), StateError>;
}

/// A row, and the block that holds it.
pub(super) struct Placed<B> {
    pub shard: usize,
    /// Its number in the shard.
    pub row: usize,
    pub block: Arc<B>,
    /// Its number in the block.
    pub at: usize,
}

/// The size of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSize {
    /// The usual number of rows.
    pub rows: usize,
    /// The bytes of the largest one in memory.
    pub bytes: usize,
}
