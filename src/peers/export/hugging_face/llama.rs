//! `LlamaForCausalLM`: rotary positions, RMS norms and a gate.

use serde_json::{Value, json};

use super::Sizes;
use crate::model::GptConfig;

/// Returns `config.json`. The base of the positions has two places: that of transformers since version 5, and that of
/// earlier ones and of candle-transformers.
pub(super) fn config(gpt: &GptConfig, sizes: Sizes) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.context,
        "hidden_size": gpt.width,
        "intermediate_size": gpt.hidden(),
        "num_hidden_layers": gpt.layers,
        "num_attention_heads": gpt.heads,
        "num_key_value_heads": gpt.kv_heads(),
        "head_dim": gpt.head_size(),
        "rms_norm_eps": 1e-6,
        "rope_theta": gpt.rotary_base,
        "rope_parameters": { "rope_type": "default", "rope_theta": gpt.rotary_base },
        "attention_bias": gpt.bias,
        "mlp_bias": gpt.bias,
        "attention_dropout": gpt.dropout,
        "tie_word_embeddings": gpt.tied,
        "dtype": "float32",
    })
}
