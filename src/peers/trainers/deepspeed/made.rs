//! The state of an optimizer in the form of PyTorch, which the flat tensors of all processes are put into.

use super::partitions::Shapes;
use crate::peers::tree::{Place, Ref, Tree, Value};

/// A state of an optimizer as PyTorch has it, with names for ids.
#[derive(Default)]
pub(super) struct Made {
    tree: Tree,
    states: Vec<(Place, Place)>,
    groups: Vec<Place>,
}

impl Made {
    pub(super) fn add_state(&mut self, name: &str, entries: Vec<(&str, Value)>) -> Result<(), String> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut places = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            places.push((self.tree.add(Value::Text(key.to_owned()))?, self.tree.add(value)?));
        }
        let place = (self.tree.add(Value::Text(name.to_owned()))?, self.tree.add(Value::Dict(places))?);
        self.states.push(place);
        Ok(())
    }

    pub(super) fn add_settings(&mut self, settings: Ref<'_>, shapes: &Shapes) -> Result<(), String> {
        let mut places = Vec::new();
        for (key, value) in settings.entries().ok_or("a group that is no dict")? {
            let Some(key) = key.text().filter(|key| *key != "params") else { continue };
            let value = self.copied(value)?;
            places.push((self.tree.add(Value::Text(key.to_owned()))?, value));
        }
        let ids: Result<Vec<Place>, String> =
            shapes.iter().map(|(name, _)| self.tree.add(Value::Text(name.clone()))).collect();
        let ids = self.tree.add(Value::List(ids?))?;
        places.push((self.tree.add(Value::Text("params".to_owned()))?, ids));
        let group = self.tree.add(Value::Dict(places))?;
        self.groups.push(group);
        Ok(())
    }

    /// Copies a setting: a value, or a list of values such as betas.
    fn copied(&mut self, value: Ref<'_>) -> Result<Place, String> {
        let Some(items) = value.items() else { return self.tree.add(plain(value)) };
        let items: Result<Vec<Place>, String> = items.map(|item| self.tree.add(plain(item))).collect();
        let items = items?;
        self.tree.add(Value::Tuple(items))
    }

    pub(super) fn finish(mut self) -> Result<(Tree, Place), String> {
        let (states, groups) = (self.tree.add(Value::Dict(self.states))?, self.tree.add(Value::List(self.groups))?);
        let keys =
            (self.tree.add(Value::Text("state".to_owned()))?, self.tree.add(Value::Text("param_groups".to_owned()))?);
        let dict = self.tree.add(Value::Dict(vec![(keys.0, states), (keys.1, groups)]))?;
        Ok((self.tree, dict))
    }
}

/// Returns a value that names no others.
fn plain(value: Ref<'_>) -> Value {
    match value.value() {
        Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Dict(_) | Value::Object(_) => Value::Null,
        plain => plain.clone(),
    }
}
