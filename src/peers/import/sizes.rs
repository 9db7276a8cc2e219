//! The model of a checkpoint, by its configuration or by the shapes of its tensors.

use serde_json::{Map, Value, json};

use super::error::Refusal;
use super::layers::Layer;
use super::layout::turned_shape;
use super::names::{is_constant, registration_order};
use crate::figures::counted;
use crate::model::Input;
use crate::peers::Peer;
use crate::peers::peer::{Architecture, Setting};

/// A model, its rows and its outputs.
#[derive(Debug, PartialEq)]
pub(super) struct Sizes {
    /// The `[model]` table.
    pub model: Value,
    pub input: Input,
    pub outputs: usize,
    /// The data that it needs, in words.
    pub data: String,
    /// The part of it that cannot be told.
    pub remarks: Vec<String>,
}

/// Tells the model of a checkpoint.
///
/// # Errors
/// It is no model that is known here by its configuration or its shapes.
pub(super) fn of(peer: &Peer) -> Result<Sizes, Refusal> {
    match &peer.architecture {
        Some(architecture) if is_gpt(architecture, peer) => gpt(architecture),
        _ => perceptron(peer),
    }
}

/// Whether it is a GPT-2; the script of nanoGPT also trains other models.
fn is_gpt(architecture: &Architecture, peer: &Peer) -> bool {
    matches!(architecture.kind.as_str(), "gpt2" | "nanogpt")
        && peer.model.tensors.iter().any(|named| named.name.ends_with("wte.weight"))
}

fn setting<'a>(architecture: &'a Architecture, name: &str) -> Option<&'a Setting> {
    architecture.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn number(architecture: &Architecture, name: &str) -> Option<f64> {
    setting(architecture, name)?.number()
}

/// GPT-2 as transformers configures it, and as nanoGPT does.
fn gpt(architecture: &Architecture) -> Result<Sizes, Refusal> {
    let whole = |name: &str| {
        let found = number(architecture, name).filter(|number| *number >= 1.0 && *number < 1e9);
        found.map(|number| number as usize).ok_or_else(|| Refusal::cannot(name, "is not in the model's configuration"))
    };
    let is_nano = architecture.kind == "nanogpt";
    let context = if is_nano { whole("block_size") } else { whole("n_positions") }?;
    let (vocabulary, mut model) = (whole("vocab_size")?, Map::new());
    let mut put = |key: &str, value: Value| drop(model.insert(key.to_owned(), value));
    put("kind", "gpt".into());
    put("layers", whole("n_layer")?.into());
    put("heads", whole("n_head")?.into());
    put("width", whole("n_embd")?.into());
    put("context", context.into());
    let activation = match setting(architecture, "activation_function").and_then(Setting::text) {
        _ if is_nano => "gelu",
        None | Some("gelu_new" | "gelu_pytorch_tanh") => "gelu_tanh",
        Some("gelu") => "gelu",
        Some(other) => return Err(Refusal::cannot("activation_function", format!("{other} is not among those here"))),
    };
    put("activation", activation.into());
    if let Ok(hidden) = whole("n_inner") {
        put("hidden", hidden.into());
    }
    if setting(architecture, "bias") == Some(&Setting::Bool(false)) {
        put("bias", false.into());
    }
    if setting(architecture, "tie_word_embeddings") == Some(&Setting::Bool(false)) {
        put("tied", false.into());
    }
    let dropouts = ["embd_pdrop", "attn_pdrop", "resid_pdrop", "dropout"].map(|name| number(architecture, name));
    let mut remarks = Vec::new();
    let known: Vec<f64> = dropouts.into_iter().flatten().collect();
    match known.first() {
        Some(first) if known.iter().any(|other| other != first) => {
            remarks.push(format!("dropout: there it differs by place ({known:?}), and here it is one number"));
        }
        Some(first) if *first > 0.0 => put("dropout", (*first).into()),
        _ => {}
    }
    if number(architecture, "layer_norm_epsilon").is_some_and(|eps| eps != 1e-5) {
        remarks.push("layer_norm_epsilon: here it is 1e-5".to_owned());
    }
    Ok(Sizes {
        model: Value::Object(model),
        input: Input::Tokens { context, vocabulary },
        outputs: vocabulary,
        data: format!("a text of {vocabulary} different tokens, and its tokenizer"),
        remarks,
    })
}

/// A chain of linear layers.
fn perceptron(peer: &Peer) -> Result<Sizes, Refusal> {
    let layers = layers(peer);
    let all: Option<Vec<[usize; 2]>> = layers.iter().map(linear).collect();
    let all = all.filter(|all| !all.is_empty()).ok_or_else(|| unknown(peer))?;
    let widths = widths(&all).or_else(|| widths(&chained(&all)?)).ok_or_else(|| unknown(peer))?;
    let [inputs, ref hidden @ .., outputs] = widths[..] else { return Err(unknown(peer)) };
    let mut model = json!({"kind": "mlp", "hidden": hidden});
    let tied = tied(peer, &layers);
    if !tied.is_empty() {
        model["tied"] = json!(tied);
    }
    Ok(Sizes {
        model,
        input: Input::Numbers(vec![inputs]),
        outputs,
        data: format!("rows of {inputs} numbers, with targets for {}", counted(outputs, "output")),
        remarks: vec!["activation: ReLU unless the peer's is another".to_owned()],
    })
}

/// Returns inputs and outputs of a linear layer.
fn linear(layer: &Layer) -> Option<[usize; 2]> {
    let shape = |leaf: &str| layer.tensors.get(leaf).map(|(_, shape)| shape.as_slice());
    match (shape("weight"), shape("bias"), layer.tensors.len()) {
        (Some([outputs, inputs]), Some([biases]), 2) if biases == outputs => Some([*inputs, *outputs]),
        _ => None,
    }
}

/// Returns the inputs of the first layer and the outputs of all, if each takes what the one before it gives.
fn widths(layers: &[[usize; 2]]) -> Option<Vec<usize>> {
    let [inputs, _] = layers.first()?;
    let mut widths = vec![*inputs];
    for [inputs, outputs] in layers {
        if widths.last() != Some(inputs) {
            return None;
        }
        widths.push(*outputs);
    }
    Some(widths)
}

/// Returns the layers in the only order in which each takes what the one before it gives.
fn chained(layers: &[[usize; 2]]) -> Option<Vec<[usize; 2]>> {
    let is_first = |[inputs, _]: &&[usize; 2]| layers.iter().all(|[_, outputs]| outputs != inputs);
    let mut rest = layers.to_vec();
    let mut chain: Vec<[usize; 2]> = Vec::new();
    while !rest.is_empty() {
        let fits =
            |layer: &&[usize; 2]| chain.last().map_or_else(|| is_first(layer), |[_, before]| layer[0] == *before);
        let found: Vec<[usize; 2]> = rest.iter().filter(fits).copied().collect();
        let [only] = found[..] else { return None };
        rest.retain(|layer| *layer != only);
        chain.push(only);
    }
    Some(chain)
}

fn unknown(peer: &Peer) -> Refusal {
    let kind = peer.architecture.as_ref().map(|architecture| format!(" (`{}`)", architecture.kind)).unwrap_or_default();
    Refusal::cannot(
        "model",
        format!(
            "it cannot be told{kind}: it is no GPT-2 with its configuration, and its tensors are no chain of linear \
             layers; give --config"
        ),
    )
}

/// Returns the layers, with tied tensors at each of their places, in the order in which they compute.
fn layers(peer: &Peer) -> Vec<Layer> {
    let tensors = peer.model.tensors.iter().filter(|named| !is_constant(&named.name));
    let shape = |named: &crate::peers::peer::Named| turned_shape(named.tensor.shape(), named.in_out);
    let mut all: Vec<(&str, Vec<usize>)> = tensors.map(|named| (named.name.as_str(), shape(named))).collect();
    let tied = peer.model.tied.iter().filter_map(|(further, first)| {
        let named = peer.model.tensors.iter().find(|named| named.name == *first)?;
        Some((further.as_str(), shape(named)))
    });
    all.extend(tied);
    if !peer.model.in_order || !peer.model.tied.is_empty() {
        all.sort_by(|(a, _), (b, _)| registration_order(a, b));
    }
    Layer::of(all.into_iter())
}

/// Returns the pairs of tied weights under the names of a perceptron here.
fn tied(peer: &Peer, layers: &[Layer]) -> Vec<[String; 2]> {
    let ours = |name: &str| {
        layers.iter().enumerate().find_map(|(place, layer)| {
            let leaf = layer.tensors.iter().find(|(_, (own, _))| own == name)?.0;
            Some(format!("{}.{leaf}", 2 * place))
        })
    };
    peer.model.tied.iter().filter_map(|(further, first)| Some([ours(further)?, ours(first)?])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_chained_where_one_order_is_possible() {
        assert_eq!(chained(&[[32, 1], [10, 32]]), Some(vec![[10, 32], [32, 1]]));
        assert_eq!(widths(&[[10, 32], [32, 1]]), Some(vec![10, 32, 1]));
        assert_eq!(chained(&[[8, 8], [8, 8]]), None);
        assert_eq!(chained(&[[4, 8], [4, 8]]), None);
        assert_eq!((widths(&[[4, 8], [9, 1]]), widths(&[])), (None, None));
    }
}
