//! The search for a peer's tensors: by name below a prefix, then layer by layer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Ours;
use crate::peers::import::error::Refusal;
use crate::peers::import::layers::{self, Layer};
use crate::peers::import::layout::turned_shape;
use crate::peers::import::names::{is_constant, registration_order, words};
use crate::peers::import::param_names::ParamNames;
use crate::peers::peer::Model;

/// A search for the peers of all tensors.
pub(super) struct Search<'a> {
    ours: &'a [Ours],
    model: &'a Model,
    /// Place in the peer's list, by our name.
    pub found: BTreeMap<String, usize>,
    /// Places that may still be taken.
    open: BTreeSet<usize>,
}

impl<'a> Search<'a> {
    /// Begins with the names that a person gave.
    pub fn new(ours: &'a [Ours], model: &'a Model, given: &ParamNames) -> Result<Self, Refusal> {
        let open = model.tensors.iter().enumerate().filter(|(_, named)| !is_constant(&named.name));
        let mut search = Self { ours, model, found: BTreeMap::new(), open: open.map(|(place, _)| place).collect() };
        for (place, named) in model.tensors.iter().enumerate() {
            let Some(name) = given.get(&named.name) else { continue };
            search.open.remove(&place);
            let Some(name) = name else { continue };
            let refused = |reason: &str| Refusal::cannot(format!("`{} = {name}` of --param-names", named.name), reason);
            if ours.iter().all(|ours| ours.name != *name) {
                let names: Vec<&str> = ours.iter().map(|ours| ours.name.as_str()).collect();
                return Err(refused(&format!("the model has no `{name}`; it has {}", names.join(", "))));
            }
            if search.found.insert(name.clone(), place).is_some() {
                return Err(refused("another line gives the same tensor"));
            }
        }
        Ok(search)
    }

    /// Our tensors without a peer.
    fn missing(&self) -> Vec<&'a Ours> {
        self.ours.iter().filter(|ours| !self.found.contains_key(&ours.name)).collect()
    }

    /// Finds the others, and returns the rule that found them.
    pub fn settle(&mut self) -> Result<String, Refusal> {
        if self.missing().is_empty() {
            return Ok("tensors are matched as --param-names says".to_owned());
        }
        if let Some(rule) = self.by_name()? {
            return Ok(rule);
        }
        let rule = self.by_layer()?;
        match self.missing().first() {
            None => Ok(rule),
            Some(first) => Err(self.not_found(first)),
        }
    }

    /// Takes tensors that have the model's names, under a common prefix.
    fn by_name(&mut self) -> Result<Option<String>, Refusal> {
        let missing = self.missing();
        let places: HashMap<Vec<&str>, usize> =
            self.open.iter().filter_map(|place| Some((words(&self.model.tensors.get(*place)?.name), *place))).collect();
        let names: Vec<Vec<&str>> = missing.iter().map(|ours| words(&ours.name)).collect();
        // Files of a part of a model lack the first word of the whole: `h.0.…` of `transformer.h.0.…`.
        for own in 0..=common_words(&names) {
            let Some(first) = names.first().and_then(|name| name.get(own..)) else { continue };
            let prefixes: BTreeSet<&[&str]> = places.keys().filter_map(|name| name.strip_suffix(first)).collect();
            let take = |prefix: &[&str]| -> Option<Vec<usize>> {
                names.iter().map(|name| places.get(&[prefix, name.get(own..)?].concat()).copied()).collect()
            };
            let mut fits: Vec<(&[&str], Vec<usize>)> =
                prefixes.into_iter().filter_map(|prefix| Some((prefix, take(prefix)?))).collect();
            if fits.len() > 1 {
                // A model beside its own average: the one without more words is meant.
                fits.sort_by_key(|(prefix, _)| prefix.len());
                let shortest = fits.first().map_or(0, |(prefix, _)| prefix.len());
                if fits.iter().filter(|(prefix, _)| prefix.len() == shortest).count() > 1 {
                    let all: Vec<String> = fits.iter().map(|(prefix, _)| format!("`{}`", prefix.join("."))).collect();
                    return Err(Refusal::cannot(
                        "tensors",
                        format!(
                            "the model's names are there more than once, below {}; name the tensors with --param-names",
                            all.join(" and ")
                        ),
                    ));
                }
            }
            if let Some((prefix, places)) = fits.into_iter().next() {
                let rule = match prefix {
                    [] => "tensors are matched by name".to_owned(),
                    prefix => format!("tensors are matched by name, without the prefix `{}.`", prefix.join(".")),
                };
                self.found.extend(missing.iter().map(|ours| ours.name.clone()).zip(places));
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    /// Takes layer by layer, where names say nothing.
    fn by_layer(&mut self) -> Result<String, Refusal> {
        let mut ours: Vec<&Ours> = self.missing();
        ours.sort_by(|a, b| registration_order(&a.name, &b.name));
        let ours = Layer::of(ours.iter().map(|ours| (ours.name.as_str(), ours.shape.clone())));
        let named = self.open.iter().filter_map(|place| self.model.tensors.get(*place));
        let theirs =
            Layer::of(named.map(|named| (named.name.as_str(), turned_shape(named.tensor.shape(), named.in_out))));
        let (pairs, rule) = layers::pair(&ours, &theirs, self.model.in_order)?;
        for (ours, theirs) in pairs {
            for (leaf, (name, _)) in &ours.tensors {
                let theirs = theirs.tensors.get(leaf).map(|(name, _)| name);
                let place = self.model.tensors.iter().position(|named| Some(&named.name) == theirs);
                self.found.extend(place.map(|place| (name.clone(), place)));
            }
        }
        Ok(rule)
    }

    fn not_found(&self, ours: &Ours) -> Refusal {
        let names: Vec<&str> = self.model.tensors.iter().map(|named| named.name.as_str()).take(50).collect();
        Refusal::cannot(
            format!("tensor `{}`", ours.name),
            format!("is not in the checkpoint, which has {}; name it with --param-names", names.join(", ")),
        )
    }
}

/// Returns the number of words that all names begin with; the last word of a name is not one of them.
fn common_words(names: &[Vec<&str>]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let most = names.iter().map(|name| name.len().saturating_sub(1)).min().unwrap_or(0);
    (0..most).find(|index| names.iter().any(|name| name.get(*index) != first.get(*index))).unwrap_or(most)
}
