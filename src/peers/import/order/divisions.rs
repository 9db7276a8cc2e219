//! The divisions of parameters, in their order, among groups of ids: how many there are, and which.

use std::collections::{BTreeSet, HashMap};

use super::{Candidate, Ids};
use crate::peers::import::error::Refusal;
use crate::peers::peer::Trainer;

/// Most places in the search for divisions; a model of thousand parameters in two groups needs a quarter of them.
const MOST_PLACES: usize = 1_000_000;

/// The divisions of candidates among groups. A state is how many ids of each group have a name, and how many candidates
/// were passed over, because no group has them.
pub(super) struct Divisions<'a> {
    groups: &'a [Ids],
    open: &'a [&'a Candidate],
    /// Candidates that no group has.
    skips: usize,
    /// Number of divisions from a state on, at most 2.
    ways: HashMap<Vec<usize>, u8>,
}

impl<'a> Divisions<'a> {
    /// Begins a search in which no group has `skips` of the candidates.
    pub fn new(groups: &'a [Ids], open: &'a [&'a Candidate], skips: usize) -> Self {
        Self { groups, open, skips, ways: HashMap::new() }
    }

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
    pub fn ways(&mut self, start: &[usize]) -> Option<u8> {
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
    pub fn first(&self) -> Vec<Vec<String>> {
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
    pub fn by_decay(&self, trainer: Trainer) -> Option<Vec<Vec<String>>> {
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

    pub fn no_fit(&self) -> Refusal {
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

    pub fn undecided(&self) -> Refusal {
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
