//! Settings of a GPT, and the sizes that follow from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Activations, LoraConfig};

/// How a model encodes the positions of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Positions {
    /// A learned vector for each position, added to the token's.
    #[default]
    Learned,
    /// Queries and keys are rotated by an angle that grows with the position.
    Rotary,
}

/// The nonlinearity of a block's MLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GptActivation {
    /// `x Φ(x)`, like `torch.nn.GELU`.
    #[default]
    Gelu,
    /// Its approximation by a hyperbolic tangent, used to train GPT-2 (`gelu_new`).
    GeluTanh,
    /// A gate, `silu(gate x) * (up x)`, with a third matrix.
    Swiglu,
}

/// The normalization before each part of a block and at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GptNorm {
    /// Layer norm with a scale, and a bias if the model has biases; `eps` is 1e-5.
    #[default]
    Layer,
    /// RMS norm with a scale; `eps` is 1e-6.
    Rms,
}

/// The settings of a [`Gpt`](super::Gpt).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GptConfig {
    /// Number of blocks.
    #[schemars(range(min = 1))]
    pub layers: usize,
    /// Number of query heads in each block; must divide the width.
    #[schemars(range(min = 1))]
    pub heads: usize,
    /// Number of key heads and of value heads, each shared by `heads / kv_heads` query heads; by default the number of
    /// query heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub kv_heads: Option<usize>,
    /// Embedding size: the length of a token's vector in the model.
    #[schemars(range(min = 1))]
    pub width: usize,
    /// Width inside a block's MLP. By default four times the embedding size; with a gate, which has three matrices, two
    /// thirds of that, rounded up to a multiple of 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub hidden: Option<usize>,
    /// The longest sequence that the model takes; by default the length of the data's sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub context: Option<usize>,
    /// How the model encodes the positions of tokens.
    #[serde(default)]
    pub positions: Positions,
    /// The base of the angles of rotary positions.
    #[serde(default = "default_rotary_base")]
    #[schemars(extend("exclusiveMinimum" = 1.0))]
    pub rotary_base: f64,
    /// Nonlinearity of the MLPs.
    #[serde(default)]
    pub activation: GptActivation,
    /// Normalization.
    #[serde(default)]
    pub norm: GptNorm,
    /// Whether linear maps and layer norms have biases.
    #[serde(default = "default_true")]
    pub bias: bool,
    /// Whether the output map shares its weights with the token embeddings.
    #[serde(default = "default_true")]
    pub tied: bool,
    /// The token that begins a document in a row of several. A position then sees only those of the same document, and
    /// learned positions count from its beginning; rotary ones depend on distances alone. Data with `packing =
    /// "documents"` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_start: Option<u32>,
    /// Probability in `[0, 1)` of dropping, in training: elements of the embeddings, attention weights, and elements of
    /// the outputs of a block's two parts.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Probability in `[0, 1)` that training drops each of the two parts of the last block, for a row: stochastic depth.
    /// It grows evenly from 0 at the first block, and what is kept is divided by the probability of that, as in timm.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub stochastic_depth: f64,
    /// Whether the intermediate results of blocks are recomputed in the backward pass instead of kept: the same bits
    /// with less memory, at the cost of another forward pass.
    #[serde(default)]
    pub checkpoint_activations: bool,
    /// Adapters of low rank beside the linear maps, which are trained in place of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

fn default_rotary_base() -> f64 {
    10_000.0
}

fn default_true() -> bool {
    true
}

impl GptConfig {
    /// Creates settings with these sizes, and defaults for all others.
    pub fn new(layers: usize, heads: usize, width: usize) -> Self {
        Self {
            layers,
            heads,
            kv_heads: None,
            width,
            hidden: None,
            context: None,
            positions: Positions::default(),
            rotary_base: default_rotary_base(),
            activation: GptActivation::default(),
            norm: GptNorm::default(),
            bias: true,
            tied: true,
            document_start: None,
            dropout: 0.0,
            stochastic_depth: 0.0,
            checkpoint_activations: false,
            lora: None,
        }
    }
}

impl GptConfig {
    /// Returns the number of key heads, which is also that of value heads.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads.unwrap_or(self.heads)
    }

    /// Returns the size of a head.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// Returns the width inside a block's MLP.
    pub fn hidden(&self) -> usize {
        let usual = match self.activation {
            GptActivation::Swiglu => {
                let two_thirds = self.width.saturating_mul(8).div_ceil(3);
                two_thirds.checked_next_multiple_of(32).unwrap_or(usize::MAX)
            }
            GptActivation::Gelu | GptActivation::GeluTanh => self.width.saturating_mul(4),
        };
        self.hidden.unwrap_or(usual)
    }

    /// Estimates the memory of activations for a row of `context` tokens with `outputs` numbers each.
    pub(super) fn activations(&self, context: usize, outputs: usize) -> Activations {
        let (width, hidden, outputs) = (self.width as u64, self.hidden() as u64, outputs as u64);
        let keys = (self.kv_heads() * self.head_size()) as u64;
        let turned = if self.positions == Positions::Rotary { width.saturating_add(keys) } else { 0 };
        let perceptron = if self.activation == GptActivation::Swiglu { 3 } else { 2 };
        // Two norms, attention, its projection, the MLP's last map and two sums; queries, keys and values.
        let block = width.saturating_mul(8).saturating_add(keys.saturating_mul(2)).saturating_add(turned);
        let block = block.saturating_add(hidden.saturating_mul(perceptron));
        let layers = self.layers as u64;
        let blocks = match self.checkpoint_activations {
            true => layers.saturating_mul(width).saturating_add(block),
            false => layers.saturating_mul(block),
        };
        // The embedding and the last norm; the outputs and their gradient.
        let ends = width.saturating_mul(2).saturating_add(outputs.saturating_mul(2));
        let widest = hidden.saturating_mul(2).max(width.saturating_add(outputs));
        let of_row = |numbers: u64| numbers.saturating_mul(context as u64);
        // The results of three dropouts in each block.
        let dropped = if self.dropout > 0.0 { layers.saturating_mul(width).saturating_mul(3) } else { 0 };
        let dropped = match self.stochastic_depth > 0.0 {
            true => dropped.saturating_add(layers.saturating_mul(width).saturating_mul(2)),
            false => dropped,
        };
        // The inputs of the adapters of a block: of queries, keys, values, the projection, and the maps of the MLP.
        let adapted = match LoraConfig::drops(self.lora.as_ref()) {
            true => layers.saturating_mul(width.saturating_mul(6).saturating_add(hidden)),
            false => 0,
        };
        let dropped = dropped.saturating_add(adapted);
        let passing = widest.saturating_mul(3).saturating_add(dropped);
        Activations { kept: of_row(blocks.saturating_add(ends)), widest: of_row(widest), passing: of_row(passing) }
    }

    /// Whether the model can be stored in the format of GPT-2's files; all others use Llama's names.
    pub fn is_gpt2(&self) -> bool {
        self.positions == Positions::Learned
            && self.norm == GptNorm::Layer
            && self.activation != GptActivation::Swiglu
            && self.kv_heads() == self.heads
    }
}
