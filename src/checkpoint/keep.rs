//! Retention of checkpoints, and the deletion of the others.
//!
//! By default nothing is deleted. The newest checkpoint and pinned ones are always kept, and damaged ones are left for
//! a person to examine. A replaced copy does not count for any rule, and is deleted if there are rules. A checkpoint to
//! be deleted is first renamed to a hidden name, so that a crash leaves no damaged checkpoint.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::error::CheckpointError;
use super::folder::{Folder, holds_a_persons_files};
use super::fs::Disk;
use super::read::Checkpoint;

/// Retention rules. A checkpoint is kept if any rule matches it; without rules all are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retention {
    /// Number of newest checkpoints to keep.
    pub last: Option<usize>,
    /// The best ones.
    pub best: Option<Best>,
    /// Checkpoints at multiples of this step are kept for ever.
    pub every: Option<u64>,
}

/// The best checkpoints by a metric in the entry `metrics` of their state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Best {
    /// Number of checkpoints to keep.
    pub count: usize,
    /// The name of the metric, such as `validation_loss`.
    pub metric: String,
    /// Whether larger values are better.
    pub more_is_better: bool,
}

/// A checkpoint as input of a [`Retention`].
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its step.
    pub step: u64,
    /// Its metric, if it has a finite one.
    pub metric: Option<f64>,
    /// Whether it is pinned.
    pub is_pinned: bool,
}

/// Reason to keep a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// There are no rules.
    NoRule,
    /// It is the newest.
    Newest,
    /// It is among the last.
    Last,
    /// It is among the best.
    Best,
    /// Its step is one of those kept for ever.
    Every,
    /// It is pinned.
    Pinned,
    /// It has been replaced, and no other checkpoint of its step or a later one is valid.
    OnlyOne,
    /// It is damaged: a person should decide on its remains.
    Damaged,
    /// It cannot be read, and may be intact.
    Unread,
    /// It contains a user's files.
    PersonsFiles,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRule => "there are no rules",
            Self::Newest => "the newest",
            Self::Last => "among the last",
            Self::Best => "among the best",
            Self::Every => "kept for ever",
            Self::Pinned => "pinned",
            Self::OnlyOne => "the only one of its step",
            Self::Damaged => "damaged",
            Self::Unread => "it cannot be read now",
            Self::PersonsFiles => "it holds files that are not the run's",
        })
    }
}

impl Retention {
    /// Returns the reason to keep each of the `candidates`, which are sorted by step; `None` for those to delete.
    pub fn decide(&self, candidates: &[Candidate]) -> Vec<Option<Reason>> {
        let newest = candidates.last().map(|candidate| candidate.step);
        let by_age = candidates.iter().rev().map(|candidate| candidate.step);
        let last: Vec<u64> = by_age.take(self.last.unwrap_or_default()).collect();
        let best = self.best.as_ref().map(|best| best.of(candidates)).unwrap_or_default();
        let decide = |candidate: &Candidate| {
            let step = candidate.step;
            let reasons = [
                (candidate.is_pinned, Reason::Pinned),
                (*self == Self::default(), Reason::NoRule),
                (Some(step) == newest, Reason::Newest),
                (last.contains(&step), Reason::Last),
                (best.contains(&step), Reason::Best),
                (self.every.is_some_and(|every| step.is_multiple_of(every)), Reason::Every),
            ];
            reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
        };
        candidates.iter().map(decide).collect()
    }
}

impl Best {
    /// Returns the steps of the best candidates; the earlier one if several are equal.
    fn of(&self, candidates: &[Candidate]) -> Vec<u64> {
        let measured = candidates.iter().filter_map(|candidate| Some((candidate.metric?, candidate.step)));
        let mut ranked: Vec<(f64, u64)> = measured.filter(|(metric, _)| metric.is_finite()).collect();
        let sign = if self.more_is_better { -1.0 } else { 1.0 };
        ranked.sort_by(|a, b| (sign * a.0).total_cmp(&(sign * b.0)).then(a.1.cmp(&b.1)));
        ranked.into_iter().take(self.count).map(|(_, step)| step).collect()
    }
}

/// A checkpoint in a folder, with the reason to keep it, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its step.
    pub step: u64,
    /// Its directory.
    pub path: PathBuf,
    /// Its number among the replaced copies of its step, if it is one.
    pub copy: Option<u64>,
    /// All its metrics: the entry `metrics` of its state.
    pub metrics: Value,
    /// The metric of the rule for the best, if there is one.
    pub metric: Option<f64>,
    /// The reason to keep it; `None` to delete it.
    pub stays: Option<Reason>,
}

/// Decides on each checkpoint in `folder` by the rules `keep`, oldest first.
///
/// A checkpoint counts as damaged here if its manifest, the sizes of its files, or its `state.json` are wrong; its
/// tensors are not read. One beyond `at`, the step of its run, counts as damaged too: a resume, which did read the
/// tensors, has skipped it, and it must not count as the newest instead of a valid one. A replaced copy is read
/// completely before it is deleted.
///
/// # Errors
/// The folder cannot be listed.
pub fn decide(folder: &Folder, keep: &Retention, at: Option<u64>) -> Result<Vec<Decision>, CheckpointError> {
    let mut decisions = Vec::new();
    let mut candidates = Vec::new();
    for (step, path) in folder.list()? {
        let glance = Checkpoint::glance(&path);
        let is_passed_over = at.is_some_and(|at| step > at);
        let stays = match &glance {
            Err(error) if error.is_unread() => Some(Reason::Unread),
            Err(_) => Some(Reason::Damaged),
            Ok(_) => is_passed_over.then_some(Reason::Damaged),
        };
        let metrics = glance.ok().and_then(|document| document.get("metrics").cloned()).unwrap_or_default();
        let metric = keep.best.as_ref().and_then(|best| metrics.get(&best.metric)?.as_f64());
        if stays.is_none() {
            candidates.push(Candidate { step, metric, is_pinned: folder.is_pinned(step)? });
        }
        decisions.push(Decision { step, path, copy: None, metrics, metric, stays });
    }
    let decided = keep.decide(&candidates);
    for (decision, stays) in decisions.iter_mut().filter(|decision| decision.stays.is_none()).zip(decided) {
        decision.stays = stays;
    }
    let is_whole = |step: u64| candidates.iter().any(|candidate| candidate.step == step);
    let newest = candidates.last().map(|candidate| candidate.step);
    for (step, number, path) in folder.superseded()? {
        let is_only_one = newest.is_none_or(|newest| newest < step)
            || (!is_whole(step) && decisions.iter().any(|decision| decision.step == step));
        let stays = if *keep == Retention::default() {
            Some(Reason::NoRule)
        } else if folder.is_pinned(step)? {
            Some(Reason::Pinned)
        } else if is_only_one {
            Some(Reason::OnlyOne)
        } else {
            match Checkpoint::verify(&path) {
                Err(error) if error.is_unread() => Some(Reason::Unread),
                Err(_) => Some(Reason::Damaged),
                Ok(_) => None,
            }
        };
        let (copy, metrics) = (Some(number), Value::Null);
        decisions.push(Decision { step, path, copy, metrics, metric: None, stays });
    }
    for decision in decisions.iter_mut().filter(|decision| decision.stays.is_none()) {
        decision.stays = holds_a_persons_files(&decision.path).then_some(Reason::PersonsFiles);
    }
    decisions.sort_by_key(|decision| (decision.step, decision.copy.is_none(), decision.copy));
    Ok(decisions)
}

/// Deletes the checkpoints in `folder` that `keep` does not keep, oldest first, and returns their paths; `at` is as in
/// [`decide`].
///
/// # Errors
/// The folder cannot be listed, or a checkpoint cannot be deleted; those before it are deleted.
pub fn prune(
    disk: &dyn Disk,
    folder: &Folder,
    keep: &Retention,
    at: Option<u64>,
) -> Result<Vec<PathBuf>, CheckpointError> {
    if *keep == Retention::default() {
        return Ok(Vec::new());
    }
    let doomed = decide(folder, keep, at)?.into_iter().filter(|decision| decision.stays.is_none());
    let delete = |Decision { step, path, copy, .. }: Decision| {
        match copy {
            Some(number) => folder.delete_superseded(disk, step, number)?,
            None => folder.delete(disk, step)?,
        }
        Ok(path)
    };
    doomed.map(delete).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(metrics: &[Option<f64>]) -> Vec<Candidate> {
        let candidate = |(index, metric): (usize, &Option<f64>)| Candidate {
            step: 10 * (index as u64 + 1),
            metric: *metric,
            is_pinned: false,
        };
        metrics.iter().enumerate().map(candidate).collect()
    }

    fn stay(keep: &Retention, candidates: &[Candidate]) -> Vec<u64> {
        let decided = keep.decide(candidates);
        candidates.iter().zip(decided).filter(|(_, stays)| stays.is_some()).map(|(c, _)| c.step).collect()
    }

    fn best(count: usize, more_is_better: bool) -> Option<Best> {
        Some(Best { count, metric: "m".to_owned(), more_is_better })
    }

    #[test]
    fn without_a_rule_all_stay() {
        assert_eq!(stay(&Retention::default(), &candidates(&[None; 4])), [10, 20, 30, 40]);
    }

    #[test]
    fn the_last_stay() {
        let keep = Retention { last: Some(2), ..Retention::default() };
        assert_eq!(stay(&keep, &candidates(&[None; 4])), [30, 40]);
    }

    #[test]
    fn the_best_stay_and_of_equal_ones_the_earlier() {
        let all = candidates(&[Some(0.5), Some(0.25), Some(f64::NAN), None, Some(0.25), Some(0.75)]);
        assert_eq!(stay(&Retention { best: best(1, false), ..Retention::default() }, &all), [20, 60]);
        assert_eq!(stay(&Retention { best: best(2, false), ..Retention::default() }, &all), [20, 50, 60]);
        assert_eq!(stay(&Retention { best: best(2, true), ..Retention::default() }, &all), [10, 60]);
    }

    #[test]
    fn every_few_steps_one_stays_for_ever_and_rules_add_up() {
        let keep = Retention { every: Some(20), ..Retention::default() };
        assert_eq!(stay(&keep, &candidates(&[None; 5])), [20, 40, 50]);
        let keep = Retention { last: Some(1), every: Some(30), best: best(1, false) };
        assert_eq!(stay(&keep, &candidates(&[Some(0.1), Some(0.2), Some(0.3), Some(0.4)])), [10, 30, 40]);
    }

    proptest! {
        #[test]
        fn the_newest_and_the_pinned_always_stay(
            metrics in proptest::collection::vec(proptest::option::of(any::<f64>()), 1..20),
            pinned in proptest::collection::vec(any::<bool>(), 20),
            last in proptest::option::of(0_usize..5),
            count in 0_usize..5,
            every in proptest::option::of(1_u64..100),
        ) {
            let mut all = candidates(&metrics);
            for (candidate, pinned) in all.iter_mut().zip(pinned) {
                candidate.is_pinned = pinned;
            }
            let keep = Retention { last, best: best(count, false), every };
            let stay = stay(&keep, &all);
            prop_assert!(stay.contains(&all[all.len() - 1].step));
            prop_assert!(all.iter().filter(|c| c.is_pinned).all(|c| stay.contains(&c.step)));
        }
    }
}
