//! How far the trials of a sweep are, and what each does next: a function of the ledger and of the runs, so
//! that a kill at any moment loses nothing.

use super::directory::{self, Directory};
use super::error::SweepError;
use super::halving::{AtRung, Decision};
use super::ledger::{self, End, Ended};
use super::measured::Measured;
use super::plan::Plan;
use crate::train::{Ending, Interval, RunEnd};

/// The trials of a sweep.
#[derive(Debug)]
pub struct Progress {
    plan: Plan,
    trials: Vec<Trial>,
}

/// A trial so far.
#[derive(Clone, Debug, Default)]
struct Trial {
    /// Its best values up to each rung that it has come to.
    rungs: Vec<f64>,
    /// The number of its updates.
    steps: u64,
    ended: Option<Ended>,
}

/// The next thing that a trial does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// It trains, to its end or to a rung.
    Trains {
        /// The rung.
        until: Option<Interval>,
    },
    /// It waits until earlier trials have come to its rung.
    Waits,
    /// Nothing, because it has ended.
    Nothing,
}

impl Progress {
    /// Looks at the ledger and at the runs in `directory`.
    ///
    /// # Errors
    /// The ledger or a log cannot be read, or a trial has no value of the metric.
    pub fn of(directory: &Directory, plan: Plan) -> Result<Self, SweepError> {
        let mut ended = ledger::read(directory.path())?;
        let trial = |number| {
            let ended = ended.remove(&number);
            let rungs = ended.as_ref().map(|ended| ended.rungs.clone()).unwrap_or_default();
            Trial { rungs, steps: 0, ended }
        };
        let trials = (0..plan.trials()).map(trial).collect();
        let mut progress = Self { plan, trials };
        for number in 0..progress.trials.len() {
            progress.look(directory, number)?;
        }
        Ok(progress)
    }

    /// Returns the sweep.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of trials that have ended.
    pub fn ended(&self) -> usize {
        self.trials.iter().filter(|trial| trial.ended.is_some()).count()
    }

    /// Returns how the trial has ended, if it has.
    pub fn end_of(&self, number: usize) -> Option<&Ended> {
        self.trials.get(number)?.ended.as_ref()
    }

    /// Looks at the run of a trial after its process has ended, and returns whether the trial has ended with it.
    ///
    /// # Errors
    /// Its log cannot be read, or it has no value of the metric.
    pub fn look(&mut self, directory: &Directory, number: usize) -> Result<bool, SweepError> {
        let Some(trial) = self.trials.get_mut(number).filter(|trial| trial.ended.is_none()) else { return Ok(false) };
        let run = directory.run(number);
        let Some(found) = Measured::of(&run, self.plan.metric)? else { return Ok(false) };
        let more_is_better = self.plan.metric.more_is_better();
        let best = |steps: u64| {
            found.best(steps, more_is_better).ok_or_else(|| SweepError::Unmeasured {
                trial: number,
                metric: directory::metric_name(&self.plan),
                step: steps.min(found.steps),
                run: run.clone(),
            })
        };
        trial.steps = found.steps;
        if let Some(ending) = &self.plan.early_ending {
            let rung = |number| ending.rung(number).in_steps(found.steps_per_epoch).unwrap_or(u64::MAX);
            while rung(trial.rungs.len()) <= found.steps && rung(trial.rungs.len()) < found.total {
                trial.rungs.push(best(rung(trial.rungs.len()))?.1);
            }
        }
        match RunEnd::read(&run).map(|end| end.outcome) {
            Some(Ending::Finished) => {
                let (step, value) = best(u64::MAX)?;
                self.end(number, End::Finished, Some((step, value)), None);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Returns what the trial does next.
    pub fn next(&self, number: usize) -> Next {
        let Some(trial) = self.trials.get(number).filter(|trial| trial.ended.is_none()) else { return Next::Nothing };
        let Some(ending) = &self.plan.early_ending else { return Next::Trains { until: None } };
        match self.decision(number) {
            Decision::Continues => Next::Trains { until: Some(ending.rung(trial.rungs.len())) },
            Decision::Waits => Next::Waits,
            Decision::Ends => Next::Nothing,
        }
    }

    /// Ends the trial if it is not among the best at a rung, and returns whether it did.
    pub fn judge(&mut self, number: usize) -> bool {
        let is_open = self.trials.get(number).is_some_and(|trial| trial.ended.is_none());
        if !is_open || self.decision(number) != Decision::Ends {
            return false;
        }
        let value = self.trials.get(number).and_then(|trial| trial.rungs.last().copied());
        self.end(number, End::EndedEarly, value.map(|value| (0, value)), None);
        true
    }

    /// Returns the decision on a trial at all the rungs that it has come to.
    fn decision(&self, number: usize) -> Decision {
        let (Some(ending), Some(trial)) = (&self.plan.early_ending, self.trials.get(number)) else {
            return Decision::Continues;
        };
        let more_is_better = self.plan.metric.more_is_better();
        let decide = |(rung, &own): (usize, &f64)| {
            let earlier: Vec<AtRung> = self.trials.iter().take(number).map(|trial| trial.at(rung)).collect();
            ending.decide(own, &earlier, more_is_better)
        };
        let mut decisions = trial.rungs.iter().enumerate().map(decide);
        decisions.find(|decision| *decision != Decision::Continues).unwrap_or(Decision::Continues)
    }

    /// Ends a trial that has failed, after `steps` updates if that is known from its run.
    pub fn fail(&mut self, number: usize, (end, steps): (End, Option<u64>), error: String) {
        if let (Some(trial), Some(steps)) = (self.trials.get_mut(number), steps) {
            trial.steps = steps;
        }
        self.end(number, end, None, Some(error));
    }

    fn end(&mut self, number: usize, end: End, best: Option<(u64, f64)>, error: Option<String>) {
        let parameters = directory::parameters(&self.plan, number);
        let Some(trial) = self.trials.get_mut(number) else { return };
        trial.ended = Some(Ended {
            trial: number,
            parameters,
            end,
            value: best.map(|(_, value)| value),
            best_step: best.map(|(step, _)| step).filter(|&step| step > 0),
            steps: trial.steps,
            rungs: trial.rungs.clone(),
            error,
        });
    }

    /// Writes the ledger.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, directory: &Directory) -> Result<(), SweepError> {
        directory.put(ledger::NAME, &ledger::text(self.trials.iter().filter_map(|trial| trial.ended.as_ref())))
    }
}

impl Trial {
    fn at(&self, rung: usize) -> AtRung {
        match (self.rungs.get(rung), &self.ended) {
            (Some(value), _) => AtRung::Value(*value),
            (None, Some(Ended { end: End::Finished, value: Some(value), .. })) => AtRung::Value(*value),
            (None, Some(_)) => AtRung::Never,
            (None, None) => AtRung::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Map;

    use super::super::halving::EarlyEnding;
    use super::super::plan::Search;
    use super::*;
    use crate::train::Metric;

    /// A sweep of losses whose trials have come to these rungs.
    fn progress(rungs: &[&[f64]]) -> Progress {
        let plan = Plan {
            config: PathBuf::new(),
            metric: Metric::ValidationLoss,
            parallel: 1,
            search: Search::Random { trials: rungs.len(), seed: 0 },
            parameters: Vec::new(),
            early_ending: Some(EarlyEnding { first: Interval::Steps(2), factor: 2 }),
        };
        let trials = rungs.iter().map(|rungs| Trial { rungs: rungs.to_vec(), steps: 9, ended: None }).collect();
        Progress { plan, trials }
    }

    fn trains(steps: u64) -> Next {
        Next::Trains { until: Some(Interval::Steps(steps)) }
    }

    #[test]
    fn a_trial_goes_from_rung_to_rung_and_waits_for_the_earlier_ones() {
        let progress = progress(&[&[3.0, 2.0], &[2.5], &[4.0], &[], &[1.0]]);
        let next: Vec<Next> = (0..6).map(|number| progress.next(number)).collect();
        assert_eq!(next, [trains(8), trains(4), Next::Nothing, trains(2), Next::Waits, Next::Nothing]);
    }

    #[test]
    fn a_trial_without_a_chance_is_ended_with_its_last_value_and_counts_for_later_ones() {
        let mut progress = progress(&[&[3.0], &[4.0], &[3.5]]);
        assert_eq!([0, 1, 2].map(|number| progress.judge(number)), [false, true, true]);
        let ended = progress.end_of(1).unwrap();
        assert_eq!((ended.end, ended.value, &ended.rungs[..]), (End::EndedEarly, Some(4.0), &[4.0][..]));
        assert!(!progress.judge(1), "once");
        assert_eq!(progress.ended(), 2);
    }

    #[test]
    fn a_finished_trial_counts_at_later_rungs_and_a_failed_one_does_not() {
        let mut progress = progress(&[&[3.0], &[2.0, 2.0]]);
        assert_eq!(progress.next(1), Next::Waits);
        progress.end(0, End::Finished, Some((4, 1.0)), None);
        assert!(progress.judge(1), "1.0 is better than 2.0");
        let mut other = self::progress(&[&[3.0], &[2.0, 2.0]]);
        other.fail(0, (End::Diverged, Some(3)), "not finite".to_owned());
        assert_eq!((other.next(1), other.end_of(0).unwrap().end), (trains(8), End::Diverged));
        assert_eq!(other.end_of(0).unwrap().parameters, Map::new());
    }
}
