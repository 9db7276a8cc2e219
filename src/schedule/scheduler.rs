//! The scheduler of a training loop: a planned schedule, the time, the base rates, and the memory of metric-driven
//! kinds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::memory::{BaseChange, Memory, MemorySlot, Mode};
use super::plan::{At, Plan, RunLength};
use super::{Schedule, ScheduleError};
use crate::state::{State, StateError, Stateful};

/// A schedule at a point in a run.
///
/// A loop reads [`rates`](Self::rates), updates, then calls [`advance`](Self::advance). If there is a metric of this
/// update, it then calls [`report`](Self::report).
///
/// Its state is `t`, the base rates, the schedule, and the memory of metric-driven kinds. Loading restores `t` and the
/// memory; the schedule and the base rates stay those of the program, and [`differences`](Self::differences) lists
/// where the saved ones differ.
#[derive(Debug)]
pub struct Scheduler {
    schedule: Schedule,
    plan: Plan,
    t: u64,
    base_lrs: Vec<f64>,
    memory: Vec<Box<dyn Memory>>,
    differences: Vec<String>,
}

impl Scheduler {
    /// Starts at `t = 0` with one base rate for each parameter group.
    ///
    /// # Errors
    /// Refuses base rates that are negative or not finite, anything that [`Schedule::plan`] refuses, and a rate that is
    /// infinite or not a number. In runs of up to some hundred thousand updates every rate is checked; in longer ones,
    /// evenly spaced rates including the first and the last.
    pub fn new(schedule: impl Into<Schedule>, base_lrs: Vec<f64>, run: RunLength) -> Result<Self, ScheduleError> {
        if let Some((group, &value)) = base_lrs.iter().enumerate().find(|(_, lr)| !(lr.is_finite() && **lr >= 0.0)) {
            return Err(ScheduleError::BaseRate { group, value });
        }
        let schedule = schedule.into();
        let plan = schedule.plan(&run, base_lrs.len())?;
        if let Some((t, group, value)) = plan.first_not_finite(&base_lrs, &run) {
            let base = base_lrs.get(group).copied().unwrap_or_default();
            return Err(ScheduleError::NotFinite { schedule: schedule.to_string(), t, group, base, value });
        }
        let memory = fresh_memory(&plan, &base_lrs);
        Ok(Self { schedule, plan, t: 0, base_lrs, memory, differences: Vec::new() })
    }

    /// Returns the number of updates made, which is the number of the next one.
    pub fn t(&self) -> u64 {
        self.t
    }

    /// Returns the base rate of each group.
    pub fn base_lrs(&self) -> &[f64] {
        &self.base_lrs
    }

    /// Returns the schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Returns the rate of each group for the next update, which is number `t`.
    pub fn rates(&self) -> Vec<f64> {
        self.rates_at(self.t)
    }

    /// Like [`rates`](Self::rates), but replaces the contents of `rates`.
    pub fn rates_into(&self, rates: &mut Vec<f64>) {
        rates.clear();
        rates.extend(self.rates_of(self.t));
    }

    /// Returns the rate of each group for any update number `t`. Metric-driven kinds answer as if no further metric was
    /// reported.
    pub fn rates_at(&self, t: u64) -> Vec<f64> {
        self.rates_of(t).collect()
    }

    fn rates_of(&self, t: u64) -> impl Iterator<Item = f64> {
        let groups = self.base_lrs.iter().enumerate();
        groups.map(move |(group, &base)| self.plan.rate_with(At { t, base, group, memory: &self.memory }))
    }

    /// Returns the momentum (or beta1) of `group` for update number `t`, if the schedule drives it.
    pub fn momentum_at(&self, t: u64, group: usize) -> Option<f64> {
        self.plan.momentum(t, group)
    }

    /// Advances to the next update.
    pub fn advance(&mut self) {
        self.t = self.t.saturating_add(1);
    }

    /// Moves to update number `t`. The memory of metrics is kept.
    pub fn seek(&mut self, t: u64) {
        self.t = t;
    }

    /// Whether the rates depend on how long the run is, or on the length of an epoch.
    pub fn needs_run_length(&self) -> bool {
        self.plan.needs_run_length()
    }

    /// Whether the schedule uses [`report`](Self::report).
    pub fn wants_metric(&self) -> bool {
        self.plan.wants_metric()
    }

    /// Returns the metric-driven kinds in the schedule, at any depth, and which metrics each of them considers better.
    pub fn directions(&self) -> impl Iterator<Item = (&'static str, Mode)> {
        self.plan.slots().iter().zip(&self.memory).map(|(slot, memory)| (slot.kind, memory.mode()))
    }

    /// Reports a metric of the last update, after [`advance`](Self::advance); it acts on the next update. Kinds that
    /// are not metric-driven ignore it. NaN counts as no improvement.
    pub fn report(&mut self, metric: f64) {
        self.plan.report(self.t, metric, &mut self.memory);
    }

    /// Differences between the last loaded state and the requested schedule, in words; empty if there are none.
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    /// Interprets a state for this scheduler without changing anything.
    fn understand(&self, state: &State) -> Result<Resumed, StateError> {
        state.expect_tensors([])?;
        let saved = Saved::deserialize(&state.json)?;
        if saved.base_lrs.len() != self.base_lrs.len() {
            return Err(StateError::Mismatch {
                what: "the number of parameter groups".to_owned(),
                saved: saved.base_lrs.len().to_string(),
                expected: self.base_lrs.len().to_string(),
            });
        }
        let mut differences = Vec::new();
        if saved.spec != self.schedule {
            differences.push(format!("the schedule was {} and is {}", saved.spec, self.schedule));
        }
        if saved.base_lrs != self.base_lrs {
            differences.push(format!("the base rates were {:?} and are {:?}", saved.base_lrs, self.base_lrs));
        }
        let bases: Vec<BaseChange> =
            saved.base_lrs.iter().zip(&self.base_lrs).map(|(&old, &new)| BaseChange { old, new }).collect();
        let mut memory = fresh_memory(&self.plan, &self.base_lrs);
        let mut memories = saved.memories()?;
        for (slot, memory) in self.plan.slots().iter().zip(&mut memory) {
            match memories.remove(&slot.place) {
                Some(saved) => take_back(slot, memory.as_mut(), saved, &bases)?,
                None => differences.push(format!("`{}`{} starts without memory", slot.kind, at(&slot.place))),
            }
        }
        let left: Vec<String> = memories.into_iter().map(|(place, _)| at(&place)).collect();
        differences.extend(left.into_iter().map(|at| format!("the saved memory{at} is not used by the schedule")));
        Ok(Resumed { t: saved.t, memory, differences })
    }
}

impl Stateful for Scheduler {
    /// `{"t", "base_lrs", "spec", "memory"}`. The memory is that of the schedule if it is itself metric-driven, a table
    /// of memories by place if metric-driven schedules are nested in it, and null if there are no metric-driven
    /// schedules.
    fn save(&self) -> Result<State, StateError> {
        let mut memories = Map::new();
        for (slot, memory) in self.plan.slots().iter().zip(&self.memory) {
            let mut saved = memory.save();
            if let Json::Object(fields) = &mut saved {
                fields.insert("kind".to_owned(), slot.kind.into());
            }
            memories.insert(slot.place.clone(), saved);
        }
        let memory = match memories.remove("") {
            Some(own) => own,
            None if memories.is_empty() => Json::Null,
            None => Json::Object(memories),
        };
        Ok(State::from_json(json!({ "t": self.t, "base_lrs": self.base_lrs, "spec": self.schedule, "memory": memory })))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.understand(state).map(drop)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        let Resumed { t, memory, differences } = self.understand(state)?;
        for difference in &differences {
            tracing::warn!("{difference}");
        }
        (self.t, self.memory, self.differences) = (t, memory, differences);
        Ok(())
    }
}

/// A saved state as interpreted for this scheduler.
struct Resumed {
    t: u64,
    memory: Vec<Box<dyn Memory>>,
    differences: Vec<String>,
}

/// The written form of the state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    t: u64,
    base_lrs: Vec<f64>,
    spec: Schedule,
    memory: Json,
}

impl Saved {
    /// Returns the memories by place.
    fn memories(&self) -> Result<Map<String, Json>, StateError> {
        match &self.memory {
            Json::Null => Ok(Map::new()),
            Json::Object(own) if own.get("kind").is_some_and(Json::is_string) => {
                Ok(Map::from_iter([(String::new(), self.memory.clone())]))
            }
            Json::Object(memories) => Ok(memories.clone()),
            other => Err(StateError::Malformed(format!("the memory of a schedule is {other}"))),
        }
    }
}

fn fresh_memory(plan: &Plan, base_lrs: &[f64]) -> Vec<Box<dyn Memory>> {
    let make = |slot: &MemorySlot| (slot.make)(base_lrs.get(slot.groups.clone()).unwrap_or_default());
    plan.slots().iter().map(make).collect()
}

fn take_back(
    slot: &MemorySlot,
    memory: &mut dyn Memory,
    mut saved: Json,
    bases: &[BaseChange],
) -> Result<(), StateError> {
    let what = format!("the kind of the memory{}", at(&slot.place));
    let kind = saved.as_object_mut().and_then(|fields| fields.remove("kind")).unwrap_or_default();
    if kind != slot.kind {
        let saved = kind.as_str().map_or_else(|| kind.to_string(), str::to_owned);
        return Err(StateError::Mismatch { what, saved, expected: slot.kind.to_owned() });
    }
    let bases = bases.get(slot.groups.clone()).unwrap_or_default();
    memory.load(&saved, bases).map_err(|fault| StateError::Malformed(format!("memory of `{}`: {fault}", slot.kind)))
}

/// Location for a message; empty for the outermost schedule.
fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" at {place}") }
}
