//! The context of planning a schedule: the properties of the run, and the checks of parameters.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;

use super::argument::{Argument, ForGroups, Momentum};
use super::error::{ScheduleError, join};
use super::length::Length;
use super::memory::{Memory, MemorySlot};
use super::plan::{Curve, InEpochs, Remembered, RunLength};
use super::value::number;
use super::{Schedule, Unit};

/// Limit on the nesting of schedules. Far beyond any use, and low enough that a text, TOML or JSON can still be read
/// back: a schedule in a list takes two levels of each.
const DEEPEST: usize = 32;

/// The information a kind needs for planning, and the checks of its parameters.
pub(crate) struct Context<'a> {
    kind: &'static str,
    place: String,
    depth: usize,
    run: &'a RunLength,
    unit: Unit,
    /// The parameter groups of the run that this schedule serves.
    groups: Range<usize>,
    notes: &'a Notes,
}

/// Results of planning other than the curve.
#[derive(Default)]
pub(super) struct Notes {
    /// The memories of metric-driven kinds.
    pub slots: RefCell<Vec<MemorySlot>>,
    /// Whether the schedule uses a share of the run or an epoch.
    pub needs_run_length: Cell<bool>,
}

/// Plans `schedule` as the outermost of a run; its metric-driven kinds leave their memories in `notes`.
pub(super) fn outermost(
    schedule: &Schedule,
    run: &RunLength,
    groups: usize,
    notes: &Notes,
) -> Result<Box<dyn Curve>, ScheduleError> {
    let (kind, place) = (schedule.kind(), String::new());
    Context { kind, place, depth: 1, run, unit: Unit::Step, groups: 0..groups, notes }.curve_of(schedule)
}

impl Context<'_> {
    /// Returns the number of parameter groups that the schedule serves.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Returns the length of the run in the schedule's unit, if it is known.
    pub fn total(&self) -> Option<f64> {
        self.notes.needs_run_length.set(true);
        let total = self.run.total_steps? as f64;
        Some(if self.unit == Unit::Epoch { total / self.run.steps_per_epoch as f64 } else { total })
    }

    /// Plans the schedule in the parameter `field` (or at an index of it), for all groups.
    pub fn child(&self, field: &str, schedule: &Schedule) -> Result<Box<dyn Curve>, ScheduleError> {
        self.child_for(self.groups.clone(), field, schedule)
    }

    /// Plans the schedule in `field` for the one group `group`, which it sees as its group 0.
    pub fn child_of_group(
        &self,
        group: usize,
        field: &str,
        schedule: &Schedule,
    ) -> Result<Box<dyn Curve>, ScheduleError> {
        let group = self.groups.start + group;
        self.child_for(group..group + 1, field, schedule)
    }

    fn child_for(
        &self,
        groups: Range<usize>,
        field: &str,
        schedule: &Schedule,
    ) -> Result<Box<dyn Curve>, ScheduleError> {
        if self.depth == DEEPEST {
            let rule = format!("there are more than {DEEPEST} schedules in one another here");
            return Err(self.refuse(field, format!("`{}`", schedule.kind()), &rule));
        }
        let (place, depth) = (join(&self.place, field), self.depth + 1);
        let child = Context { kind: schedule.kind(), place, depth, groups, ..*self };
        child.curve_of(schedule)
    }

    /// Plans `schedule`, to which this context belongs. If an outer schedule counts epochs, inner ones do too, whatever
    /// their own unit.
    fn curve_of(&self, schedule: &Schedule) -> Result<Box<dyn Curve>, ScheduleError> {
        self.refuse_what_is_not_finite(schedule)?;
        self.refuse_what_is_out_of_range(schedule)?;
        if schedule.unit == self.unit || self.unit == Unit::Epoch {
            return schedule.kind.plan(self);
        }
        self.notes.needs_run_length.set(true);
        let place = self.place.clone();
        let context = Context { unit: Unit::Epoch, place, groups: self.groups.clone(), ..*self };
        let curve = schedule.kind.plan(&context)?;
        Ok(Box::new(InEpochs { steps_per_epoch: self.run.steps_per_epoch, curve }))
    }

    fn refuse_what_is_not_finite(&self, schedule: &Schedule) -> Result<(), ScheduleError> {
        for (parameter, value) in schedule.kind.written() {
            if let Some((inner, x)) = value.first_not_finite() {
                let field = format!("{}{inner}", parameter.name);
                return Err(self.refuse(&field, number(x), "it must be a finite number"));
            }
        }
        Ok(())
    }

    fn refuse_what_is_out_of_range(&self, schedule: &Schedule) -> Result<(), ScheduleError> {
        for (parameter, value) in schedule.kind.written() {
            let Some(range) = parameter.range else { continue };
            if let Some((inner, found)) = value.first_outside(range) {
                return Err(self.refuse(&format!("{}{inner}", parameter.name), found, range.rule));
            }
        }
        Ok(())
    }

    /// Builds the error for a parameter value, with the rule that it breaks.
    pub fn refuse(&self, field: &str, value: impl fmt::Display, rule: &str) -> ScheduleError {
        ScheduleError::Refused {
            kind: self.kind,
            place: self.place.clone(),
            field: field.to_owned(),
            value: value.to_string(),
            rule: rule.to_owned(),
        }
    }

    /// Builds the error for a schedule that refused its own parameters.
    pub fn refuse_as_a_whole(&self, message: String) -> ScheduleError {
        ScheduleError::Custom { kind: self.kind, place: self.place.clone(), message }
    }

    /// Resolves a length to a number of steps (or epochs).
    pub fn length(&self, field: &str, length: Length) -> Result<u64, ScheduleError> {
        let percent = match length {
            Length::Steps(steps) => return Ok(steps),
            Length::Percent(percent) => percent,
            Length::Data(..) => {
                let rule = "an amount of data needs the batches of a run; give a number of updates here";
                return Err(self.refuse(field, length, rule));
            }
        };
        if !(percent >= 0.0 && percent.is_finite()) {
            return Err(self.refuse(field, length, "a share of the run is a finite percentage and not negative"));
        }
        let total = self.total().ok_or_else(|| {
            self.refuse(
                field,
                length,
                "a share needs a run of known length; set its number of steps or give a number here",
            )
        })?;
        Ok((percent / 100.0 * total).round() as u64)
    }

    /// Resolves a length that must not be 0.
    pub fn period(&self, field: &str, length: Length) -> Result<u64, ScheduleError> {
        let steps = self.length(field, length)?;
        if steps == 0 {
            let rule = match length {
                Length::Steps(_) => "it must be at least 1",
                Length::Percent(_) | Length::Data(..) => "that is 0 of this run, and it must be at least 1",
            };
            return Err(self.refuse(field, length, rule));
        }
        Ok(steps)
    }

    /// Resolves lengths that must be in order; equal ones are allowed.
    pub fn in_order(&self, field: &str, lengths: &[Length]) -> Result<Vec<u64>, ScheduleError> {
        let mut resolved: Vec<u64> = Vec::with_capacity(lengths.len());
        for (index, length) in lengths.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let steps = self.length(&field, *length)?;
            if resolved.last().is_some_and(|&last| steps < last) {
                return Err(self.refuse(&field, length, "it comes before the one ahead of it; put them in order"));
            }
            resolved.push(steps);
        }
        Ok(resolved)
    }

    /// Checks that a number is not negative.
    pub fn not_negative(&self, field: &str, x: f64) -> Result<f64, ScheduleError> {
        if x >= 0.0 { Ok(x) } else { Err(self.refuse(field, number(x), "it must not be negative")) }
    }

    /// Expands to one number per group; none may be negative.
    pub fn for_groups(&self, field: &str, values: &ForGroups) -> Result<Vec<f64>, ScheduleError> {
        let values = match values {
            ForGroups::All(x) => vec![self.not_negative(field, *x)?; self.groups()],
            ForGroups::Each(each) => each.clone(),
        };
        if values.len() != self.groups() {
            let rule = format!("there must be one for each parameter group, that is {}", self.groups());
            return Err(self.refuse(field, format!("a list of {}", values.len()), &rule));
        }
        for (index, x) in values.iter().enumerate() {
            self.not_negative(&format!("{field}[{index}]"), *x)?;
        }
        Ok(values)
    }

    /// Checks a range of momentum: from 0 to below 1, low end first.
    pub fn momentum(&self, momentum: Option<Momentum>) -> Result<Option<Momentum>, ScheduleError> {
        let refuse = |momentum: Momentum, rule| Err(self.refuse("momentum", momentum.write(), rule));
        match momentum {
            Some(range) if range.low < 0.0 => refuse(range, "it must not be negative"),
            Some(range) if range.high >= 1.0 => refuse(range, "it must be below 1"),
            Some(range) if range.low > range.high => refuse(range, "the lower one comes first"),
            momentum => Ok(momentum),
        }
    }

    /// Builds a metric-driven curve. `make` creates its memory from the base rates of the context's groups.
    pub fn remembered(
        &self,
        make: impl Fn(&[f64]) -> Box<dyn Memory> + Send + Sync + 'static,
    ) -> Result<Box<dyn Curve>, ScheduleError> {
        let mut slots = self.notes.slots.borrow_mut();
        let slot = slots.len();
        let (place, kind, groups) = (self.place.clone(), self.kind, self.groups.clone());
        slots.push(MemorySlot { place, kind, groups, make: Box::new(make) });
        Ok(Box::new(Remembered { slot }))
    }
}
