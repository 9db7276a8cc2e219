//! Which checkpoints stay, and the deletion of the others.
//!
//! Only a run that was told to forgets: without a rule every checkpoint stays. The newest one always stays, so does
//! one that is pinned, and one that is damaged is left for a person to look at. A copy that another checkpoint of its
//! step has replaced is counted by no rule, and goes where any rule lets checkpoints go. What is deleted first gets a
//! name that nothing reads, in one step, so that a crash in the middle leaves no damaged checkpoint behind.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::error::CheckpointError;
use super::folder::{Folder, holds_a_persons_files};
use super::fs::Disk;
use super::read::Checkpoint;

/// Which checkpoints stay: those that any rule wants. Without a rule, all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keep {
    /// So many of the newest.
    pub last: Option<usize>,
    /// The best ones.
    pub best: Option<Best>,
    /// Those whose step is a multiple of this one, for ever.
    pub every: Option<u64>,
}

/// The best checkpoints by a figure that they hold in the entry `metrics` of their state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Best {
    /// So many.
    pub count: usize,
    /// The name of the figure, as `validation_loss`.
    pub metric: String,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// A checkpoint as a [`Keep`] looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its step.
    pub step: u64,
    /// Its figure, where it holds one that is a number.
    pub metric: Option<f64>,
    /// Whether it is pinned.
    pub is_pinned: bool,
}

/// Why a checkpoint stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// There is no rule by which any goes.
    NoRule,
    /// It is the newest.
    Newest,
    /// It is among the last.
    Last,
    /// It is among the best.
    Best,
    /// Its step is one of those that stay for ever.
    Every,
    /// It is pinned.
    Pinned,
    /// Another one has replaced it, and no other of its step or a later one is whole.
    OnlyOne,
    /// It is damaged: what it still holds is for a person to decide.
    Damaged,
    /// It cannot be read, and may be whole.
    Unread,
    /// A person has put files in it.
    PersonsFiles,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRule => "no rule lets any go",
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

impl Keep {
    /// Why each of the `candidates`, which are sorted by step, stays; `None` for those that go.
    pub fn judge(&self, candidates: &[Candidate]) -> Vec<Option<Reason>> {
        let newest = candidates.last().map(|candidate| candidate.step);
        let by_age = candidates.iter().rev().map(|candidate| candidate.step);
        let last: Vec<u64> = by_age.take(self.last.unwrap_or_default()).collect();
        let best = self.best.as_ref().map(|best| best.of(candidates)).unwrap_or_default();
        let judge = |candidate: &Candidate| {
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
        candidates.iter().map(judge).collect()
    }
}

impl Best {
    /// The steps of the best candidates; of equal ones the earlier is the better.
    fn of(&self, candidates: &[Candidate]) -> Vec<u64> {
        let measured = candidates.iter().filter_map(|candidate| Some((candidate.metric?, candidate.step)));
        let mut ranked: Vec<(f64, u64)> = measured.filter(|(metric, _)| metric.is_finite()).collect();
        let sign = if self.more_is_better { -1.0 } else { 1.0 };
        ranked.sort_by(|a, b| (sign * a.0).total_cmp(&(sign * b.0)).then(a.1.cmp(&b.1)));
        ranked.into_iter().take(self.count).map(|(_, step)| step).collect()
    }
}

/// A checkpoint in a folder, and why it stays, if it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Its step.
    pub step: u64,
    /// Its directory.
    pub path: PathBuf,
    /// Its number among the copies of its step, where another checkpoint has replaced it.
    pub copy: Option<u64>,
    /// All figures that it holds: the entry `metrics` of its state.
    pub metrics: Value,
    /// Its figure, where the rule for the best asks for one.
    pub metric: Option<f64>,
    /// Why it stays; `None` where it goes.
    pub stays: Option<Reason>,
}

/// What `keep` says of each checkpoint in `folder`, oldest first.
///
/// A checkpoint counts as damaged here when its manifest, the sizes of its files, or its `state.json` are not as they
/// should be; its tensors are not read. So does one beyond the step `at` that its run has come to: a resume, which did
/// read them, has passed it over, and it must not count as the newest in the place of one that is whole. A copy that
/// goes is read whole first.
///
/// # Errors
/// When the folder cannot be listed.
pub fn judge(folder: &Folder, keep: &Keep, at: Option<u64>) -> Result<Vec<Verdict>, CheckpointError> {
    let mut verdicts = Vec::new();
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
        verdicts.push(Verdict { step, path, copy: None, metrics, metric, stays });
    }
    let judged = keep.judge(&candidates);
    for (verdict, stays) in verdicts.iter_mut().filter(|verdict| verdict.stays.is_none()).zip(judged) {
        verdict.stays = stays;
    }
    let is_whole = |step: u64| candidates.iter().any(|candidate| candidate.step == step);
    let newest = candidates.last().map(|candidate| candidate.step);
    for (step, number, path) in folder.superseded()? {
        let is_only_one = newest.is_none_or(|newest| newest < step)
            || (!is_whole(step) && verdicts.iter().any(|verdict| verdict.step == step));
        let stays = if *keep == Keep::default() {
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
        verdicts.push(Verdict { step, path, copy, metrics, metric: None, stays });
    }
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.stays.is_none()) {
        verdict.stays = holds_a_persons_files(&verdict.path).then_some(Reason::PersonsFiles);
    }
    verdicts.sort_by_key(|verdict| (verdict.step, verdict.copy.is_none(), verdict.copy));
    Ok(verdicts)
}

/// Deletes the checkpoints in `folder` that `keep` lets go, oldest first, and says which; `at` is as in [`judge`].
///
/// # Errors
/// When the folder cannot be listed or a checkpoint not deleted; those before it are gone.
pub fn prune(disk: &dyn Disk, folder: &Folder, keep: &Keep, at: Option<u64>) -> Result<Vec<PathBuf>, CheckpointError> {
    if *keep == Keep::default() {
        return Ok(Vec::new());
    }
    let doomed = judge(folder, keep, at)?.into_iter().filter(|verdict| verdict.stays.is_none());
    let delete = |Verdict { step, path, copy, .. }: Verdict| {
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

    fn stay(keep: &Keep, candidates: &[Candidate]) -> Vec<u64> {
        let judged = keep.judge(candidates);
        candidates.iter().zip(judged).filter(|(_, stays)| stays.is_some()).map(|(c, _)| c.step).collect()
    }

    fn best(count: usize, more_is_better: bool) -> Option<Best> {
        Some(Best { count, metric: "m".to_owned(), more_is_better })
    }

    #[test]
    fn without_a_rule_all_stay() {
        assert_eq!(stay(&Keep::default(), &candidates(&[None; 4])), [10, 20, 30, 40]);
    }

    #[test]
    fn the_last_stay() {
        let keep = Keep { last: Some(2), ..Keep::default() };
        assert_eq!(stay(&keep, &candidates(&[None; 4])), [30, 40]);
    }

    #[test]
    fn the_best_stay_and_of_equal_ones_the_earlier() {
        let all = candidates(&[Some(0.5), Some(0.25), Some(f64::NAN), None, Some(0.25), Some(0.75)]);
        assert_eq!(stay(&Keep { best: best(1, false), ..Keep::default() }, &all), [20, 60]);
        assert_eq!(stay(&Keep { best: best(2, false), ..Keep::default() }, &all), [20, 50, 60]);
        assert_eq!(stay(&Keep { best: best(2, true), ..Keep::default() }, &all), [10, 60]);
    }

    #[test]
    fn every_so_many_steps_one_stays_for_ever_and_rules_add_up() {
        let keep = Keep { every: Some(20), ..Keep::default() };
        assert_eq!(stay(&keep, &candidates(&[None; 5])), [20, 40, 50]);
        let keep = Keep { last: Some(1), every: Some(30), best: best(1, false) };
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
            let keep = Keep { last, best: best(count, false), every };
            let stay = stay(&keep, &all);
            prop_assert!(stay.contains(&all[all.len() - 1].step));
            prop_assert!(all.iter().filter(|c| c.is_pinned).all(|c| stay.contains(&c.step)));
        }
    }
}
