//! The number of updates that a run has made, of which files have several counts.

use super::error::Refusal;
use crate::peers::Peer;
use crate::peers::translate::{RateSchedule, UpdateRule};

/// Updates made so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// All of them: the number of the next one.
    pub step: u64,
    /// Those in whose place the optimizer did nothing.
    pub skipped: u64,
}

/// Settles the number; `given` is a person's.
///
/// # Errors
/// No count is in the file, or two that differ.
pub(super) fn settle(
    peer: &Peer,
    rules: &[UpdateRule],
    schedules: &[Option<RateSchedule>],
    given: Option<u64>,
) -> Result<Made, Refusal> {
    let optimizer = of_optimizers(peer, rules)?;
    let schedule = schedules.iter().flatten().find_map(|schedule| schedule.at.filter(|_| !schedule.per_epoch));
    let counted = given.or(peer.updates).or(optimizer).or(schedule);
    let Some(step) = counted else {
        return Err(Refusal::ask("updates", "the file does not say how many were made; give --updates N"));
    };
    let own = optimizer.unwrap_or(step);
    let Some(skipped) = step.checked_sub(own) else {
        return Err(Refusal::cannot(
            "updates",
            format!("the optimizer has made {own}, and the run {step}; give the right number with --updates N"),
        ));
    };
    if skipped > 0 && given.is_none() && peer.loss_scale.is_none() {
        return Err(Refusal::cannot(
            "updates",
            format!(
                "the run has made {step}, and the optimizer {own}; give --updates {own}, or --updates {step} if the \
                 others were skipped"
            ),
        ));
    }
    Ok(Made { step, skipped })
}

/// Returns the one number of all optimizers and parameters.
fn of_optimizers(peer: &Peer, rules: &[UpdateRule]) -> Result<Option<u64>, Refusal> {
    let parameters = rules.iter().flat_map(|rule| &rule.groups).flat_map(|group| &group.parameters);
    let counted = parameters.filter(|parameter| !parameter.frozen);
    let mut known: Option<(u64, String)> = None;
    let of_parameters = counted.filter_map(|one| Some((one.updates?, format!("the parameter with id {}", one.id))));
    let of_whole =
        peer.optimizers.iter().filter_map(|one| Some((one.updates?, format!("the optimizer {}", one.class))));
    for (updates, whose) in of_parameters.chain(of_whole) {
        match &known {
            Some((first, other)) if *first != updates => {
                return Err(Refusal::cannot(
                    "updates",
                    format!(
                        "{other} has had {first}, and {whose} {updates}; an optimizer here counts one number for all"
                    ),
                ));
            }
            _ => known = Some((updates, whose)),
        }
    }
    Ok(known.map(|(updates, _)| updates))
}
