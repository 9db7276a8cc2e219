//! Early ending of trials without a chance, at rungs: numbers of steps, each `factor` times the one before.
//!
//! It is the rule of asynchronous successive halving (ASHA; Li et al., "A system for massively parallel hyperparameter
//! tuning", 2020) in its form that stops trials, with one change: a trial is compared with the trials of lower numbers,
//! and not with those that happen to have come first. So the decision is a function of the metrics alone. It is the same
//! for any number of trials at once and after any kill, and further trials do not change it.

use crate::train::Interval;

/// When a trial without a chance ends.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyEnding {
    /// The first rung, in steps or epochs.
    pub first: Interval,
    /// At a rung the best of this number of trials continues; the next rung is this many times as far.
    pub factor: u64,
}

/// The fate of a trial at a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// An earlier trial has not come to this rung yet.
    Waits,
    /// It is among the best so far.
    Continues,
    /// It is not.
    Ends,
}

/// A trial at a rung, as later trials see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AtRung {
    /// It is on its way.
    NotYet,
    /// Its best value up to there. A trial that has finished before the rung has its result.
    Value(f64),
    /// It has ended before.
    Never,
}

impl EarlyEnding {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.first.in_steps(1).is_none() {
            return Err(format!(
                "early_ending.first = \"{}\": give a number of steps or epochs, as \"2 epochs\"; the clock would end \
                 other trials on another machine",
                self.first
            ));
        }
        if self.factor < 2 {
            return Err(format!("early_ending.factor = {}: must be at least 2", self.factor));
        }
        Ok(())
    }

    /// Returns rung number `rung`, from 0.
    pub(super) fn rung(&self, rung: usize) -> Interval {
        let power = self.factor.saturating_pow(u32::try_from(rung).unwrap_or(u32::MAX));
        match self.first {
            Interval::Epochs(epochs) => Interval::Epochs(epochs.saturating_mul(power)),
            first => Interval::Steps(first.in_steps(1).unwrap_or(u64::MAX).saturating_mul(power)),
        }
    }

    /// Decides on a trial with the value `own` at a rung, after the `earlier` ones.
    pub(super) fn decide(&self, own: f64, earlier: &[AtRung], more_is_better: bool) -> Decision {
        if earlier.contains(&AtRung::NotYet) {
            return Decision::Waits;
        }
        let values = || earlier.iter().filter_map(|at| if let AtRung::Value(value) = at { Some(*value) } else { None });
        // Of equal values the earlier one is better.
        let better = values().filter(|&value| if more_is_better { value >= own } else { value <= own }).count() as u64;
        let all = values().count() as u64 + 1;
        if better < (all / self.factor).max(1) { Decision::Continues } else { Decision::Ends }
    }
}

#[cfg(test)]
mod tests {
    use super::AtRung::{Never, NotYet, Value};
    use super::*;

    fn rule(factor: u64) -> EarlyEnding {
        EarlyEnding { first: Interval::Steps(4), factor }
    }

    /// The decisions on trials with these losses at one rung.
    fn decisions(factor: u64, losses: &[f64]) -> Vec<bool> {
        let at: Vec<AtRung> = losses.iter().map(|&loss| Value(loss)).collect();
        let decide = |(n, &loss)| rule(factor).decide(loss, &at[..n], false) == Decision::Continues;
        losses.iter().enumerate().map(decide).collect()
    }

    /// By hand, with factor 3: of 1 to 5 trials the best one continues, so 5 and 4 do; of 6 to 8 the best two, so 4.2 does,
    /// behind 4, but not 4.3 and not another 4.2; of 9 and more the best three, so 4.25, behind three, does not, and 1 does.
    #[test]
    fn the_best_third_of_the_trials_so_far_continues() {
        let losses = [5.0, 6.0, 4.0, 4.5, 7.0, 4.2, 4.3, 4.2, 4.25, 1.0];
        let (yes, no) = (true, false);
        assert_eq!(decisions(3, &losses), [yes, no, yes, no, no, yes, no, no, no, yes]);
        let worst_first: Vec<f64> = (0..9).rev().map(f64::from).collect();
        assert_eq!(decisions(2, &worst_first), [true; 9]);
    }

    #[test]
    fn a_trial_waits_for_the_earlier_ones_only_and_those_that_failed_do_not_count() {
        let accuracy = |own, earlier: &[AtRung]| rule(3).decide(own, earlier, true);
        assert_eq!(accuracy(0.5, &[Value(0.1), NotYet]), Decision::Waits);
        assert_eq!(accuracy(0.5, &[Value(0.1), Never]), Decision::Continues);
        assert_eq!(accuracy(0.5, &[Value(0.9), Never]), Decision::Ends);
        assert_eq!(accuracy(0.5, &[Value(0.5)]), Decision::Ends);
        assert_eq!(accuracy(0.5, &[Never, Never]), Decision::Continues);
    }

    #[test]
    fn each_rung_is_a_multiple_of_the_one_before() {
        assert_eq!([0, 1, 2].map(|rung| rule(3).rung(rung)), [4, 12, 36].map(Interval::Steps));
        let epochs = EarlyEnding { first: Interval::Epochs(1), factor: 2 };
        assert_eq!([0, 3, 200].map(|rung| epochs.rung(rung)), [1, 8, u64::MAX].map(Interval::Epochs));
    }
}
