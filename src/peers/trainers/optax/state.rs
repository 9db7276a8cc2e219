//! The state of a chain of optax: named tuples by their keys, and the trees in them that have a tensor for each weight.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::is_number;
use crate::peers::peer::{Counter, Named, Setting};
use crate::peers::tensor::Tensor;
use crate::peers::trainers::settings::text;
use crate::peers::tree::{Ref, Value};

/// Depth of states and weights in each other, beyond any real one.
const DEEPEST: usize = 64;

/// The part of a state that belongs to one group of `multi_transform`, or to all parameters.
#[derive(Default)]
pub(super) struct Found {
    /// States by the weight's name.
    pub(super) states: HashMap<String, Vec<(String, Tensor)>>,
    /// The rate, where `inject_hyperparams` put it into the state.
    pub(super) rate: Option<f64>,
    /// Numbers that `inject_hyperparams` put there.
    pub(super) settings: Vec<(String, Setting)>,
    /// Keys of each state in the chain, by its place; empty for one without state.
    pub(super) chain: BTreeMap<String, BTreeSet<String>>,
}

/// A walk through the state.
pub(super) struct Walk<'a> {
    shapes: HashMap<&'a str, &'a [usize]>,
    groups: BTreeMap<Option<String>, Found>,
    /// The group that is walked through.
    label: Option<String>,
    /// Updates of the optimizer.
    pub(super) count: Option<u64>,
    /// The count of a schedule.
    pub(super) scheduled: Option<u64>,
    /// The count of a schedule whose rate is in the state.
    pub(super) rate_scheduled: Option<u64>,
    pub(super) counters: Vec<Counter>,
    pub(super) left: Vec<String>,
    pub(super) is_masked: bool,
    pub(super) accumulates: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(parameters: &'a [Named]) -> Self {
        let shapes = parameters.iter().map(|named| (named.name.as_str(), named.tensor.shape())).collect();
        Self {
            shapes,
            groups: BTreeMap::from([(None, Found::default())]),
            label: None,
            count: None,
            scheduled: None,
            rate_scheduled: None,
            counters: Vec::new(),
            left: Vec::new(),
            is_masked: false,
            accumulates: false,
        }
    }

    /// Returns the groups with their labels; the one of all parameters only where there is no other.
    pub(super) fn groups(&self) -> Vec<(Option<&str>, &Found)> {
        let several = self.groups.len() > 1;
        let groups =
            self.groups.iter().filter(|(label, found)| label.is_some() || !several || !found.states.is_empty());
        groups.map(|(label, found)| (label.as_deref(), found)).collect()
    }

    fn found(&mut self) -> &mut Found {
        self.groups.entry(self.label.clone()).or_default()
    }

    /// Walks through a state at a place.
    ///
    /// # Errors
    /// It is too deep, or a tensor in it has another shape than its weight.
    pub(super) fn visit(&mut self, state: Ref<'_>, place: &str, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("{place}: states are more than {DEEPEST} deep in each other"));
        }
        let entries: Vec<(String, Ref<'_>)> = match (state.entries(), state.items()) {
            (Some(entries), _) => entries.map(|(key, value)| (text(key), value)).collect(),
            (None, Some(items)) => items.enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
            (None, None) => Vec::new(),
        };
        if entries.is_empty() && !state.is_null() && state.entries().is_none() && state.items().is_none() {
            self.left.push(format!("{place}: {}", text(state)));
            return Ok(());
        }
        let below = |key: &str| format!("{place}.{key}");
        if !entries.is_empty() && entries.iter().all(|(key, _)| key.bytes().all(|byte| byte.is_ascii_digit())) {
            return entries.iter().try_for_each(|(key, value)| self.visit(*value, &below(key), depth + 1));
        }
        let keys: BTreeSet<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        let has = |key: &str| keys.contains(key);
        if let Some(groups) = state.get("inner_states") {
            return self.visit_groups(groups, &below("inner_states"), depth);
        }
        if has("hyperparams") {
            self.inject(state, place);
        }
        for inner in ["inner_state", "inner_opt_state"].into_iter().filter(|key| has(key)) {
            self.is_masked |= keys.len() == 1;
            self.accumulates |= has("mini_step");
            if let Some(value) = state.get(inner) {
                self.visit(value, &below(inner), depth + 1)?;
            }
        }
        if !has("inner_state") && !has("inner_opt_state") {
            self.found().chain.insert(place.to_owned(), keys.clone());
        }
        let wrapped = ["inner_state", "inner_opt_state", "hyperparams", "hyperparams_states"];
        for (key, value) in entries.iter().filter(|(key, _)| !wrapped.contains(&key.as_str())) {
            self.member(key, *value, &keys, &below(key), depth)?;
        }
        Ok(())
    }

    fn visit_groups(&mut self, groups: Ref<'_>, place: &str, depth: usize) -> Result<(), String> {
        let outer = self.label.clone();
        for (label, value) in groups.entries().into_iter().flatten() {
            let label = text(label);
            self.label = Some(label.clone());
            self.found();
            // Each is masked to its own parameters, by the names of their states.
            let inner = value.get("inner_state").unwrap_or(value);
            self.visit(inner, &format!("{place}.{label}"), depth + 1)?;
        }
        self.label = outer;
        Ok(())
    }

    /// Takes the numbers that `inject_hyperparams` keeps.
    fn inject(&mut self, state: Ref<'_>, place: &str) {
        let count = state.get("count").and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
        if state.at(&["hyperparams_states", "learning_rate"]).is_some() {
            self.rate_scheduled = count;
        }
        for (key, value) in state.get("hyperparams").and_then(Ref::entries).into_iter().flatten() {
            let (key, Some(number)) = (text(key), value.number()) else {
                self.left.push(format!("{place}.hyperparams: {}", text(key)));
                continue;
            };
            match key.as_str() {
                "learning_rate" => self.found().rate = Some(number),
                _ => self.found().settings.push((key, Setting::Number(number))),
            }
        }
    }

    /// Takes a member of a named tuple: a count, a tree of tensors for the weights, or a state of another kind.
    fn member(
        &mut self,
        key: &str,
        value: Ref<'_>,
        keys: &BTreeSet<String>,
        place: &str,
        depth: usize,
    ) -> Result<(), String> {
        if let Some(number) = Some(value).filter(|value| is_number(*value)).and_then(number) {
            self.number(key, number, keys, place);
            return Ok(());
        }
        if value.is_null() || value.entries().is_some_and(|entries| entries.len() == 0) {
            return Ok(());
        }
        let tensors = leaves(value, 0).unwrap_or_default();
        if tensors.is_empty() || !tensors.iter().all(|(name, _)| self.shapes.contains_key(name.as_str())) {
            if value.entries().is_some() || value.items().is_some() {
                return self.visit(value, place, depth + 1);
            }
            self.left.push(format!("{place}: {}", text(value)));
            return Ok(());
        }
        // Factored moments have other shapes than their weights, and 1 element where they are not used.
        let is_factored = keys.contains("v_row");
        for (name, tensor) in tensors {
            let shape = self.shapes.get(name.as_str()).copied().unwrap_or_default();
            if tensor.shape() != shape && !is_factored {
                return Err(format!("{place}.{name} has the shape {:?}, and its weight {shape:?}", tensor.shape()));
            }
            self.found().states.entry(name).or_default().push((key.to_owned(), tensor.clone()));
        }
        Ok(())
    }

    fn number(&mut self, key: &str, number: f64, keys: &BTreeSet<String>, place: &str) {
        let count = (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
        let is_schedule = key == "count" && keys.len() == 1;
        let counts = match key {
            "count" if is_schedule => "updates, as the schedule counts them",
            "count" | "gradient_step" => "updates of the optimizer",
            "mini_step" => "micro-batches since the last update",
            "notfinite_count" => "updates in a row whose gradients were not finite",
            "total_notfinite" => "updates whose gradients were not finite",
            _ => "a number of the optimizer's state",
        };
        match key {
            "count" if is_schedule => self.scheduled = count,
            "gradient_step" => self.count = count,
            "count" if !self.accumulates => self.count = self.count.or(count),
            _ => {}
        }
        self.counters.push(Counter { name: place.to_owned(), value: number, counts: counts.to_owned() });
    }
}

fn number(value: Ref<'_>) -> Option<f64> {
    value.number().or_else(|| value.bool().map(|flag| f64::from(u8::from(flag))))
}

/// Returns the tensors below a value with their paths, joined with dots.
///
/// # Errors
/// Something else is among them, or they are too deep.
pub(super) fn leaves(value: Ref<'_>, depth: usize) -> Result<Vec<(String, &Tensor)>, String> {
    if depth > DEEPEST {
        return Err(format!("weights are more than {DEEPEST} deep in each other"));
    }
    let below = |key: String, value| -> Result<Vec<(String, &Tensor)>, String> {
        let inner = leaves(value, depth + 1)?.into_iter();
        Ok(inner
            .map(|(name, tensor)| (if name.is_empty() { key.clone() } else { format!("{key}.{name}") }, tensor))
            .collect())
    };
    match value.value() {
        Value::Tensor(tensor) => Ok(vec![(String::new(), tensor)]),
        Value::Null => Ok(Vec::new()),
        _ => {
            let mut found = Vec::new();
            if let Some(entries) = value.entries() {
                for (key, value) in entries {
                    found.extend(below(text(key), value)?);
                }
            } else if let Some(items) = value.items() {
                for (index, value) in items.enumerate() {
                    found.extend(below(index.to_string(), value)?);
                }
            } else {
                return Err(format!("among the weights stands {}", text(value)));
            }
            Ok(found)
        }
    }
}
