//! Which of a peer's tensors is which of the model's: by name, by number of the layer, or by shape where only one fits.

mod search;

use std::collections::{BTreeMap, BTreeSet};

use self::search::Search;
use super::error::Refusal;
use super::layout::turned_shape;
use super::names::{is_constant, registration_order, words};
use super::param_names::ParamNames;
use crate::peers::peer::{Model, Named};

/// A tensor of the model here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ours {
    pub name: String,
    pub shape: Vec<usize>,
    /// Whether no optimizer updates it.
    pub buffer: bool,
}

impl Ours {
    /// Whether the model keeps this matrix as `[in, out]`, as the maps of GPT-2 are.
    fn is_in_out(&self) -> bool {
        let words = words(&self.name);
        matches!(words[..], ["transformer", "h", _, _, "c_attn" | "c_proj" | "c_fc", "weight"])
    }
}

/// A tensor of the peer for one of the model's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    /// Name here.
    pub ours: String,
    /// Place in the peer's list.
    pub theirs: usize,
    /// Whether its dimensions, and those of its moments, are to be turned.
    pub is_turned: bool,
    /// Whether no optimizer updates it.
    pub buffer: bool,
}

/// All tensors of the model with their peers.
#[derive(Debug, PartialEq)]
pub(super) struct Matched {
    /// In the order in which the peer registered them, as far as that is known.
    pub matches: Vec<Match>,
    /// How they were found, in a sentence.
    pub rule: String,
    /// Names of tensors that no tensor of the model takes.
    pub left: Vec<String>,
}

/// Finds for each tensor of the model the peer's.
///
/// # Errors
/// One is missing, has another shape, or several would fit.
pub(super) fn find(ours: &[Ours], model: &Model, given: &ParamNames) -> Result<Matched, Refusal> {
    let mut search = Search::new(ours, model, given)?;
    let rule = search.settle()?;
    let Search { found, .. } = search;
    let left = left(model, given, &found)?;
    let mut matches = Vec::new();
    let family = gpt2_is_turned(ours, model, &found)?;
    for tensor in ours {
        let Some(&theirs) = found.get(&tensor.name) else { continue };
        let Some(named) = model.tensors.get(theirs) else { continue };
        let is_turned = if tensor.is_in_out() { family } else { named.in_out };
        let shape = turned_shape(named.tensor.shape(), is_turned);
        if shape != tensor.shape {
            return Err(other_shape(named, &shape, tensor));
        }
        matches.push(Match { ours: tensor.name.clone(), theirs, is_turned, buffer: tensor.buffer });
    }
    match model.in_order {
        true => matches.sort_by_key(|found| found.theirs),
        false => matches.sort_by(|a, b| registration_order(&a.ours, &b.ours)),
    }
    Ok(Matched { matches, rule, left })
}

fn other_shape(named: &Named, shape: &[usize], ours: &Ours) -> Refusal {
    Refusal::cannot(
        format!("tensor `{}`", named.name),
        format!(
            "is {shape:?}, and `{}` of the model here is {:?}; give the peer's sizes in `model` of the configuration",
            ours.name, ours.shape
        ),
    )
}

/// Returns the peer's tensors that nothing takes: constants, and those that a person left out.
fn left(model: &Model, given: &ParamNames, found: &BTreeMap<String, usize>) -> Result<Vec<String>, Refusal> {
    let taken: BTreeSet<usize> = found.values().copied().collect();
    let others = model.tensors.iter().enumerate().filter(|(place, _)| !taken.contains(place));
    let mut left = Vec::new();
    for (_, named) in others {
        let is_known = named.buffer || is_constant(&named.name) || given.get(&named.name) == Some(&None);
        if !is_known {
            return Err(Refusal::cannot(
                format!("tensor `{}`", named.name),
                format!(
                    "{:?} has no place in the model here; correct `model` of the configuration, or leave it out with a \
                     line `{} =` of --param-names",
                    named.tensor.shape(),
                    named.name
                ),
            ));
        }
        left.push(named.name.clone());
    }
    Ok(left)
}

/// Returns whether the maps of a GPT-2 are `[out, in]` in the peer, as nanoGPT's are. Square ones cannot tell, so one
/// answer counts for all.
fn gpt2_is_turned(ours: &[Ours], model: &Model, found: &BTreeMap<String, usize>) -> Result<bool, Refusal> {
    let mut answer = None;
    for tensor in ours.iter().filter(|ours| ours.is_in_out()) {
        let named = found.get(&tensor.name).and_then(|place| model.tensors.get(*place));
        let Some(named) = named.filter(|named| named.tensor.shape().first() != named.tensor.shape().last()) else {
            continue;
        };
        let is_turned = named.tensor.shape() != tensor.shape;
        let shape = turned_shape(named.tensor.shape(), is_turned);
        if shape != tensor.shape || answer.is_some_and(|before| before != is_turned) {
            return Err(other_shape(named, &shape, tensor));
        }
        answer = Some(is_turned);
    }
    Ok(answer.unwrap_or(false))
}

#[cfg(test)]
mod tests;
