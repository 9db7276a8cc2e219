//! Weights among the models of a file: the one that an optimizer updates, averages of it, and others.

use std::collections::{HashMap, HashSet};

use super::state_dict;
use crate::peers::error::PeerError;
use crate::peers::peer::{Averages, Model, Named, Optimizer, Peer};
use crate::peers::tree::Ref;

/// Words in the place of a model that is an average of another.
const AVERAGED: &[&str] = &["ema", "averag", "swa", "shadow"];

/// Sets weights and averages of a file from all models that were found in it; `averaged` are those that count their
/// averagings. Optimizers are to be there already, since they tell which model is trained.
///
/// # Errors
/// A weight is of a class that is not read.
pub(super) fn set(
    peer: &mut Peer,
    models: &[(String, Ref<'_>)],
    averaged: &[(String, Ref<'_>)],
) -> Result<(), PeerError> {
    let mut live = Vec::new();
    for (place, dict) in models {
        let path = peer.path.clone();
        live.push((place.clone(), state_dict::read(&path, place, *dict, &mut peer.left)?));
    }
    let by_name = split_averages(&mut live);
    choose(peer, live);
    for (place, dict) in averaged {
        let path = peer.path.clone();
        let model = state_dict::read(&path, place, *dict, &mut peer.left)?;
        let count = dict.get("n_averaged").and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
        set_averages(peer, place, model, count);
    }
    for (place, model) in by_name {
        set_averages(peer, &place, model, None);
    }
    Ok(())
}

/// Takes out the models that are averages by their place in the file, where another has the same names.
fn split_averages(models: &mut Vec<(String, Model)>) -> Vec<(String, Model)> {
    let is_named = |place: &str| {
        let place = place.to_lowercase();
        AVERAGED.iter().any(|word| place.contains(word))
    };
    let others: Vec<HashSet<String>> =
        models.iter().filter(|(place, _)| !is_named(place)).map(|(_, model)| names(model)).collect();
    models.extract_if(.., |(place, model)| is_named(place) && others.contains(&names(model))).collect()
}

/// Returns the names of a model, without the prefix that wrapping gives.
fn names(model: &Model) -> HashSet<String> {
    let tied = model.tied.iter().map(|(name, _)| name.as_str());
    let all = model.tensors.iter().map(|named| named.name.as_str()).chain(tied);
    all.map(|name| name.strip_prefix("module.").unwrap_or(name).to_owned()).collect()
}

/// Adds averages under the names of the weights.
pub(super) fn set_averages(peer: &mut Peer, place: &str, model: Model, count: Option<u64>) {
    if peer.averages.is_some() {
        peer.left.push(format!("{place}: further averages of {} tensors", model.tensors.len()));
        return;
    }
    let live: HashSet<&str> = peer.model.tensors.iter().map(|named| named.name.as_str()).collect();
    let rename = |named: Named| match named.name.strip_prefix("module.") {
        Some(rest) if live.contains(rest) => Named { name: rest.to_owned(), ..named },
        _ => named,
    };
    let tensors = model.tensors.into_iter().filter(|named| named.name != "n_averaged").map(rename).collect();
    peer.averages = Some(Averages { place: place.to_owned(), tensors, count, decay: None });
}

/// Sets the weights from the models that may be live: the only one, the one that the optimizer fits, or all.
pub(super) fn choose(peer: &mut Peer, mut models: Vec<(String, Model)>) {
    if models.len() > 1 && !peer.optimizers.is_empty() {
        let fits = |(_, model): &(String, Model)| peer.optimizers.iter().any(|optimizer| fits(optimizer, model));
        let fitting: Vec<(String, Model)> = models.extract_if(.., |model| fits(model)).collect();
        let rest = std::mem::replace(&mut models, fitting);
        if models.is_empty() {
            // Together they may have what the optimizer needs.
            models = rest;
        } else {
            leave(peer, &rest, "no optimizer in the file fits it");
        }
    }
    if models.len() > 1 {
        let best: Vec<(String, Model)> =
            models.extract_if(.., |(place, _)| place.to_lowercase().contains("best")).collect();
        if models.is_empty() {
            models = best;
        } else {
            leave(peer, &best, "it is the best so far, not the last");
        }
    }
    if models.len() == 1 {
        peer.model = models.remove(0).1;
        return;
    }
    if !models.is_empty() {
        let places: Vec<&str> = models.iter().map(|(place, _)| place.as_str()).collect();
        peer.remarks.push(format!(
            "the file has {} models ({}), and nothing in it tells which of them is trained: all are described, each \
             tensor under the place of its model and its name",
            places.len(),
            places.join(", ")
        ));
        peer.model = merged(models);
    }
}

fn leave(peer: &mut Peer, models: &[(String, Model)], why: &str) {
    for (place, model) in models {
        peer.left.push(format!("{place}: another model of {} tensors; {why}", model.tensors.len()));
    }
}

fn merged(models: Vec<(String, Model)>) -> Model {
    let in_order = models.iter().all(|(_, model)| model.in_order);
    let mut all = Model { in_order, ..Model::default() };
    for (place, model) in models {
        all.tensors
            .extend(model.tensors.into_iter().map(|named| Named { name: format!("{place}.{}", named.name), ..named }));
        let tied = model.tied.into_iter();
        all.tied.extend(tied.map(|(name, first)| (format!("{place}.{name}"), format!("{place}.{first}"))));
    }
    all
}

/// Returns whether the parameters of an optimizer may be those of a model: there are enough, with their shapes.
fn fits(optimizer: &Optimizer, model: &Model) -> bool {
    let parameters = optimizer.groups.iter().flat_map(|group| &group.parameters);
    let mut shapes: HashMap<&[usize], usize> = HashMap::new();
    for named in model.tensors.iter().filter(|named| !named.buffer) {
        *shapes.entry(named.tensor.shape()).or_default() += 1;
    }
    let weights: usize = shapes.values().sum();
    let mut count = 0;
    for parameter in parameters {
        count += 1;
        let shape = (parameter.states.iter())
            .find(|(key, _)| ["exp_avg", "momentum_buffer", "square_avg", "sum", "exp_avg_sq"].contains(&key.as_str()));
        if let Some((_, tensor)) = shape {
            match shapes.get_mut(tensor.shape()) {
                Some(left) if *left > 0 => *left -= 1,
                _ => return false,
            }
        }
    }
    // A tied weight is one parameter, and one tensor here as well.
    count > 0 && count <= weights
}
