//! Rates of a peer's next updates: by its schedule in our terms where that can be said, otherwise the one in the file.

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::peers::peer::RateOf;
use crate::peers::translate::{RateSchedule, schedule};
use crate::schedule::{RunLength, Scheduler};
use crate::state::{State, Stateful};

/// Number of future rates in a status, as for our own runs.
const SHOWN: usize = 5;

/// The rates of an optimizer.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// The schedule in our terms, as one line.
    pub schedule: Option<String>,
    /// The memory of a schedule that follows a metric.
    pub memory: Value,
    /// The schedule of the momentum, where one moves it.
    pub momentum_schedule: Option<String>,
    /// The reason why the schedule cannot be said in our terms.
    pub refusal: Option<String>,
    /// How it was translated.
    pub notes: Vec<String>,
    /// Base rate of each group.
    pub base_lrs: Vec<f64>,
    /// Rates of the next updates for each group, starting with the next one, as far as they are known.
    pub next: Vec<Vec<f64>>,
    /// Momenta of the next updates for each group, where a schedule moves them.
    pub next_momenta: Vec<Vec<f64>>,
}

impl Rates {
    /// Computes the rates of the optimizer with this index.
    pub fn of(peer: &Peer, optimizer: usize) -> Self {
        let in_file = in_file(peer, optimizer);
        match schedule(peer, optimizer) {
            Err(refusal) => Self { refusal: Some(refusal.to_string()), next: in_file, ..Self::default() },
            Ok(None) => {
                let constant = |rates: Vec<f64>| rates.iter().flat_map(|rate| [*rate; SHOWN]).collect();
                Self { next: in_file.into_iter().map(constant).collect(), ..Self::default() }
            }
            Ok(Some(found)) => Self::scheduled(peer, &found, in_file),
        }
    }

    fn scheduled(peer: &Peer, found: &RateSchedule, in_file: Vec<Vec<f64>>) -> Self {
        let rates = Self {
            schedule: Some(found.schedule.to_string()),
            memory: found.memory.clone().unwrap_or_default(),
            momentum_schedule: found.momentum.as_ref().map(ToString::to_string),
            notes: found.notes.clone(),
            base_lrs: found.base_lrs.clone(),
            next: in_file,
            ..Self::default()
        };
        match placed(peer, found) {
            Some((scheduler, momenta)) => {
                // Rates by epochs are those of updates only where the length of an epoch is known.
                let shown = if found.per_epoch && steps_per_epoch(peer).is_none() { 1 } else { SHOWN };
                let updates = || (scheduler.t()..).take(shown);
                let groups = 0..scheduler.base_lrs().len();
                let next = |group: usize| updates().filter_map(|t| scheduler.rates_at(t).get(group).copied()).collect();
                let momentum = |group: usize| match &momenta {
                    Some(own) => updates().filter_map(|t| own.rates_at(t).get(group).copied()).collect(),
                    None => updates().filter_map(|t| scheduler.momentum_at(t, group)).collect(),
                };
                Self { next: groups.clone().map(next).collect(), next_momenta: groups.map(momentum).collect(), ..rates }
            }
            None => rates,
        }
    }
}

/// Returns the rate of the next update of each group, where the file has it.
fn in_file(peer: &Peer, optimizer: usize) -> Vec<Vec<f64>> {
    let groups = peer.optimizers.get(optimizer).map(|found| found.groups.as_slice()).unwrap_or_default();
    let is_next = |rate| matches!(rate, RateOf::Next | RateOf::Constant);
    groups.iter().map(|group| group.lr.filter(|_| is_next(group.rate_of)).into_iter().collect()).collect()
}

/// Returns schedulers of the rate and of the momentum, at the run's place; `None` where the place is not known, or the
/// schedule depends on the length of the run.
fn placed(peer: &Peer, found: &RateSchedule) -> Option<(Scheduler, Option<Scheduler>)> {
    let known = steps_per_epoch(peer);
    let steps_per_epoch = known.unwrap_or(1);
    let updates = match found.at {
        Some(at) if found.per_epoch => at.checked_mul(steps_per_epoch)?,
        Some(at) => at,
        None => peer.updates?,
    };
    let run = RunLength { total_steps: None, steps_per_epoch };
    let place = |schedule: &crate::schedule::Schedule, memory: &Option<Value>| {
        let mut scheduler = Scheduler::new(schedule.clone(), found.base_lrs.clone(), run).ok()?;
        let state = json!({ "t": updates, "base_lrs": found.base_lrs, "spec": schedule, "memory": memory });
        scheduler.load(&State::from_json(state)).ok()?;
        (known.is_some() || found.per_epoch || !scheduler.needs_run_length()).then_some(scheduler)
    };
    let momentum = match &found.momentum {
        Some(momentum) => Some(place(momentum, &None)?),
        None => None,
    };
    Some((place(&found.schedule, &found.memory)?, momentum))
}

/// Returns the updates of an epoch, where updates and epochs are known and an epoch is a whole number of them.
pub(super) fn steps_per_epoch(peer: &Peer) -> Option<u64> {
    let (updates, epochs) = (peer.updates?, peer.epochs.filter(|epochs| *epochs > 0.0)?);
    let steps = updates as f64 / epochs;
    (steps >= 1.0 && (steps - steps.round()).abs() < 1e-9 * steps).then_some(steps.round() as u64)
}
