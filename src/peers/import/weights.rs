//! Which of a peer's tensors is which of the model's: by name, by number of the layer, or by shape where only one fits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::error::Refusal;
use super::layers::{self, Layer};
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

/// A search for the peers of all tensors.
struct Search<'a> {
    ours: &'a [Ours],
    model: &'a Model,
    /// Place in the peer's list, by our name.
    found: BTreeMap<String, usize>,
    /// Places that may still be taken.
    open: BTreeSet<usize>,
}

impl<'a> Search<'a> {
    /// Begins with the names that a person gave.
    fn new(ours: &'a [Ours], model: &'a Model, given: &ParamNames) -> Result<Self, Refusal> {
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
    fn settle(&mut self) -> Result<String, Refusal> {
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
mod tests {
    use super::*;
    use crate::peers::tensor::Tensor;

    fn ours() -> Vec<Ours> {
        let tensors = [("0.bias", vec![3]), ("0.weight", vec![3, 2]), ("2.bias", vec![1]), ("2.weight", vec![1, 3])];
        tensors.map(|(name, shape)| Ours { name: name.to_owned(), shape, buffer: false }).to_vec()
    }

    fn model(tensors: &[(&str, &[usize])], in_order: bool) -> Model {
        let named = |(name, shape): &(&str, &[usize])| {
            Named::new(*name, Tensor::from_f32(shape, &vec![0.0; shape.iter().product()]).unwrap())
        };
        Model { tensors: tensors.iter().map(named).collect(), in_order, tied: Vec::new() }
    }

    fn pairs(ours: &[Ours], model: &Model) -> Result<Vec<String>, String> {
        let found = find(ours, model, &ParamNames::new())
            .map_err(|Refusal { thing, reason, .. }| format!("{thing}: {reason}"))?;
        Ok(found.matches.iter().map(|found| format!("{} {}", found.ours, model.tensors[found.theirs].name)).collect())
    }

    #[test]
    fn prefixes_are_stripped_whatever_they_are() {
        let own = |prefix: &str| {
            let names = ["0.weight", "0.bias", "2.weight", "2.bias"].map(|name| format!("{prefix}{name}"));
            let shapes: [&[usize]; 4] = [&[3, 2], &[3], &[1, 3], &[1]];
            let tensors: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(shapes).collect();
            pairs(&ours(), &model(&tensors, true)).unwrap().len()
        };
        for prefix in ["", "module.", "_orig_mod.module.", "net.", "some.thing."] {
            assert_eq!(own(prefix), 4, "{prefix}");
        }
    }

    #[test]
    fn layers_with_other_names_are_matched_where_shapes_leave_one_choice() {
        let tensors: [(&str, &[usize]); 4] =
            [("out.weight", &[1, 3]), ("out.bias", &[1]), ("hidden.weight", &[3, 2]), ("hidden.bias", &[3])];
        let found = pairs(&ours(), &model(&tensors, true)).unwrap();
        assert_eq!(found, ["2.weight out.weight", "2.bias out.bias", "0.weight hidden.weight", "0.bias hidden.bias"]);
    }

    #[test]
    fn what_shapes_cannot_decide_is_refused_with_the_candidates() {
        let square = |name: &str, shape: Vec<usize>| Ours { name: name.to_owned(), shape, buffer: false };
        let ours = [square("0.weight", vec![3, 3]), square("2.weight", vec![3, 3])];
        let tensors: [(&str, &[usize]); 2] = [("a.weight", &[3, 3]), ("b.weight", &[3, 3])];
        let refused = pairs(&ours, &model(&tensors, false)).unwrap_err();
        assert!(refused.contains("`a`") && refused.contains("`b`") && refused.contains("--param-names"), "{refused}");
        let given = param_names("a.weight = 2.weight\nb.weight = 0.weight");
        let found = find(&ours, &model(&tensors, false), &given).unwrap();
        assert_eq!(found.matches.iter().map(|found| found.theirs).collect::<Vec<_>>(), [1, 0]);
    }

    fn param_names(lines: &str) -> ParamNames {
        lines
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(a, b)| (a.to_owned(), Some(b.to_owned())))
            .collect()
    }

    #[test]
    fn another_size_and_a_tensor_too_many_are_refused_by_name() {
        let tensors: [(&str, &[usize]); 5] =
            [("0.weight", &[3, 2]), ("0.bias", &[3]), ("2.weight", &[1, 3]), ("2.bias", &[1]), ("4.weight", &[1, 1])];
        let refused = pairs(&ours(), &model(&tensors, true)).unwrap_err();
        assert!(refused.starts_with("tensor `4.weight`") && refused.contains("no place"), "{refused}");
        let tensors = [("0.weight", &[4, 2][..]), ("0.bias", &[4]), ("2.weight", &[1, 4]), ("2.bias", &[1])];
        let refused = pairs(&ours(), &model(&tensors, true)).unwrap_err();
        assert!(refused.contains("`0.weight`: is [4, 2]") || refused.contains("`0.bias`: is [4]"), "{refused}");
    }

    #[test]
    fn a_gpt2_of_another_order_is_turned_as_a_whole() {
        let name = |part: &str| format!("transformer.h.0.{part}.weight");
        let ours = [("attn.c_attn", vec![2, 6]), ("attn.c_proj", vec![2, 2])].map(|(part, shape)| Ours {
            name: name(part),
            shape,
            buffer: false,
        });
        let names = [name("attn.c_attn"), name("attn.c_proj")];
        let theirs = |first: &[usize]| {
            let found = find(&ours, &model(&[(&names[0], first), (&names[1], &[2, 2])], true), &ParamNames::new());
            found.unwrap().matches.iter().map(|found| found.is_turned).collect::<Vec<_>>()
        };
        assert_eq!((theirs(&[6, 2]), theirs(&[2, 6])), (vec![true, true], vec![false, false]));
    }
}
