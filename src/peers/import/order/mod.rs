//! Which parameter an optimizer's id means.
//!
//! A file of PyTorch has no names there. Ids follow the groups, and within a group the order in which the parameters
//! were registered. So each group is a part of that order, and shapes of the states tell which; where two divisions fit,
//! only the rule of a trainer that is known to divide by weight decay decides, or a file of names.

mod divisions;

use std::collections::{BTreeSet, HashMap};

use self::divisions::Divisions;
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
    let mut search = Divisions::new(groups, open, open.len() - ids);
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

#[cfg(test)]
mod tests;
