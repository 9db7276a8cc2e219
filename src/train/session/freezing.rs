//! Parameters that are frozen for a part of the run.

use std::collections::BTreeSet;
use std::ops::Range;

use globset::Glob;

use super::Session;
use crate::data::Epochs;
use crate::parameters::Parameters;
use crate::train::TrainError;
use crate::train::config::{Config, FreezeConfig, Moment};

/// The parameters that are frozen, each with the updates in which it is.
#[derive(Debug, Default)]
pub(super) struct Freezing(Vec<(Range<u64>, BTreeSet<String>)>);

impl Freezing {
    /// Reads `train.freeze`.
    ///
    /// # Errors
    /// A pattern matches no parameter, or a time is empty.
    pub fn new(config: &Config, parameters: &Parameters, (total, epochs): (u64, &Epochs)) -> Result<Self, TrainError> {
        let wrong = |index: usize, key: &str, value: String, rule: String| TrainError::Field {
            field: format!("train.freeze[{index}].{key}"),
            value,
            rule,
        };
        if let (Some(schedule), false) = (&config.beta2_schedule, config.train.freeze.is_empty()) {
            return Err(TrainError::Field {
                field: "beta2_schedule".to_owned(),
                value: schedule.to_string(),
                rule: "the product of betas is one for a whole group; remove this, or `train.freeze`".to_owned(),
            });
        }
        let mut all = Vec::new();
        for (index, FreezeConfig { parameters: patterns, from, until }) in config.train.freeze.iter().enumerate() {
            let at = |moment: &Moment| moment.in_steps(total, epochs);
            let span = from.as_ref().map_or(0, at)..until.as_ref().map_or(u64::MAX, at);
            if span.is_empty() {
                let value = until.map(|until| until.to_string()).unwrap_or_default();
                return Err(wrong(index, "until", value, "must be after `from`".to_owned()));
            }
            let mut names = BTreeSet::new();
            for pattern in patterns {
                let matcher = Glob::new(pattern).map(|glob| glob.compile_matcher());
                let matching = |(name, _): &(&str, _)| matcher.as_ref().is_ok_and(|glob| glob.is_match(name));
                let found: Vec<String> = parameters.iter().filter(matching).map(|(name, _)| name.to_owned()).collect();
                if found.is_empty() {
                    let known: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
                    let (shown, others) = known.split_at(known.len().min(8));
                    let others = if others.is_empty() { "" } else { " and others" };
                    let rule = format!("matches no parameter; there are `{}`{others}", shown.join("`, `"));
                    return Err(wrong(index, "parameters", format!("{pattern:?}"), rule));
                }
                names.extend(found);
            }
            all.push((span, names));
        }
        Ok(Self(all))
    }

    fn is_frozen(&self, name: &str, step: u64) -> bool {
        self.0.iter().any(|(span, names)| span.contains(&step) && names.contains(name))
    }

    /// Returns the first of `steps` in which all of these parameters are frozen, and those after it until one is not.
    pub fn rest<'a>(&self, steps: Range<u64>, parameters: impl Iterator<Item = &'a str> + Clone) -> Option<Range<u64>> {
        let changes = self.0.iter().flat_map(|(span, _)| [span.start, span.end]).filter(|at| steps.contains(at));
        let times: BTreeSet<u64> = std::iter::once(steps.start).chain(changes).collect();
        let rests = |step: u64| parameters.clone().all(|name| self.is_frozen(name, step));
        let start = times.iter().copied().find(|&step| rests(step))?;
        let end = times.range(start..).copied().find(|&step| !rests(step)).unwrap_or(steps.end);
        Some(start..end)
    }

    fn changes_at(&self, step: u64) -> bool {
        self.0.iter().any(|(span, _)| span.start == step || span.end == step)
    }
}

impl Session {
    /// Freezes the parameters of the next update, wherever the run has come from.
    pub(super) fn freeze(&mut self) {
        let (freezing, step) = (&self.freezing, self.step);
        self.optimizer.freeze(|name| freezing.is_frozen(name, step));
    }

    /// The same after an update, if that changes anything.
    pub(super) fn freeze_when_due(&mut self) {
        if self.freezing.changes_at(self.step) {
            self.freeze();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_in_which_everything_is_frozen_are_found() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let freezing = Freezing(vec![(0..u64::MAX, names(&["a"])), (10..20, names(&["b"])), (15..30, names(&["b"]))]);
        let rest = |steps, parameters: &[&str]| freezing.rest(steps, parameters.iter().copied());
        assert_eq!(rest(0..100, &["a"]), Some(0..100));
        assert_eq!(rest(0..100, &["a", "b"]), Some(10..30));
        assert_eq!(rest(12..18, &["a", "b"]), Some(12..18));
        assert_eq!(rest(30..100, &["a", "b"]), None);
        assert_eq!(rest(0..100, &["a", "b", "c"]), None);
    }
}
