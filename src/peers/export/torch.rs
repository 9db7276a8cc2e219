//! A checkpoint of a PyTorch script: one file with the states of model, optimizer and scheduler.

use serde::Deserialize;
use serde_json::Value;

use super::error::ExportError;
use super::recipe;
use super::schedule::TorchSchedule;
use super::source::{Source, stored};
use super::writing::Writing;
use super::{Parts, python};
use crate::peers::write::Item;
use crate::train::{FreezeConfig, Moment};

/// Writes the file.
pub(super) fn write(source: &Source<'_>, all: &[Parts<'_>], writing: &mut Writing) -> Result<(), ExportError> {
    let [parts, others @ ..] = all else { return Err(ExportError::refused("the run", "it trains no parameter")) };
    let mut entries = vec![("model", weights(source, ""))];
    if others.is_empty() {
        entries.push(("optimizer", parts.optimizer.state.clone()));
        entries.extend(parts.schedule.state.clone().map(|state| ("scheduler", state)));
    } else {
        let states = all.iter().map(|parts| parts.optimizer.state.clone());
        entries.push(("optimizers", Item::List(states.collect())));
        let states: Vec<Item<'_>> = all.iter().filter_map(|parts| parts.schedule.state.clone()).collect();
        entries.extend((!states.is_empty()).then_some(("schedulers", Item::List(states))));
    }
    entries.extend(scaler(source).map(|scaler| ("scaler", scaler)));
    entries.push(("epoch", count(source.epochs())));
    entries.push(("step", count(source.step())));
    let path = writing.place().to_owned();
    writing.torch(&path, &Item::dict(entries))?;
    let lines = &mut writing.lines;
    lines.push(recipe::imports(&parts.schedule, &[]));
    lines.push(format!("saved = torch.load({})", python::text(&path.display().to_string())));
    lines.extend(recipe::model(source));
    lines.push(recipe::NAMED.to_owned());
    if others.is_empty() {
        lines.extend(recipe::parts(&parts.optimizer, &parts.schedule));
    } else {
        lines.extend(recipe::several(all));
    }
    lines.push("model.load_state_dict(saved[\"model\"])".to_owned());
    let mut load = |name: &str| {
        lines.extend(match others.is_empty() {
            true => vec![format!("{name}.load_state_dict(saved[\"{name}\"])")],
            false => vec![
                format!("for own, state in zip({name}s, saved[\"{name}s\"]):"),
                "    own.load_state_dict(state)".to_owned(),
            ],
        });
    };
    load("optimizer");
    if parts.schedule.state.is_some() {
        load("scheduler");
    }
    if scaler(source).is_some() {
        lines.push("scaler = torch.amp.GradScaler()".to_owned());
        lines.push("scaler.load_state_dict(saved[\"scaler\"])".to_owned());
    }
    lines.extend(clipping(source));
    if !others.is_empty() {
        let names: Vec<&str> = all.iter().map(|parts| parts.optimizer.name).collect();
        writing.notes.push(format!(
            "the optimizers are {}, each with a scheduler of its rates: step all of them after each update",
            names.join(" and ")
        ));
    }
    writing.notes.extend(notes(source, &parts.schedule));
    Ok(())
}

/// Returns a counter as an integer.
pub(super) fn count(count: u64) -> Item<'static> {
    Item::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Returns the state of the model, with `prefix` before every name.
pub(super) fn weights<'a>(source: &Source<'a>, prefix: &str) -> Item<'a> {
    let entry = |(name, tensor): &(&str, &'a crate::state::HostTensor)| {
        (Item::text(format!("{prefix}{name}")), Item::Tensor(stored(tensor)))
    };
    Item::OrderedDict(source.weights.iter().map(entry).collect())
}

/// Returns the state of the `GradScaler`, of a run in f16.
pub(super) fn scaler(source: &Source<'_>) -> Option<Item<'static>> {
    let state = &source.checkpoint.state("loss_scale")?.json;
    Some(Item::dict([
        ("scale", Item::Float(state["scale"].as_f64()?)),
        ("growth_factor", Item::Float(2.0)),
        ("backoff_factor", Item::Float(0.5)),
        ("growth_interval", Item::Int(2000)),
        ("_growth_tracker", count(state["updates"].as_u64()?)),
    ]))
}

/// Returns a line for the clipping of the run, which is in no file of PyTorch.
fn clipping(source: &Source<'_>) -> Option<String> {
    let norm = source.config("/train/clip_norm").as_f64()?;
    Some(format!("# before each update: torch.nn.utils.clip_grad_norm_(model.parameters(), {})", python::number(norm)))
}

/// Returns remarks that hold for every trainer on PyTorch.
pub(super) fn notes(source: &Source<'_>, schedule: &TorchSchedule) -> Vec<String> {
    let mut notes: Vec<String> = recipe::stepping(schedule).into_iter().collect();
    notes.extend(schedule.notes.iter().cloned());
    let components = source.checkpoint.parts().filter_map(|part| part.strip_prefix("components."));
    notes.extend(components.map(|name| format!("left: the state of the component `{name}`, which is ours alone")));
    if let Some(micro) = source.config("/train/accumulate").as_u64().filter(|micro| *micro > 1) {
        notes.push(format!("an update is of {micro} micro-batches here, which no file of PyTorch says"));
    }
    notes.extend(gradients(source));
    notes.push("left: the place in the data, which no file of PyTorch has; its order is another there".to_owned());
    notes
}

/// Whether parameters are frozen in the next update, or will be.
fn freezes(source: &Source<'_>) -> bool {
    let freezes = Vec::<FreezeConfig>::deserialize(source.config("/train/freeze")).unwrap_or_default();
    let end = |until: Moment| until.in_steps(source.total.unwrap_or(u64::MAX), &source.run_epochs);
    freezes.iter().any(|freeze| freeze.until.is_none_or(|until| end(until) > source.step()))
}

/// Returns remarks on what a run does to its gradients, apart from the clipping of their norm, and on what it freezes.
pub(super) fn gradients(source: &Source<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(value) = source.config("/train/clip_value").as_f64() {
        let value = python::number(value);
        let call = format!("torch.nn.utils.clip_grad_value_(model.parameters(), {value})");
        found.push(format!(
            "left: the clipping of single values, which no file of PyTorch has; before each update: {call}"
        ));
    }
    let groups = source.hyperparameters.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, group) in groups.iter().enumerate() {
        if let Some(norm) = group["clip_norm"].as_f64() {
            let norm = python::number(norm);
            found.push(format!(
                "left: the clipping of optimizer.groups[{index}] to a norm of {norm}; before each update: \
                 torch.nn.utils.clip_grad_norm_ of its parameters"
            ));
        }
    }
    if source.config("/train/gradient_noise").is_object() {
        found.push("left: the noise on gradients, which no file of PyTorch has".to_owned());
    }
    if freezes(source) {
        found.push("left: which parameters are frozen; set `requires_grad` there".to_owned());
    }
    found
}
