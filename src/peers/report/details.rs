//! A peer's description as JSON, under the key `peer`: all that has no place among the keys of our own runs.

use serde_json::{Map, Value, json};

use super::labels::Labels;
use crate::peers::Peer;
use crate::peers::peer::{Clipping, Form, Group, LossScale, Optimizer, RateOf, Schedule, Setting, Unit};

/// Returns the description; `next` is the command to type next.
pub(super) fn details(peer: &Peer, labels: &Labels, next: &str) -> Value {
    let counters = peer
        .counters
        .iter()
        .map(|counter| json!({"name": counter.name, "value": number(counter.value), "counts": counter.counts}));
    let optimizers = peer.optimizers.iter().zip(labels).map(|(found, labels)| optimizer(found, labels));
    json!({
        "trainer": peer.trainer.name(),
        "version": peer.version,
        "format": peer.format,
        "updates": peer.updates,
        "epochs": peer.epochs,
        "counters": counters.collect::<Vec<_>>(),
        "optimizers": optimizers.collect::<Vec<_>>(),
        "schedules": peer.schedules.iter().map(schedule).collect::<Vec<_>>(),
        "clipping": clipping(peer.clipping),
        "accumulation": peer.accumulation,
        "averages": peer.averages.as_ref().map(|averages| json!({
            "place": averages.place,
            "tensors": averages.tensors.len(),
            "count": averages.count,
            "decay": averages.decay,
        })),
        "settings": peer.settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>(),
        "architecture": peer.architecture.as_ref().map(|architecture| json!({
            "kind": architecture.kind,
            "settings": settings(&architecture.settings),
        })),
        "is_in_registration_order": peer.model.in_order,
        "tied": peer.model.tied,
        "missing": peer.missing,
        "left": peer.left,
        "remarks": peer.remarks,
        "next": next,
    })
}

fn optimizer(found: &Optimizer, labels: &[Vec<String>]) -> Value {
    let groups = found.groups.iter().zip(labels).map(|(found, labels)| group(found, labels));
    json!({
        "class": found.class,
        "is_named_in_the_file": found.named,
        "dialect": format!("{:?}", found.dialect).to_lowercase(),
        "updates": found.updates,
        "groups": groups.collect::<Vec<_>>(),
    })
}

fn group(found: &Group, labels: &[String]) -> Value {
    let parameters = found.parameters.iter().zip(labels).map(|(parameter, label)| {
        let states: Vec<&String> = parameter.states.iter().map(|(name, _)| name).collect();
        let numbers = parameter.numbers.iter().map(|(name, value)| (name.clone(), number(*value)));
        json!({
            "id": parameter.id,
            "name": label,
            "updates": parameter.updates,
            "states": states,
            "numbers": numbers.collect::<Map<_, _>>(),
        })
    });
    json!({
        "lr": found.lr,
        "rate_of": rate_of(found.rate_of),
        "initial_lr": found.initial_lr,
        "settings": settings(&found.settings),
        "parameters": parameters.collect::<Vec<_>>(),
    })
}

/// Returns the update that a rate belongs to, in a word.
fn rate_of(rate: RateOf) -> &'static str {
    match rate {
        RateOf::Next => "next",
        RateOf::Last => "last",
        RateOf::Constant => "every",
        RateOf::Unknown => "unknown",
    }
}

fn schedule(found: &Schedule) -> Value {
    json!({
        "form": form(&found.form),
        "optimizer": found.optimizer,
        "at": found.at,
        "unit": unit(found.unit),
        "base_lrs": found.base_lrs,
        "last_lrs": found.last_lrs,
        "late": found.late,
        "in_f32": found.in_f32,
    })
}

/// Returns the unit of a schedule's counter, in a word.
pub(super) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Updates => "updates",
        Unit::Epochs => "epochs",
        Unit::Unknown => "unknown",
    }
}

fn form(found: &Form) -> Value {
    json!({
        "class": found.class,
        "settings": settings(&found.settings),
        "members": found.members.iter().map(form).collect::<Vec<_>>(),
    })
}

/// Returns settings as JSON, under the peer's names.
pub(super) fn settings(found: &[(String, Setting)]) -> Map<String, Value> {
    found.iter().map(|(name, value)| (name.clone(), setting(value))).collect()
}

fn setting(value: &Setting) -> Value {
    match value {
        Setting::Null => Value::Null,
        Setting::Bool(value) => json!(value),
        Setting::Number(value) => number(*value),
        Setting::Numbers(values) => values.iter().copied().map(number).collect(),
        Setting::Partly(values) => values.iter().map(|value| value.map_or(Value::Null, number)).collect(),
        Setting::Text(text) | Setting::Other(text) => json!(text),
    }
}

/// Returns a number; a whole one is written without a fraction, one that JSON cannot say as text.
fn number(value: f64) -> Value {
    match value {
        _ if !value.is_finite() => json!(value.to_string()),
        _ if value.fract() == 0.0 && value.abs() < 9e15 => json!(value as i64),
        _ => json!(value),
    }
}

fn clipping(found: Clipping) -> Value {
    match found {
        Clipping::Off => json!("off"),
        Clipping::Norm { most, eps } => json!({"norm": most, "eps": eps}),
        Clipping::NormOfEach { most } => json!({"norm_of_each": most}),
        Clipping::Value { most } => json!({"value": most}),
        Clipping::Unknown => Value::Null,
    }
}

/// Returns a loss scale under the names that our own has.
pub(super) fn loss_scale(found: &LossScale) -> Value {
    json!({
        "scale": found.scale,
        "growth_factor": found.growth_factor,
        "backoff_factor": found.backoff_factor,
        "growth_interval": found.growth_interval,
        "updates": found.since,
    })
}
