//! Plans: a schedule with its lengths resolved and its values checked, as a function of `t`.

use std::fmt;

use super::context::Notes;
use super::memory::{Memory, MemorySlot};
use super::{Schedule, ScheduleError, context};

/// Number of rates checked before a run starts: a few milliseconds of work.
const LOOKS: u64 = 1 << 18;

/// Length of the run and of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLength {
    /// Optimizer updates of the whole run; `None` if it has no end.
    pub total_steps: Option<u64>,
    /// Optimizer updates in one epoch, at least 1.
    pub steps_per_epoch: u64,
}

/// A schedule prepared for one run: a pure function of `t`, base rate and group.
///
/// Evaluation costs the same at any `t` and changes nothing.
pub struct Plan {
    curve: Box<dyn Curve>,
    slots: Vec<MemorySlot>,
    needs_run_length: bool,
}

impl Plan {
    pub(super) fn new(schedule: &Schedule, run: &RunLength, groups: usize) -> Result<Self, ScheduleError> {
        if run.steps_per_epoch == 0 {
            return Err(ScheduleError::EmptyEpoch);
        }
        if groups == 0 {
            return Err(ScheduleError::NoGroups);
        }
        let notes = Notes::default();
        let curve = context::outermost(schedule, run, groups, &notes)?;
        let needs_run_length = notes.needs_run_length.get();
        Ok(Self { curve, slots: notes.slots.into_inner(), needs_run_length })
    }

    /// Returns the rate of update `t` in `group`, whose base rate is `base`: finite and not negative.
    ///
    /// A metric-driven kind gives its initial rate; its memory of metrics is in a [`Scheduler`](super::Scheduler).
    pub fn rate(&self, t: u64, base: f64, group: usize) -> f64 {
        self.rate_with(At { t, base, group, memory: &[] })
    }

    /// Returns the momentum (or beta1) for update `t` in `group`, if the schedule drives it.
    pub fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.curve.momentum(t, group)
    }

    /// Searches the run for an update whose rate is not finite before clamping: `(t, group, rate)`. A short run is
    /// checked at every update, a long one at evenly spaced updates including the first and the last, and a run without
    /// end at the first updates.
    pub(super) fn first_not_finite(&self, base_lrs: &[f64], run: &RunLength) -> Option<(u64, usize, f64)> {
        let looks = (LOOKS / base_lrs.len().max(1) as u64).max(2);
        let total = run.total_steps.unwrap_or(looks);
        let spread = |index| (u128::from(index) * u128::from(total - 1) / u128::from(looks - 1)) as u64;
        let times = (0..looks.min(total)).map(|index| if total <= looks { index } else { spread(index) });
        let rates = times.flat_map(|t| base_lrs.iter().enumerate().map(move |(group, &base)| (t, group, base)));
        rates
            .map(|(t, group, base)| (t, group, self.curve.rate(At { t, base, group, memory: &[] })))
            .find(|(_, _, rate)| !rate.is_finite())
    }

    /// Whether any part of the schedule is driven by a metric.
    pub fn wants_metric(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Whether its rates depend on how long the run is, or on the length of an epoch.
    pub fn needs_run_length(&self) -> bool {
        self.needs_run_length
    }

    /// Clamps the rate. With accepted parameters a rate is negative or infinite only by rounding below zero, or because
    /// base rate and factors multiply to more than f64 can hold.
    pub(super) fn rate_with(&self, at: At<'_>) -> f64 {
        let rate = self.curve.rate(at);
        if rate > 0.0 { rate.min(f64::MAX) } else { 0.0 }
    }

    pub(super) fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        self.curve.report(t, metric, memory);
    }

    pub(super) fn slots(&self) -> &[MemorySlot] {
        &self.slots
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("wants_metric", &self.wants_metric()).finish_non_exhaustive()
    }
}

/// The point at which a rate is evaluated.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub t: u64,
    pub base: f64,
    pub group: usize,
    /// Memories of the metric-driven kinds; empty before the first report.
    pub memory: &'a [Box<dyn Memory>],
}

/// A planned schedule. A closure from `t` and base rate to rate is one; only composition and memory need more.
pub(crate) trait Curve: Send + Sync {
    /// Returns the rate of update `at.t`.
    fn rate(&self, at: At<'_>) -> f64;

    /// Returns the momentum of update `t`, if the schedule drives it.
    fn momentum(&self, _t: u64, _group: usize) -> Option<f64> {
        None
    }

    /// Reports `metric` after `t` updates to the part of this schedule that is in force.
    fn report(&self, _t: u64, _metric: f64, _memory: &mut [Box<dyn Memory>]) {}
}

impl<F: Fn(u64, f64) -> f64 + Send + Sync> Curve for F {
    fn rate(&self, at: At<'_>) -> f64 {
        self(at.t, at.base)
    }
}

/// A curve that counts epochs inside one that counts steps.
pub(super) struct InEpochs {
    pub steps_per_epoch: u64,
    pub curve: Box<dyn Curve>,
}

impl Curve for InEpochs {
    fn rate(&self, at: At<'_>) -> f64 {
        self.curve.rate(At { t: at.t / self.steps_per_epoch, ..at })
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.curve.momentum(t / self.steps_per_epoch, group)
    }

    /// Rounds up: after the first step of epoch `n`, the metric belongs to that epoch.
    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        self.curve.report(t.div_ceil(self.steps_per_epoch), metric, memory);
    }
}

/// Curve of a metric-driven kind, which reads its memory.
pub(super) struct Remembered {
    pub slot: usize,
}

impl Curve for Remembered {
    fn rate(&self, at: At<'_>) -> f64 {
        at.memory.get(self.slot).map_or(at.base, |memory| memory.rate(at.group))
    }

    fn report(&self, _t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        if let Some(memory) = memory.get_mut(self.slot) {
            memory.report(metric);
        }
    }
}
