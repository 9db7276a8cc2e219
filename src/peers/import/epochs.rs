//! Epochs of a peer's data and those of the data here: which unit a schedule counts, and whether both are as long.

use super::account::Account;
use super::error::Refusal;
use crate::figures::counted;
use crate::peers::Peer;
use crate::peers::peer::{Trainer, Unit};

/// The beginning of the line by which readers say that a schedule's unit is open.
const OPEN: &str = "whether the schedule counts updates or epochs";

/// Settles the unit of schedules that the counters of the file leave open: one that stands at the number of whole epochs
/// counts them. `given` is a person's number of updates.
pub(super) fn settle_units(peer: &mut Peer, steps_per_epoch: u64, given: Option<u64>) {
    let mut settled = Vec::new();
    for schedule in peer.schedules.iter_mut().filter(|schedule| schedule.unit == Unit::Unknown) {
        let own = peer.optimizers.get(schedule.optimizer).and_then(|optimizer| optimizer.updates);
        let (Some(at), Some(updates)) = (schedule.at, given.or(own).or(peer.updates)) else { continue };
        let epochs = updates / steps_per_epoch.max(1);
        if updates > 0 && updates as f64 == at {
            schedule.unit = Unit::Updates;
            settled.push(format!("the scheduler stands at {at}, as many as the updates, so it counts them"));
        } else if epochs > 0 && epochs as f64 == at {
            schedule.unit = Unit::Epochs;
            settled.push(format!(
                "the scheduler stands at {at} after {updates} updates, {steps_per_epoch} in an epoch here, so it counts epochs"
            ));
        }
    }
    if !settled.is_empty() && peer.schedules.iter().all(|schedule| schedule.unit != Unit::Unknown) {
        peer.missing.retain(|line| !line.starts_with(OPEN));
    }
    peer.remarks.extend(settled);
}

/// Compares the updates in an epoch there with those here. A trainer that counts parts of epochs must agree, unless
/// `is_decided`; a script's number may be of the last epoch or of the next, so a difference is only said.
///
/// # Errors
/// They differ.
pub(super) fn compare(
    peer: &Peer,
    step: u64,
    steps_per_epoch: u64,
    is_decided: bool,
    account: &mut Account,
) -> Result<(), Refusal> {
    if let Some(batches) = peer.accumulation.filter(|batches| *batches > 1) {
        account.translated.push(format!(
            "an update there is of {batches} batches, so `data.batch_size` here is all their rows; `train.accumulate` \
             divides them again"
        ));
    }
    let Some(epochs) = peer.epochs.filter(|epochs| *epochs > 0.0 && peer.updates.is_some()) else { return Ok(()) };
    let (step, here) = (step as f64, epochs * steps_per_epoch as f64);
    let is_exact = matches!(peer.trainer, Trainer::Transformers | Trainer::Lightning) && !is_share_of_run(peer, epochs);
    // An epoch's last update may be of fewer batches.
    let agree = if is_exact {
        (step - here).abs() < 1.0 - 1e-6
    } else {
        step >= here - 1.0 && step <= here + steps_per_epoch as f64 + 1.0
    };
    if agree || is_decided {
        return Ok(());
    }
    let each = counted(steps_per_epoch as usize, "update");
    let found = format!(
        "{step} updates are {} epochs there, and an epoch here has {each}{}",
        (epochs * 1000.0).round() / 1000.0,
        rows(peer)
    );
    if is_exact {
        let reason = format!(
            "{found}; give the rows of an update there as `data.batch_size`, with `data.drop_last` if its loader drops \
             the last ones, or decide with `--set data.batch_size=…` if the data is other"
        );
        return Err(Refusal::cannot("data.batch_size", reason));
    }
    account.missing.push(format!("the batch size: {found}; if that is not meant, correct `data.batch_size`"));
    Ok(())
}

/// Whether the epochs are only the part of the run that is done: transformers counts so where its data has no length.
fn is_share_of_run(peer: &Peer, epochs: f64) -> bool {
    let total = peer.counters.iter().find(|counter| counter.name.ends_with("max_steps")).map(|counter| counter.value);
    let share = peer.updates.zip(total).map(|(updates, total)| updates as f64 / total);
    share.is_some_and(|share| (share - epochs).abs() < 1e-9)
}

/// Returns the rows of an update there, where the file says them.
fn rows(peer: &Peer) -> String {
    let size = peer.settings.iter().find(|(name, _)| name == "per_device_train_batch_size");
    let Some(size) = size.and_then(|(_, size)| size.parse::<u64>().ok()) else { return String::new() };
    let batches = peer.accumulation.unwrap_or(1);
    format!(" (there it is of {size} rows × {batches} on each device: {})", size.saturating_mul(batches))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::peer::{Form, Schedule};

    fn unit(at: f64, updates: Option<u64>, given: Option<u64>) -> Unit {
        let mut peer = Peer::new("a.pt", Trainer::PyTorch, "zip");
        peer.updates = updates;
        peer.missing.push(format!("{OPEN}: it stands at {at}"));
        peer.schedules.push(Schedule {
            optimizer: 0,
            form: Form::default(),
            at: Some(at),
            unit: Unit::Unknown,
            base_lrs: Vec::new(),
            last_lrs: Vec::new(),
            late: 0,
            in_f32: false,
        });
        settle_units(&mut peer, 4, given);
        let unit = peer.schedules[0].unit;
        assert_eq!(peer.missing.is_empty(), unit != Unit::Unknown);
        unit
    }

    #[test]
    fn a_schedule_counts_epochs_or_updates_by_the_length_of_an_epoch_here() {
        assert_eq!([unit(5.0, Some(20), None), unit(5.0, Some(22), None)], [Unit::Epochs; 2]);
        assert_eq!([unit(6.0, Some(20), None), unit(5.0, None, None)], [Unit::Unknown; 2]);
        assert_eq!([unit(5.0, None, Some(20)), unit(5.0, None, Some(5))], [Unit::Epochs, Unit::Updates]);
    }

    fn compared(trainer: Trainer, updates: u64, epochs: f64, is_decided: bool) -> Result<Account, String> {
        let mut peer = Peer::new("a.pt", trainer, "zip");
        (peer.updates, peer.epochs) = (Some(updates), Some(epochs));
        peer.accumulation = Some(4);
        peer.settings.push(("per_device_train_batch_size".to_owned(), "16".to_owned()));
        let mut account = Account::default();
        compare(&peer, updates, 4, is_decided, &mut account).map_err(|refusal| refusal.reason)?;
        Ok(account)
    }

    #[test]
    fn a_trainer_that_counts_parts_of_epochs_tells_a_wrong_batch_size() {
        assert!(compared(Trainer::Transformers, 10, 2.5, false).is_ok());
        let refused = compared(Trainer::Transformers, 10, 5.0, false).unwrap_err();
        assert!(
            refused.contains("16 rows × 4 on each device: 64") && refused.contains("--set data.batch_size"),
            "{refused}"
        );
        assert!(compared(Trainer::Transformers, 10, 5.0, true).is_ok());
        assert!(compared(Trainer::Lightning, 10, 1.25, false).is_err());
    }

    #[test]
    fn a_number_of_the_last_epoch_agrees_and_another_batch_size_is_said() {
        for epochs in [2.0, 3.0] {
            assert!(compared(Trainer::PyTorch, 12, epochs, false).unwrap().missing.is_empty());
        }
        let said = compared(Trainer::PyTorch, 12, 6.0, false).unwrap();
        assert!(said.missing[0].contains("12 updates are 6 epochs there"), "{said:?}");
    }
}
