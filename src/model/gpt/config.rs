//! Settings of a GPT, and the sizes that follow from them.

use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::error::check_dropout;
use super::super::{Activations, Model, ModelConfig, ModelError, ModelSpec, Outline};
use super::Gpt;
use crate::data::Input;

/// How a model encodes the positions of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    /// Probability in `[0, 1)` of dropping, in training: elements of the embeddings, attention weights, and elements of
    /// the outputs of a block's two parts.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Whether the intermediate results of blocks are recomputed in the backward pass instead of kept: the same bits
    /// with less memory, at the cost of another forward pass.
    #[serde(default)]
    pub checkpoint_activations: bool,
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
            dropout: 0.0,
            checkpoint_activations: false,
        }
    }
}

impl ModelSpec for GptConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("layers", Some(self.layers)),
            ("heads", Some(self.heads)),
            ("kv_heads", self.kv_heads),
            ("width", Some(self.width)),
            ("hidden", self.hidden),
            ("context", self.context),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == Some(0)) {
            return Err(ModelError::field(field, 0, "must be at least 1"));
        }
        if !self.width.is_multiple_of(self.heads) {
            let rule = format!("must divide the width, {}", self.width);
            return Err(ModelError::field("heads", self.heads, rule));
        }
        if !self.heads.is_multiple_of(self.kv_heads()) {
            let rule = format!("must divide the number of heads, {}", self.heads);
            return Err(ModelError::field("kv_heads", self.kv_heads(), rule));
        }
        if self.positions == Positions::Rotary && !self.head_size().is_multiple_of(2) {
            let rule = format!(
                "rotary positions turn pairs of numbers, and a head has {}: give an even width to a head",
                self.head_size()
            );
            return Err(ModelError::field("heads", self.heads, rule));
        }
        if !(self.rotary_base.is_finite() && self.rotary_base > 1.0) {
            return Err(ModelError::field("rotary_base", self.rotary_base, "must be a finite number above 1"));
        }
        check_dropout(self.dropout)
    }

    fn build(&self, input: &Input, outputs: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>, ModelError> {
        match *input {
            Input::Tokens { context, vocabulary } => {
                Ok(Box::new(Gpt::new(self.clone(), context, vocabulary, outputs, seed, device)?))
            }
            Input::Numbers(_) => {
                Err(ModelError::OtherData { model: "a gpt", takes: "rows of tokens".to_owned(), data: input.clone() })
            }
        }
    }

    fn outline(&self, input: &Input, outputs: usize) -> Result<Option<Outline>, ModelError> {
        let activations = match input {
            Input::Tokens { context, .. } => self.activations(*context, outputs),
            Input::Numbers(_) => Activations::default(),
        };
        Outline::counted(self, activations, input, outputs).map(Some)
    }

    fn resumable(&self) -> &'static [&'static str] {
        &["dropout", "activation", "checkpoint_activations"]
    }

    fn complete(&self, context: Option<usize>) -> Option<ModelConfig> {
        let context = self.context.or(context);
        let (kv_heads, hidden) = (Some(self.kv_heads()), Some(self.hidden()));
        ModelConfig::of(&Self { context, kv_heads, hidden, ..self.clone() }).ok()
    }

    fn memory_remedies(&self) -> Vec<(String, ModelConfig)> {
        if self.checkpoint_activations {
            return Vec::new();
        }
        let again = ModelConfig::of(&Self { checkpoint_activations: true, ..self.clone() });
        again.into_iter().map(|again| ("`model.checkpoint_activations = true`".to_owned(), again)).collect()
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
    fn activations(&self, context: usize, outputs: usize) -> Activations {
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
