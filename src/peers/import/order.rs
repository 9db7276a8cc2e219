//! Which parameter an optimizer's id means.
//!
//! A file of PyTorch has no names there. Ids follow the groups, and within a group the order in which the parameters
//! were registered. So each group is a part of that order, and shapes of the states tell which; where two divisions fit,
//! only the rule of a trainer that is known to divide by weight decay decides, or a file of names.

use std::collections::{BTreeSet, HashMap};

use super::error::Refusal;
use crate::peers::peer::Trainer;

/// A parameter that ids may mean.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::peers) struct Candidate {
    /// Name here.
    pub name: String,
    /// Shape as in the peer's file.
    pub shape: Vec<usize>,
}

/// A group of ids.
#[derive(Clone, Debug, Default)]
pub(in crate::peers) struct Ids {
    pub ids: Vec<Id>,
    /// Its weight decay.
    pub weight_decay: f64,
}

/// A parameter as the optimizer knows it.
#[derive(Clone, Debug)]
pub(in crate::peers) struct Id {
    /// The id as text.
    pub id: String,
    /// Name here, if the file or a person says it.
    pub name: Option<String>,
    /// Shape of its states, if there are any.
    pub shape: Option<Vec<usize>>,
}

/// Most places in the search for divisions; a model of thousand parameters in two groups needs a quarter of them.
const MOST_PLACES: usize = 1_000_000;

/// Returns the name of each id, group by group; `candidates` are in the order of registration.
///
/// # Errors
/// No division fits, or several that differ.
pub(in crate::peers) fn name(
    groups: &[Ids],
    candidates: &[Candidate],
    trainer: Trainer,
) -> Result<Vec<Vec<String>>, Refusal> {
    let mut named = BTreeSet::new();
    for name in groups.iter().flat_map(|group| &group.ids).filter_map(|id| id.name.as_ref()) {
        if !named.insert(name.as_str()) {
            return Err(Refusal::cannot("optimizer", format!("`{name}` is in it twice")));
        }
    }
    let open: Vec<&Candidate> = candidates.iter().filter(|one| !named.contains(one.name.as_str())).collect();
    let unnamed: Vec<Ids> = groups.iter().map(without_names).collect();
    let division = divide(&unnamed, &open, trainer)?;
    let mut open_names: Vec<std::vec::IntoIter<String>> = division.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    for (group, rest) in groups.iter().zip(&mut open_names) {
        all.push(group.ids.iter().filter_map(|id| id.name.clone().or_else(|| rest.next())).collect());
    }
    check_shapes(groups, &all, candidates)?;
    Ok(all)
}

fn without_names(group: &Ids) -> Ids {
    let ids = group.ids.iter().filter(|id| id.name.is_none()).cloned().collect();
    Ids { ids, weight_decay: group.weight_decay }
}

/// Refuses a state of another shape than its parameter.
fn check_shapes(groups: &[Ids], names: &[Vec<String>], candidates: &[Candidate]) -> Result<(), Refusal> {
    let shapes: HashMap<&str, &[usize]> =
        candidates.iter().map(|one| (one.name.as_str(), one.shape.as_slice())).collect();
    for (id, name) in groups.iter().flat_map(|group| &group.ids).zip(names.iter().flatten()) {
        let Some(shape) = shapes.get(name.as_str()) else {
            return Err(Refusal::cannot(format!("id {}", id.id), format!("the model has no parameter `{name}`")));
        };
        if let Some(own) = id.shape.as_ref().filter(|own| own != shape) {
            return Err(Refusal::cannot(
                format!("state of id {}", id.id),
                format!("is {own:?}, and its parameter `{name}` is {shape:?}"),
            ));
        }
    }
    Ok(())
}

/// Divides the open candidates among the groups.
fn divide(groups: &[Ids], open: &[&Candidate], trainer: Trainer) -> Result<Vec<Vec<String>>, Refusal> {
    let ids: usize = groups.iter().map(|group| group.ids.len()).sum();
    if ids > open.len() {
        let ids: Vec<&str> = groups.iter().flat_map(|group| &group.ids).map(|id| id.id.as_str()).take(20).collect();
        return Err(Refusal::cannot(
            "optimizer",
            format!(
                "has {} parameters (ids {}…), and the model has {}; correct `model` of the configuration",
                ids.len(),
                ids.join(", "),
                open.len()
            ),
        ));
    }
    let mut search = Divisions { groups, open, skips: open.len() - ids, ways: HashMap::new() };
    let start = vec![0; groups.len()];
    let ways = search.ways(&start).ok_or_else(|| {
        Refusal::cannot("optimizer", "has too many groups to tell their parameters by shapes; use --param-names")
    })?;
    match ways {
        0 => Err(search.no_fit()),
        1 => Ok(search.first()),
        _ => search.by_decay(trainer).ok_or_else(|| search.undecided()),
    }
}

/// The divisions of candidates among groups. A state is how many ids of each group have a name, and how many candidates
/// were passed over, because no group has them.
struct Divisions<'a> {
    groups: &'a [Ids],
    open: &'a [&'a Candidate],
    /// Candidates that no group has.
    skips: usize,
    /// Number of divisions from a state on, at most 2.
    ways: HashMap<Vec<usize>, u8>,
}

impl Divisions<'_> {
    fn passed(&self, state: &[usize], place: usize) -> usize {
        place - state.iter().sum::<usize>()
    }

    /// Whether the next id of a group may be this candidate.
    fn takes(&self, state: &[usize], group: usize, candidate: &Candidate) -> bool {
        let next = self.groups.get(group).zip(state.get(group)).and_then(|(group, taken)| group.ids.get(*taken));
        next.is_some_and(|id| id.shape.as_ref().is_none_or(|shape| *shape == candidate.shape))
    }

    /// Returns the number of divisions, at most 2; `None` if there are too many states to look at.
    ///
    /// It is counted from the last candidate to the first, so that a long model needs no deep recursion.
    fn ways(&mut self, start: &[usize]) -> Option<u8> {
        let mut layers: Vec<BTreeSet<Vec<usize>>> = vec![BTreeSet::from([start.to_vec()])];
        let mut places = 1;
        for (place, candidate) in self.open.iter().enumerate() {
            let mut next = BTreeSet::new();
            for state in layers.last()? {
                next.extend(self.successors(state, place, candidate));
            }
            places += next.len();
            if places > MOST_PLACES {
                return None;
            }
            layers.push(next);
        }
        let end: Vec<usize> = self.groups.iter().map(|group| group.ids.len()).collect();
        let mut later: HashMap<Vec<usize>, u8> = HashMap::from([(end, 1)]);
        for (place, layer) in layers.iter().enumerate().rev().skip(1) {
            let Some(candidate) = self.open.get(place) else { continue };
            let mut here = HashMap::new();
            for state in layer {
                let ways = self.successors(state, place, candidate);
                let ways = ways.iter().map(|next| later.get(next).copied().unwrap_or(0)).fold(0u8, u8::saturating_add);
                here.insert(state.clone(), ways.min(2));
            }
            self.ways.extend(here.iter().map(|(state, ways)| (keyed(state, place), *ways)));
            later = here;
        }
        Some(later.get(start).copied().unwrap_or(0))
    }

    /// States after one more candidate: a group takes it, or no group does.
    fn successors(&self, state: &[usize], place: usize, candidate: &Candidate) -> Vec<Vec<usize>> {
        let mut next: Vec<Vec<usize>> = (0..self.groups.len())
            .filter(|group| self.takes(state, *group, candidate))
            .map(|group| {
                let mut next = state.to_vec();
                next[group] += 1;
                next
            })
            .collect();
        if self.passed(state, place) < self.skips {
            next.push(state.to_vec());
        }
        next
    }

    /// Returns a division; the only one, if there is one.
    fn first(&self) -> Vec<Vec<String>> {
        let mut state = vec![0; self.groups.len()];
        let mut names = vec![Vec::new(); self.groups.len()];
        for (place, candidate) in self.open.iter().enumerate() {
            let is_last = place + 1 == self.open.len();
            let leads =
                |next: &Vec<usize>| is_last || self.ways.get(&keyed(next, place + 1)).is_some_and(|ways| *ways > 0);
            let Some(next) = self.successors(&state, place, candidate).into_iter().find(leads) else { break };
            let taker = next.iter().zip(&state).position(|(after, before)| after != before);
            if let Some(names) = taker.and_then(|group| names.get_mut(group)) {
                names.push(candidate.name.clone());
            }
            state = next;
        }
        names
    }

    /// Returns the division into matrices, which decay, and the rest, which does not: that of trainers that are known to
    /// divide so.
    fn by_decay(&self, trainer: Trainer) -> Option<Vec<Vec<String>>> {
        let divides = matches!(trainer, Trainer::Transformers | Trainer::NanoGpt | Trainer::Timm);
        let [first, second] = self.groups else { return None };
        let mut decays = [first.weight_decay > 0.0, second.weight_decay > 0.0];
        if trainer == Trainer::Transformers && decays == [false, false] {
            // Its groups are the same where the decay is 0.
            decays[0] = true;
        }
        if !divides || self.skips > 0 || decays[0] == decays[1] {
            return None;
        }
        let names: Vec<Vec<String>> = decays
            .iter()
            .map(|decays| {
                let of_group = self.open.iter().filter(|one| (one.shape.len() >= 2) == *decays);
                of_group.map(|one| one.name.clone()).collect()
            })
            .collect();
        let fits = self.groups.iter().zip(&names).all(|(group, names)| group.ids.len() == names.len());
        fits.then_some(names)
    }

    fn no_fit(&self) -> Refusal {
        let of_group = |group: &Ids| {
            let shapes: Vec<String> = group
                .ids
                .iter()
                .map(|id| match &id.shape {
                    Some(shape) => format!("{} {shape:?}", id.id),
                    None => format!("{} without state", id.id),
                })
                .take(20)
                .collect();
            format!("({})", shapes.join(", "))
        };
        let groups: Vec<String> = self.groups.iter().map(of_group).collect();
        Refusal::cannot(
            "optimizer",
            format!(
                "its states have other shapes than the parameters in their order: {}, and the parameters are {}; if the \
                 optimizer was given them in another order, give lines `ID = NAME` with --param-names",
                groups.join(" and "),
                self.listed()
            ),
        )
    }

    fn undecided(&self) -> Refusal {
        Refusal::cannot(
            "optimizer",
            format!(
                "the file has no names in it, and more than one assignment of its ids to {} fits; give lines `ID = \
                 NAME` with --param-names",
                self.listed()
            ),
        )
    }

    fn listed(&self) -> String {
        let names: Vec<String> =
            self.open.iter().map(|one| format!("`{}` {:?}", one.name, one.shape)).take(20).collect();
        names.join(", ")
    }
}

fn keyed(state: &[usize], place: usize) -> Vec<usize> {
    let mut key = state.to_vec();
    key.push(place);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(all: &[(&str, &[usize])]) -> Vec<Candidate> {
        all.iter().map(|(name, shape)| Candidate { name: (*name).to_owned(), shape: shape.to_vec() }).collect()
    }

    fn mlp() -> Vec<Candidate> {
        candidates(&[("0.weight", &[4, 4]), ("0.bias", &[4]), ("2.weight", &[4, 4]), ("2.bias", &[4])])
    }

    fn group(weight_decay: f64, shapes: &[Option<&[usize]>]) -> Ids {
        let id = |(index, shape): (usize, &Option<&[usize]>)| Id {
            id: index.to_string(),
            name: None,
            shape: shape.map(<[usize]>::to_vec),
        };
        Ids { ids: shapes.iter().enumerate().map(id).collect(), weight_decay }
    }

    const MATRIX: Option<&[usize]> = Some(&[4, 4]);
    const VECTOR: Option<&[usize]> = Some(&[4]);

    #[test]
    fn one_group_is_the_order_of_registration() {
        let names = name(&[group(0.1, &[MATRIX, VECTOR, MATRIX, VECTOR])], &mlp(), Trainer::PyTorch).unwrap();
        assert_eq!(names, [["0.weight", "0.bias", "2.weight", "2.bias"]]);
    }

    #[test]
    fn groups_of_other_shapes_are_told_by_them_whichever_is_first() {
        let (matrices, vectors) = (group(0.1, &[MATRIX, MATRIX]), group(0.0, &[VECTOR, VECTOR]));
        let names = name(&[vectors, matrices], &mlp(), Trainer::PyTorch).unwrap();
        assert_eq!(names, [["0.bias", "2.bias"], ["0.weight", "2.weight"]]);
    }

    #[test]
    fn a_group_for_each_layer_of_one_shape_cannot_be_told() {
        let layer = group(0.1, &[MATRIX, VECTOR]);
        let refused = name(&[layer.clone(), layer], &mlp(), Trainer::PyTorch).unwrap_err();
        assert!(refused.reason.contains("more than one assignment") && refused.reason.contains("--param-names"));
    }

    #[test]
    fn without_states_only_a_trainer_that_divides_by_decay_decides() {
        let groups = [group(0.1, &[None, None]), group(0.0, &[None, None])];
        assert!(name(&groups, &mlp(), Trainer::PyTorch).is_err());
        let names = name(&groups, &mlp(), Trainer::Transformers).unwrap();
        assert_eq!(names, [["0.weight", "2.weight"], ["0.bias", "2.bias"]]);
    }

    #[test]
    fn transformers_divides_by_decay_also_where_the_decay_is_zero() {
        let groups = [group(0.0, &[None, None]), group(0.0, &[None, None])];
        let names = name(&groups, &mlp(), Trainer::Transformers).unwrap();
        assert_eq!(names, [["0.weight", "2.weight"], ["0.bias", "2.bias"]]);
        assert!(name(&groups, &mlp(), Trainer::Timm).is_err());
    }

    #[test]
    fn a_parameter_without_an_id_is_passed_over_where_only_one_can_be() {
        let all = candidates(&[("a", &[2]), ("b", &[3]), ("c", &[2])]);
        assert_eq!(name(&[group(0.0, &[Some(&[3]), Some(&[2])])], &all, Trainer::PyTorch).unwrap(), [["b", "c"]]);
        assert!(name(&[group(0.0, &[Some(&[2])])], &all, Trainer::PyTorch).is_err());
    }

    #[test]
    fn states_of_other_shapes_and_too_many_ids_are_refused() {
        let refused = name(&[group(0.0, &[MATRIX, MATRIX, MATRIX, VECTOR])], &mlp(), Trainer::PyTorch).unwrap_err();
        assert!(refused.reason.contains("other shapes"), "{refused:?}");
        let refused = name(&[group(0.0, &[None; 5])], &mlp(), Trainer::PyTorch).unwrap_err();
        assert!(refused.reason.contains("has 5 parameters") && refused.reason.contains("has 4"), "{refused:?}");
    }

    #[test]
    fn names_in_the_file_count_more_than_the_order() {
        let mut groups = [group(0.0, &[VECTOR, MATRIX, VECTOR, MATRIX])];
        for (id, name) in groups[0].ids.iter_mut().zip(["2.bias", "2.weight", "0.bias", "0.weight"]) {
            id.name = Some(name.to_owned());
        }
        let names = name(&groups, &mlp(), Trainer::PyTorch).unwrap();
        assert_eq!(names, [["2.bias", "2.weight", "0.bias", "0.weight"]]);
        groups[0].ids[0].name = Some("2.weight".to_owned());
        assert!(name(&groups, &mlp(), Trainer::PyTorch).unwrap_err().reason.contains("twice"));
    }
}
