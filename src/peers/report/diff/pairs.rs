//! Which weight of one run is which of the other.

use std::collections::{BTreeMap, BTreeSet};

use super::side::Stands;

/// Names in A and the ones that they have in B.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    in_b: BTreeMap<String, String>,
    /// The names in B that have a partner.
    of_b: BTreeSet<String>,
}

/// Most pieces at the beginning of all names that a wrapper puts there.
const MOST_PREFIXES: usize = 3;

impl Pairs {
    /// Pairs the weights by name, with the prefixes left out that leave most pairs; if some are left over on both sides,
    /// and their shapes agree one by one, those are paired by their order.
    pub fn of(a: &Stands<'_>, b: &Stands<'_>) -> Self {
        let (names_a, names_b) = (names(a), names(b));
        let mut best = BTreeMap::new();
        for first in stripped(&names_a) {
            for second in stripped(&names_b) {
                let by_name: BTreeMap<&str, &String> =
                    second.iter().map(|name| name.as_str()).zip(names_b.iter().copied()).collect();
                let pairs: BTreeMap<String, String> = first
                    .iter()
                    .zip(&names_a)
                    .filter_map(|(name, whole)| Some(((*whole).clone(), (*by_name.get(name.as_str())?).clone())))
                    .collect();
                if pairs.len() > best.len() {
                    best = pairs;
                }
            }
        }
        let mut pairs = Self { of_b: best.values().cloned().collect(), in_b: best };
        pairs.add_by_order(a, b);
        pairs
    }

    fn add_by_order(&mut self, a: &Stands<'_>, b: &Stands<'_>) {
        let left_a: Vec<_> = a.weights.iter().filter(|weight| self.in_b(&weight.name).is_none()).collect();
        let left_b: Vec<_> = b.weights.iter().filter(|weight| !self.has_b(&weight.name)).collect();
        let agree =
            left_a.len() == left_b.len() && left_a.iter().zip(&left_b).all(|(one, other)| one.shape() == other.shape());
        if agree {
            let pairs: Vec<(String, String)> =
                left_a.iter().zip(&left_b).map(|(one, other)| (one.name.clone(), other.name.clone())).collect();
            self.of_b.extend(pairs.iter().map(|(_, name)| name.clone()));
            self.in_b.extend(pairs);
        }
    }

    /// Returns the name in B of a weight of A.
    pub fn in_b(&self, name: &str) -> Option<&str> {
        self.in_b.get(name).map(String::as_str)
    }

    /// Returns the name in B of a parameter of A; one that has only an id has the same in B.
    pub fn parameter_in_b<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.in_b(name).or_else(|| name.starts_with('#').then_some(name))
    }

    /// Returns whether a weight of B has a partner.
    pub fn has_b(&self, name: &str) -> bool {
        self.of_b.contains(name)
    }
}

fn names<'a>(side: &'a Stands<'_>) -> Vec<&'a String> {
    side.weights.iter().map(|weight| &weight.name).collect()
}

/// Returns the names without 0, 1, 2… pieces that all of them begin with.
fn stripped(names: &[&String]) -> Vec<Vec<String>> {
    let mut all = vec![names.iter().map(|name| (*name).clone()).collect::<Vec<String>>()];
    for _ in 0..MOST_PREFIXES {
        let Some(last) = all.last() else { break };
        let first = last.first().and_then(|name| name.split_once('.')).map(|(piece, _)| format!("{piece}."));
        let Some(prefix) = first else { break };
        let shorter: Option<Vec<String>> =
            last.iter().map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect();
        match shorter {
            Some(shorter) => all.push(shorter),
            None => break,
        }
    }
    all
}
