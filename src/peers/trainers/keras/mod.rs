//! Keras 3: `.keras`, a zip of `config.json`, `metadata.json` and `model.weights.h5`, or `.weights.h5` alone.
//!
//! The HDF5 file has weights and optimizer variables by number; which layer and which variable a number means is told by
//! the configuration, or, without one, by what can be the only meaning.

mod layers;
mod optimizer;
mod order;
mod slots;
mod variables;

use std::sync::Arc;

use self::layers::{Chain, Weight};
use super::settings::{setting, text};
use super::{Content, Found, OtherFormat};
use crate::peers::error::PeerError;
use crate::peers::formats::hdf5::{self, Group};
use crate::peers::formats::{json, map, zip};
use crate::peers::peer::{Architecture, Clipping, Named, Peer, Trainer};
use crate::peers::tensor::Storage;
use crate::peers::tree::{Ref, Tree};

const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";
const WEIGHTS: &str = "model.weights.h5";

/// Returns whether Keras has written this: HDF5, or a zip with its members.
pub(super) fn recognizes(found: &Found) -> bool {
    matches!(found.content, Content::Other(OtherFormat::Hdf5 | OtherFormat::Zip))
}

/// Describes the run.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let path = &found.path;
    let damaged = |what: String| PeerError::damaged(path, what);
    let file = map(path)?;
    let whole = 0..file.len();
    if let Content::Other(OtherFormat::Hdf5) = found.content {
        let storage = Storage::mapped(file, whole).ok_or_else(|| damaged("it is empty".to_owned()))?;
        let root = hdf5::read(&storage).map_err(damaged)?;
        return describe(found, &root, None, None, "HDF5 of Keras");
    }
    let archive = zip::Archive::open(Arc::clone(&file), whole).map_err(|refusal| refusal.at(path))?;
    let Some(weights) = archive.member(WEIGHTS) else {
        if archive.member("model.weights.json").is_some() {
            let what = "its weights are in several files, which are not read; save it again with `max_shard_size=None`";
            return Err(PeerError::unsupported(path, what));
        }
        let what = "it is a zip without model.weights.h5, the weights in a .keras; no known trainer writes such a file";
        return Err(PeerError::unknown(path, what));
    };
    let parsed = |name: &str| -> Result<Option<Tree>, PeerError> {
        let Some(member) = archive.member(name) else { return Ok(None) };
        json::parse(archive.bytes(member)).map(Some).map_err(|what| damaged(format!("{name}: {what}")))
    };
    let (config, metadata) = (parsed(CONFIG)?, parsed(METADATA)?);
    let storage = Storage::mapped(Arc::clone(&file), weights.range.clone());
    let storage = storage.ok_or_else(|| damaged(format!("{WEIGHTS} reaches beyond the file")))?;
    let root = hdf5::read(&storage).map_err(|what| damaged(format!("{WEIGHTS}: {what}")))?;
    describe(found, &root, config.as_ref(), metadata.as_ref(), "zip of Keras")
}

fn describe(
    found: &Found,
    root: &Group,
    config: Option<&Tree>,
    metadata: Option<&Tree>,
    format: &'static str,
) -> Result<Peer, PeerError> {
    let path = &found.path;
    if root.group("model_weights").is_some() || root.attribute("layer_names").is_some() {
        let what = "it is an HDF5 file of Keras 2, which is not read; load it in Keras 3 and save it as .keras";
        return Err(PeerError::unsupported(path, what));
    }
    if root.groups.is_empty() {
        return Err(PeerError::unknown(path, "it is an HDF5 file without groups; no known trainer writes such a file"));
    }
    let damaged = |what: String| PeerError::damaged(path, what);
    let mut peer = Peer::new(path, Trainer::Keras, format);
    peer.version = metadata.and_then(|tree| tree.root().get("keras_version")?.text().map(str::to_owned));
    let config = config.map(Tree::root);
    let chains = layers::chains(root, config).map_err(damaged)?;
    let trained = chains.iter().flatten().map(|block| block.trained().count()).sum();
    let stated = optimizer::Stated::of(root, config, trained).map_err(|what| PeerError::unsupported(path, what))?;
    let mut weights: Vec<Weight> = Vec::new();
    match order::solve(&chains, stated.as_ref().and_then(optimizer::Stated::shapes)) {
        Some(blocks) => {
            peer.model.in_order = true;
            weights.extend(blocks.into_iter().flat_map(|block| block.weights.clone()));
        }
        None => weights.extend(chains.iter().flatten().flat_map(|block| block.weights.clone())),
    }
    if let Some(stated) = stated {
        stated.describe(&weights, &mut peer).map_err(|what| PeerError::unsupported(path, what))?;
    } else {
        peer.missing.push("the optimizer: the file has weights alone".to_owned());
    }
    if config.is_none() {
        peer.missing.push(
            "the layers' classes: without config.json weights are named by the places that Keras gives them".to_owned(),
        );
    }
    remark_on_order(&chains, &mut peer);
    peer.model.tensors = weights.into_iter().map(|weight| weight.named).collect();
    peer.architecture = config.and_then(architecture);
    if let Some(loss) = config.and_then(|config| config.at(&["compile_config", "loss"])) {
        peer.settings.push(("loss".to_owned(), text(loss)));
    }
    peer.missing.push("the place in the data: Keras keeps neither the epoch nor the order of the rows".to_owned());
    peer.left.extend(others(root));
    Ok(peer)
}

fn remark_on_order(chains: &[Chain], peer: &mut Peer) {
    let transposed = chains.iter().flatten().flat_map(|block| &block.weights).any(|weight| weight.named.in_out);
    if transposed {
        peer.remarks.push("kernels are stored as [in, out], and so are their moments".to_owned());
    }
    if !peer.model.in_order {
        let what = "the order of the layers: it is not in the file, and shapes alone leave several; give --param-names";
        peer.missing.push(what.to_owned());
    }
}

/// Names what is in the file beside layers and the optimizer's variables.
fn others(root: &Group) -> Vec<String> {
    let metrics = root.groups.iter().filter(|group| matches!(group.name.as_str(), "metrics" | "_metrics"));
    metrics.map(|group| format!("{}: sums of metrics", group.name)).collect()
}

/// Returns the model's configuration: each layer's class and settings.
fn architecture(config: Ref<'_>) -> Option<Architecture> {
    let kind = config.get("class_name")?.text()?.to_owned();
    let mut settings = Vec::new();
    for layer in config.at(&["config", "layers"]).and_then(Ref::items).into_iter().flatten() {
        let (Some(class), Some(inner)) = (layer.get("class_name"), layer.get("config")) else { continue };
        let Some(name) = inner.get("name").and_then(Ref::text) else { continue };
        settings.push((format!("{name}.class"), setting(class)));
        for (key, value) in inner.entries().into_iter().flatten() {
            // Initializers and the like matter for a new run only; those settings are dicts.
            let of_a_class = value.entries().is_some() || value.is_null();
            if let Some(key) = key.text().filter(|key| *key != "name" && !of_a_class) {
                settings.push((format!("{name}.{key}"), setting(value)));
            }
        }
    }
    Some(Architecture { kind, settings })
}

/// Returns the tensors under names of weights.
fn renamed(weights: &[&Weight], tensors: &[crate::peers::tensor::Tensor]) -> Vec<Named> {
    let pairs = weights.iter().zip(tensors);
    pairs.map(|(weight, tensor)| Named { tensor: tensor.clone(), ..weight.named.clone() }).collect()
}

/// Returns the clipping that an optimizer's configuration says.
fn clipping(config: Option<Ref<'_>>) -> Clipping {
    let Some(config) = config else { return Clipping::Unknown };
    let number = |key: &str| config.get(key).and_then(Ref::number);
    match (number("global_clipnorm"), number("clipnorm"), number("clipvalue")) {
        (Some(most), _, _) => Clipping::Norm { most, eps: 0.0 },
        (None, Some(most), _) => Clipping::NormOfEach { most },
        (None, None, Some(most)) => Clipping::Value { most },
        (None, None, None) => Clipping::Off,
    }
}

#[cfg(test)]
mod tests;
