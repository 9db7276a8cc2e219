//! The order of rows in shards: one shard after the other, in another order each epoch, and rows shuffled within windows,
//! so that those that are needed together lie near each other.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::rng::{Permutation, Stream};

/// The rows of a data set in shards, which are read from one end to the other rather than at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// The number of training rows in each shard, in the order of their numbers.
    pub lengths: Vec<usize>,
    /// The number of rows that are shuffled together; at least one.
    pub window: usize,
}

/// The order of the rows of shards, for all epochs.
#[derive(Clone, Debug)]
pub(super) struct ShardOrder {
    lengths: Arc<[usize]>,
    rows: usize,
    window: usize,
    /// The order of the last epoch that was asked for.
    recent: Arc<Mutex<Option<(u64, Laid)>>>,
}

/// The position of the first row of each shard in an epoch, ascending, and the number of that row.
type Laid = Arc<[(usize, usize)]>;

impl ShardOrder {
    pub fn new(shards: Shards) -> Self {
        let rows = shards.lengths.iter().sum();
        let (lengths, window) = (shards.lengths.into(), shards.window.max(1));
        Self { lengths, rows, window, recent: Arc::default() }
    }

    /// Returns the number of all rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Returns the rows at these positions of an epoch that is shuffled by `seed`.
    pub fn rows(&self, seed: u64, epoch: u64, positions: Range<usize>) -> Vec<usize> {
        let laid = self.laid(seed, epoch);
        let (mut rows, mut next) = (Vec::with_capacity(positions.len()), positions.start);
        while next < positions.end {
            let window = self.window_of(next);
            let permutation = self.permutation(seed, epoch, &window);
            let end = positions.end.min(window.end);
            rows.extend((next..end).map(|at| row_at(&laid, window.start + permutation.at(at - window.start))));
            next = end;
        }
        rows
    }

    /// Returns the rows that are needed from a position of an epoch on, in the order of reading: those of its window, and
    /// those of the next one.
    pub fn soon(&self, seed: Option<u64>, epoch: u64, position: usize) -> Vec<Range<usize>> {
        let ranges = |(epoch, window)| match seed {
            Some(seed) => self.ranges(&self.laid(seed, epoch), window),
            None => vec![window],
        };
        self.windows(epoch, position).map(ranges).concat()
    }

    /// Returns the positions of the window around a position of an epoch, and of the next window, each with its epoch.
    pub fn windows(&self, epoch: u64, position: usize) -> [(u64, Range<usize>); 2] {
        let window = self.window_of(position);
        let next = if window.end < self.rows {
            (epoch, self.window_of(window.end))
        } else {
            (epoch.saturating_add(1), self.window_of(0))
        };
        [(epoch, window), next]
    }

    /// Returns the positions of the window around a position.
    fn window_of(&self, position: usize) -> Range<usize> {
        let start = position / self.window * self.window;
        start..start.saturating_add(self.window).min(self.rows)
    }

    fn permutation(&self, seed: u64, epoch: u64, window: &Range<usize>) -> Permutation {
        let windows = self.rows.div_ceil(self.window) as u64;
        let number = epoch.wrapping_mul(windows).wrapping_add((window.start / self.window) as u64);
        Permutation::new(Stream::new(seed, "shuffle/window"), number, window.len())
    }

    /// Returns the order of the shards in an epoch.
    fn laid(&self, seed: u64, epoch: u64) -> Laid {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, laid)) = recent.as_ref()
            && *of == epoch
        {
            return Arc::clone(laid);
        }
        let mut first_rows = Vec::with_capacity(self.lengths.len());
        let mut row = 0;
        for length in self.lengths.iter() {
            first_rows.push(row);
            row += length;
        }
        let shards = self.lengths.len();
        let order = Permutation::new(Stream::new(seed, "shuffle/shards"), epoch, shards);
        let mut position = 0;
        let place = |at| {
            let shard = order.at(at);
            let first = (position, first_rows[shard]);
            position += self.lengths[shard];
            first
        };
        let laid: Laid = (0..shards).map(place).collect();
        *recent = Some((epoch, Arc::clone(&laid)));
        laid
    }

    /// Returns the rows at consecutive positions, as ranges.
    fn ranges(&self, laid: &Laid, positions: Range<usize>) -> Vec<Range<usize>> {
        let begin = laid.partition_point(|(first, _)| *first <= positions.start).saturating_sub(1);
        let mut ranges = Vec::new();
        for (at, &(first, row)) in laid.iter().enumerate().skip(begin) {
            let end = laid.get(at + 1).map_or(self.rows, |(next, _)| *next).min(positions.end);
            let start = first.max(positions.start);
            if first >= positions.end {
                break;
            }
            if start < end {
                ranges.push(row + (start - first)..row + (end - first));
            }
        }
        ranges
    }
}

/// Returns the row at a position.
fn row_at(laid: &Laid, position: usize) -> usize {
    let shard = laid.partition_point(|(first, _)| *first <= position).saturating_sub(1);
    laid.get(shard).map_or(0, |(first, row)| row + (position - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 5] = [7, 0, 12, 1, 30];

    fn order(window: usize) -> ShardOrder {
        ShardOrder::new(Shards { lengths: LENGTHS.to_vec(), window })
    }

    #[test]
    fn an_epoch_has_each_row_once_and_each_epoch_another_order() {
        for window in [1, 4, 50, 1000] {
            let order = order(window);
            let mut before = Vec::new();
            for epoch in 0..4 {
                let rows = order.rows(3, epoch, 0..50);
                let mut sorted = rows.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..50).collect::<Vec<_>>());
                // A window of one row has the order of the shards alone.
                assert!(window == 1 || rows != before, "{window}");
                // Any part of it, in any order of asking.
                assert_eq!(order.rows(3, 0, 9..31).len(), 22);
                assert_eq!(order.rows(3, epoch, 9..31), rows[9..31]);
                before = rows;
            }
        }
    }

    /// Rows stay in their window: the shards that it touches follow each other.
    #[test]
    fn the_rows_of_a_window_are_those_that_are_said_to_be_needed() {
        let order = order(10);
        for epoch in 0..3 {
            for window in 0..5 {
                let soon: Vec<usize> = order.soon(Some(3), epoch, window * 10 + 3).into_iter().flatten().collect();
                let mut expected = order.rows(3, epoch, window * 10..window * 10 + 10);
                expected.sort_unstable();
                let mut first = soon[..10].to_vec();
                first.sort_unstable();
                assert_eq!(first, expected);
                assert_eq!(soon.len(), 20);
            }
        }
        assert_eq!(order.soon(None, 0, 44), [40..50, 0..10]);
    }
}
