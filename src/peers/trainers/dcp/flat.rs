//! Optimizers that were saved flat, as torchtitan does (`flatten_optimizer_state_dict=True`): `state.NAME.KEY` and
//! `param_groups.NAME.KEY`, with the settings of each parameter by itself.
//!
//! Nested again, parameters that follow each other with the same settings are a group.

use std::collections::HashMap;

use super::super::settings::setting;
use crate::peers::peer::Setting;
use crate::peers::tree::{Place, Ref, Tree, Value};

const STATE: &str = "state.";
const GROUPS: &str = "param_groups.";

/// Members of a parameter by key.
type Members = Vec<(String, Place)>;

/// Nests every optimizer of the root that is flat.
///
/// # Errors
/// There are too many values.
pub(super) fn nest(tree: &mut Tree) -> Result<(), String> {
    let root = tree.root();
    let inner = root.entries().into_iter().flatten().map(|(_, value)| value);
    let flat: Vec<(Place, Flat)> =
        inner.chain([root]).filter_map(|value| Some((value.place(), Flat::of(value)?))).collect();
    for (place, flat) in flat {
        let nested = flat.nested(tree)?;
        *tree.at_mut(place) = nested;
    }
    Ok(())
}

struct Flat {
    states: Vec<(String, Members)>,
    groups: Vec<Group>,
}

/// Parameters with the same settings.
struct Group {
    settings: Vec<(String, Setting)>,
    places: Members,
    names: Vec<String>,
}

impl Flat {
    /// Returns the parts of a flat optimizer, or `None` where the value is none.
    fn of(value: Ref<'_>) -> Option<Self> {
        let (mut states, mut settings) = (ByName::default(), ByName::default());
        for (key, member) in value.entries()? {
            let key = key.text()?;
            let (of, rest) = match (key.strip_prefix(STATE), key.strip_prefix(GROUPS)) {
                (Some(rest), _) => (&mut states, rest),
                (_, Some(rest)) => (&mut settings, rest),
                _ => return None,
            };
            let (name, key) = rest.rsplit_once('.')?;
            of.add(name, key, member.place());
        }
        if settings.members.is_empty() {
            return None;
        }
        let mut groups: Vec<Group> = Vec::new();
        for (name, places) in settings.members {
            let all: Vec<(String, Setting)> =
                places.iter().map(|(key, place)| (key.clone(), setting(value.other(*place)))).collect();
            match groups.last_mut().filter(|group| group.settings == all) {
                Some(group) => group.names.push(name),
                None => groups.push(Group { settings: all, places, names: vec![name] }),
            }
        }
        Some(Self { states: states.members, groups })
    }

    /// Returns the optimizer as PyTorch has it, with names for ids.
    fn nested(self, tree: &mut Tree) -> Result<Value, String> {
        let mut states = Vec::with_capacity(self.states.len());
        for (name, members) in self.states {
            let state = dict(tree, members)?;
            states.push((name, state));
        }
        let mut groups = Vec::with_capacity(self.groups.len());
        for mut group in self.groups {
            let names: Result<Vec<Place>, String> =
                group.names.into_iter().map(|name| tree.add(Value::Text(name))).collect();
            let names = tree.add(Value::List(names?))?;
            group.places.push(("params".to_owned(), names));
            groups.push(dict(tree, group.places)?);
        }
        let (states, groups) = (dict(tree, states)?, tree.add(Value::List(groups))?);
        let whole = dict(tree, vec![("state".to_owned(), states), ("param_groups".to_owned(), groups)])?;
        Ok(tree.at(whole).value().clone())
    }
}

/// Members of parameters, in the order in which the parameters came.
#[derive(Default)]
struct ByName {
    members: Vec<(String, Members)>,
    index: HashMap<String, usize>,
}

impl ByName {
    fn add(&mut self, name: &str, key: &str, place: Place) {
        let next = self.members.len();
        let index = *self.index.entry(name.to_owned()).or_insert(next);
        if index == next {
            self.members.push((name.to_owned(), Vec::new()));
        }
        if let Some((_, members)) = self.members.get_mut(index) {
            members.push((key.to_owned(), place));
        }
    }
}

fn dict(tree: &mut Tree, members: Members) -> Result<Place, String> {
    let mut entries = Vec::with_capacity(members.len());
    for (key, place) in members {
        entries.push((tree.add(Value::Text(key))?, place));
    }
    tree.add(Value::Dict(entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::trainers::torch_optimizer;

    #[test]
    fn a_flat_optimizer_is_nested_and_grouped_by_settings() {
        let mut maker = Maker::default();
        let (rate, decay, none, moment) = (maker.float(0.01), maker.float(0.1), maker.float(0.0), maker.tensor(&[2]));
        let mut entries = Vec::new();
        for name in ["layers.0.weight", "layers.1.weight", "layers.0.bias"] {
            entries.push((format!("state.{name}.exp_avg"), moment));
            entries.push((format!("param_groups.{name}.lr"), rate));
            let decay = if name.ends_with("bias") { none } else { decay };
            entries.push((format!("param_groups.{name}.weight_decay"), decay));
        }
        let entries: Vec<(&str, Place)> = entries.iter().map(|(key, place)| (key.as_str(), *place)).collect();
        let optimizer = maker.dict(&entries);
        let root = maker.dict(&[("optimizer", optimizer), ("step", rate)]);
        maker.tree.set_root(root);
        nest(&mut maker.tree).unwrap();
        let optimizer = maker.tree.root().get("optimizer").unwrap();
        assert!(torch_optimizer::is_optimizer(optimizer));
        assert!(optimizer.at(&["state", "layers.0.bias", "exp_avg"]).is_some());
        let groups: Vec<_> = optimizer.get("param_groups").unwrap().items().unwrap().collect();
        let names = |group: Ref<'_>| -> Vec<String> {
            group.get("params").unwrap().items().unwrap().map(|name| name.text().unwrap().to_owned()).collect()
        };
        assert_eq!(names(groups[0]), ["layers.0.weight", "layers.1.weight"]);
        assert_eq!(names(groups[1]), ["layers.0.bias"]);
        assert_eq!(groups[1].get("weight_decay").unwrap().number(), Some(0.0));
    }
}
