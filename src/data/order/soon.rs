//! The rows of shards that are needed soon: those of the windows in use, or the share of a process in them.

use std::ops::Range;

use super::{Order, Place};

impl Order {
    /// Returns the rows, in the order of reading, that batch number `step` and those soon after it need; none if rows are
    /// not in shards.
    pub(in crate::data) fn soon(&self, step: u64) -> Vec<Range<usize>> {
        let seed = self.shuffle.map(|(seed, _)| seed);
        let Place { epoch, start, .. } = self.place(step);
        self.shards.as_ref().map(|shards| shards.soon(seed, epoch, start)).unwrap_or_default()
    }

    /// Returns the window of shards in which batch number `step` begins: its epoch and its first position; `None` if rows are
    /// not in shards.
    pub(in crate::data) fn window_of(&self, step: u64) -> Option<(u64, usize)> {
        let Place { epoch, start, .. } = self.place(step);
        let [(epoch, window), _] = self.shards.as_ref()?.windows(epoch, start);
        Some((epoch, window.start))
    }

    /// Like [`Order::soon`], but only the rows at some places of each batch, which `own` returns for the number of its rows.
    /// They are the same for all batches that begin in a window, and in the order in which they are needed.
    pub(in crate::data) fn soon_within(
        &self,
        step: u64,
        own: impl Fn(usize) -> Vec<Range<usize>>,
    ) -> Vec<Range<usize>> {
        let Some(shards) = &self.shards else { return Vec::new() };
        let Place { epoch, start, .. } = self.place(step);
        let windows = shards.windows(epoch, start);
        // The end of the windows in the epoch of a batch, if it reaches into one of them.
        let end_for = |step: u64| {
            let (Place { epoch, start, .. }, rows) = (self.place(step), self.batch_rows(step));
            let touches = |window: &Range<usize>| start < window.end && window.start < start + rows;
            let of_epoch = || windows.iter().filter(|(of, _)| *of == epoch).map(|(_, window)| window);
            of_epoch().any(touches).then(|| of_epoch().map(|window| window.end).max().unwrap_or(0) - start)
        };
        let mut first = step;
        while first > 0 && end_for(first - 1).is_some() {
            first -= 1;
        }
        let (mut rows, mut step) = (Vec::new(), first);
        while let Some(end) = end_for(step) {
            for places in own(self.batch_rows(step)) {
                let needed = self.rows_within(step, places.start.min(end)..places.end.min(end));
                rows.extend(needed.into_iter().map(|row| row..row + 1));
            }
            let Some(next) = step.checked_add(1) else { break };
            step = next;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::data::{BatchSize, LastBatch, Shards};

    fn order(rows: usize, batch: usize, last: LastBatch, seed: Option<u64>) -> Order {
        Order::new(rows, BatchSize::Rows(NonZeroUsize::new(batch).unwrap()), last, seed).unwrap()
    }

    /// The shares of all processes are the rows that are needed by one, and each reads only its own.
    #[test]
    fn a_share_of_what_is_needed_soon_is_that_of_the_batches() {
        let shards = Shards { lengths: vec![7, 0, 12, 1, 30], window: 10 };
        for (last, seed) in [(LastBatch::Keep, Some(3)), (LastBatch::Drop, Some(4)), (LastBatch::Keep, None)] {
            let order = order(50, 4, last, seed).by_shards(shards.clone()).unwrap();
            for step in 0..40 {
                let half =
                    |rows: usize, rank: usize| iter::once(rows * rank / 2..rows * (rank + 1) / 2).collect::<Vec<_>>();
                let soon = [0, 1].map(|rank| order.soon_within(step, |rows| half(rows, rank)));
                let [first, second] = soon.map(|ranges| ranges.into_iter().flatten().collect::<Vec<usize>>());
                let all: Vec<usize> = order.soon(step).into_iter().flatten().collect();
                for later in step..step + 2 {
                    let rows = order.rows_of(later);
                    let (own, others) = rows.split_at(rows.len() / 2);
                    let is_needed = |row: &&usize| all.contains(row);
                    assert!(own.iter().filter(is_needed).all(|row| first.contains(row)), "{step}");
                    assert!(others.iter().filter(is_needed).all(|row| second.contains(row)), "{step}");
                }
                // A batch may begin before its window, and some rows are dropped.
                assert!(first.len() + second.len() <= all.len() + 4);
                assert_eq!(first, {
                    let again = order
                        .window_of(step)
                        .and_then(|window| (0..step).find(|&earlier| order.window_of(earlier) == Some(window)));
                    let ranges = order.soon_within(again.unwrap_or(step), |rows| half(rows, 0));
                    ranges.into_iter().flatten().collect::<Vec<usize>>()
                });
            }
        }
    }
}
