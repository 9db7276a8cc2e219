//! Parameters that are frozen for a part of the run.

use std::collections::BTreeSet;
use std::ops::Range;

use globset::Glob;

use super::Session;
use crate::parameters::Parameters;
use crate::train::TrainError;
use crate::train::config::{Config, FreezeConfig, Moment};
use crate::train::intervals::Lengths;

/// The parameters that are frozen, each with the updates in which it is.
#[derive(Debug, Default)]
pub(super) struct Freezing(Vec<(Range<u64>, BTreeSet<String>)>);

impl Freezing {
    /// Reads `train.freeze`.
    ///
    /// # Errors
    /// A pattern matches no parameter, or a time is empty.
    pub fn new(config: &Config, parameters: &Parameters, lengths: Lengths) -> Result<Self, TrainError> {
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
            let at = |moment: &Moment| moment.in_steps(lengths.total, lengths.epoch);
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
                    let known: Vec<&str> = parameters.iter().map(|(name, _)| name).take(8).collect();
                    let rule = format!("matches no parameter; there are `{}` and others", known.join("`, `"));
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
