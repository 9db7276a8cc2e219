//! Stretches of a run at the rate 0, in which nothing is learned.

use std::ops::Range;

use serde::Serialize;

use crate::schedule::Scheduler;

/// Most steps that are looked at, evenly spaced.
const LOOKS: u64 = 100_000;

/// Successive updates at the rate 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rest {
    /// The parameter group.
    pub group: usize,
    /// The updates.
    pub steps: Range<u64>,
}

/// Returns the stretches of two or more updates at the rate 0 of a run of `steps` updates, in each group. Of a very long
/// run, short ones may be missing.
pub(super) fn rests(scheduler: &Scheduler, steps: u64) -> Vec<Rest> {
    let stride = steps.div_ceil(LOOKS).max(1);
    let mut rests: Vec<Rest> = Vec::new();
    for group in 0..scheduler.base_lrs().len() {
        let rests_at = |step: u64| scheduler.rates_at(step).get(group).is_some_and(|&rate| rate == 0.0);
        let mut step = 0;
        while step < steps {
            if rests_at(step) {
                let from = edge(step.saturating_sub(stride - 1)..step, rests_at).unwrap_or(step);
                let next = (step..steps).step_by(stride as usize).find(|&step| !rests_at(step)).unwrap_or(steps);
                let end = edge(next.saturating_sub(stride - 1)..next, |step| !rests_at(step)).unwrap_or(next);
                rests.push(Rest { group, steps: from..end });
                step = next;
            }
            step += stride;
        }
    }
    rests.retain(|rest| rest.steps.end - rest.steps.start > 1);
    rests
}

/// Returns the first of a few steps for which `holds`.
fn edge(mut steps: Range<u64>, holds: impl Fn(u64) -> bool) -> Option<u64> {
    steps.find(|&step| holds(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{RunLength, Schedule};

    fn found(schedule: &str, bases: &[f64], steps: u64) -> Vec<(usize, Range<u64>)> {
        let run = RunLength { total_steps: Some(steps), steps_per_epoch: 10 };
        let scheduler = Scheduler::new(schedule.parse::<Schedule>().unwrap(), bases.to_vec(), run).unwrap();
        rests(&scheduler, steps).into_iter().map(|rest| (rest.group, rest.steps)).collect()
    }

    #[test]
    fn a_stretch_is_found_with_its_ends_and_a_single_step_is_none() {
        assert_eq!(found("linear(1, 0, 90)", &[0.1], 100), [(0, 90..100)]);
        assert_eq!(found("linear(1, 0, 99)", &[0.1], 100), []);
        assert_eq!(found("piecewise([[0, 1], [20, 0], [22, 1]])", &[0.1, 0.2], 50), [(0, 20..22), (1, 20..22)]);
    }

    #[test]
    fn in_a_long_run_the_ends_are_exact_too() {
        assert_eq!(found("linear(1, 0, 1234567)", &[0.1], 3_000_001), [(0, 1_234_567..3_000_001)]);
    }
}
