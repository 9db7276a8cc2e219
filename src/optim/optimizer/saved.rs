//! Saving and loading of an optimizer's state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Optimizer;
use crate::optim::decay::Decay;
use crate::optim::error::list;
use crate::optim::groups::Group;
use crate::optim::rule::Momentum;
use crate::parameters::{begin_save_of_tensors, from_host, host_dtype, save_tensors};
use crate::state::{BegunCopies, HostTensor, State, StateError, Stateful};

/// The saved state, except for tensors.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    kind: String,
    updates: u64,
    /// Number of skipped updates.
    #[serde(default, skip_serializing_if = "is_zero")]
    skipped: u64,
    /// The updates that parameters have missed, because they were frozen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    missed: BTreeMap<String, u64>,
    groups: Vec<SavedGroup>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A parameter group in a saved state.
#[derive(Debug, Serialize, Deserialize)]
struct SavedGroup {
    parameters: Vec<String>,
    lr: f64,
    weight_decay: f64,
    /// Momentum or beta1; checkpoints have always called both `momentum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    /// The product of all second betas so far, if a schedule drives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta2_product: Option<f64>,
    decay: Decay,
    /// The name of the group's own rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

impl From<&Group> for SavedGroup {
    fn from(group: &Group) -> Self {
        Self {
            parameters: group.parameters.clone(),
            lr: group.lr,
            weight_decay: group.weight_decay,
            momentum: group.momentum.map(Momentum::value),
            beta2_product: None,
            decay: group.decay,
            kind: group.own.map(|_| group.rule.kind().to_owned()),
        }
    }
}

impl Saved {
    fn kind_of(&self, group: &SavedGroup) -> String {
        group.kind.clone().unwrap_or_else(|| self.kind.clone())
    }

    /// Returns the largest momentum of the groups that share `group`'s rule.
    fn largest_momentum(&self, group: &SavedGroup) -> f64 {
        let shared = self.groups.iter().filter(|other| group.kind.is_none() && other.kind.is_none());
        std::iter::once(group).chain(shared).filter_map(|group| group.momentum).fold(0.0, f64::max)
    }
}

fn mismatch(what: &str, saved: String, expected: String) -> Result<(), StateError> {
    Err(StateError::Mismatch { what: what.to_owned(), saved, expected })
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

impl Optimizer {
    /// Checks that the saved groups have the same parameters and state tensors.
    fn check_groups(&self, saved: &Saved) -> Result<(), StateError> {
        let now = Saved {
            kind: self.config.kind().to_owned(),
            updates: self.updates,
            skipped: self.skipped,
            missed: BTreeMap::new(),
            groups: self.groups.iter().map(SavedGroup::from).collect(),
        };
        let names = |saved: &Saved| saved.groups.iter().map(|g| list(&g.parameters)).collect::<Vec<_>>().join("; ");
        if !saved.groups.iter().map(|g| &g.parameters).eq(now.groups.iter().map(|g| &g.parameters)) {
            return mismatch("the division into parameter groups", names(saved), names(&now));
        }
        for ((group, before), after) in self.groups.iter().zip(&saved.groups).zip(&now.groups) {
            let kinds = (saved.kind_of(before), now.kind_of(after));
            if kinds.0 != kinds.1 {
                let what = format!("the kind of the parameter group of {}", list(&group.parameters));
                return mismatch(&what, quoted(&kinds.0), quoted(&kinds.1));
            }
            let momenta = (saved.largest_momentum(before), now.largest_momentum(after));
            if group.rule.states(momenta.0) != group.rule.states(momenta.1) {
                return Err(StateError::Unable(format!(
                    "the optimizer's momentum is {} in the checkpoint and {} here: a run has buffers for it from its \
                     first step on, or never; leave the momentum as it was, or begin a new run with these weights as \
                     `train.initial_weights`",
                    momenta.0, momenta.1
                )));
            }
        }
        Ok(())
    }

    /// Saves all but the tensors.
    fn save_json(&self, state: &mut State) -> Result<(), StateError> {
        if self.unnamed {
            return Err(StateError::Unable(
                "an optimizer made from a list of variables has no names to save its state under; \
                 make it with `Optimizer::new(&Parameters::from_varmap(&varmap), …)`"
                    .to_owned(),
            ));
        }
        if !self.is_whole() && !self.leaves_out {
            return Err(StateError::Unable("the moments of some parameters are in other processes".to_owned()));
        }
        let groups = self.groups.iter().zip(&self.beta2_products);
        let groups = groups.map(|(group, product)| SavedGroup { beta2_product: *product, ..group.into() }).collect();
        let missed = self.slots.iter().filter(|slot| slot.missed > 0);
        let missed = missed.map(|slot| (slot.name.clone(), slot.missed)).collect();
        let (kind, updates, skipped) = (self.config.kind().to_owned(), self.updates, self.skipped);
        state.json = json!(Saved { kind, updates, skipped, missed, groups });
        state.json["hyperparameters"] = serde_json::to_value(&self.config)?;
        Ok(())
    }
}

impl Stateful for Optimizer {
    fn save(&self) -> Result<State, StateError> {
        let mut state = State::default();
        self.save_into(&mut state)?;
        Ok(state)
    }

    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        self.save_json(state)?;
        save_tensors(&mut state.tensors, self.states())
    }

    fn begin_save(&self, state: &mut State, begun: &mut BegunCopies) -> Result<(), StateError> {
        self.save_json(state)?;
        begin_save_of_tensors(&mut state.tensors, begun, self.states())
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        let saved: Saved = Saved::deserialize(&state.json)?;
        if saved.kind != self.config.kind() {
            return mismatch("the optimizer's kind", quoted(&saved.kind), quoted(self.config.kind()));
        }
        self.check_groups(&saved)?;
        let states: Vec<_> = self.states().collect();
        let expected = states.iter().map(|(name, var)| (name.as_str(), host_dtype(var.dtype()), var.dims()));
        // A tensor says less than the setting that it depends on.
        state
            .expect_tensors(expected)
            .map_err(|error| self.changed_form(&state.json["hyperparameters"]).unwrap_or(error))
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        let find = |name: &str| -> Result<&HostTensor, StateError> {
            state.tensors.get(name).ok_or_else(|| StateError::MissingTensor(name.to_owned()))
        };
        for (name, var) in self.states() {
            var.set(&from_host(find(&name)?, var.device())?)?;
        }
        let saved = Saved::deserialize(&state.json)?;
        (self.updates, self.skipped) = (saved.updates, saved.skipped);
        for slot in &mut self.slots {
            slot.missed = saved.missed.get(&slot.name).copied().unwrap_or(0).min(saved.updates);
        }
        self.beta2_products = saved.groups.iter().map(|group| group.beta2_product).collect();
        Ok(())
    }
}
