//! Where a run of PyTorch stands: updates, epochs, the unit in which a scheduler counts, and the update that a rate in the
//! file belongs to.

use super::survey::{is_epoch, step_rank};
use crate::peers::peer::{Peer, RateOf, Unit};

/// Settles updates, epochs, units and rates by the counters that were found.
///
/// A scheduler does not tell whether it is stepped at each update or at each epoch. Its counter does, where it is equal
/// to one of them and not to the other.
pub(super) fn settle(peer: &mut Peer) {
    settle_updates(peer);
    if peer.epochs.is_none() {
        peer.epochs = peer.counters.iter().find(|counter| is_epoch(counter)).map(|counter| counter.value);
    }
    for index in 0..peer.schedules.len() {
        settle_unit(peer, index);
    }
    for index in 0..peer.optimizers.len() {
        settle_rates(peer, index);
    }
}

/// Takes the updates from the optimizer that counts them, and else from the script's counter with the surest name.
fn settle_updates(peer: &mut Peer) {
    let counted = peer.optimizers.iter().filter_map(|optimizer| optimizer.updates).max();
    let steps = peer.counters.iter().filter_map(|counter| Some((step_rank(counter)?, counter)));
    let steps = steps.min_by_key(|(rank, _)| *rank).map(|(_, counter)| counter.clone());
    match (peer.updates, counted, steps) {
        (Some(_), _, _) => {}
        (None, Some(updates), steps) => {
            peer.updates = Some(updates);
            if let Some(counter) = steps.filter(|counter| counter.value != updates as f64) {
                peer.remarks.push(format!(
                    "the optimizer counts {updates} updates, and `{}` is {}: the optimizer's number is taken",
                    counter.name, counter.value
                ));
            }
        }
        (None, None, Some(counter)) => {
            peer.updates = Some(counter.value as u64);
            peer.remarks.push(format!(
                "the optimizer does not count its updates; {} of them are taken from `{}`",
                counter.value, counter.name
            ));
        }
        (None, None, None) if !peer.optimizers.is_empty() => peer.missing.push(
            "the number of updates: the optimizer does not count them, and the file has no counter of steps".to_owned(),
        ),
        (None, None, None) => {}
    }
}

fn settle_unit(peer: &mut Peer, index: usize) {
    let Some(schedule) = peer.schedules.get(index).filter(|schedule| schedule.unit == Unit::Unknown) else { return };
    let count = schedule.form.number("last_epoch").or(schedule.at);
    let own = peer.optimizers.get(schedule.optimizer).and_then(|optimizer| optimizer.updates);
    let steps: Vec<f64> = (peer.counters.iter().filter(|counter| step_rank(counter).is_some()))
        .map(|counter| counter.value)
        .chain(own.or(peer.updates).map(|updates| updates as f64))
        .collect();
    let told =
        Count { count, is_fraction: schedule.at.is_some_and(|at| at.fract() != 0.0), steps, epochs: peer.epochs }
            .tell();
    if let Some(schedule) = peer.schedules.get_mut(index) {
        schedule.unit = told.unit;
    }
    if told.epoch_is_index {
        peer.epochs = count;
    }
    // Several schedulers may be alike.
    peer.remarks.extend(told.remark.filter(|remark| !peer.remarks.contains(remark)));
    peer.missing.extend(told.missing.filter(|missing| !peer.missing.contains(missing)));
    if let Some(schedule) = peer.schedules.get_mut(index).filter(|_| told.is_behind) {
        // The next rate is that after the step which the file does not have yet.
        schedule.at = schedule.at.map(|at| at + 1.0);
        let optimizer = schedule.optimizer;
        rate_all(peer, optimizer, RateOf::Last);
    }
}

/// A scheduler's counter beside those of the run.
struct Count {
    count: Option<f64>,
    is_fraction: bool,
    steps: Vec<f64>,
    epochs: Option<f64>,
}

/// The unit of a scheduler, with what is to be said of it.
struct Told {
    unit: Unit,
    /// Whether the counter of epochs is the number of the last one, counted from 0.
    epoch_is_index: bool,
    /// Whether the file was saved before the scheduler was stepped.
    is_behind: bool,
    remark: Option<String>,
    missing: Option<String>,
}

impl Count {
    fn tell(&self) -> Told {
        let told = |unit| Told { unit, epoch_is_index: false, is_behind: false, remark: None, missing: None };
        let Some(count) = self.count else {
            return Told {
                missing: Some("the schedule's place: the scheduler has no counter".to_owned()),
                ..told(Unit::Unknown)
            };
        };
        if self.is_fraction {
            return told(Unit::Epochs);
        }
        let is_epochs = self.epochs == Some(count);
        let is_next_epoch = self.epochs.is_some_and(|epochs| epochs + 1.0 == count);
        if self.steps.contains(&count) {
            let both = is_epochs || is_next_epoch;
            let remark = format!(
                "the scheduler stands at {count}, as updates and epochs both do, so it is taken to count updates"
            );
            return Told { remark: both.then_some(remark), ..told(Unit::Updates) };
        }
        if is_epochs || is_next_epoch {
            let remark = self.steps.is_empty().then(|| {
                format!(
                    "the scheduler stands at {count} epochs; if an epoch is one update, it may count updates as well"
                )
            });
            return Told { epoch_is_index: is_next_epoch, remark, ..told(Unit::Epochs) };
        }
        if self.steps.contains(&(count + 1.0)) {
            let remark = format!(
                "the scheduler stands at {count}, one update behind: the file was saved before the scheduler was stepped, \
                 so its rate is that of the last update"
            );
            return Told { is_behind: true, remark: Some(remark), ..told(Unit::Updates) };
        }
        let missing = format!(
            "whether the schedule counts updates or epochs: it stands at {count}, and no counter in the file is equal to that"
        );
        Told { missing: Some(missing), ..told(Unit::Unknown) }
    }
}

fn settle_rates(peer: &mut Peer, index: usize) {
    let has_schedule = peer.schedules.iter().any(|schedule| schedule.optimizer == index);
    let Some(optimizer) = peer.optimizers.get(index) else { return };
    if optimizer.groups.iter().any(|group| group.rate_of != RateOf::Unknown) {
        return;
    }
    let had_schedule = optimizer.groups.iter().any(|group| group.initial_lr.is_some());
    if has_schedule {
        rate_all(peer, index, RateOf::Next);
    } else if had_schedule {
        peer.missing.push(
            "the schedule: groups have initial_lr, so the rate was scheduled, but no state of a known scheduler is in the file"
                .to_owned(),
        );
    } else if let Some(line) = moved_rate(peer, index) {
        peer.missing.push(line);
    } else {
        peer.remarks.push(
            "no scheduler is in the file, so the rate is taken to be constant; a script that sets it by hand is not seen"
                .to_owned(),
        );
        rate_all(peer, index, RateOf::Constant);
    }
}

/// Returns a sentence where a setting of the run names another rate than the groups have: a script set theirs by hand.
fn moved_rate(peer: &Peer, optimizer: usize) -> Option<String> {
    let names = ["lr", "learning_rate", "base_lr", "max_lr"];
    let rates: Vec<f64> = peer.optimizers.get(optimizer)?.groups.iter().filter_map(|group| group.lr).collect();
    let is_rate = |name: &str| name.rsplit('.').next().is_some_and(|name| names.contains(&name));
    let mut set = peer.settings.iter().filter(|(name, _)| is_rate(name));
    let (name, value) = set.find(|(_, value)| value.parse().is_ok_and(|rate| !rates.contains(&rate)))?;
    Some(format!(
        "the schedule: `{name}` is {value}, and the rates in the file are {rates:?}, so the script moves them; no state \
         of a scheduler is in the file"
    ))
}

/// Says to which update the rates of an optimizer belong.
pub(super) fn rate_all(peer: &mut Peer, optimizer: usize, rate_of: RateOf) {
    for group in peer.optimizers.get_mut(optimizer).into_iter().flat_map(|optimizer| &mut optimizer.groups) {
        group.rate_of = rate_of;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(count: f64, steps: &[f64], epochs: Option<f64>) -> Told {
        Count { count: Some(count), is_fraction: false, steps: steps.to_vec(), epochs }.tell()
    }

    #[test]
    fn a_scheduler_counts_what_its_counter_is_equal_to() {
        assert_eq!(tell(500.0, &[500.0], Some(10.0)).unit, Unit::Updates);
        assert_eq!(tell(10.0, &[500.0], Some(10.0)).unit, Unit::Epochs);
        let both = tell(10.0, &[10.0], Some(10.0));
        assert!(both.unit == Unit::Updates && both.remark.is_some());
        let index = tell(10.0, &[500.0], Some(9.0));
        assert!(index.unit == Unit::Epochs && index.epoch_is_index);
    }

    #[test]
    fn a_scheduler_that_was_not_stepped_yet_is_one_behind() {
        let behind = tell(499.0, &[500.0], Some(10.0));
        assert!(behind.unit == Unit::Updates && behind.is_behind);
    }

    #[test]
    fn a_counter_that_nothing_is_equal_to_leaves_the_unit_open() {
        let open = tell(123.0, &[500.0], Some(10.0));
        assert!(open.unit == Unit::Unknown && open.missing.unwrap().contains("stands at 123"));
    }
}
