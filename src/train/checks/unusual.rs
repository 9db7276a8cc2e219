//! Allowed but unusual settings, reported before the first step.

use serde_json::Value;

use super::outlook::samples;
use crate::figures;
use crate::notice::Notice;
use crate::schedule::{RunLength, Scheduler};
use crate::train::config::{Config, SCHEDULES};

/// The usual learning rates of a kind of optimizer, by the defaults and the advice of its packages and papers, and the
/// highest one without a warning.
struct Usual {
    from: &'static str,
    to: &'static str,
    highest: f64,
}

/// A rate below this, and not 0, changes no weight.
const LOWEST: f64 = 1e-12;

impl Usual {
    fn of(kind: &str) -> Self {
        match kind {
            "sgd" | "asgd" => Self { from: "1e-4", to: "1", highest: 100.0 },
            // Steps are divided by roots of sums, or made from their ratio.
            "adagrad" | "adadelta" | "ftrl" => Self { from: "1e-3", to: "1", highest: 100.0 },
            // It is multiplied by `trust_coefficient`, 0.001: the default of `timm` is 1, and large batches have more.
            "lars" => Self { from: "0.1", to: "30", highest: 1000.0 },
            // A multiple of the estimated rate.
            "prodigy" => Self { from: "0.1", to: "2", highest: 100.0 },
            // Ten to fifty times that of SGD, in the words of `schedulefree`.
            "schedule_free_sgd" => Self { from: "1e-2", to: "50", highest: 1000.0 },
            _ => Self { from: "1e-6", to: "0.1", highest: 1.0 },
        }
    }
}

/// Returns the remarks and warnings about the settings of a run of this length, with the learning rates of `scheduler` from step
/// `from`.
pub(crate) fn notices(config: &Config, scheduler: &Scheduler, run: RunLength, from: u64) -> Vec<Notice> {
    let rate = run.total_steps.and_then(|total| rate(config, scheduler, from..total));
    let remarks = config.optimizer.remarks().into_iter().map(Notice::Note);
    remarks.chain(rate.into_iter().chain(shares(config)).map(Notice::Warning)).collect()
}

fn rate(config: &Config, scheduler: &Scheduler, steps: std::ops::Range<u64>) -> Option<String> {
    if steps.is_empty() {
        return None;
    }
    let rates: Vec<(u64, Vec<f64>)> = samples(steps).into_iter().map(|t| (t, scheduler.rates_at(t))).collect();
    config.optimizer.kinds().into_iter().find_map(|kind| {
        let highest = |(t, rates): &(u64, Vec<f64>)| {
            let kinds = config.optimizer.kinds_of_groups(rates.len());
            let own = kinds.into_iter().zip(rates).filter(|(of_group, _)| *of_group == kind);
            (own.fold(0.0, |highest, (_, rate)| f64::max(highest, *rate)), *t)
        };
        let (peak, step) = rates.iter().map(highest).reduce(|a, b| if b.0 > a.0 { b } else { a })?;
        unusual_rate(kind, peak, step)
    })
}

/// Returns a warning about the highest rate of a kind of optimizer, in step `step`.
fn unusual_rate(kind: &str, peak: f64, step: u64) -> Option<String> {
    let Usual { from, to, highest } = Usual::of(kind);
    let effect = match peak {
        _ if peak > highest => "weights will probably not stay finite",
        _ if peak > 0.0 && peak < LOWEST => "weights will hardly change",
        _ => return None,
    };
    let peak = figures::rate(peak);
    Some(format!(
        "the learning rate is {peak} at most (step {step}), far outside the usual range of {kind}, {from} to {to}: \
         {effect}; see `optimizer.lr`"
    ))
}

/// Returns lengths that exceed the run, as shares of it.
fn shares(config: &Config) -> Vec<String> {
    let config = serde_json::to_value(config).unwrap_or_default();
    let mut found = Vec::new();
    for name in SCHEDULES {
        collect(name, &config[name], &mut found);
    }
    let said = found.into_iter().map(|(place, share)| {
        format!("{place} is \"{share}\", longer than the whole run, so the run ends before the schedule does")
    });
    said.collect()
}

fn collect(place: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => {
            table.iter().for_each(|(name, value)| collect(&format!("{place}.{name}"), value, found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| collect(&format!("{place}[{at}]"), value, found));
        }
        Value::String(text) => {
            let share = text.strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
            if share.is_some_and(|share| share > 100.0) {
                found.push((place.to_owned(), text.clone()));
            }
        }
        _ => {}
    }
}
