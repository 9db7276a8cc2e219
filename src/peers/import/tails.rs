//! The end of an epoch, where its rows fill no batch or its batches no update: trainers weigh or drop those rows in ways
//! of their own.

use super::error::Refusal;
use crate::data::BatchSize;
use crate::figures::counted;
use crate::peers::Peer;
use crate::peers::peer::Trainer;
use crate::train::Session;

/// How the rows of an epoch are divided here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    /// The training rows.
    pub rows: u64,
    /// Those of an update.
    pub batch_size: u64,
    /// Whether rows that fill no update are left out.
    pub drop_last: bool,
    /// Whether an update is divided into micro-batches.
    pub accumulates: bool,
}

impl Epoch {
    /// Returns the epochs of a run.
    pub fn of(session: &Session) -> Self {
        let (data, rows) = (&session.config().data, session.data().train_rows().len() as u64);
        let batch_size = match data.batch_size {
            BatchSize::All => rows,
            BatchSize::Rows(count) => count.get() as u64,
        };
        let accumulates = session.config().train.accumulate.is_some_and(|pieces| pieces > 1);
        Self { rows, batch_size, drop_last: data.drop_last, accumulates }
    }
}

/// Compares the last updates of an epoch, and returns a line on a difference that the file cannot tell.
///
/// # Errors
/// The updates there are of other rows, or weigh them differently.
pub(super) fn compare(peer: &Peer, here: Epoch) -> Result<Option<String>, Refusal> {
    if here.rows.is_multiple_of(here.batch_size.max(1)) {
        return Ok(None);
    }
    match peer.trainer {
        Trainer::Transformers => of_transformers(peer, here).map(|()| None),
        Trainer::Lightning | Trainer::Accelerate if here.accumulates && !here.drop_last => Ok(Some(format!(
            "the weight of an epoch's last update: {} divides the losses of its batches by the number of batches of a \
             whole update, so its gradient is smaller there",
            peer.trainer.name()
        ))),
        Trainer::DeepSpeed if peer.accumulation.is_some_and(|batches| batches > 1) => Ok(Some(
            "the last update of an epoch: DeepSpeed counts micro-batches on into the next epoch, so that its updates \
             have other rows from there on"
                .to_owned(),
        )),
        _ => Ok(None),
    }
}

/// A loader of transformers keeps or drops a batch that is not full; an update is of the batches that an epoch has left,
/// and is the mean of their means, unless the model itself divides by the number of its targets.
fn of_transformers(peer: &Peer, here: Epoch) -> Result<(), Refusal> {
    let setting = |key: &str| peer.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let Some(size) = setting("per_device_train_batch_size").and_then(|size| size.parse::<u64>().ok()) else {
        return Ok(());
    };
    let batches = peer.accumulation.unwrap_or(1).max(1);
    // On several devices the last batch is filled up, in a way that the file does not tell.
    if size.checked_mul(batches) != Some(here.batch_size) {
        return Ok(());
    }
    let drops = setting("dataloader_drop_last") == Some("true");
    let (short, left) = (here.rows % size, here.rows % here.batch_size);
    let rest = counted(short as usize, "row");
    let dropped = if drops { short } else { 0 };
    let dropped_here = if here.drop_last { left } else { 0 };
    if dropped != dropped_here {
        let remedy = match (dropped, dropped_here) {
            (0, _) => "set `data.drop_last = false`".to_owned(),
            (_, 0) if short == left => "set `data.drop_last = true`".to_owned(),
            _ => format!("set `data.drop_last = false` and leave the last {rest} out of the data"),
        };
        let reason = format!(
            "of {} rows the loader there drops {dropped} at the end of an epoch (dataloader_drop_last = {drops}), and \
             here {dropped_here} are; {remedy}, or decide with `--set data.drop_last=…`",
            here.rows
        );
        return Err(Refusal::cannot("data.drop_last", reason));
    }
    let of_last = left.div_ceil(size);
    let uneven = dropped == 0 && short > 0 && of_last > 1;
    if uneven && peer.architecture.is_none() {
        let reason = format!(
            "the last update of an epoch has {} batches there, of which one has {rest} and weighs as much as one of {size}, and \
             here every row weighs the same; decide for that with `--set data.batch_size={}`, or train with a number of \
             rows that {size} divides",
            of_last, here.batch_size
        );
        return Err(Refusal::cannot("data.batch_size", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::peer::Architecture;

    fn peer(trainer: Trainer, batches: u64, drops: bool) -> Peer {
        let mut peer = Peer::new("checkpoint-4", trainer, "folder");
        peer.accumulation = Some(batches);
        peer.settings.push(("per_device_train_batch_size".to_owned(), "8".to_owned()));
        peer.settings.push(("dataloader_drop_last".to_owned(), drops.to_string()));
        peer
    }

    fn compared(peer: &Peer, rows: u64, batch_size: u64, drop_last: bool) -> Result<Option<String>, String> {
        let here = Epoch { rows, batch_size, drop_last, accumulates: true };
        compare(peer, here).map_err(|refusal| refusal.reason)
    }

    fn transformers(batches: u64, drops: bool, rows: u64, drop_last: bool) -> Result<(), String> {
        compared(&peer(Trainer::Transformers, batches, drops), rows, 8 * batches, drop_last).map(drop)
    }

    /// Of transformers 5.23, on 90 and 88 rows in batches of 8. Where an import is refused, losses differ by up to 7e-2.
    #[test]
    fn transformers_must_drop_and_weigh_the_last_rows_as_here() {
        assert_eq!([transformers(1, false, 90, false), transformers(1, true, 90, true)], [Ok(()), Ok(())]);
        assert_eq!([transformers(4, false, 88, false), transformers(4, true, 88, false)], [Ok(()), Ok(())]);
        assert!(transformers(1, true, 90, false).unwrap_err().contains("drops 2 at the end"));
        assert!(transformers(1, false, 90, true).unwrap_err().contains("`data.drop_last = false`"));
        assert!(transformers(4, true, 90, false).unwrap_err().contains("leave the last 2 rows out"));
        assert!(transformers(4, true, 90, true).unwrap_err().contains("here 26 are"));
        let uneven = transformers(4, false, 90, false).unwrap_err();
        assert!(uneven.contains("4 batches there, of which one has 2 rows"), "{uneven}");
        assert_eq!(transformers(4, false, 66, false), Ok(()), "one short batch alone is its own mean");
    }

    #[test]
    fn a_model_that_divides_by_its_targets_and_several_devices_are_not_judged() {
        let mut own = peer(Trainer::Transformers, 4, false);
        own.architecture = Some(Architecture { kind: "gpt2".to_owned(), settings: Vec::new() });
        assert_eq!(compared(&own, 90, 32, false), Ok(None));
        assert_eq!(compared(&peer(Trainer::Transformers, 4, false), 90, 64, false), Ok(None));
    }

    #[test]
    fn updates_at_the_end_that_other_trainers_weigh_differently_are_named() {
        for (trainer, said) in [
            (Trainer::Lightning, "its gradient is smaller there"),
            (Trainer::Accelerate, "accelerate divides the losses"),
            (Trainer::DeepSpeed, "into the next epoch"),
        ] {
            let line = compared(&peer(trainer, 4, false), 90, 32, false).unwrap().unwrap_or_default();
            assert!(line.contains(said), "{line}");
            assert_eq!(compared(&peer(trainer, 4, false), 96, 32, false), Ok(None));
        }
    }
}
