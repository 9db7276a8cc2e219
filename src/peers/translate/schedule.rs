//! A peer's schedule as one of ours, checked against the rates in its file.

use serde_json::Value as Json;

use super::Refusal;
use super::schedules::{self, Shape, Source};
use crate::peers::Peer;
use crate::peers::peer::{Dialect, Optimizer, RateOf, Unit};
use crate::schedule::{Plan, RunLength, Schedule};

/// A schedule of rates in Rekindle's terms.
#[derive(Clone, Debug)]
pub struct RateSchedule {
    /// The whole schedule; its time counts optimizer updates, or epochs where [`Schedule::unit`] says so.
    pub schedule: Schedule,
    /// The base rate of each group.
    pub base_lrs: Vec<f64>,
    /// The memory of a metric-driven schedule, as [`crate::schedule::Scheduler`] saves it.
    pub memory: Option<Json>,
    /// A schedule of momentum (or beta1), where it is not part of `schedule`.
    pub momentum: Option<Schedule>,
    /// The time of the next update in the schedule's unit, where the file has it.
    pub at: Option<u64>,
    /// Whether that time counts epochs.
    pub per_epoch: bool,
    /// Remarks on how it was translated.
    pub notes: Vec<String>,
}

/// Number of updates over which two readings of one file are compared.
const AHEAD: u64 = 10_000;

/// Translates the schedule of the optimizer with this index; `None` where its rates are constant.
///
/// # Errors
/// The form is not in the file (then [`Refusal::asked`] is set), Rekindle has no such schedule, or the rate in the file
/// is not the one that the form gives.
pub fn schedule(peer: &Peer, optimizer: usize) -> Result<Option<RateSchedule>, Refusal> {
    let Some(of) = peer.optimizers.get(optimizer) else {
        return Err(Refusal::ask("schedule", "the file has no optimizer with this index"));
    };
    let mut found = peer.schedules.iter().filter(|schedule| schedule.optimizer == optimizer);
    let Some(schedule) = found.next() else {
        return without_schedule(of);
    };
    if let Some(second) = found.next() {
        let reason = format!(
            "`{}` and `{}` are both in the file for one optimizer; which one is in force cannot be told, so write `schedule` in the configuration",
            schedule.form.class, second.form.class
        );
        return Err(Refusal::ask("schedule", reason));
    }
    let source = Source { schedule, groups: &of.groups, updates: of.updates.or(peer.updates) };
    let mut fitting = Vec::new();
    let mut first_fault = None;
    for shape in schedules::shapes(&source)? {
        match finish(&source, shape) {
            Ok(finished) => fitting.push(finished),
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    choose(&source, fitting, first_fault).map(Some)
}

/// Decides about a file that has no schedule: the rate is constant, or the schedule was not saved.
fn without_schedule(optimizer: &Optimizer) -> Result<Option<RateSchedule>, Refusal> {
    let groups = &optimizer.groups;
    if optimizer.dialect == Dialect::Fastai {
        let reason = "no file of fastai has it, and `fit_one_cycle` is common; write `schedule` in the configuration, \"constant\" for a plain `fit`";
        return Err(Refusal::ask("schedule", reason));
    }
    if groups.iter().any(|group| group.lr.is_none()) {
        return Err(Refusal::ask(
            "schedule",
            "neither a rate nor a schedule is in the file; write both in the configuration",
        ));
    }
    if let Some(group) = groups.iter().find(|group| group.initial_lr.is_some() && group.rate_of != RateOf::Constant) {
        let (lr, initial) = (group.lr.unwrap_or_default(), group.initial_lr.unwrap_or_default());
        let reason = format!(
            "a group has `initial_lr` {initial} and `lr` {lr}, so a scheduler moved the rate, but its state is not in the file; write `schedule` in the configuration"
        );
        return Err(Refusal::ask("schedule", reason));
    }
    if groups.iter().any(|group| matches!(group.rate_of, RateOf::Unknown | RateOf::Last)) {
        return Err(Refusal::ask(
            "schedule",
            "the file has a rate, but no schedule, and what it tells besides speaks against a constant one; write `schedule` in the configuration",
        ));
    }
    Ok(None)
}

/// Returns the one reading of the file that fits its rates.
fn choose(
    source: &Source<'_>,
    mut fitting: Vec<RateSchedule>,
    fault: Option<Refusal>,
) -> Result<RateSchedule, Refusal> {
    let class = &source.schedule.form.class;
    if fitting.is_empty() {
        return Err(fault.unwrap_or_else(|| Refusal::cannot(class, "it has no translation")));
    }
    let first = fitting.remove(0);
    match fitting.iter().find(|other| !same_ahead(&first, other)) {
        None => Ok(first),
        Some(other) => Err(Refusal::ask(
            "schedule",
            format!(
                "the file has `{class}`, which may be `{}` or `{}`: both give its rate; write `schedule` in the configuration",
                first.schedule, other.schedule
            ),
        )),
    }
}

/// Returns whether both give the same rates from here on.
fn same_ahead(one: &RateSchedule, other: &RateSchedule) -> bool {
    let (Ok(a), Ok(b)) = (planned(one), planned(other)) else { return false };
    let from = one.at.unwrap_or(0);
    (from..from.saturating_add(AHEAD)).all(|t| {
        one.base_lrs.iter().zip(&other.base_lrs).enumerate().all(|(group, (base, same))| {
            let (x, y) = (a.rate(t, *base, group), b.rate(t, *same, group));
            (x - y).abs() <= 1e-12 * x.abs().max(y.abs())
        })
    })
}

fn planned(schedule: &RateSchedule) -> Result<Plan, crate::schedule::ScheduleError> {
    schedule.schedule.plan(&RunLength { total_steps: None, steps_per_epoch: 1 }, schedule.base_lrs.len())
}

/// Puts a form at its place in the run, and compares it with the rates in the file.
fn finish(source: &Source<'_>, shape: Shape) -> Result<RateSchedule, Refusal> {
    let class = &source.schedule.form.class;
    if shape.base_lrs.len() != source.groups.len() {
        let reason = format!(
            "it has base rates of {} groups, but the optimizer has {}",
            shape.base_lrs.len(),
            source.groups.len()
        );
        return Err(Refusal::cannot(class, reason));
    }
    // The counter of a schedule that follows a metric counts reports, which are no place in the run.
    let follows_metric = shape.memory.is_some();
    let at = match shape.at.or(source.schedule.at.filter(|_| !follows_metric)) {
        Some(at) if at >= 0.0 && at.fract() == 0.0 && at < 9e15 => Some(at as u64),
        Some(at) => {
            let reason = format!("it stands at {at}; Rekindle's schedules stand at whole updates or epochs only");
            return Err(Refusal::cannot(class, reason));
        }
        None => None,
    };
    let mut notes = shape.notes;
    let per_epoch = !follows_metric && epochs(source)?;
    let late = lateness(source, at, per_epoch, &mut notes)?;
    let mut schedule = shape.schedule;
    if late > 0 {
        schedule = wrapped("late", Some(late), &schedule)?;
    }
    if source.schedule.in_f32 {
        schedule = wrapped("in_f32", None, &schedule)?;
    }
    // A delay moves the time of the next update from the scheduler's counter to the run's.
    let at = at.map(|at| at + late - source.schedule.late.min(late));
    let counted = RateSchedule {
        schedule,
        base_lrs: shape.base_lrs,
        memory: shape.memory,
        momentum: shape.momentum,
        at,
        per_epoch,
        notes,
    };
    check_rates(source, &counted)?;
    Ok(if per_epoch {
        RateSchedule { schedule: counted.schedule.unit(crate::schedule::Unit::Epoch), ..counted }
    } else {
        counted
    })
}

/// Returns whether the schedule counts epochs.
fn epochs(source: &Source<'_>) -> Result<bool, Refusal> {
    match source.schedule.unit {
        Unit::Updates => Ok(false),
        Unit::Epochs => Ok(true),
        Unit::Unknown => Err(Refusal::ask(
            "schedule",
            format!(
                "the file does not tell whether `{}` counts updates or epochs; write `schedule` in the configuration, with unit = \"epoch\" where it counts epochs",
                source.schedule.form.class
            ),
        )),
    }
}

/// Returns by how many updates the schedule is behind the run.
fn lateness(source: &Source<'_>, at: Option<u64>, per_epoch: bool, notes: &mut Vec<String>) -> Result<u64, Refusal> {
    let own = source.schedule.late;
    let (Some(at), Some(updates), false) = (at, source.updates, per_epoch) else { return Ok(own) };
    // Where the rate in the file is the last update's, the counter may be of the last update as well.
    if at == updates || source.groups.iter().any(|group| group.rate_of == RateOf::Last) {
        return Ok(own);
    }
    match updates.checked_sub(at) {
        Some(behind) => {
            notes.push(format!("the schedule stands at {at} after {updates} updates; it stays {behind} behind"));
            Ok(own + behind)
        }
        None => Err(Refusal::cannot(
            &source.schedule.form.class,
            format!(
                "it stands at {at} after {updates} updates, so it was stepped more often than the optimizer; Rekindle's schedules count updates. Write `schedule` in the configuration"
            ),
        )),
    }
}

/// Wraps a schedule in one that takes it as its last argument.
fn wrapped(kind: &str, first: Option<u64>, schedule: &Schedule) -> Result<Schedule, Refusal> {
    let first = first.map(|first| format!("{first}, ")).unwrap_or_default();
    format!("{kind}({first}{schedule})").parse().map_err(|error| Refusal::of_schedule(kind, &error))
}

/// Compares every rate in the file with the one of the translated schedule.
fn check_rates(source: &Source<'_>, counted: &RateSchedule) -> Result<(), Refusal> {
    let class = &source.schedule.form.class;
    let plan = planned(counted).map_err(|error| Refusal::of_schedule(class, &error))?;
    let Some(at) = counted.at.or(source.updates) else { return Ok(()) };
    for (index, (group, base)) in source.groups.iter().zip(&counted.base_lrs).enumerate() {
        let (found, times) = match (group.lr, group.rate_of) {
            (Some(lr), RateOf::Next) => (lr, vec![at]),
            (Some(lr), RateOf::Last) => (lr, vec![at.saturating_sub(1), at]),
            _ => match source.schedule.last_lrs.get(index) {
                Some(lr) => (*lr, vec![at]),
                None => continue,
            },
        };
        let rates: Vec<f64> = times.iter().map(|t| plan.rate(*t, *base, index)).collect();
        let fits = |rate: &f64| (rate - found).abs() <= tolerance(source, at) * rate.abs().max(base.abs());
        if !rates.iter().any(fits) {
            let rate = rates.first().copied().unwrap_or_default();
            let reason = format!(
                "the rate of group {index} in the file is {found}, but `{}` gives {rate} at {}: somebody changed it, or it follows another form. Write `schedule` and `lr` in the configuration",
                counted.schedule,
                times.first().copied().unwrap_or(at)
            );
            return Err(Refusal::cannot(class, reason));
        }
    }
    Ok(())
}

/// The share of a rate by which the file's may differ: roundings add up where a peer multiplies its last rate.
fn tolerance(source: &Source<'_>, at: u64) -> f64 {
    let steps = at as f64;
    if source.schedule.in_f32 { 2e-6 + 2e-7 * steps.sqrt() } else { 1e-9 + 1e-14 * steps }
}
