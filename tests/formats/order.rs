//! The rows of a step are a function of the seed and the step, and no row is skipped or seen twice.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use rekindle::data::{BatchSize, LastBatch, Order, Split};

fn order(rows: usize, batch: usize, last: LastBatch, seed: Option<u64>) -> Order {
    Order::new(rows, BatchSize::Rows(NonZeroUsize::new(batch).unwrap()), last, seed).unwrap()
}

/// The rows of a whole epoch, in the order of its batches.
fn epoch(order: &Order, epoch: u64) -> Vec<usize> {
    let first = epoch * order.steps_per_epoch();
    (first..first + order.steps_per_epoch()).flat_map(|step| order.rows_of(step)).collect()
}

fn sorted(mut rows: Vec<usize>) -> Vec<usize> {
    rows.sort_unstable();
    rows
}

proptest! {
    #[test]
    fn an_epoch_visits_every_row_once(
        rows in 1..300_usize, batch in 1..310_usize, seed: Option<u64>, number in 0..u64::from(u32::MAX),
    ) {
        let order = order(rows, batch, LastBatch::Keep, seed);
        prop_assert_eq!(sorted(epoch(&order, number)), (0..rows).collect::<Vec<_>>());
    }

    #[test]
    fn dropping_the_last_batch_drops_exactly_the_remainder(
        (rows, batch) in (1..300_usize).prop_flat_map(|rows| (Just(rows), 1..=rows)),
        seed: Option<u64>, number in 0..50_u64,
    ) {
        let kept = epoch(&order(rows, batch, LastBatch::Keep, seed), number);
        let dropped = order(rows, batch, LastBatch::Drop, seed);
        prop_assert_eq!(epoch(&dropped, number), &kept[..rows - rows % batch]);
        prop_assert!((0..dropped.steps_per_epoch()).all(|step| dropped.rows_of(step).len() == batch));
    }

    #[test]
    fn seeking_to_a_step_equals_walking_there(
        rows in 1..100_usize, batch in 1..20_usize, seed: u64, drop in any::<bool>(), step in 0..200_u64,
    ) {
        prop_assume!(!drop || batch <= rows);
        let last = if drop { LastBatch::Drop } else { LastBatch::Keep };
        let walked = order(rows, batch, last, Some(seed));
        let mut samples = 0;
        for passed in 0..step {
            prop_assert_eq!(walked.samples_before(passed), samples);
            samples += walked.rows_of(passed).len() as u64;
        }
        let sought = order(rows, batch, last, Some(seed));
        prop_assert_eq!(sought.rows_of(step), walked.rows_of(step));
        prop_assert_eq!(sought.samples_before(step), samples);
        prop_assert_eq!(sought.epoch_of(step), step / sought.steps_per_epoch());
    }

    #[test]
    fn a_split_is_disjoint_complete_ascending_and_depends_on_the_seed_alone(
        rows in 2..500_usize, share in 0.0..1.0_f64, seed: u64,
    ) {
        let Ok(split) = Split::new(rows, share, seed) else { return Ok(()) };
        let (train, validation) = (split.train().to_vec(), split.validation().to_vec());
        let together = [&train[..], &validation].concat();
        prop_assert_eq!(sorted(together), (0..rows).collect::<Vec<_>>());
        prop_assert!(train.is_sorted() && validation.is_sorted());
        prop_assert_eq!(split, Split::new(rows, share, seed).unwrap());
    }
}

#[test]
fn another_seed_gives_another_split() {
    assert_ne!(Split::new(100, 0.2, 0).unwrap(), Split::new(100, 0.2, 1).unwrap());
}

#[test]
fn every_epoch_and_every_seed_has_its_own_order() {
    let orders: Vec<_> = (0..4).map(|seed| order(1797, 32, LastBatch::Keep, Some(seed))).collect();
    let epochs: Vec<_> = orders.iter().flat_map(|order| (0..4).map(|number| epoch(order, number))).collect();
    let distinct: std::collections::BTreeSet<_> = epochs.iter().collect();
    assert_eq!(distinct.len(), 16);
}

/// Checkpoints rely on the order: a later version must continue existing runs with the same rows, which are written
/// down here as the first version gave them.
#[test]
fn the_order_of_a_seed_never_changes() {
    let order = order(1797, 6, LastBatch::Keep, Some(42));
    assert_eq!(order.rows_of(0), [402, 638, 200, 701, 1544, 1349]);
    assert_eq!(order.rows_of(1000), [1449, 1688, 1386, 547, 1432, 679]);
    assert_eq!(Split::new(1797, 0.002, 42).unwrap().validation().to_vec(), [630, 669, 963, 1385]);
}

#[test]
fn without_shuffling_rows_come_as_they_stand() {
    assert_eq!(epoch(&order(7, 3, LastBatch::Keep, None), 5), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn dropping_the_only_batch_is_refused() {
    let size = BatchSize::Rows(NonZeroUsize::new(64).unwrap());
    let message = Order::new(10, size, LastBatch::Drop, None).unwrap_err().to_string();
    assert_eq!(
        message,
        "`data.drop_last` leaves no batch: `data.batch_size` is 64 and there are 10 rows to train on; \
         lower the batch size, or keep the last batch"
    );
    assert!(Order::new(0, BatchSize::All, LastBatch::Keep, None).is_err());
}
