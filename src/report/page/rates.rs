//! The rates ahead: what the schedule of a run will do from its newest checkpoint to the end.

use super::thin::{Curve, Thinner};
use crate::checkpoint::Outline;
use crate::report::run_status::scheduler;

/// Most updates whose rates are computed.
const MOST_COMPUTED: u64 = 100_000;

/// Returns the rates of each group from the update at which the run continues to its last; empty if they depend on
/// lengths that the checkpoint does not tell, or if all updates are made.
pub(super) fn ahead(checkpoint: &Outline, total_steps: Option<u64>, most: usize) -> Vec<Curve> {
    let (Some(scheduler), Some(total)) = (scheduler(checkpoint, "schedulers.lr"), total_steps) else {
        return Vec::new();
    };
    let steps = checkpoint.step()..total;
    let stride = (steps.end.saturating_sub(steps.start)).div_ceil(MOST_COMPUTED).max(1);
    let mut groups: Vec<Thinner> = scheduler.base_lrs().iter().map(|_| Thinner::new(most)).collect();
    let last = total.saturating_sub(1);
    for step in steps.step_by(usize::try_from(stride).unwrap_or(usize::MAX)).chain([last]) {
        if step < checkpoint.step() {
            break;
        }
        for (group, rate) in groups.iter_mut().zip(scheduler.rates_at(step)) {
            group.push(step, rate);
        }
    }
    let curves = groups.iter().enumerate().map(|(group, rates)| rates.curve(&format!("lr.{group}")));
    curves.filter(|curve| !curve.x.is_empty()).collect()
}
