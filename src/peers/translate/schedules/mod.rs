//! Schedules of other libraries, one file each: a form with its settings becomes one or more of our schedules, where the
//! file leaves more than one reading.

mod asked;
mod ignite;
mod joined;
mod keras;
mod nanogpt;
mod settings;
mod timm;
mod torch;
mod transformers;

use serde_json::Value as Json;

use super::Refusal;
use crate::peers::peer::{Group, Schedule as PeerSchedule};
use crate::schedule::Schedule;
use settings::Settings;

/// A peer's schedule, and the optimizer that it drives.
pub(super) struct Source<'a> {
    /// The schedule in the peer's words.
    pub schedule: &'a PeerSchedule,
    /// The groups of its optimizer.
    pub groups: &'a [Group],
    /// Updates of its optimizer.
    pub updates: Option<u64>,
}

/// A translated form, before its place in the run is known.
pub(super) struct Shape {
    /// The schedule, counted in its own unit.
    pub schedule: Schedule,
    /// The base rate of each group, as our schedule means it.
    pub base_lrs: Vec<f64>,
    /// The time at which it stands, where the peer's counter is not it.
    pub at: Option<f64>,
    /// The memory of a metric-driven schedule.
    pub memory: Option<Json>,
    /// A schedule of momentum that is not part of `schedule`.
    pub momentum: Option<Schedule>,
    /// Remarks.
    pub notes: Vec<String>,
}

impl Shape {
    /// Returns the shape of a schedule without memory.
    fn new(schedule: impl Into<Schedule>, base_lrs: Vec<f64>) -> Self {
        let schedule = schedule.into();
        Self { schedule, base_lrs, at: None, memory: None, momentum: None, notes: Vec::new() }
    }
}

impl Source<'_> {
    /// Returns the settings of the outermost form.
    fn settings(&self) -> Settings<'_> {
        Settings::of(&self.schedule.form)
    }

    /// Returns the base rate of each group: the scheduler's own, or the groups' `initial_lr`.
    fn base_lrs(&self) -> Result<Vec<f64>, Refusal> {
        if !self.schedule.base_lrs.is_empty() {
            return Ok(self.schedule.base_lrs.clone());
        }
        let of_groups: Option<Vec<f64>> = self.groups.iter().map(|group| group.initial_lr).collect();
        of_groups.filter(|rates| !rates.is_empty()).ok_or_else(|| {
            Refusal::ask(
                "lr",
                "the base rate is not in the file (`initial_lr`, `base_lrs`); write it in the configuration",
            )
        })
    }
}

/// Returns the readings of a peer's schedule.
pub(super) fn shapes(source: &Source<'_>) -> Result<Vec<Shape>, Refusal> {
    let class = source.schedule.form.class.as_str();
    let (library, name) = class.split_once('.').unwrap_or((class, ""));
    match (library, name) {
        ("torch", "SequentialLR" | "ChainedScheduler") => joined::shape(source).map(one),
        ("torch", name) => torch::shape(name, source).map(one),
        ("transformers", name) => transformers::shape(name, source).map(one),
        ("keras", name) => keras::shape(name, source).map(one),
        ("timm", name) => timm::shape(name, source).map(one),
        ("nanogpt", _) => nanogpt::shapes(source),
        ("ignite", name) => ignite::shapes(name, source),
        _ => Err(asked::question(source)),
    }
}

fn one(shape: Shape) -> Vec<Shape> {
    vec![shape]
}

/// Returns the schedule of all groups: one for all where they are equal, otherwise one for each.
fn for_groups(schedules: Vec<Schedule>) -> Schedule {
    match schedules.first() {
        Some(first) if schedules.iter().all(|schedule| schedule == first) => first.clone(),
        _ => Schedule::per_group(schedules).into(),
    }
}
