//! Layers of a Keras file: which of its numbered arrays is which weight.

use super::variables::{Variable, class_of_name, class_within, nested_order, snake_case, variables};
use crate::peers::formats::hdf5::Group;
use crate::peers::peer::Named;
use crate::peers::tensor::Dtype;
use crate::peers::tree::Ref;

/// A weight, with what Keras does to it.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub(super) named: Named,
    /// Whether the optimizer updates it.
    pub(super) trained: bool,
}

/// Weights of a layer or model, whose order among each other is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) weights: Vec<Weight>,
}

impl Block {
    /// Returns the shapes of the weights that the optimizer updates.
    pub(super) fn trained(&self) -> impl Iterator<Item = &[usize]> {
        self.weights.iter().filter(|weight| weight.trained).map(|weight| weight.named.tensor.shape())
    }
}

/// Blocks in a known order. The order of several chains in each other is not known.
pub(super) type Chain = Vec<Block>;

/// A layer's place: its group in the file, its part of the configuration, and the names above it.
struct Layer<'a> {
    group: &'a Group,
    config: Option<Ref<'a>>,
    above: String,
    trained: bool,
    /// Its class, where the layer around it tells.
    class: Option<&'static str>,
}

/// Returns the weights of all layers, in one chain where the configuration tells their order.
pub(super) fn chains(root: &Group, config: Option<Ref<'_>>) -> Result<Vec<Chain>, String> {
    let listed = config.and_then(|config| config.at(&["config", "layers"])).and_then(Ref::items);
    if let (Some(layers), Some(group)) = (listed, root.group("layers")) {
        let mut chain = Chain::new();
        of_list(layers, group, "", true, &mut chain)?;
        if chain.iter().map(|block| block.weights.len()).sum::<usize>() == count(group) {
            return Ok(vec![chain]);
        }
    }
    without_config(root)
}

/// Adds the layers of a model, by their classes: folders are named after the class, and counted.
fn of_list<'a>(
    layers: impl Iterator<Item = Ref<'a>>,
    group: &'a Group,
    above: &str,
    trained: bool,
    chain: &mut Chain,
) -> Result<(), String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for layer in layers {
        let Some(class) = layer.get("class_name").and_then(Ref::text) else { continue };
        let folder = snake_case(class);
        let folder = match counts.iter_mut().find(|(name, _)| *name == folder) {
            Some((name, count)) => {
                *count += 1;
                format!("{name}_{count}")
            }
            None => {
                counts.push((folder.clone(), 0));
                folder
            }
        };
        let Some(group) = group.group(&folder) else { continue };
        let mut block = Block::default();
        add(&Layer { group, config: Some(layer), above: above.to_owned(), trained, class: None }, &mut block, 0)?;
        if !block.weights.is_empty() {
            chain.push(block);
        }
    }
    Ok(())
}

/// Returns the weights where no configuration tells the layers: those of one class are in the order of their count.
fn without_config(root: &Group) -> Result<Vec<Chain>, String> {
    let mut chains: Vec<(String, Vec<(usize, Block)>)> = Vec::new();
    let layers = root.group("layers").map(|group| &group.groups).into_iter().flatten();
    let attributes = root.groups.iter().filter(|group| !matches!(group.name.as_str(), "layers" | "optimizer" | "vars"));
    for group in layers.chain(attributes) {
        let mut block = Block::default();
        add(&Layer { group, config: None, above: String::new(), trained: true, class: None }, &mut block, 0)?;
        if block.weights.is_empty() {
            continue;
        }
        let (class, number) = counted(&group.name);
        match chains.iter_mut().find(|(known, _)| known == class) {
            Some((_, blocks)) => blocks.push((number, block)),
            None => chains.push((class.to_owned(), vec![(number, block)])),
        }
    }
    // Weights of the model itself come before those of its layers.
    let mut own = Block::default();
    let model = Group { groups: root.group("vars").cloned().into_iter().collect(), ..Group::default() };
    add(&Layer { group: &model, config: None, above: String::new(), trained: true, class: None }, &mut own, 0)?;
    let mut chains: Vec<Chain> = (chains.into_iter())
        .map(|(_, mut blocks)| {
            blocks.sort_by_key(|(number, _)| *number);
            blocks.into_iter().map(|(_, block)| block).collect()
        })
        .collect();
    if !own.weights.is_empty() {
        chains.insert(0, vec![own]);
    }
    Ok(chains)
}

/// Splits `dense_1` into the class and its count.
fn counted(folder: &str) -> (&str, usize) {
    match folder.rsplit_once('_').map(|(class, number)| (class, number.parse())) {
        Some((class, Ok(number))) => (class, number),
        _ => (folder, 0),
    }
}

/// Returns the number of arrays below a group.
fn count(group: &Group) -> usize {
    group.arrays.len() + group.groups.iter().map(count).sum::<usize>()
}

/// Adds a layer's own weights, then those of the layers in it.
fn add(layer: &Layer<'_>, block: &mut Block, depth: usize) -> Result<(), String> {
    let settings = layer.config.and_then(|config| config.get("config"));
    let own = layer.group.group("vars");
    let given = own.and_then(|own| own.attribute("name"));
    let name = settings.and_then(|settings| settings.get("name")?.text()).or(given).unwrap_or(&layer.group.name);
    let class = layer.config.and_then(|config| config.get("class_name")?.text()).or(layer.class).map(str::to_owned);
    let class = class.or_else(|| given.and_then(class_of_name)).or_else(|| class_of_name(&layer.group.name));
    let trained = layer.trained && settings.and_then(|settings| settings.get("trainable")?.bool()).unwrap_or(true);
    let prefix = match (layer.above.as_str(), name) {
        ("", name) => name.to_owned(),
        (above, name) => format!("{above}/{name}"),
    };
    if let Some(own) = own {
        let arrays = own.numbered().map_err(|what| format!("{prefix}: {what}"))?;
        let shapes: Vec<&[usize]> = arrays.iter().map(|array| array.shape()).collect();
        let known = variables(class.as_deref(), settings, &shapes);
        for (number, array) in arrays.into_iter().enumerate() {
            let Variable { name, buffer, in_out } =
                known.get(number).cloned().unwrap_or_else(|| Variable::unknown(number));
            let buffer = buffer || !matches!(array.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64);
            let named = Named { name: format!("{prefix}/{name}"), tensor: array.clone(), in_out, buffer };
            block.weights.push(Weight { named, trained: trained && !buffer });
        }
    }
    if depth > 32 {
        return Err(format!("{prefix}: layers are more than 32 deep in each other"));
    }
    let inner = settings.and_then(|settings| settings.get("layers")).and_then(Ref::items);
    if let (Some(layers), Some(group)) = (inner, layer.group.group("layers")) {
        let mut chain = Chain::new();
        of_list(layers, group, &prefix, trained, &mut chain)?;
        block.weights.extend(chain.into_iter().flat_map(|block| block.weights));
        return Ok(());
    }
    for group in nested_order(class.as_deref(), &layer.group.groups) {
        add(
            &Layer { group, config: None, above: prefix.clone(), trained, class: class_within(class.as_deref()) },
            block,
            depth + 1,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::formats::json;
    use crate::peers::tensor::Tensor;

    fn layer(name: &str, given: &str, shapes: &[&[usize]]) -> Group {
        let tensor = |shape: &[usize]| Tensor::from_f32(shape, &vec![0.0; shape.iter().product()]).unwrap();
        let arrays = shapes.iter().enumerate().map(|(number, shape)| (number.to_string(), tensor(shape)));
        let attributes = vec![("name".to_owned(), given.to_owned())];
        let vars = Group { name: "vars".to_owned(), attributes, arrays: arrays.collect(), groups: Vec::new() };
        within(name, vec![vars])
    }

    fn within(name: &str, groups: Vec<Group>) -> Group {
        Group { name: name.to_owned(), groups, ..Group::default() }
    }

    fn names(chains: &[Chain]) -> Vec<(&str, bool)> {
        let weights = chains.iter().flatten().flat_map(|block| &block.weights);
        weights.map(|weight| (weight.named.name.as_str(), weight.trained)).collect()
    }

    /// Groups are sorted by name in the file; layers are in the order of the configuration.
    #[test]
    fn layers_follow_the_configuration_and_frozen_ones_are_not_trained() {
        let inner = within("layers", vec![layer("dense", "wide", &[&[4, 4], &[4]])]);
        let layers = vec![
            layer("batch_normalization", "norm", &[&[4], &[4], &[4], &[4]]),
            layer("dense", "first", &[&[3, 4]]),
            layer("dense_1", "last", &[&[4, 1]]),
            within("sequential", vec![inner]),
        ];
        let root = within("", vec![within("layers", layers)]);
        let config = br#"{"class_name": "Sequential", "config": {"layers": [
            {"class_name": "InputLayer", "config": {"name": "input"}},
            {"class_name": "Dense", "config": {"name": "first", "trainable": false}},
            {"class_name": "Sequential", "config": {"name": "inner", "layers": [
                {"class_name": "Dense", "config": {"name": "wide"}}]}},
            {"class_name": "BatchNormalization", "config": {"name": "norm", "scale": true, "center": true}},
            {"class_name": "Dense", "config": {"name": "last"}}]}}"#;
        let config = json::parse(config).unwrap();
        let chains = chains(&root, Some(config.root())).unwrap();
        assert_eq!(chains.len(), 1);
        let expected = [
            ("first/kernel", false),
            ("inner/wide/kernel", true),
            ("inner/wide/bias", true),
            ("norm/gamma", true),
            ("norm/beta", true),
            ("norm/moving_mean", false),
            ("norm/moving_variance", false),
            ("last/kernel", true),
        ];
        assert_eq!(names(&chains), expected);
    }

    #[test]
    fn without_a_configuration_each_class_is_a_chain_in_the_order_of_its_counts() {
        let attention = within(
            "multi_head_attention",
            vec![layer("key_dense", "key", &[&[4, 2, 2]]), layer("query_dense", "query", &[&[4, 2, 2]])],
        );
        let dense: Vec<Group> =
            ["dense", "dense_1", "dense_10", "dense_2"].map(|name| layer(name, name, &[&[2, 2]])).into();
        let root = within("", vec![within("layers", [dense, vec![attention]].concat())]);
        let chains = chains(&root, None).unwrap();
        assert_eq!(
            names(&chains[..1]).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["dense/kernel", "dense_1/kernel", "dense_2/kernel", "dense_10/kernel"]
        );
        let attention = ["multi_head_attention/query/kernel", "multi_head_attention/key/kernel"];
        assert_eq!(names(&chains[1..]), attention.map(|name| (name, true)));
    }
}
