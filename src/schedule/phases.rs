//! Phases of a composed schedule, for charts.

use super::length::Length;
use super::{RunLength, Schedule, Unit};

/// A stretch of a run in which one schedule is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// The kind of the schedule, or its own name for the phase.
    pub name: String,
    /// Its first update.
    pub from: f64,
    /// The update after its last one.
    pub to: f64,
}

/// Collects phases: the remaining stretch, and the unit in which a schedule counts there.
pub(crate) struct Phases<'a> {
    run: &'a RunLength,
    unit: Unit,
    from: f64,
    to: f64,
    found: &'a mut Vec<Phase>,
}

impl Phases<'_> {
    /// Converts a length to updates; a share of a run without an end is 0, and so is an amount of data.
    fn steps(&self, length: Length) -> f64 {
        match (length, self.unit) {
            (Length::Data(..), _) => 0.0,
            (Length::Percent(percent), _) => percent / 100.0 * self.run.total_steps.unwrap_or_default() as f64,
            (Length::Steps(steps), Unit::Step) => steps as f64,
            (Length::Steps(epochs), Unit::Epoch) => epochs as f64 * self.run.steps_per_epoch as f64,
        }
    }

    /// Names the next `length` of the remaining stretch `name`.
    pub fn next(&mut self, name: &str, length: Length) {
        self.until(name, self.from + self.steps(length));
    }

    /// Names all of the remaining stretch `name`.
    pub fn rest(&mut self, name: &str) {
        self.until(name, self.to);
    }

    fn until(&mut self, name: &str, end: f64) {
        let end = end.min(self.to);
        self.found.push(Phase { name: name.to_owned(), from: self.from, to: end });
        self.from = end;
    }

    /// Fills the remaining stretch with the phases of `schedule`.
    pub fn of(&mut self, schedule: &Schedule) {
        self.stages(std::iter::once((schedule, None)));
    }

    /// Fills the remaining stretch with the phases of each schedule, each up to its end, counted from the first one's
    /// start.
    pub fn stages<'s>(&mut self, stages: impl Iterator<Item = (&'s Schedule, Option<Length>)>) {
        let began = self.from;
        for (schedule, end) in stages {
            let to = end.map_or(self.to, |end| (began + self.steps(end)).min(self.to));
            // A schedule inside one that counts epochs counts them too.
            let unit = if self.unit == Unit::Epoch { Unit::Epoch } else { schedule.unit };
            let mut inner = Phases { run: self.run, unit, from: self.from, to, found: &mut *self.found };
            schedule.kind.phases(&mut inner);
            self.from = to;
        }
    }
}

impl Schedule {
    /// Returns the phases of the first `steps` updates; empty for a schedule with a single phase.
    pub fn phases(&self, run: &RunLength, steps: u64) -> Vec<Phase> {
        let mut found = Vec::new();
        Phases { run, unit: Unit::Step, from: 0.0, to: steps as f64, found: &mut found }.of(self);
        found.retain(|phase| phase.from < phase.to);
        if found.len() > 1 { found } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, steps_per_epoch: u64) -> Vec<(String, f64, f64)> {
        let run = RunLength { total_steps: Some(100), steps_per_epoch };
        let phases = text.parse::<Schedule>().unwrap().phases(&run, 100);
        phases.into_iter().map(|phase| (phase.name, phase.from, phase.to)).collect()
    }

    #[test]
    fn phases_are_named_where_a_schedule_is_composed() {
        let phase = |name: &str, from: f64, to: f64| (name.to_owned(), from, to);
        assert_eq!(named("cosine(100)", 1), []);
        assert_eq!(
            named("warmup(\"10%\") -> cosine(90)", 1),
            [phase("warmup", 0.0, 10.0), phase("cosine", 10.0, 100.0)]
        );
        let three = [phase("constant", 0.0, 20.0), phase("warmup", 20.0, 30.0), phase("step", 30.0, 100.0)];
        assert_eq!(named("sequential([20], [constant(), warmup(10) -> step(5)])", 1), three);
        assert_eq!(named("warmup(2, schedule=cosine(8), unit=\"epoch\")", 10)[0], phase("warmup", 0.0, 20.0));
        assert_eq!(
            named("wsd(10, 50, 40)", 1),
            [phase("warmup", 0.0, 10.0), phase("stable", 10.0, 60.0), phase("decay", 60.0, 100.0)]
        );
    }
}
