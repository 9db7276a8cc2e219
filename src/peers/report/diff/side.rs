//! One side of a comparison, in the terms that both kinds of checkpoints have.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::super::labels::labels;
use super::super::rates::Rates;
use super::super::tensors::host;
use super::{Pairs, is_close};
use crate::checkpoint::Checkpoint;
use crate::peers::Peer;
use crate::peers::export::order;
use crate::peers::export::source::Source;
use crate::peers::peer::{Group, Named};
use crate::peers::tensor::Tensor;
use crate::peers::translate::{RuleParameter, optimizer};
use crate::report::RunStatus;
use crate::state::{Dtype, HostTensor};
use crate::train::Weights;

/// A run to compare.
#[derive(Debug)]
pub enum Side {
    /// Another trainer's.
    Peer(Box<Peer>),
    /// Ours.
    Ours(Box<Checkpoint>),
}

impl Side {
    /// Returns its path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Peer(peer) => &peer.path,
            Self::Ours(checkpoint) => checkpoint.path(),
        }
    }
}

/// Where a run stands, for the comparison.
#[derive(Debug, Default)]
pub(super) struct Stands<'a> {
    pub step: Option<u64>,
    pub epoch: Option<u64>,
    /// Our kind of the optimizer, or the peer's class in lower case.
    pub optimizer: Option<String>,
    /// The schedule in our terms.
    pub schedule: Option<String>,
    /// Weights in the order of their registration.
    pub weights: Vec<Numbers<'a>>,
    pub parameters: Vec<Parameter<'a>>,
    /// Places of the weights and of the parameters, by name.
    places: [HashMap<String, usize>; 2],
}

/// A tensor of either kind.
#[derive(Debug)]
pub(super) struct Numbers<'a> {
    pub name: String,
    tensor: Held<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Held<'a> {
    Ours(&'a HostTensor),
    /// With whether it is stored as `[in, out]`, which is turned.
    Peer(&'a Tensor, bool),
    /// A number of the peer that is a tensor here.
    Number(f64),
}

impl Held<'_> {
    fn host(self) -> Result<HostTensor, String> {
        match self {
            Self::Ours(tensor) => Ok(tensor.clone()),
            Self::Peer(tensor, true) if tensor.shape().len() == 2 => host(&tensor.permuted(&[1, 0])?),
            Self::Peer(tensor, _) => host(tensor),
            Self::Number(number) => {
                Ok(HostTensor { dtype: Dtype::F64, shape: vec![1], bytes: number.to_le_bytes().into() })
            }
        }
    }

    fn shape(self) -> Vec<usize> {
        match self {
            Self::Ours(tensor) => tensor.shape.clone(),
            Self::Peer(tensor, true) if tensor.shape().len() == 2 => tensor.shape().iter().rev().copied().collect(),
            Self::Peer(tensor, _) => tensor.shape().to_vec(),
            Self::Number(_) => vec![1],
        }
    }
}

impl Numbers<'_> {
    /// Returns a copy in PyTorch's order of dimensions.
    pub fn host(&self) -> Result<HostTensor, String> {
        self.tensor.host().map_err(|error| format!("tensor `{}`: {error}", self.name))
    }

    pub fn shape(&self) -> Vec<usize> {
        self.tensor.shape()
    }
}

/// A parameter with its settings and states.
#[derive(Debug)]
pub(super) struct Parameter<'a> {
    pub name: String,
    pub lr: Option<f64>,
    /// Rates of the next updates, as far as they are known.
    pub next: Vec<f64>,
    pub weight_decay: Option<f64>,
    pub momentum: Option<f64>,
    pub states: Vec<(String, Numbers<'a>)>,
}

impl Parameter<'_> {
    /// Returns a copy of a state.
    pub fn state(&self, name: &str) -> Result<Option<HostTensor>, String> {
        self.states.iter().find(|(state, _)| state == name).map(|(_, numbers)| numbers.host()).transpose()
    }
}

impl<'a> Stands<'a> {
    pub fn of(side: &'a Side) -> Self {
        let mut stands = match side {
            Side::Peer(peer) => of_peer(peer),
            Side::Ours(checkpoint) => of_ours(checkpoint),
        };
        let weights = stands.weights.iter().enumerate().map(|(place, weight)| (weight.name.clone(), place));
        let parameters = stands.parameters.iter().enumerate().map(|(place, one)| (one.name.clone(), place));
        stands.places = [weights.collect(), parameters.collect()];
        stands
    }

    /// Returns whether every parameter has the rates of its partner in the next updates.
    pub fn has_rates_of(&self, other: &Self, pairs: &Pairs) -> bool {
        let same = |one: &Parameter<'_>, other: &Parameter<'_>| {
            one.next.len() == other.next.len()
                && one.next.len() > 1
                && one.next.iter().zip(&other.next).all(|(a, b)| is_close(*a, *b))
        };
        let partner = |one: &Parameter<'_>| pairs.parameter_in_b(&one.name).and_then(|name| other.parameter(name));
        !self.parameters.is_empty() && self.parameters.iter().all(|one| partner(one).is_some_and(|two| same(one, two)))
    }

    pub fn weight(&self, name: &str) -> Option<&Numbers<'a>> {
        self.weights.get(*self.places[0].get(name)?)
    }

    pub fn parameter(&self, name: &str) -> Option<&Parameter<'a>> {
        self.parameters.get(*self.places[1].get(name)?)
    }
}

fn of_ours(checkpoint: &Checkpoint) -> Stands<'_> {
    let status = RunStatus::of_outline(&checkpoint.outline());
    let mut stands = Stands {
        step: Some(status.step),
        epoch: status.epoch,
        optimizer: status.optimizer.clone(),
        schedule: status.schedule.clone(),
        ..Stands::default()
    };
    // Another program's checkpoint may have no optimizer of ours; then its weights are compared.
    let Ok(source) = Source::read(checkpoint, &Weights::Trained) else {
        let tensors = checkpoint.state("model").map(|model| &model.tensors);
        stands.weights = tensors.into_iter().flatten().map(|(name, tensor)| ours(name, tensor)).collect();
        stands.weights.sort_by(|a, b| order::compare(&a.name, &b.name));
        return stands;
    };
    stands.weights = source.weights.iter().map(|(name, tensor)| ours(name, tensor)).collect();
    for group in &source.groups {
        let rates = status.groups.get(group.ours);
        let beta1 =
            group.setting(&source, "betas").filter(|_| group.is_beside_muon()).and_then(|betas| betas[0].as_f64());
        for name in &group.parameters {
            let prefix = format!("{name}.");
            let states = checkpoint.state("optimizer").map(|state| &state.tensors).into_iter().flatten();
            let states = states.filter_map(|(whole, tensor)| {
                let state = whole.strip_prefix(&prefix).filter(|state| !state.contains('.'))?;
                Some((state.to_owned(), ours(whole, tensor)))
            });
            stands.parameters.push(Parameter {
                name: (*name).to_owned(),
                lr: rates.and_then(|group| group.lr),
                next: rates.map(|group| group.next_lrs.clone()).unwrap_or_default(),
                weight_decay: Some(group.weight_decay),
                momentum: beta1.or_else(|| rates.and_then(|group| group.momentum)).or(group.momentum),
                states: states.collect(),
            });
        }
    }
    stands
}

fn ours<'a>(name: &str, tensor: &'a HostTensor) -> Numbers<'a> {
    Numbers { name: name.to_owned(), tensor: Held::Ours(tensor) }
}

fn of_peer(peer: &Peer) -> Stands<'_> {
    let weight = |named: &'_ Named| named.name.clone();
    let mut weights: Vec<Numbers<'_>> = peer
        .model
        .tensors
        .iter()
        .map(|named| Numbers { name: weight(named), tensor: Held::Peer(&named.tensor, named.in_out) })
        .collect();
    if !peer.model.in_order {
        weights.sort_by(|a, b| order::compare(&a.name, &b.name));
    }
    let mut stands = Stands {
        step: peer.updates,
        epoch: peer.epochs.filter(|epochs| *epochs >= 0.0).map(|epochs| epochs.floor() as u64),
        weights,
        ..Stands::default()
    };
    let turned = peer.model.tensors.iter().filter(|named| named.in_out);
    let turned: HashSet<&str> = turned.map(|named| named.name.as_str()).collect();
    for (index, found) in peer.optimizers.iter().enumerate() {
        let (rates, rule) = (Rates::of(peer, index), optimizer(peer, index).ok());
        let of_rule = rule.iter().flat_map(|rule| &rule.groups);
        let of_rule = of_rule.flat_map(|group| group.parameters.iter().map(|one| ((group.of, one.id.as_str()), one)));
        let translated: HashMap<(usize, &str), &RuleParameter> = of_rule.collect();
        if index == 0 {
            stands.schedule = rates.schedule.clone();
            let class = || found.class.to_lowercase();
            stands.optimizer = Some(rule.as_ref().map_or_else(class, |rule| rule.kind.to_owned()));
        }
        for (place, (group, names)) in found.groups.iter().zip(labels(peer, index)).enumerate() {
            let next = rates.next.get(place).cloned().unwrap_or_default();
            for (member, name) in names.into_iter().enumerate() {
                stands.parameters.push(Parameter {
                    lr: next.first().copied(),
                    next: next.clone(),
                    weight_decay: ["weight_decay", "wd"].iter().find_map(|name| group.number(name)),
                    momentum: super::super::status::momentum(group),
                    states: states(group, &translated, (place, member), &turned, &name),
                    name,
                });
            }
        }
    }
    stands
}

/// Returns the states of a parameter, under our names where its optimizer is one of ours.
fn states<'a>(
    group: &'a Group,
    translated: &HashMap<(usize, &str), &RuleParameter>,
    (place, member): (usize, usize),
    turned: &HashSet<&str>,
    name: &str,
) -> Vec<(String, Numbers<'a>)> {
    let Some(parameter) = group.parameters.get(member) else { return Vec::new() };
    let in_out = turned.contains(name);
    let translated = translated.get(&(place, parameter.id.as_str())).copied();
    let our_name = |tensor: &Tensor| {
        let states = &translated?.states;
        states.iter().find(|(_, other)| other.is_same_view(tensor)).map(|(name, _)| (*name).to_owned())
    };
    let state = |(state, tensor): &'a (String, Tensor)| {
        let state = our_name(tensor).unwrap_or_else(|| state.clone());
        let whole = format!("{name}.{state}");
        (state, Numbers { name: whole, tensor: Held::Peer(tensor, in_out) })
    };
    let is_tensor = |(_, tensor): &&(String, Tensor)| !tensor.shape().is_empty();
    let of_rule = translated.into_iter().flat_map(|rule| &rule.states);
    let numbers = of_rule.filter_map(|(state, tensor)| {
        let theirs = parameter.numbers.iter().any(|(name, _)| name == state);
        let number = tensor.scalar().filter(|_| theirs)?;
        let tensor = Held::Number(number);
        Some(((*state).to_owned(), Numbers { name: format!("{name}.{state}"), tensor }))
    });
    parameter.states.iter().filter(is_tensor).map(state).chain(numbers).collect()
}
