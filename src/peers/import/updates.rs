//! The number of updates that a run has made, of which files have several counts.

use super::error::Refusal;
use crate::figures::counted;
use crate::peers::Peer;
use crate::peers::translate::{RateSchedule, UpdateRule};

/// Updates made so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// All of them: the number of the next one.
    pub step: u64,
    /// Those in whose place the optimizer did nothing.
    pub skipped: u64,
    /// How the number was found, where the file does not have it.
    pub note: Option<String>,
}

/// Everything that counts the updates, beside the optimizers.
pub(super) struct Counts<'a> {
    pub peer: &'a Peer,
    pub schedules: &'a [Option<RateSchedule>],
    /// Updates in an epoch of the data here.
    pub steps_per_epoch: u64,
    /// The number that a person gave.
    pub given: Option<u64>,
    /// Whether a person decided about the schedule, so that the checkpoint's does not count.
    pub is_scheduled: bool,
}

/// Settles the number.
///
/// # Errors
/// No count is in the file, or two that differ.
pub(super) fn settle(rules: &[UpdateRule], counts: &Counts<'_>) -> Result<Made, Refusal> {
    let optimizer = of_optimizers(counts.peer, rules)?;
    let by_updates = counts.schedules.iter().flatten().find_map(|schedule| schedule.at.filter(|_| !schedule.per_epoch));
    let counted = counts.given.or(counts.peer.updates).or(optimizer).or(by_updates);
    let (step, note) = match counted {
        Some(step) => (step, None),
        None => {
            let (epochs, step) = counts.of_epochs()?;
            let each = counts.steps_per_epoch;
            let note = format!(
                "{epochs} epochs are {step} updates, {each} in each by the data and batch size here; if the file has the \
                 number of its last epoch from 0, give --updates {}",
                step + each
            );
            (step, Some(note))
        }
    };
    counts.check_epochs(step)?;
    let own = optimizer.unwrap_or(step);
    let Some(skipped) = step.checked_sub(own) else {
        return Err(Refusal::cannot(
            "updates",
            format!("the optimizer has made {own}, and the run {step}; give the right number with --updates N"),
        ));
    };
    if skipped > 0 && counts.given.is_none() && counts.peer.loss_scale.is_none() {
        return Err(Refusal::cannot(
            "updates",
            format!(
                "the run has made {step}, and the optimizer {own}; give --updates {own}, or --updates {step} if the \
                 others were skipped"
            ),
        ));
    }
    Ok(Made { step, skipped, note })
}

impl Counts<'_> {
    /// Returns the epochs in the file, and the updates that they are here.
    fn of_epochs(&self) -> Result<(f64, u64), Refusal> {
        let by_epochs = self.schedules.iter().flatten().find_map(|schedule| schedule.at.filter(|_| schedule.per_epoch));
        let Some(epochs) = self.peer.epochs.or(by_epochs.map(|at| at as f64)) else {
            return Err(Refusal::ask("updates", "the file does not say how many were made; give --updates N"));
        };
        let step = epochs * self.steps_per_epoch as f64;
        if !(0.0..9e15).contains(&step) || (step - step.round()).abs() > 1e-6 * step.max(1.0) {
            let each = counted(self.steps_per_epoch as usize, "update");
            let reason =
                format!("the file counts {epochs} epochs, and one here has {each}; give the number with --updates N");
            return Err(Refusal::ask("updates", reason));
        }
        Ok((epochs, step.round() as u64))
    }

    /// Refuses a schedule that counts epochs and stands at another one than the data and batch size here say.
    fn check_epochs(&self, step: u64) -> Result<(), Refusal> {
        let epoch = step / self.steps_per_epoch.max(1);
        let at = self.schedules.iter().flatten().find_map(|schedule| schedule.at.filter(|_| schedule.per_epoch));
        match at.filter(|at| *at != epoch && !self.is_scheduled) {
            Some(at) if at + 1 == epoch && step.is_multiple_of(self.steps_per_epoch.max(1)) => Err(Refusal::cannot(
                "schedule",
                format!(
                    "it counts epochs and stands at {at} after {epoch} of {} each, so the file was saved before it was \
                     stepped, and whether a resume makes up for that cannot be told; give the schedule with `--set \
                     schedule=…`, with unit = \"epoch\" in it, or the peer's `data.batch_size` if that is another",
                    counted(self.steps_per_epoch as usize, "update")
                ),
            )),
            Some(at) => Err(Refusal::cannot(
                "schedule",
                format!(
                    "it counts epochs and stands at {at}, but update {step} is in epoch {epoch} with {} in each; give \
                     the peer's `data.batch_size`, or the number of updates with --updates N",
                    counted(self.steps_per_epoch as usize, "update")
                ),
            )),
            None => Ok(()),
        }
    }
}

/// Returns the one number of all optimizers and parameters.
fn of_optimizers(peer: &Peer, rules: &[UpdateRule]) -> Result<Option<u64>, Refusal> {
    let parameters = rules.iter().flat_map(|rule| &rule.groups).flat_map(|group| &group.parameters);
    let trained = parameters.filter(|parameter| !parameter.frozen);
    let of_parameters = trained.filter_map(|one| Some((one.updates?, format!("the parameter with id {}", one.id))));
    let of_whole =
        peer.optimizers.iter().filter_map(|one| Some((one.updates?, format!("the optimizer {}", one.class))));
    let mut known: Option<(u64, String)> = None;
    for (updates, whose) in of_parameters.chain(of_whole) {
        match &known {
            Some((first, other)) if *first != updates => {
                let reason = format!(
                    "{other} has had {first}, and {whose} {updates}; an optimizer here counts one number for all"
                );
                return Err(Refusal::cannot("updates", reason));
            }
            _ => known = Some((updates, whose)),
        }
    }
    Ok(known.map(|(updates, _)| updates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::peer::Trainer;

    fn settled(change: impl FnOnce(&mut Peer), given: Option<u64>) -> Result<(u64, u64), String> {
        let mut peer = Peer::new("a.pt", Trainer::PyTorch, "zip");
        change(&mut peer);
        let counts = Counts { peer: &peer, schedules: &[], steps_per_epoch: 4, given, is_scheduled: false };
        settle(&[], &counts).map(|made| (made.step, made.skipped)).map_err(|refusal| refusal.reason)
    }

    fn optimizer(updates: u64) -> crate::peers::peer::Optimizer {
        use crate::peers::peer::{Dialect, Optimizer};
        let class = "AdamW".to_owned();
        Optimizer { class, named: true, dialect: Dialect::Torch, groups: Vec::new(), updates: Some(updates) }
    }

    #[test]
    fn epochs_are_counted_with_the_data_here() {
        assert_eq!(settled(|peer| peer.epochs = Some(2.5), None), Ok((10, 0)));
        assert!(settled(|peer| peer.epochs = Some(2.4), None).unwrap_err().contains("one here has 4 updates"));
        assert_eq!(settled(|peer| peer.epochs = Some(2.4), Some(9)), Ok((9, 0)));
        assert!(settled(|_| {}, None).unwrap_err().contains("--updates N"));
    }

    #[test]
    fn updates_that_the_optimizer_did_not_make_are_told_apart_by_a_person() {
        let both = |peer: &mut Peer| {
            peer.updates = Some(12);
            peer.optimizers.push(optimizer(10));
        };
        assert!(settled(both, None).unwrap_err().contains("--updates 12 if the others were skipped"));
        assert_eq!(settled(both, Some(12)), Ok((12, 2)));
        assert_eq!(settled(both, Some(10)), Ok((10, 0)));
        assert!(settled(both, Some(9)).unwrap_err().contains("the optimizer has made 10"));
    }

    #[test]
    fn optimizers_that_count_differently_are_refused() {
        let two = |peer: &mut Peer| peer.optimizers.extend([optimizer(10), optimizer(9)]);
        assert!(settled(two, None).unwrap_err().contains("one number for all"));
    }
}
