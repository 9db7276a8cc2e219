//! The parts of a checkpoint of ours that another trainer can continue from, in the order of PyTorch.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ExportError;
use super::order;
use crate::checkpoint::Checkpoint;
use crate::data::Epochs;
use crate::model::is_adapter;
use crate::peers::write::Stored;
use crate::state::HostTensor;
use crate::train::Weights;

/// A run to export.
pub(in crate::peers) struct Source<'a> {
    pub checkpoint: &'a Checkpoint,
    /// Weights and buffers, in the order of registration.
    pub weights: Vec<(&'a str, &'a HostTensor)>,
    /// Updates made.
    pub updates: u64,
    /// Those that parameters have missed, because they were frozen.
    missed: BTreeMap<String, u64>,
    /// Updates of the whole run.
    pub total: Option<u64>,
    /// Its epochs by updates.
    pub run_epochs: Epochs,
    /// The kind of the optimizer.
    pub kind: String,
    /// The optimizer's configuration, with defaults.
    pub hyperparameters: &'a Map<String, Value>,
    /// The groups, each with parameters that all decay or all do not.
    pub groups: Vec<SourceGroup<'a>>,
}

/// A group of parameters that share every setting.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::peers) struct SourceGroup<'a> {
    /// Names in the order of registration.
    pub parameters: Vec<&'a str>,
    /// Our rule.
    pub rule: String,
    /// The rule whose class updates them in PyTorch: `adamw` for what `muon` does not make orthogonal.
    pub kind: String,
    /// Index of the group in our checkpoint, which has its rates.
    pub ours: usize,
    /// Base rate.
    pub lr: f64,
    /// Weight decay; 0 for parameters that do not decay.
    pub weight_decay: f64,
    /// Momentum or first beta.
    pub momentum: Option<f64>,
    /// The settings of a group that has another configuration of the rule, over those of the optimizer.
    pub own: Option<&'a Map<String, Value>>,
    /// Whether the parameters are never updated.
    pub is_frozen: bool,
}

impl<'a> SourceGroup<'a> {
    /// Whether these are the parameters that `muon` updates as AdamW does.
    pub fn is_beside_muon(&self) -> bool {
        self.rule != self.kind
    }

    /// Returns a setting of the rule, under the name that it has in `kind`.
    pub fn setting(&self, source: &Source<'a>, key: &str) -> Option<&'a Value> {
        let key = match key {
            key if !self.is_beside_muon() => key,
            "betas" => "adamw_betas",
            "eps" => "adamw_eps",
            _ => return None,
        };
        let of_all = Some(source.hyperparameters).filter(|_| self.rule == source.kind);
        self.own.and_then(|own| own.get(key)).or_else(|| of_all?.get(key))
    }
}

/// The saved state of an optimizer of ours, as far as it is exported.
#[derive(Deserialize)]
struct Saved {
    kind: String,
    updates: u64,
    #[serde(default)]
    missed: BTreeMap<String, u64>,
    groups: Vec<SavedGroup>,
}

#[derive(Deserialize)]
struct SavedGroup {
    parameters: Vec<String>,
    lr: f64,
    weight_decay: f64,
    momentum: Option<f64>,
    decay: String,
    kind: Option<String>,
}

impl<'a> Source<'a> {
    /// Reads the parts of a checkpoint, with its trained weights, or those of a component.
    ///
    /// # Errors
    /// It has no model or optimizer of a trainer of ours, or no such weights.
    pub fn read(checkpoint: &'a Checkpoint, chosen: &Weights) -> Result<Self, ExportError> {
        let lacking = |what: &str| ExportError::Lacking { path: checkpoint.path().to_owned(), what: what.to_owned() };
        let mut weights: Vec<_> = tensors(checkpoint, chosen)?.into_iter().collect();
        weights.sort_by(|(a, _), (b, _)| order::compare(a, b));
        let optimizer = checkpoint.state("optimizer").ok_or_else(|| lacking("it has no part `optimizer`"))?;
        let saved = Saved::deserialize(&optimizer.json)
            .map_err(|error| lacking(&format!("its part `optimizer` cannot be read: {error}")))?;
        let settings = optimizer.json.get("hyperparameters").and_then(Value::as_object);
        let hyperparameters = settings.ok_or_else(|| lacking("its part `optimizer` has no hyperparameters"))?;
        let number = |name| checkpoint.field(name).and_then(Value::as_u64);
        let groups = groups(&saved, hyperparameters, &weights)?;
        Ok(Self {
            checkpoint,
            weights,
            updates: saved.updates,
            missed: saved.missed,
            total: number("total_steps"),
            run_epochs: Epochs::of_checkpoint(|name| checkpoint.field(name)).unwrap_or_else(|| Epochs::of_length(1)),
            kind: saved.kind,
            hyperparameters,
            groups,
        })
    }

    /// Replaces weights by those that their adapters are `merged` into, and removes the adapters.
    pub fn merged(mut self, merged: &'a BTreeMap<String, HostTensor>) -> Self {
        self.weights.retain(|(name, _)| !is_adapter(name));
        for (name, tensor) in &mut self.weights {
            *tensor = merged.get(*name).unwrap_or(tensor);
        }
        self
    }

    /// Returns the number of the next update.
    pub fn step(&self) -> u64 {
        self.checkpoint.step()
    }

    /// Returns the epochs made.
    pub fn epochs(&self) -> u64 {
        self.run_epochs.whole(self.step())
    }

    /// Returns the updates made in the epoch that has begun.
    pub fn in_epoch(&self) -> u64 {
        self.run_epochs.within(self.step()).0
    }

    /// Returns a setting of the configuration.
    pub fn config(&self, path: &str) -> &'a Value {
        self.checkpoint.field("config").and_then(|config| config.pointer(path)).unwrap_or(&Value::Null)
    }

    /// Returns the state tensor `state` of a parameter.
    pub fn state(&self, parameter: &str, state: &str) -> Option<&'a HostTensor> {
        self.checkpoint.state("optimizer")?.tensors.get(&format!("{parameter}.{state}"))
    }

    /// Returns the updates that a parameter has had.
    pub fn updates_of(&self, parameter: &str) -> u64 {
        self.updates - self.missed.get(parameter).copied().unwrap_or(0).min(self.updates)
    }

    /// Returns a weight.
    pub fn weight(&self, name: &str) -> Option<&'a HostTensor> {
        self.weights.iter().find(|(other, _)| *other == name).map(|(_, tensor)| *tensor)
    }
}

/// Returns all tensors of a model, with the chosen weights.
///
/// # Errors
/// The checkpoint has no model, or no such weights.
pub(super) fn tensors<'a>(
    checkpoint: &'a Checkpoint,
    chosen: &Weights,
) -> Result<BTreeMap<&'a str, &'a HostTensor>, ExportError> {
    let lacking = |what: &str| ExportError::Lacking { path: checkpoint.path().to_owned(), what: what.to_owned() };
    let model = checkpoint.state("model").ok_or_else(|| lacking("it has no part `model`"))?;
    let own = own_weights(checkpoint, chosen).map_err(|what| lacking(&what))?;
    let weight = |(name, tensor): (&'a String, &'a HostTensor)| {
        (name.as_str(), own.and_then(|own| own.get(name)).unwrap_or(tensor))
    };
    Ok(model.tensors.iter().map(weight).collect())
}

/// Returns the chosen weights of a component; `None` for the trained ones.
fn own_weights<'a>(
    checkpoint: &'a Checkpoint,
    chosen: &Weights,
) -> Result<Option<&'a BTreeMap<String, HostTensor>>, String> {
    let Weights::Of(name) = chosen else { return Ok(None) };
    let others = averages(checkpoint).join("`, `");
    let state = checkpoint.state(&format!("components.{name}")).ok_or_else(|| match others.is_empty() {
        true => format!("it has no weights `{name}`, only the trained ones"),
        false => format!("it has no weights `{name}`; it has `{others}` and `trained`"),
    })?;
    match state.json["begun"] == Value::Bool(false) {
        true => Err(format!("its average `{name}` has not begun; take a later checkpoint, or the weights `trained`")),
        false => Ok(Some(&state.tensors)),
    }
}

/// Returns the names of the components that have weights.
pub(in crate::peers) fn averages(checkpoint: &Checkpoint) -> Vec<&str> {
    let names = checkpoint.parts().filter_map(|part| part.strip_prefix("components."));
    let has_tensors =
        |name: &&str| checkpoint.state(&format!("components.{name}")).is_some_and(|state| !state.tensors.is_empty());
    names.filter(has_tensors).collect()
}

/// Returns the tensor as it is stored.
pub(in crate::peers) fn stored(tensor: &HostTensor) -> Stored<'_> {
    Stored { dtype: tensor.dtype, shape: tensor.shape.clone(), bytes: tensor.bytes.as_slice().into() }
}

/// Returns the groups. One in which only matrices decay becomes two, because PyTorch has one decay for a group.
fn groups<'a>(
    saved: &Saved,
    hyperparameters: &'a Map<String, Value>,
    weights: &[(&'a str, &'a HostTensor)],
) -> Result<Vec<SourceGroup<'a>>, ExportError> {
    let configured = hyperparameters.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // The parameters that no group of the configuration claims come first, as one group.
    let unclaimed = saved.groups.len().saturating_sub(configured.len());
    let mut found = Vec::new();
    for (ours, group) in saved.groups.iter().enumerate() {
        let is_frozen = group.kind.as_deref().unwrap_or(&saved.kind) == "frozen";
        let rule = group.kind.as_ref().filter(|_| !is_frozen).unwrap_or(&saved.kind);
        let own = ours.checked_sub(unclaimed).and_then(|index| configured.get(index)?.as_object());
        let own = own.filter(|_| group.kind.is_some() && !is_frozen);
        let is_member = |name: &&str| group.parameters.iter().any(|parameter| parameter == name);
        let all = weights.iter().filter(|(name, _)| is_member(name));
        let splits = group.decay == "matrices" && group.weight_decay != 0.0;
        let (decayed, not): (Vec<&(&str, &HostTensor)>, Vec<_>) =
            all.partition(|(_, tensor)| !splits || tensor.shape.len() >= 2);
        for (members, weight_decay) in [(decayed, group.weight_decay), (not, 0.0)] {
            let (own_kind, vectors): (Vec<&(&str, &HostTensor)>, Vec<_>) =
                members.into_iter().partition(|(_, tensor)| rule != "muon" || tensor.shape.len() == 2);
            for (members, kind) in [(own_kind, rule.as_str()), (vectors, "adamw")] {
                if !members.is_empty() {
                    let parameters = members.into_iter().map(|&(name, _)| name).collect();
                    let (lr, momentum) = (group.lr, group.momentum);
                    let (rule, kind) = (rule.clone(), kind.to_owned());
                    let group =
                        SourceGroup { parameters, rule, kind, ours, lr, weight_decay, momentum, own, is_frozen };
                    found.push(group);
                }
            }
        }
    }
    Ok(found)
}
