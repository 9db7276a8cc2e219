//! How many rows each block of shards of text has. They are counted once, when a run begins, and saved with it.

use std::ops::Range;
use std::sync::Arc;

use super::shard::Shard;
use crate::state::{Dtype, HostTensor, State, StateError};

/// The names of the saved tensors: the number of blocks in each shard, and where each block ends.
const BLOCKS: &str = "index/blocks";
const BYTES: &str = "index/bytes";
const ROWS: &str = "index/rows";

/// The blocks of all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index(Vec<Vec<Block>>);

/// Where a block ends in its shard: in bytes, and in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    bytes: u64,
    rows: u64,
}

/// Removes the tensors of an index.
pub(super) fn remove(state: &mut State) {
    for name in [BLOCKS, BYTES, ROWS] {
        state.tensors.remove(name);
    }
}

impl Index {
    /// Creates it of the ends of the blocks of each shard, and of the number of rows in each block, shard after shard.
    pub fn new(ends: Vec<Vec<u64>>, rows: impl IntoIterator<Item = usize>) -> Self {
        let mut rows = rows.into_iter();
        let of_shard = |ends: Vec<u64>| {
            let mut sum = 0;
            let block = |bytes| {
                sum += rows.next().unwrap_or(0) as u64;
                Block { bytes, rows: sum }
            };
            ends.into_iter().map(block).collect()
        };
        Self(ends.into_iter().map(of_shard).collect())
    }

    /// Returns the number of rows of each shard.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|blocks| blocks.last().map_or(0, |last| last.rows as usize))
    }

    /// Returns the usual number of rows in a block, and the bytes of the largest one.
    pub fn size(&self) -> (usize, u64) {
        let blocks = self.0.iter().map(Vec::len).sum::<usize>().max(1);
        let largest =
            |blocks: &Vec<Block>| (0..blocks.len()).map(|at| span(blocks, at, |block| block.bytes)).max_by_key(width);
        let bytes = self.0.iter().filter_map(largest).map(|bytes| width(&bytes)).max();
        ((self.rows().sum::<usize>() / blocks).max(1), bytes.unwrap_or(0))
    }

    /// Returns the rows of the block that a row of a shard is in.
    pub fn block(&self, shard: usize, row: usize) -> Range<usize> {
        let rows = self.at(shard, row, |block| block.rows);
        rows.start as usize..rows.end as usize
    }

    /// Returns the bytes of the block that a row of a shard is in.
    pub fn bytes(&self, shard: usize, row: usize) -> Range<u64> {
        self.at(shard, row, |block| block.bytes)
    }

    fn at(&self, shard: usize, row: usize, of: fn(&Block) -> u64) -> Range<u64> {
        let blocks = self.0.get(shard).map(Vec::as_slice).unwrap_or_default();
        span(blocks, blocks.partition_point(|block| block.rows <= row as u64), of)
    }

    /// Adds it to a state.
    pub fn save(&self, state: &mut State) {
        let all = || self.0.iter().flatten();
        let tensors = [
            (BLOCKS, tensor(self.0.iter().map(|blocks| blocks.len() as u64))),
            (BYTES, tensor(all().map(|block| block.bytes))),
            (ROWS, tensor(all().map(|block| block.rows))),
        ];
        state.tensors.extend(tensors.map(|(name, tensor)| (name.to_owned(), tensor)));
    }

    /// Returns the index of these shards in a saved state.
    ///
    /// # Errors
    /// There is none, or it is not one of these shards.
    pub fn load(state: &State, shards: &[Arc<Shard>]) -> Result<Self, StateError> {
        let numbers = |name: &str| {
            let tensor = state.tensors.get(name).ok_or_else(|| StateError::MissingTensor(name.to_owned()))?;
            let is_list = tensor.dtype == Dtype::U64 && tensor.shape.len() == 1;
            let wrong = || StateError::Malformed(format!("the tensor {name} is no list of whole numbers"));
            is_list.then(|| numbers_of(tensor)).ok_or_else(wrong)
        };
        let (counts, bytes, rows) = (numbers(BLOCKS)?, numbers(BYTES)?, numbers(ROWS)?);
        let mut blocks = bytes.into_iter().zip(rows).map(|(bytes, rows)| Block { bytes, rows });
        let of_shard = |&count: &u64| blocks.by_ref().take(count as usize).collect::<Vec<Block>>();
        let index = Self(counts.iter().map(of_shard).collect());
        let is_whole = |(blocks, shard): (&Vec<Block>, &Arc<Shard>)| {
            let ascends = |pair: &[Block]| matches!(pair, [a, b] if a.bytes < b.bytes && a.rows <= b.rows);
            // A row has at least one token, and templates add some to each line.
            let has_rows = |block: &Block| block.rows <= block.bytes.saturating_mul(64);
            blocks.windows(2).all(ascends)
                && blocks.iter().all(has_rows)
                && blocks.last().is_some_and(|last| last.bytes == shard.bytes)
        };
        if index.0.len() == shards.len() && index.0.iter().zip(shards).all(is_whole) {
            return Ok(index);
        }
        Err(StateError::Malformed("the index of the rows is not that of these shards".to_owned()))
    }
}

/// Returns what is in block number `at`, of numbers that say where blocks end.
fn span(blocks: &[Block], at: usize, of: fn(&Block) -> u64) -> Range<u64> {
    let end = |at: usize| blocks.get(at).map_or(0, of);
    at.checked_sub(1).map_or(0, end)..end(at)
}

fn width(range: &Range<u64>) -> u64 {
    range.end - range.start
}

fn tensor(numbers: impl Iterator<Item = u64>) -> HostTensor {
    let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
    HostTensor { dtype: Dtype::U64, shape: vec![bytes.len() / size_of::<u64>()], bytes }
}

fn numbers_of(tensor: &HostTensor) -> Vec<u64> {
    tensor.bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_in_the_block_that_has_it() {
        let index = Index::new(vec![vec![10, 30, 31, 40], vec![9]], [2, 0, 3, 1, 4]);
        assert_eq!(index.rows().collect::<Vec<_>>(), [6, 4]);
        let at = |shard, row| (index.block(shard, row), index.bytes(shard, row));
        assert_eq!([at(0, 0), at(0, 1)], [(0..2, 0..10), (0..2, 0..10)]);
        assert_eq!([at(0, 2), at(0, 4), at(0, 5)], [(2..5, 30..31), (2..5, 30..31), (5..6, 31..40)]);
        assert_eq!(at(1, 3), (0..4, 0..9));
        assert_eq!(index.size(), (2, 20));
    }

    #[test]
    fn what_is_saved_is_loaded_and_a_damaged_index_is_refused() {
        let index = Index::new(vec![vec![10, 30], vec![9]], [2, 3, 4]);
        let shards = [Shard::of_size(30), Shard::of_size(9)].map(Arc::new);
        let mut state = State::default();
        index.save(&mut state);
        assert_eq!(Index::load(&state, &shards).unwrap(), index);
        assert!(Index::load(&state, &shards[..1]).is_err());
        assert!(Index::load(&State::default(), &shards).is_err());
        for numbers in [vec![30, 10, 9], vec![10, 30], vec![10, 29, 9]] {
            let mut damaged = state.clone();
            damaged.tensors.insert(BYTES.to_owned(), tensor(numbers.into_iter()));
            assert!(Index::load(&damaged, &shards).is_err());
        }
        remove(&mut state);
        assert_eq!(state, State::default());
    }
}
