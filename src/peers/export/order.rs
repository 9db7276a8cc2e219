//! The order in which PyTorch registers the parameters of our models.
//!
//! Our checkpoints have them by name, and PyTorch numbers them as its modules are made: a layer's weight before its
//! bias, layer 2 before layer 10, the norm of a GPT-2 before its attention. Each name is split at its dots, and each
//! piece compared by its place in one list, which is enough for the models that we have.

use std::cmp::Ordering;

/// Names of modules and tensors in the order of their registration, in the classes of PyTorch, torchvision and
/// transformers whose names our models have. Names that are registered side by side only need the right order among
/// themselves.
const ORDER: &[&str] = &[
    "transformer",
    "model",
    "wte",
    "wpe",
    "embed_tokens",
    "embed_positions",
    "h",
    "layers",
    "conv1",
    "bn1",
    "conv2",
    "bn2",
    "conv3",
    "bn3",
    "downsample",
    "layer1",
    "layer2",
    "layer3",
    "layer4",
    "features",
    "classifier",
    "ln_1",
    "self_attn",
    "attn",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "c_attn",
    "ln_2",
    "mlp",
    "gate_proj",
    "up_proj",
    "down_proj",
    "c_fc",
    "c_proj",
    "input_layernorm",
    "post_attention_layernorm",
    "ln_f",
    "norm",
    "fc",
    "lm_head",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
];

/// Compares two names by the order of their registration.
pub(in crate::peers) fn compare(a: &str, b: &str) -> Ordering {
    a.split('.').map(rank).cmp(b.split('.').map(rank))
}

/// Returns whether the order of a name is known, rather than that of the alphabet.
pub(in crate::peers) fn is_known(name: &str) -> bool {
    name.split('.').all(|piece| piece.parse::<u64>().is_ok() || ORDER.contains(&piece))
}

/// Numbers come first, by value, then the known names by their place, then others by the alphabet.
fn rank(piece: &str) -> (u64, u64, &str) {
    if let Ok(number) = piece.parse() {
        return (0, number, "");
    }
    match ORDER.iter().position(|known| *known == piece) {
        Some(place) => (1, place as u64, ""),
        None => (2, 0, piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
        let mut names = names.to_vec();
        names.sort_by(|a, b| compare(a, b));
        names
    }

    #[test]
    fn a_weight_comes_before_its_bias_and_layer_2_before_layer_10() {
        let names = ["0.bias", "0.weight", "10.bias", "10.weight", "2.bias", "2.weight"];
        assert_eq!(sorted(&names), ["0.weight", "0.bias", "2.weight", "2.bias", "10.weight", "10.bias"]);
    }

    /// The ids of the case `transformers/gpt2_tied` are in this order.
    #[test]
    fn a_gpt_2_is_in_the_order_of_its_modules() {
        let expected = [
            "transformer.wte.weight",
            "transformer.wpe.weight",
            "transformer.h.0.ln_1.weight",
            "transformer.h.0.ln_1.bias",
            "transformer.h.0.attn.c_attn.weight",
            "transformer.h.0.attn.c_attn.bias",
            "transformer.h.0.attn.c_proj.weight",
            "transformer.h.0.attn.c_proj.bias",
            "transformer.h.0.ln_2.weight",
            "transformer.h.0.ln_2.bias",
            "transformer.h.0.mlp.c_fc.weight",
            "transformer.h.0.mlp.c_fc.bias",
            "transformer.h.0.mlp.c_proj.weight",
            "transformer.h.0.mlp.c_proj.bias",
            "transformer.h.1.ln_1.weight",
            "transformer.ln_f.weight",
            "transformer.ln_f.bias",
        ];
        let mut names = expected;
        names.sort_unstable();
        assert_eq!(sorted(&names), expected);
    }
}
