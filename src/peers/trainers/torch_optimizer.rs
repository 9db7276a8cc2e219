//! An optimizer's state as PyTorch writes it: `{state, param_groups}`, with parameters that are known by ids.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::budget::Budget;
use super::settings::settings;
use super::state_dict::{is_tensor_like, refusal, tensor};
use super::torch_class;
use crate::peers::error::PeerError;
use crate::peers::peer::{Dialect, Group, Optimizer, Parameter, Peer, RateOf};
use crate::peers::tree::{Ref, Value};

/// States that are one number for a parameter, though they are tensors in the file.
const NUMBERS: &[&str] = &["step", "mu_product", "eta", "mu"];

/// Entries of a state for which one of a group counts.
const GROUP_COST: usize = 16;

/// Returns whether `value` is the state of an optimizer.
pub(super) fn is_optimizer(value: Ref<'_>) -> bool {
    let groups = value.get("param_groups").and_then(Ref::items);
    groups.is_some_and(|mut groups| groups.len() > 0 && groups.all(|group| group.get("params").is_some()))
        && value.get("state").is_some_and(|state| state.entries().is_some())
}

/// Adds the optimizer whose state is `dict`, at `place` in the file, and returns its index. To which update its rates
/// belong is for the trainer to say: they are [`RateOf::Unknown`] here.
///
/// # Errors
/// An id stands twice, numbers of ids and names differ, or a state is a kind of tensor that is not read.
pub(super) fn add(peer: &mut Peer, place: &str, dict: Ref<'_>) -> Result<usize, PeerError> {
    let path = peer.path.clone();
    let damaged = |what: &str| PeerError::damaged(&path, format!("{place}: {what}"));
    let groups = dict.get("param_groups").and_then(Ref::items).ok_or_else(|| damaged("param_groups is no list"))?;
    let groups: Vec<Ref<'_>> = groups.collect();
    let states = dict.get("state").and_then(Ref::entries).ok_or_else(|| damaged("state is no dict"))?;
    let mut budget = Budget::default();
    budget.spend(states.len(), &path, place)?;
    let mut by_id = HashMap::new();
    for (key, state) in states {
        let id = id_of(key).ok_or_else(|| damaged("a key of state is neither a number nor a name"))?;
        if by_id.insert(id.clone(), state).is_some() {
            return Err(damaged(&format!("the state of parameter {id} stands twice")));
        }
    }
    let mut reader =
        Reader { path: &path, place, budget, seen: BTreeSet::new(), keys: BTreeSet::new(), left: BTreeSet::new() };
    let read: Result<Vec<Group>, PeerError> = groups.iter().map(|group| reader.group(*group, &mut by_id)).collect();
    let groups_read = read?;
    if !by_id.is_empty() {
        peer.left.push(format!("{place}: states of {} parameters that no group has", by_id.len()));
    }
    peer.left.extend(
        reader.left.iter().map(|key| format!("{place}: the states `{key}`, which are neither tensor nor number")),
    );
    let told = torch_class::tell(&groups, &reader.keys);
    peer.remarks.extend(told.remark.map(|remark| format!("{place}: {remark}")));
    peer.missing.extend(told.missing.map(|missing| format!("{missing} ({place})")));
    let updates =
        groups_read.iter().flat_map(|group| &group.parameters).filter_map(|parameter| parameter.updates).max();
    peer.optimizers.push(Optimizer {
        class: told.class.to_owned(),
        named: false,
        dialect: Dialect::Torch,
        groups: groups_read,
        updates,
    });
    Ok(peer.optimizers.len() - 1)
}

struct Reader<'a> {
    path: &'a Path,
    place: &'a str,
    budget: Budget,
    /// Ids that were read.
    seen: BTreeSet<String>,
    /// Keys of states that were read.
    keys: BTreeSet<String>,
    /// Keys of states that are of no known kind.
    left: BTreeSet<String>,
}

impl Reader<'_> {
    fn damaged(&self, what: &str) -> PeerError {
        PeerError::damaged(self.path, format!("{}: {what}", self.place))
    }

    fn group(&mut self, group: Ref<'_>, states: &mut HashMap<String, Ref<'_>>) -> Result<Group, PeerError> {
        // A group takes more memory than a state with as many entries.
        (0..GROUP_COST).try_for_each(|_| self.spend(group))?;
        let ids = group.get("params").and_then(Ref::items);
        let ids = ids.ok_or_else(|| self.damaged("the params of a group are no list"))?;
        let names = group.get("param_names").filter(|names| !names.is_null());
        let names: Option<Vec<Ref<'_>>> = names.and_then(Ref::items).map(Iterator::collect);
        if let Some(names) = names.as_ref().filter(|names| names.len() != ids.len()) {
            return Err(self.damaged(&format!("a group has {} ids and {} param_names", ids.len(), names.len())));
        }
        self.budget.spend(ids.len(), self.path, self.place)?;
        let mut parameters = Vec::new();
        for (index, id) in ids.enumerate() {
            let id = id_of(id).ok_or_else(|| self.damaged("an id is neither a number nor a name"))?;
            if !self.seen.insert(id.clone()) {
                return Err(self.damaged(&format!("parameter {id} stands twice in the groups")));
            }
            let name = names.as_ref().and_then(|names| names.get(index)?.text()).map(str::to_owned);
            let state = states.remove(&id);
            let mut parameter = Parameter { id, name, updates: None, states: Vec::new(), numbers: Vec::new() };
            if let Some(state) = state {
                self.state(&mut parameter, state)?;
            }
            parameters.push(parameter);
        }
        let number = |key: &str| group.get(key).and_then(Ref::number);
        Ok(Group {
            lr: number("lr"),
            rate_of: RateOf::Unknown,
            initial_lr: number("initial_lr"),
            settings: settings(group, &["lr", "initial_lr", "params", "param_names"]),
            parameters,
        })
    }

    fn spend(&mut self, dict: Ref<'_>) -> Result<(), PeerError> {
        let entries = dict.entries().map_or(0, |entries| entries.len());
        self.budget.spend(1 + entries, self.path, self.place)
    }

    fn state(&mut self, parameter: &mut Parameter, state: Ref<'_>) -> Result<(), PeerError> {
        self.spend(state)?;
        for (key, value) in state.entries().into_iter().flatten() {
            let Some(key) = key.text() else { continue };
            // A momentum that was never used is None.
            if value.is_null() {
                continue;
            }
            self.keys.insert(key.to_owned());
            let count = value.int().and_then(|count| u64::try_from(count).ok());
            match (key, count, value.number(), tensor(value)) {
                ("step", Some(count), _, _) => parameter.updates = Some(count),
                (_, _, Some(number), None) => parameter.numbers.push((key.to_owned(), number)),
                (_, _, Some(number), Some(_)) if NUMBERS.contains(&key) => {
                    parameter.numbers.push((key.to_owned(), number));
                }
                (_, _, _, Some(tensor)) => parameter.states.push((key.to_owned(), tensor.clone())),
                _ if value.object().is_some_and(is_tensor_like) => {
                    let thing = format!("`{key}` of parameter {} in {}", parameter.id, self.place);
                    return Err(PeerError::unsupported(self.path, refusal(&thing, value)));
                }
                _ if value.bool().is_some() => {
                    parameter.numbers.push((key.to_owned(), f64::from(u8::from(value.bool() == Some(true)))));
                }
                _ => {
                    self.left.insert(key.to_owned());
                }
            }
        }
        Ok(())
    }
}

/// Returns an id as text: a number, an address, or a name.
fn id_of(value: Ref<'_>) -> Option<String> {
    match value.value() {
        Value::Int(id) => Some(id.to_string()),
        Value::BigInt(id) => Some(id.clone()),
        Value::Text(id) => Some(id.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::peer::{Setting, Trainer};
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Place;

    fn state(maker: &mut Maker, step: Place) -> Place {
        let (first, second) = (maker.tensor(&[2]), maker.tensor(&[2]));
        maker.dict(&[("step", step), ("exp_avg", first), ("exp_avg_sq", second)])
    }

    fn optimizer(maker: &mut Maker, states: &[(i64, Place)], ids: &[&[i64]], extra: &[(&str, Place)]) -> Place {
        let state = maker.numbered(states);
        let mut groups = Vec::new();
        for ids in ids {
            let ids: Vec<Place> = ids.iter().map(|id| maker.int(*id)).collect();
            let (lr, eps, decay) = (maker.float(0.01), maker.float(1e-8), maker.float(0.1));
            let (params, betas, flag) = (maker.list(&ids), maker.floats(&[0.9, 0.999]), maker.bool(true));
            let entries = [("lr", lr), ("betas", betas), ("eps", eps), ("weight_decay", decay), ("amsgrad", lr)];
            let more = [("decoupled_weight_decay", flag), ("params", params)];
            groups.push(maker.dict(&[entries.as_slice(), &more, extra].concat()));
        }
        let groups = maker.list(&groups);
        maker.dict(&[("state", state), ("param_groups", groups)])
    }

    fn read(maker: &Maker, place: Place) -> Result<Peer, PeerError> {
        let mut peer = Peer::new("x.pt", Trainer::PyTorch, "test");
        assert!(is_optimizer(maker.tree.at(place)));
        add(&mut peer, "optimizer", maker.tree.at(place)).map(|_| peer)
    }

    #[test]
    fn parameters_keep_the_order_of_their_ids_whatever_the_state_has() {
        let mut maker = Maker::default();
        let step = maker.tensor(&[]);
        *maker.tree.at_mut(step) = Value::Int(10);
        let one = state(&mut maker, step);
        let two = state(&mut maker, step);
        let place = optimizer(&mut maker, &[(140707614791104, two), (7, one)], &[&[7, 3], &[140707614791104]], &[]);
        let peer = read(&maker, place).unwrap();
        let optimizer = &peer.optimizers[0];
        let ids = |group: &Group| group.parameters.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&optimizer.groups[0]), ["7", "3"]);
        assert_eq!(ids(&optimizer.groups[1]), ["140707614791104"]);
        assert_eq!((optimizer.class.as_str(), optimizer.updates), ("AdamW", Some(10)));
        assert_eq!(optimizer.groups[0].parameters[0].states.len(), 2);
        // The one without a state is frozen.
        assert!(optimizer.groups[0].parameters[1].states.is_empty());
        assert_eq!(optimizer.groups[0].setting("betas"), Some(&Setting::Numbers(vec![0.9, 0.999])));
    }

    #[test]
    fn an_id_that_stands_twice_is_refused() {
        let mut maker = Maker::default();
        let place = optimizer(&mut maker, &[], &[&[0, 1], &[1]], &[]);
        let error = read(&maker, place).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("parameter 1 stands twice in the groups"), "{error}");
    }

    #[test]
    fn names_are_taken_from_the_file_and_counted() {
        let mut maker = Maker::default();
        let (one, two) = (maker.text("0.weight"), maker.text("0.bias"));
        let names = maker.list(&[one, two]);
        let place = optimizer(&mut maker, &[], &[&[0, 1]], &[("param_names", names)]);
        let peer = read(&maker, place).unwrap();
        assert_eq!(peer.optimizers[0].groups[0].parameters[1].name.as_deref(), Some("0.bias"));
        let place = optimizer(&mut maker, &[], &[&[0, 1, 2]], &[("param_names", names)]);
        assert!(read(&maker, place).unwrap_err().to_string().contains("3 ids and 2 param_names"));
    }

    #[test]
    fn a_run_that_repeats_one_group_without_end_is_refused() {
        let mut maker = Maker::default();
        let place = optimizer(&mut maker, &[], &[&[]], &[]);
        let group = maker.tree.at(place).get("param_groups").unwrap();
        let first = group.items().unwrap().next().unwrap().place();
        let groups = group.place();
        *maker.tree.at_mut(groups) = Value::List(vec![first; 2_000_000]);
        assert!(read(&maker, place).unwrap_err().to_string().contains("are repeated"));
    }

    #[test]
    fn a_state_that_no_group_has_is_named() {
        let mut maker = Maker::default();
        let step = maker.int(3);
        let lost = state(&mut maker, step);
        let place = optimizer(&mut maker, &[(5, lost)], &[&[0]], &[]);
        assert_eq!(read(&maker, place).unwrap().left, ["optimizer: states of 1 parameters that no group has"]);
    }
}
