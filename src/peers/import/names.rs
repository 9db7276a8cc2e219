//! Names of tensors, taken apart: what a wrapper added, how libraries call one thing, and the order of registration.

use std::cmp::Ordering;

/// Words that wrappers put in front of, or between, the names of a model.
const WRAPPERS: [&str; 5] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];

/// Names of one tensor of a layer in other libraries, and in PyTorch.
const LEAVES: [(&str, &str); 7] = [
    ("kernel", "weight"),
    ("embedding", "weight"),
    ("scale", "weight"),
    ("gamma", "weight"),
    ("beta", "bias"),
    ("moving_mean", "running_mean"),
    ("moving_variance", "running_var"),
];

/// Last words of tensors that are constants or counters, which no model here needs.
const CONSTANTS: [&str; 5] = ["num_batches_tracked", "masked_bias", "inv_freq", "position_ids", "n_averaged"];

/// Members of known models in the order in which their classes register them: GPT-2 and nanoGPT, Llama, and the
/// ResNets of torchvision. Only names that meet in one module are compared by it.
const REGISTERED: [&str; 46] = [
    "transformer",
    "model",
    "wte",
    "wpe",
    "embed_tokens",
    "embed_positions",
    "h",
    "layers",
    "ln_1",
    "attn",
    "ln_2",
    "self_attn",
    "mlp",
    "input_layernorm",
    "post_attention_layernorm",
    "c_attn",
    "c_fc",
    "c_proj",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "ln_f",
    "norm",
    "lm_head",
    "conv1",
    "bn1",
    "conv2",
    "bn2",
    "conv3",
    "bn3",
    "layer1",
    "layer2",
    "layer3",
    "layer4",
    "downsample",
    "features",
    "classifier",
    "fc",
    "weight",
    "bias",
    "running_mean",
    "running_var",
];

/// Returns the words of a name, without those of wrappers, with the last one as PyTorch calls it.
pub(super) fn words(name: &str) -> Vec<&str> {
    let mut words: Vec<&str> = name.split(['.', '/']).filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| !WRAPPERS.contains(word)) {
        words.retain(|word| !WRAPPERS.contains(word));
    }
    if let Some(last) = words.last_mut()
        && let Some((_, known)) = LEAVES.iter().find(|(other, _)| other == last)
    {
        *last = known;
    }
    words
}

/// Whether a tensor is a constant or a counter by its name, which is no weight in any model here.
pub(super) fn is_constant(name: &str) -> bool {
    let words = words(name);
    let [.., before, last] = words[..] else { return words.last().is_some_and(|last| CONSTANTS.contains(last)) };
    // GPT-2's mask of attention was once saved as a buffer `attn.bias`; its map has `attn.c_attn.bias`.
    CONSTANTS.contains(&last) || (before == "attn" && last == "bias")
}

/// Compares two names of one model by the order in which it registers its tensors: numbered members by number, known
/// ones as their class does, a layer's weight before its bias, and others by name.
pub(super) fn registration_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (words(a), words(b));
    for (a, b) in a.iter().zip(&b) {
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => known_order(a, b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn known_order(a: &str, b: &str) -> Ordering {
    let place = |word: &str| REGISTERED.iter().position(|known| *known == word);
    match (place(a), place(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// Returns the numbers in the path of a layer, and the path with a mark in place of each. A path without a number is
/// the first of its kind, as Keras counts: `dense`, `dense_1`.
pub(super) fn numbered(path: &str) -> (String, Vec<u64>) {
    let (mut pattern, mut numbers, mut digits) = (String::new(), Vec::new(), String::new());
    for letter in path.chars().chain(['\0']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        if !digits.is_empty() {
            numbers.push(digits.parse().unwrap_or(u64::MAX));
            digits.clear();
            pattern.push('#');
        }
        if letter != '\0' {
            pattern.push(letter);
        }
    }
    if numbers.is_empty() {
        pattern += "_#";
        numbers.push(0);
    }
    (pattern, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_left_out_and_leaves_are_called_as_in_pytorch() {
        assert_eq!(words("_orig_mod.module.0.weight"), ["0", "weight"]);
        assert_eq!(words("layers/dense/kernel"), ["layers", "dense", "weight"]);
        assert_eq!(words("module"), ["module"]);
        assert!(is_constant("transformer.h.0.attn.bias") && !is_constant("transformer.h.0.attn.c_attn.bias"));
        assert!(is_constant("bn1.num_batches_tracked") && !is_constant("0.bias"));
    }

    #[test]
    fn the_tensors_of_a_block_are_in_the_order_in_which_gpt2_registers_them() {
        let block = |part: &str| format!("transformer.h.0.{part}");
        let mut names = vec!["transformer.ln_f.weight".to_owned(), "transformer.h.10.ln_1.weight".to_owned()];
        let parts = ["mlp.c_proj.weight", "mlp.c_fc.bias", "mlp.c_fc.weight", "ln_2.bias", "attn.c_proj.bias"];
        names.extend(parts.map(block));
        names.extend(["attn.c_attn.weight", "ln_1.weight"].map(block));
        names.extend(
            ["transformer.wpe.weight", "transformer.wte.weight", "transformer.h.2.ln_1.weight"].map(str::to_owned),
        );
        names.sort_by(|a, b| registration_order(a, b));
        let expected = [
            "transformer.wte.weight",
            "transformer.wpe.weight",
            "transformer.h.0.ln_1.weight",
            "transformer.h.0.attn.c_attn.weight",
            "transformer.h.0.attn.c_proj.bias",
            "transformer.h.0.ln_2.bias",
            "transformer.h.0.mlp.c_fc.weight",
            "transformer.h.0.mlp.c_fc.bias",
            "transformer.h.0.mlp.c_proj.weight",
            "transformer.h.2.ln_1.weight",
            "transformer.h.10.ln_1.weight",
            "transformer.ln_f.weight",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn layers_are_told_by_their_numbers() {
        assert_eq!(numbered("dense"), ("dense_#".to_owned(), vec![0]));
        assert_eq!(numbered("dense_12"), ("dense_#".to_owned(), vec![12]));
        assert_eq!(numbered("blocks.3.fc2"), ("blocks.#.fc#".to_owned(), vec![3, 2]));
    }
}
