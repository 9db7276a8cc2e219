//! Tensors of a GPT: names, layouts in files, and initial values.
//!
//! A model that is a GPT-2 has the names of Hugging Face's `GPT2LMHeadModel`, whose linear maps are `[in, out]`; all
//! others have those of `LlamaForCausalLM`, whose maps are `[out, in]`. Tensors that Llama lacks are named in its
//! style: `model.embed_positions.weight` for learned positions, only `mlp.up_proj` and `mlp.down_proj` for an MLP
//! without a gate, biases beside every weight. A tied output map is not stored, as in Hugging Face's files.

use candle_core::{Result, Tensor, Var};

use super::super::layers::{Builder, Linear, Weight};
use super::config::{GptActivation, GptConfig, GptNorm, Positions};
use crate::ops;

/// The standard deviation of initial weights, as in GPT-2's code: Radford et al., "Language models are unsupervised
/// multitask learners", 2019.
const DEVIATION: f32 = 0.02;

/// Creates the tensors of a model, each drawn from the seed and its name.
pub(super) struct GptBuilder<'a> {
    pub config: &'a GptConfig,
    pub builder: Builder<'a>,
}

impl GptBuilder<'_> {
    /// Creates a table with one row of the embedding size per token or position.
    pub fn table(&mut self, name: &str, rows: usize) -> Result<Weight> {
        self.builder.normal(name, (rows, self.config.width), DEVIATION)
    }

    fn bias(&mut self, name: &str, width: usize) -> Result<Option<Weight>> {
        self.config.bias.then(|| self.builder.constant(&format!("{name}.bias"), width, 0.0)).transpose()
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, deviation: f32) -> Result<Linear> {
        let in_first = self.config.is_gpt2();
        let (rows, columns) = if in_first { (inputs, outputs) } else { (outputs, inputs) };
        let weight = self.builder.normal(&format!("{name}.weight"), (rows, columns), deviation)?;
        let bias = self.bias(name, outputs)?;
        Ok(Linear { weight, bias, in_first, adapter: self.builder.adapter(name, inputs, outputs)? })
    }

    pub fn norm(&mut self, name: &str) -> Result<Norm> {
        let width = self.config.width;
        let weight = self.builder.constant(&format!("{name}.weight"), width, 1.0)?;
        Ok(match self.config.norm {
            GptNorm::Rms => Norm::Rms { weight },
            GptNorm::Layer => Norm::Layer { weight, bias: self.bias(name, width)? },
        })
    }

    /// Creates the token embeddings, and position embeddings if they are learned.
    pub fn embeddings(&mut self, vocabulary: usize, context: usize) -> Result<(Weight, Option<Weight>)> {
        let (tokens, positions) = match self.config.is_gpt2() {
            true => ("transformer.wte.weight", "transformer.wpe.weight"),
            false => ("model.embed_tokens.weight", "model.embed_positions.weight"),
        };
        let tokens = self.table(tokens, vocabulary)?;
        let learned = self.config.positions == Positions::Learned;
        Ok((tokens, learned.then(|| self.table(positions, context)).transpose()?))
    }

    pub fn last_norm(&mut self) -> Result<Norm> {
        self.norm(if self.config.is_gpt2() { "transformer.ln_f" } else { "model.norm" })
    }

    /// Creates the tensors of block number `index`. The maps that add to the residual stream start smaller in deeper
    /// models, so that the sum does not grow with the number of blocks.
    pub fn block(&mut self, index: usize) -> Result<BlockWeights> {
        let (width, hidden) = (self.config.width, self.config.hidden());
        let keys = self.config.kv_heads() * self.config.head_size();
        let residual = DEVIATION / (2.0 * self.config.layers as f32).sqrt();
        if self.config.is_gpt2() {
            let name = |part: &str| format!("transformer.h.{index}.{part}");
            let packed = self.linear(&name("attn.c_attn"), width, width.saturating_add(2 * keys), DEVIATION)?;
            return Ok(BlockWeights {
                attention_norm: self.norm(&name("ln_1"))?,
                qkv: Qkv::Packed(packed),
                projection: self.linear(&name("attn.c_proj"), width, width, residual)?,
                mlp_norm: self.norm(&name("ln_2"))?,
                gate: None,
                up: self.linear(&name("mlp.c_fc"), width, hidden, DEVIATION)?,
                down: self.linear(&name("mlp.c_proj"), hidden, width, residual)?,
            });
        }
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let gated = self.config.activation == GptActivation::Swiglu;
        let separate = [
            self.linear(&name("self_attn.q_proj"), width, width, DEVIATION)?,
            self.linear(&name("self_attn.k_proj"), width, keys, DEVIATION)?,
            self.linear(&name("self_attn.v_proj"), width, keys, DEVIATION)?,
        ];
        let gate = gated.then(|| self.linear(&name("mlp.gate_proj"), width, hidden, DEVIATION)).transpose()?;
        Ok(BlockWeights {
            attention_norm: self.norm(&name("input_layernorm"))?,
            qkv: Qkv::Separate(Box::new(separate)),
            projection: self.linear(&name("self_attn.o_proj"), width, width, residual)?,
            mlp_norm: self.norm(&name("post_attention_layernorm"))?,
            gate,
            up: self.linear(&name("mlp.up_proj"), width, hidden, DEVIATION)?,
            down: self.linear(&name("mlp.down_proj"), hidden, width, residual)?,
        })
    }

    /// Creates the output map, unless it is tied to the token embeddings.
    pub fn head(&mut self, outputs: usize) -> Result<Option<Linear>> {
        if self.config.tied {
            return Ok(None);
        }
        let weight = self.table("lm_head.weight", outputs)?;
        let adapter = self.builder.adapter("lm_head", self.config.width, outputs)?;
        Ok(Some(Linear { weight, bias: None, in_first: false, adapter }))
    }
}

/// A normalization.
#[derive(Debug)]
pub(super) enum Norm {
    Layer { weight: Weight, bias: Option<Weight> },
    Rms { weight: Weight },
}

impl Norm {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Layer { weight, bias } => {
                let bias = bias.as_ref().map(Weight::tensor);
                ops::layer_norm(x, weight.tensor(), bias, 1e-5)
            }
            Self::Rms { weight } => ops::rms_norm(x, weight.tensor(), 1e-6),
        }
    }

    fn weights(&self) -> impl Iterator<Item = &Weight> {
        let (weight, bias) = match self {
            Self::Layer { weight, bias } => (weight, bias.as_ref()),
            Self::Rms { weight } => (weight, None),
        };
        [weight].into_iter().chain(bias)
    }
}

/// The maps from a block's input to queries, keys and values.
#[derive(Debug)]
pub(super) enum Qkv {
    /// One map, whose outputs are concatenated.
    Packed(Linear),
    /// Three separate maps.
    Separate(Box<[Linear; 3]>),
}

/// The tensors of a block.
#[derive(Debug)]
pub(super) struct BlockWeights {
    pub attention_norm: Norm,
    pub qkv: Qkv,
    pub projection: Linear,
    pub mlp_norm: Norm,
    pub gate: Option<Linear>,
    pub up: Linear,
    pub down: Linear,
}

impl BlockWeights {
    /// Returns those that are trained.
    pub fn vars(&self) -> Vec<Var> {
        let qkv: &[Linear] = match &self.qkv {
            Qkv::Packed(linear) => std::slice::from_ref(linear),
            Qkv::Separate(linears) => linears.as_slice(),
        };
        let linears = qkv.iter().chain([&self.projection, &self.up, &self.down]).chain(&self.gate);
        let norms = [&self.attention_norm, &self.mlp_norm];
        let weights = linears.flat_map(Linear::weights).chain(norms.into_iter().flat_map(Norm::weights));
        weights.filter_map(|weight| weight.var().cloned()).collect()
    }
}
