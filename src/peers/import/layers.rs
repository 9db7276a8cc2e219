//! Layers of two models that name them differently, paired by the order of the file, by number, or by shape.

use std::collections::BTreeMap;

use super::error::Refusal;
use super::names::{numbered, words};

/// Tensors of one layer: those whose names differ in the last word alone.
#[derive(Debug, PartialEq)]
pub(super) struct Layer {
    /// The common part of the names.
    pub path: String,
    /// Name and shape of each, by its last word as PyTorch calls it.
    pub tensors: BTreeMap<String, (String, Vec<usize>)>,
}

impl Layer {
    /// Groups tensors by layer, in the order in which each layer first appears.
    pub fn of<'a>(tensors: impl Iterator<Item = (&'a str, Vec<usize>)>) -> Vec<Self> {
        let (mut layers, mut places): (Vec<Self>, BTreeMap<String, usize>) = (Vec::new(), BTreeMap::new());
        for (name, shape) in tensors {
            let words = words(name);
            let Some((leaf, path)) = words.split_last() else { continue };
            let path = path.join(".");
            let place = *places.entry(path.clone()).or_insert_with(|| {
                layers.push(Self { path, tensors: BTreeMap::new() });
                layers.len() - 1
            });
            if let Some(layer) = layers.get_mut(place) {
                layer.tensors.insert((*leaf).to_owned(), (name.to_owned(), shape));
            }
        }
        layers
    }

    fn fits(&self, other: &Self) -> bool {
        let kinds = |layer: &Self| {
            let tensors = layer.tensors.iter();
            tensors.map(|(leaf, (_, shape))| (leaf.clone(), shape.clone())).collect::<Vec<_>>()
        };
        kinds(self) == kinds(other)
    }
}

type Pairs<'a> = Vec<(&'a Layer, &'a Layer)>;

/// Pairs our layers with theirs, and says by which rule.
///
/// # Errors
/// Their numbers differ, a layer has no fit, or two orders fit that differ.
pub(super) fn pair<'a>(ours: &'a [Layer], theirs: &'a [Layer], in_order: bool) -> Result<(Pairs<'a>, String), Refusal> {
    if ours.len() != theirs.len() {
        return Err(Refusal::cannot(
            "layers",
            format!(
                "the checkpoint has {} ({}), and the model here {} ({}); correct `model` of the configuration, or name \
                 the tensors with --param-names",
                theirs.len(),
                paths(theirs.iter()),
                ours.len(),
                paths(ours.iter())
            ),
        ));
    }
    let as_filed: Option<Vec<&Layer>> = in_order.then(|| theirs.iter().collect());
    let as_filed = as_filed.filter(|order| fit(ours, order));
    let by_number = by_number(theirs).filter(|order| fit(ours, order));
    let (order, rule) = match (as_filed, by_number) {
        (Some(filed), Some(numbered)) if filed.iter().zip(&numbered).any(|(a, b)| a.path != b.path) => {
            return Err(Refusal::cannot(
                "layers",
                format!(
                    "in the order of the file they are {}, by their numbers {}, and both fit; name the tensors with \
                     --param-names",
                    paths(filed.into_iter()),
                    paths(numbered.into_iter())
                ),
            ));
        }
        (Some(order), _) => (order, "in the order of the file"),
        (None, Some(order)) => (order, "by the numbers in their names"),
        (None, None) => (by_shape(ours, theirs)?, "by their shapes, where one fits"),
    };
    let named: Vec<String> =
        ours.iter().zip(&order).map(|(ours, theirs)| format!("`{}` is `{}`", theirs.path, ours.path)).collect();
    let rule = format!("layers are matched {rule}: {}", named.join(", "));
    Ok((ours.iter().zip(order).collect(), rule))
}

fn paths<'a>(layers: impl Iterator<Item = &'a Layer>) -> String {
    layers.map(|layer| format!("`{}`", layer.path)).collect::<Vec<_>>().join(", ")
}

fn fit(ours: &[Layer], order: &[&Layer]) -> bool {
    ours.len() == order.len() && ours.iter().zip(order).all(|(ours, theirs)| ours.fits(theirs))
}

/// Sorts layers whose paths differ in numbers alone.
fn by_number(theirs: &[Layer]) -> Option<Vec<&Layer>> {
    let mut keyed: Vec<((String, Vec<u64>), &Layer)> =
        theirs.iter().map(|layer| (numbered(&layer.path), layer)).collect();
    let pattern = keyed.first().map(|((pattern, _), _)| pattern.clone())?;
    if keyed.iter().any(|((other, _), _)| *other != pattern) {
        return None;
    }
    keyed.sort_by(|((_, a), _), ((_, b), _)| a.cmp(b));
    Some(keyed.into_iter().map(|(_, layer)| layer).collect())
}

/// Takes for each of our layers the only one of its shapes.
fn by_shape<'a>(ours: &[Layer], theirs: &'a [Layer]) -> Result<Vec<&'a Layer>, Refusal> {
    ours.iter()
        .map(|layer| {
            let fits: Vec<&Layer> = theirs.iter().filter(|other| layer.fits(other)).collect();
            match fits[..] {
                [only] => Ok(only),
                [] => Err(no_fit(layer, theirs)),
                _ => Err(Refusal::cannot(
                    format!("layer `{}`", layer.path),
                    format!(
                        "{} have its shapes, and nothing tells which one it is; name the tensors with --param-names",
                        paths(fits.into_iter())
                    ),
                )),
            }
        })
        .collect()
}

fn no_fit(layer: &Layer, theirs: &[Layer]) -> Refusal {
    let shapes = |layer: &Layer| {
        let tensors = layer.tensors.values();
        tensors.map(|(name, shape)| format!("`{name}` {shape:?}")).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<String> = theirs.iter().map(shapes).collect();
    Refusal::cannot(
        format!("layer `{}`", layer.path),
        format!(
            "no layer of the checkpoint has its shapes ({}); there are {}; give the peer's sizes in `model` of the \
             configuration",
            shapes(layer),
            all.join("; ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(layers: &[(&str, [usize; 2])]) -> Vec<Layer> {
        let names: Vec<(String, Vec<usize>)> =
            layers.iter().map(|(path, shape)| (format!("{path}.weight"), shape.to_vec())).collect();
        Layer::of(names.iter().map(|(name, shape)| (name.as_str(), shape.clone())))
    }

    fn paired(theirs: &[(&str, [usize; 2])], in_order: bool) -> Result<Vec<String>, String> {
        let (ours, theirs) = (layers(&[("0", [4, 4]), ("2", [4, 4]), ("4", [1, 4])]), layers(theirs));
        let (pairs, _) = pair(&ours, &theirs, in_order).map_err(|refusal| refusal.reason)?;
        Ok(pairs.iter().map(|(_, theirs)| theirs.path.clone()).collect())
    }

    #[test]
    fn a_file_in_order_of_registration_is_matched_in_that_order() {
        let found = paired(&[("in", [4, 4]), ("mid", [4, 4]), ("out", [1, 4])], true);
        assert_eq!(found.unwrap(), ["in", "mid", "out"]);
    }

    #[test]
    fn a_sorted_file_is_matched_by_number() {
        let found = paired(&[("dense", [4, 4]), ("dense_10", [1, 4]), ("dense_2", [4, 4])], false);
        assert_eq!(found.unwrap(), ["dense", "dense_2", "dense_10"]);
    }

    #[test]
    fn two_orders_that_fit_and_differ_are_refused() {
        let found = paired(&[("fc2", [4, 4]), ("fc1", [4, 4]), ("fc3", [1, 4])], true).unwrap_err();
        assert!(found.contains("both fit") && found.contains("`fc2`, `fc1`, `fc3`"), "{found}");
    }

    #[test]
    fn one_layer_more_is_refused_with_all_paths() {
        let found = paired(&[("a", [4, 4]), ("b", [1, 4])], true).unwrap_err();
        assert!(found.contains("has 2 (`a`, `b`)") && found.contains("3 (`0`, `2`, `4`)"), "{found}");
    }
}
