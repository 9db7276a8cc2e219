//! A train state of JAX: weights by path, and the state of optax' chain of transformations. Flax and Orbax store the same
//! tree in different files.
//!
//! A state of optax is a tuple of named tuples, here dicts; which transformation one belongs to is told by its keys. The
//! numbers that a transformation was made with, the schedule and the masks are in the program, and in no file.

mod class;
mod state;

use std::collections::HashMap;

use self::state::{Walk, leaves};
use super::settings::text;
use crate::peers::peer::{
    Averages, Counter, Dialect, Form, Group, Named, Optimizer, Parameter, Peer, RateOf, Schedule, Setting, Unit,
};
use crate::peers::tensor::{Dtype, Tensor};
use crate::peers::tree::{Ref, Value};

/// Keys of the optimizer's state.
const OPTIMIZER: [&str; 3] = ["opt_state", "optimizer_state", "optimizer"];
/// Keys of averages of the weights.
const AVERAGES: [&str; 4] = ["ema_params", "params_ema", "ema", "average_params"];
/// Keys of the number of updates.
const STEP: [&str; 2] = ["step", "global_step"];
/// Collections of flax that no optimizer updates.
const BUFFERS: [&str; 2] = ["batch_stats", "constants"];

/// Puts a train state into the description of a run.
///
/// # Errors
/// It is no train state: it has no weights, or something else among them.
pub(super) fn describe(root: Ref<'_>, peer: &mut Peer) -> Result<(), String> {
    let state = train_state(root, 0);
    let holder = state.unwrap_or(root);
    let weights = holder.get("params").or_else(|| if state.is_none() { Some(root) } else { holder.get("model") });
    let weights = weights.ok_or("it has no weights under `params`")?;
    let named = leaves(weights, 0)?;
    if named.is_empty() {
        return Err("it has no weights".to_owned());
    }
    let parameters: Vec<Named> = named.into_iter().map(|(name, tensor)| parameter(name, tensor)).collect();
    if weights.place() == root.place() && !parameters.iter().any(|named| is_float(&named.tensor)) {
        return Err("it has no weights under `params`, and no numbers that could be weights".to_owned());
    }
    peer.updates = STEP.iter().find_map(|key| holder.get(key)?.int()).and_then(|step| u64::try_from(step).ok());
    if let Some(step) = peer.updates {
        peer.counters.push(Counter {
            name: "step".to_owned(),
            value: step as f64,
            counts: "updates, as the program counts them".to_owned(),
        });
    }
    if weights.place() != root.place() {
        others(holder, &parameters, peer)?;
        if state.is_some_and(|state| state.place() != root.place()) {
            left(root, &[holder], peer);
        }
    }
    let state = OPTIMIZER.iter().find_map(|key| holder.get(key)).filter(|_| weights.place() != root.place());
    match state {
        Some(state) => optimizer(state.get("opt_state").unwrap_or(state), &parameters, peer)?,
        None => peer.missing.push("the optimizer's state: the file has weights alone".to_owned()),
    }
    if parameters.iter().any(|named| named.in_out) {
        peer.remarks.push("kernels are stored as [in, out], and so are their moments".to_owned());
    }
    peer.model.tensors.splice(0..0, parameters);
    peer.missing.push("the place in the data: a train state does not hold it".to_owned());
    Ok(())
}

/// Returns the dict that has weights beside an optimizer's state or a step: the root, or one in it.
fn train_state(value: Ref<'_>, depth: usize) -> Option<Ref<'_>> {
    let has = |keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
    if has(&["params"]) || has(&["model"]) && has(&OPTIMIZER) {
        return Some(value);
    }
    let below = value.entries().filter(|_| depth < 2)?;
    below.filter_map(|(_, value)| train_state(value, depth + 1)).next()
}

/// Returns a weight; kernels of flax' layers, and `w` of haiku's, are matrices from their rows to their columns.
fn parameter(name: String, tensor: &Tensor) -> Named {
    let own = name.strip_suffix(".value").unwrap_or(&name);
    let last = own.rsplit('.').next().unwrap_or_default();
    let in_out = matches!(last, "kernel" | "w") && tensor.shape().len() == 2;
    Named { in_out, buffer: !is_float(tensor), ..Named::new(name, tensor.clone()) }
}

fn is_float(tensor: &Tensor) -> bool {
    !matches!(
        tensor.dtype(),
        Dtype::BOOL
            | Dtype::I8
            | Dtype::U8
            | Dtype::I16
            | Dtype::U16
            | Dtype::I32
            | Dtype::U32
            | Dtype::I64
            | Dtype::U64
    )
}

/// Reads buffers and averages, and names what else is beside the weights.
fn others(holder: Ref<'_>, parameters: &[Named], peer: &mut Peer) -> Result<(), String> {
    let mut read = vec!["params", "model"];
    read.extend(OPTIMIZER.iter().chain(&STEP));
    for collection in BUFFERS {
        let Some(buffers) = holder.get(collection) else { continue };
        let tensors = leaves(buffers, 0)?.into_iter();
        let named = tensors
            .map(|(name, tensor)| Named { buffer: true, ..Named::new(format!("{collection}.{name}"), tensor.clone()) });
        peer.model.tensors.extend(named);
        read.push(collection);
    }
    for key in AVERAGES {
        let Some(averages) = holder.get(key) else { continue };
        let by_name: HashMap<String, &Tensor> = leaves(averages, 0)?.into_iter().collect();
        let of = |named: &Named| Some(Named { tensor: (*by_name.get(&named.name)?).clone(), ..named.clone() });
        let tensors: Vec<Named> = parameters.iter().filter_map(of).collect();
        if !tensors.is_empty() {
            peer.averages = Some(Averages { place: key.to_owned(), tensors, count: None, decay: None });
            read.push(key);
            peer.missing.push("the decay of the averages: it is in the program".to_owned());
            break;
        }
    }
    let entries = holder.entries().into_iter().flatten();
    let rest = entries.filter(|(key, _)| key.text().is_none_or(|key| !read.contains(&key)));
    peer.left.extend(rest.filter(|(_, value)| !is_empty(*value)).map(|(key, value)| entry(key, value)));
    Ok(())
}

fn left(root: Ref<'_>, read: &[Ref<'_>], peer: &mut Peer) {
    let entries = root.entries().into_iter().flatten();
    let rest = entries.filter(|(_, value)| read.iter().all(|read| read.place() != value.place()) && !is_empty(*value));
    peer.left.extend(rest.map(|(key, value)| entry(key, value)));
}

fn entry(key: Ref<'_>, value: Ref<'_>) -> String {
    format!("{}: {}", text(key), text(value))
}

fn is_empty(value: Ref<'_>) -> bool {
    value.is_null() || value.entries().is_some_and(|entries| entries.len() == 0)
}

/// Describes the optimizer by its state.
fn optimizer(state: Ref<'_>, parameters: &[Named], peer: &mut Peer) -> Result<(), String> {
    let mut walk = Walk::new(parameters);
    walk.visit(state, "opt_state", 0)?;
    let told = class::tell(&walk);
    let updates = walk.count.or(peer.updates);
    let scheduled = walk.scheduled.or(walk.rate_scheduled);
    let mut groups = Vec::new();
    for (label, found) in walk.groups() {
        let of_parameter = |named: &Named| {
            let states = found.states.get(&named.name).cloned().unwrap_or_default();
            let own = label.is_none() || !states.is_empty();
            let parameter = Parameter {
                id: named.name.clone(),
                name: Some(named.name.clone()),
                updates,
                states,
                numbers: Vec::new(),
            };
            own.then_some(parameter)
        };
        let parameters = parameters.iter().filter(|named| !named.buffer).filter_map(of_parameter).collect();
        let mut settings: Vec<(String, Setting)> = found.settings.clone();
        settings.extend(label.map(|label| ("label".to_owned(), Setting::Text(label.to_owned()))));
        let rate_of = match (found.rate, walk.rate_scheduled) {
            (None, _) => RateOf::Unknown,
            (Some(_), Some(_)) => RateOf::Last,
            (Some(_), None) => RateOf::Constant,
        };
        groups.push(Group { lr: found.rate, rate_of, initial_lr: None, settings, parameters });
    }
    if let Some(at) = scheduled {
        peer.schedules.push(unknown_schedule(at));
    }
    name_missing(&walk, scheduled.is_some(), peer);
    peer.updates = peer.updates.or(walk.count);
    peer.counters.extend(walk.counters);
    peer.left.extend(walk.left);
    peer.remarks.extend(told.remark);
    if let (Some(count), Some(step)) = (walk.count, peer.updates)
        && count != step
    {
        peer.remarks.push(format!("the optimizer made {count} updates, and the program counts {step} steps"));
    }
    peer.optimizers.push(Optimizer { class: told.class, named: false, dialect: Dialect::Optax, groups, updates });
    Ok(())
}

/// A schedule of which the file has only the count.
fn unknown_schedule(at: u64) -> Schedule {
    Schedule {
        form: Form { class: "unknown".to_owned(), ..Form::default() },
        optimizer: 0,
        at: Some(at as f64),
        unit: Unit::Updates,
        base_lrs: Vec::new(),
        last_lrs: Vec::new(),
        late: 0,
        in_f32: true,
    }
}

fn name_missing(walk: &Walk<'_>, scheduled: bool, peer: &mut Peer) {
    let mut missing = |what: &str| peer.missing.push(what.to_owned());
    let has_rate = walk.groups().iter().any(|(_, found)| found.rate.is_some());
    match (scheduled, has_rate) {
        (true, _) => missing("the schedule's shape: optax keeps only its count; the rates are computed by the program"),
        (false, true) => {}
        (false, false) => missing("the learning rate: optax keeps it in the program"),
    }
    missing(
        "the optimizer's settings (b1, b2, eps, momentum, weight decay and its mask): optax keeps them in the program",
    );
    missing("clipping of gradients: optax' clips have no state, so that no file tells them");
    if walk.accumulates {
        missing("the number of micro-batches for each update (MultiSteps): it is in the program");
    }
    if walk.is_masked {
        peer.remarks.push(
            "a part of the chain has a mask: it holds for some of the parameters, which the file does not tell"
                .to_owned(),
        );
    }
}

/// Returns whether a value is a number or a tensor without dimensions.
fn is_number(value: Ref<'_>) -> bool {
    match value.value() {
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => true,
        Value::Tensor(tensor) => tensor.shape().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
