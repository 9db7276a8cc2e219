//! Whether the rates of an imported run are those of the checkpoint.

use super::error::ImportError;
use super::settled::Asked;
use crate::peers::peer::RateOf;
use crate::schedule::{Schedule, Scheduler};
use crate::train::{Session, TrainError};

/// Number of updates at which two schedules are compared, besides the first and the last.
const PLACES: u64 = 1000;

/// Largest relative difference of two rates that are meant to be the same; for those that a peer computes in f32.
const ROUNDING: (f64, f64) = (1e-9, 2e-6);

/// Compares the schedule with the checkpoint's, and the present rates with those in the file. Returns how they differ if
/// a `--set` decides.
///
/// # Errors
/// They differ, and no `--set` decides.
pub(super) fn check(session: &Session, asked: &Asked<'_>) -> Result<Option<String>, ImportError> {
    if asked.is_decided("schedule") || asked.is_decided("optimizer.lr") {
        return match same_rates(session, asked) {
            Err(ImportError::Disagree { in_file, in_config, .. }) => {
                Ok(Some(format!("rates, as --set decides: {in_file} in the checkpoint, and {in_config} here")))
            }
            checked => checked.map(|()| None),
        };
    }
    if let Ok(schedule) = asked.found.schedule() {
        same_schedule(session, &schedule.unwrap_or_else(|| Schedule::constant().into()), asked)?;
    }
    same_rates(session, asked).map(|()| None)
}

fn rounding(asked: &Asked<'_>) -> f64 {
    let in_f32 = asked.peer.schedules.iter().any(|schedule| schedule.in_f32);
    if in_f32 { ROUNDING.1 } else { ROUNDING.0 }
}

fn differ(a: f64, b: f64, rounding: f64) -> bool {
    (a - b).abs() > rounding * a.abs().max(b.abs())
}

/// Compares the rates of all updates to come.
fn same_schedule(session: &Session, theirs: &Schedule, asked: &Asked<'_>) -> Result<(), ImportError> {
    let ours = session.scheduler();
    if ours.schedule() == theirs {
        return Ok(());
    }
    let disagree = |in_file: String, in_config: String| ImportError::Disagree {
        path: asked.import.peer.clone(),
        key: "schedule".to_owned(),
        in_file,
        in_config,
    };
    if ours.wants_metric() {
        return Err(disagree(theirs.to_string(), ours.schedule().to_string()));
    }
    let scheduler = Scheduler::new(theirs.clone(), ours.base_lrs().to_vec(), session.length());
    let scheduler = scheduler.map_err(TrainError::from)?;
    let (first, last) = (session.step(), session.total_steps());
    let length = last.saturating_sub(first);
    let places = (0..=PLACES).map(|place| first + (u128::from(length) * u128::from(place) / u128::from(PLACES)) as u64);
    for t in places.filter(|t| *t < last) {
        let rates = scheduler.rates_at(t).into_iter().zip(ours.rates_at(t));
        if let Some((in_file, in_config)) = rates.into_iter().find(|(a, b)| differ(*a, *b, rounding(asked))) {
            let says = |schedule: &Schedule, rate: f64| format!("{schedule} (rate {rate} of update {t})");
            return Err(disagree(says(theirs, in_file), says(ours.schedule(), in_config)));
        }
    }
    Ok(())
}

/// Compares the rate that the file has with the one here, of the same update.
fn same_rates(session: &Session, asked: &Asked<'_>) -> Result<(), ImportError> {
    let groups = session.config().optimizer.divide(asked.parameters).map_err(TrainError::from)?;
    let Some(last) = session.step().checked_sub(1) else { return Ok(()) };
    let (next, last) = (session.scheduler().rates(), session.scheduler().rates_at(last));
    let of_peer = asked
        .found
        .rules
        .iter()
        .zip(&asked.peer.optimizers)
        .flat_map(|(rule, optimizer)| rule.groups.iter().map(|group| optimizer.groups.get(group.of)));
    for (group, names) in of_peer.zip(&asked.found.names) {
        let Some(group) = group else { continue };
        let is_live = |name: &&String| !asked.found.planned.frozen.contains(name);
        let Some(name) = names.iter().find(is_live) else { continue };
        let place = groups.iter().position(|group| group.parameters.contains(name));
        let (rates, update) = match group.rate_of {
            RateOf::Next | RateOf::Constant => (&next, session.step()),
            RateOf::Last => (&last, session.step() - 1),
            RateOf::Unknown => continue,
        };
        let Some((in_file, here)) = group.lr.zip(place.and_then(|place| rates.get(place)).copied()) else { continue };
        if differ(in_file, here, rounding(asked)) {
            return Err(ImportError::Disagree {
                path: asked.import.peer.clone(),
                key: "schedule".to_owned(),
                in_file: format!("a rate of {in_file} for update {update}"),
                in_config: format!("one of {here}, by {}", session.scheduler().schedule()),
            });
        }
    }
    Ok(())
}
