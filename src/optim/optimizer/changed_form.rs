//! The setting that changed, where a saved state has other tensors than the optimizer.

use serde_json::Value;

use super::{Optimizer, Slot};
use crate::optim::groups::Group;
use crate::state::StateError;

impl Optimizer {
    /// Returns why a state of the `saved` hyperparameters does not fit, if a setting of a rule is the reason.
    pub(super) fn changed_form(&self, saved: &Value) -> Option<StateError> {
        self.groups.iter().enumerate().find_map(|(index, group)| {
            let slots: Vec<&Slot> = self.slots.iter().filter(|slot| slot.group == index).collect();
            let (field, before, now) = changed_setting(group, &slots, saved)?;
            let written = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
            let (field, before, now) = (group.field(field), written(before.as_ref()), written(now.as_ref()));
            Some(StateError::Unable(format!(
                "{field} is {before} in the checkpoint and {now} here, and it decides the state of the update rule: \
                 leave it as it was, or begin a new run with these weights as `train.initial_weights`"
            )))
        })
    }
}

/// Returns the first setting of a group's rule whose change alone gives a parameter other states, with both values.
fn changed_setting(
    group: &Group,
    slots: &[&Slot],
    saved: &Value,
) -> Option<(&'static str, Option<Value>, Option<Value>)> {
    // Old checkpoints have none.
    let saved =
        group.own.map_or(Some(saved), |index| saved.get("groups")?.get(index)).filter(|saved| saved.is_object())?;
    let table = group.rule.table();
    group.rule.fields().iter().find_map(|field| {
        let [before, now] = [saved.get(*field), table.get(*field)].map(|value| value.cloned());
        let other = group.rule.with(field, before.as_ref()).filter(|_| before != now)?;
        let differs = |slot: &&Slot| other.state_forms(group.largest_momentum, slot.parameter.shape()) != slot.forms;
        slots.iter().any(differs).then_some((*field, before, now))
    })
}
