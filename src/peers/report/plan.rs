//! The plan of a peer's learning rate, for `inspect lr`.

use super::rates::steps_per_epoch;
use super::status::total_steps;
use crate::peers::Peer;
use crate::peers::translate::{Refusal, schedule};
use crate::report::LrPlan;
use crate::schedule::{RunLength, Schedule};

/// Returns the schedule of a peer's first optimizer in our terms, with its base rates and the run's place in it.
///
/// # Errors
/// The file does not hold the schedule, or we have no such one.
pub fn plan(peer: &Peer) -> Result<LrPlan, Refusal> {
    let (schedule, base_lrs, at) = match schedule(peer, 0)? {
        Some(found) => (found.schedule, found.base_lrs, found.at.filter(|_| !found.per_epoch)),
        None => {
            let groups = peer.optimizers.first().map(|found| found.groups.as_slice()).unwrap_or_default();
            (Schedule::constant().into(), groups.iter().filter_map(|group| group.lr).collect(), None)
        }
    };
    let steps_per_epoch = steps_per_epoch(peer);
    let run = steps_per_epoch.map(|steps_per_epoch| RunLength { total_steps: total_steps(peer), steps_per_epoch });
    Ok(LrPlan { schedule, base_lrs: Some(base_lrs), run, step: at.or(peer.updates) })
}
