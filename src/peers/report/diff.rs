//! Differences between two runs, of which at least one is another trainer's.
//!
//! Weights are paired by their names, without what wraps a model puts before them; if those do not fit, by their order.
//! States of optimizers are compared under our names. Tensors differ by a bit; rates by more than a rounding, because
//! trainers compute one schedule in different orders.

mod pairs;
mod side;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::pairs::Pairs;
pub use self::side::Side;
use self::side::{Parameter, Stands};
use crate::report::diff::tensor::compare;
use crate::report::diff::{CheckpointDifference, Difference, FieldDifference, TensorChange, TensorDifference};
use crate::state::HostTensor;

/// Rates that differ by this share are one rate.
const ROUNDING: f64 = 1e-12;

/// Compares two runs.
///
/// # Errors
/// The numbers of a tensor cannot be read, which is named.
pub fn difference(a: &Side, b: &Side) -> Result<Difference, String> {
    let (first, second) = (Stands::of(a), Stands::of(b));
    let pairs = Pairs::of(&first, &second);
    let mut found = CheckpointDifference {
        step: first.step.or(second.step).unwrap_or_default(),
        a: a.path().to_owned(),
        b: b.path().to_owned(),
        ..CheckpointDifference::default()
    };
    found.state = fields(&first, &second, &pairs);
    // One schedule can be written in two ways: it counts where the rates to come differ.
    let schedule = field("schedule", json!(first.schedule), json!(second.schedule)).into_iter().collect();
    if first.has_rates_of(&second, &pairs) {
        found.places = schedule
    } else {
        found.schedule = schedule
    }
    found.tensors = tensors(&first, &second, &pairs)?;
    let (a, b) = (a.path().to_owned(), b.path().to_owned());
    Ok(Difference { a, b, checkpoints: vec![found], ..Difference::default() })
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= ROUNDING * a.abs().max(b.abs())
}

fn field(name: &str, a: Value, b: Value) -> Option<FieldDifference> {
    let is_same = match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => is_close(a, b),
        _ => a == b,
    };
    // A value that one of the files does not tell is no difference.
    let is_told = !a.is_null() && !b.is_null();
    (is_told && !is_same).then(|| FieldDifference { field: name.to_owned(), a: Some(a), b: Some(b) })
}

/// Compares counters, the optimizer, and the settings of each parameter.
fn fields(a: &Stands<'_>, b: &Stands<'_>, pairs: &Pairs) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    found.extend(field("step", json!(a.step), json!(b.step)));
    found.extend(field("epoch", json!(a.epoch), json!(b.epoch)));
    found.extend(field("optimizer", json!(a.optimizer), json!(b.optimizer)));
    for (name, setting) in [
        ("lr", (|one| one.lr) as fn(&Parameter<'_>) -> Option<f64>),
        ("weight_decay", |one| one.weight_decay),
        ("momentum", |one| one.momentum),
    ] {
        let both = a.parameters.iter().filter_map(|one| Some((one, b.parameter(pairs.parameter_in_b(&one.name)?)?)));
        let all: Vec<_> = both.collect();
        let differing: Vec<FieldDifference> = all
            .iter()
            .filter_map(|(one, other)| {
                field(&format!("{name} of {}", one.name), json!(setting(one)), json!(setting(other)))
            })
            .collect();
        // One line for all parameters where the values are the same everywhere.
        match differing.split_first() {
            Some((first, rest))
                if differing.len() == all.len()
                    && rest.iter().all(|other| (&other.a, &other.b) == (&first.a, &first.b)) =>
            {
                found.push(FieldDifference { field: name.to_owned(), ..first.clone() });
            }
            _ => found.extend(differing),
        }
    }
    found
}

/// Compares weights, and the states of the parameters under them.
fn tensors(a: &Stands<'_>, b: &Stands<'_>, pairs: &Pairs) -> Result<Vec<TensorDifference>, String> {
    let mut found = Vec::new();
    let mut add = |part: &str, name: String, change: Option<TensorChange>| {
        found.extend(change.map(|change| TensorDifference { part: part.to_owned(), name, change }));
    };
    for weight in &a.weights {
        let other = pairs.in_b(&weight.name).and_then(|name| b.weight(name));
        let (one, other) = (Some(weight.host()?), other.map(|other| other.host()).transpose()?);
        add("model", weight.name.clone(), change(one, other));
    }
    for weight in b.weights.iter().filter(|weight| !pairs.has_b(&weight.name)) {
        add("model", weight.name.clone(), change(None, Some(weight.host()?)));
    }
    for one in &a.parameters {
        let other = pairs.parameter_in_b(&one.name).and_then(|name| b.parameter(name));
        let states = |parameter: Option<&Parameter<'_>>| -> BTreeSet<String> {
            parameter.into_iter().flat_map(|parameter| parameter.states.iter().map(|(name, _)| name.clone())).collect()
        };
        for state in states(Some(one)).union(&states(other)) {
            let of = |parameter: Option<&Parameter<'_>>| parameter.map(|one| one.state(state)).transpose();
            let change = change(of(Some(one))?.flatten(), of(other)?.flatten());
            add("optimizer", format!("{}.{state}", one.name), change);
        }
    }
    Ok(found)
}

fn change(a: Option<HostTensor>, b: Option<HostTensor>) -> Option<TensorChange> {
    match (a, b) {
        (Some(a), Some(b)) => compare(&a, &b),
        (Some(a), None) => Some(TensorChange::OnlyInA(a.kind())),
        (None, b) => b.map(|b| TensorChange::OnlyInB(b.kind())),
    }
}
