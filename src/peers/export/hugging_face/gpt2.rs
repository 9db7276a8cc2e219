//! `GPT2LMHeadModel`: learned positions, layer norms and GELU, with biases everywhere.

use serde_json::{Value, json};

use super::{Sizes, Weights, zeros};
use crate::model::{GptActivation, GptConfig};

/// Returns `config.json`.
pub(in crate::peers::export) fn config(gpt: &GptConfig, sizes: Sizes) -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": activation(gpt.activation),
        "vocab_size": sizes.vocabulary,
        "n_positions": sizes.context,
        "n_embd": gpt.width,
        "n_layer": gpt.layers,
        "n_head": gpt.heads,
        "n_inner": gpt.hidden(),
        "embd_pdrop": gpt.dropout,
        "attn_pdrop": gpt.dropout,
        "resid_pdrop": gpt.dropout,
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": gpt.tied,
        "use_cache": false,
        "dtype": "float32",
    })
}

/// The name of a nonlinearity in transformers. `gelu_new` is the approximation by a hyperbolic tangent.
fn activation(activation: GptActivation) -> &'static str {
    match activation {
        GptActivation::GeluTanh => "gelu_new",
        GptActivation::Gelu | GptActivation::Swiglu => "gelu",
    }
}

/// Adds a bias of zeros to each layer that has none, which changes no result.
pub(super) fn complete(gpt: &GptConfig, weights: &mut Weights) {
    if gpt.bias {
        return;
    }
    let of_layer = |name: &str| {
        let layer = name.strip_suffix(".weight")?;
        let has_bias = layer.starts_with("transformer.h.") || layer == "transformer.ln_f";
        has_bias.then(|| format!("{layer}.bias"))
    };
    let biases: Weights = weights
        .iter()
        .filter_map(|(name, tensor)| {
            // The maps are `[in, out]`.
            let outputs = tensor.shape.last().copied().unwrap_or_default();
            Some((of_layer(name)?, zeros(tensor.dtype, vec![outputs])))
        })
        .collect();
    weights.extend(biases);
}
