//! A GPT: a decoder-only transformer that predicts the next token at each position. Vaswani et al., 2017, with the
//! norms before each part, as in Radford et al., "Language models are unsupervised multitask learners", 2019.

mod config;
mod spec;
mod weights;

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

pub use config::{GptActivation, GptConfig, GptNorm, Positions};
use weights::{BlockWeights, GptBuilder, Norm, Qkv};

use super::layers::{Builder, Linear, Weight};
use super::stochastic_depth::BlockDrop;
use super::{Mode, Model, ModelError, ModelSpec, Policy};
use crate::ops::dropout::{Mask, dropout};
use crate::ops::{self, Documents, Heads};
use crate::parameters::Parameters;
use crate::rng::StepRng;

/// A GPT. Its weights have the names and layouts of Hugging Face: those of `GPT2LMHeadModel` if the model is a GPT-2
/// (learned positions, layer norm, GELU, as many key heads as query heads), otherwise those of `LlamaForCausalLM`.
#[derive(Debug)]
pub struct Gpt {
    config: GptConfig,
    context: usize,
    tokens: Weight,
    positions: Option<Weight>,
    blocks: Vec<Arc<Block>>,
    norm: Norm,
    head: Option<Linear>,
    policy: Policy,
    parameters: Parameters,
    frozen: Parameters,
}

impl Gpt {
    /// Creates a model for sequences of up to `context` tokens, or of the length in the configuration, with `outputs`
    /// numbers at each position. Weights are drawn from `seed` like GPT-2's: normal with a standard deviation of 0.02,
    /// and of `0.02 / sqrt(2 layers)` for the maps that add to the residual stream; biases are 0 and scales 1.
    ///
    /// # Errors
    /// A field is out of range, model and data do not fit, or the device fails.
    pub fn new(
        config: GptConfig,
        context: usize,
        vocabulary: usize,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        Self::with_policy(config, context, vocabulary, outputs, seed, device, Policy::default())
    }

    /// [`Gpt::new`] with other types of numbers than f32.
    ///
    /// # Errors
    /// As [`Gpt::new`], or when the device has no such type.
    pub fn with_policy(
        config: GptConfig,
        context: usize,
        vocabulary: usize,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> std::result::Result<Self, ModelError> {
        config.validate()?;
        let longest = config.context.unwrap_or(context);
        if longest < context {
            let rule = format!("is less than the {context} tokens of a row of the data");
            return Err(ModelError::field("context", longest, rule));
        }
        if config.tied && outputs != vocabulary {
            let rule = format!("the table of {vocabulary} tokens cannot give {outputs} outputs; set it to false");
            return Err(ModelError::field("tied", true, rule));
        }
        let builder = Builder::new(seed, device, policy).adapting(config.lora.as_ref())?;
        let mut maker = GptBuilder { config: &config, builder };
        let (tokens, positions) = maker.embeddings(vocabulary, longest)?;
        let block = |index| {
            let drop = BlockDrop::new(config.stochastic_depth, index, config.layers);
            Ok(Arc::new(Block { config: config.clone(), index, drop, weights: maker.block(index)? }))
        };
        let blocks = (0..config.layers).map(block).collect::<Result<_>>()?;
        let (norm, head) = (maker.last_norm()?, maker.head(outputs)?);
        maker.builder.check()?;
        let Builder { parameters, frozen, .. } = maker.builder;
        Ok(Self { context: longest, tokens, positions, blocks, norm, head, policy, parameters, frozen, config })
    }

    /// Returns the longest sequence that it takes.
    pub fn context(&self) -> usize {
        self.context
    }

    fn embed(&self, tokens: &Tensor, documents: Option<&Documents>) -> Result<Tensor> {
        let table = self.tokens.tensor();
        let embedded = match (&self.positions, documents) {
            (Some(positions), Some(documents)) => {
                let positions = ops::embedding(positions.tensor(), &documents.positions(tokens)?)?;
                ops::add(&ops::embedding(table, tokens)?, &positions)?
            }
            (Some(positions), None) => ops::embedding_with_positions(table, positions.tensor(), tokens)?,
            (None, _) => ops::embedding(table, tokens)?,
        };
        // Fewer numbers than the table has.
        ops::cast(&embedded, self.policy.compute)
    }
}

impl Model for Gpt {
    /// `inputs` is `[rows, context]` (u32), with at most the model's context length; the result is `[rows, context,
    /// outputs]`.
    fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let (_, context) = inputs.dims2()?;
        if context > self.context {
            candle_core::bail!("{context} tokens are more than the {} that the model takes", self.context);
        }
        let draws = mode.draws().copied();
        let documents = self.config.document_start.map(|start| Documents::beginning_with(start, inputs)).transpose()?;
        let embedded = self.embed(inputs, documents.as_ref())?;
        let mut x = drop_some(embedded, self.config.dropout, draws, "dropout/embedding")?;
        for block in &self.blocks {
            x = if self.config.checkpoint_activations && draws.is_some() {
                let (again, documents) = (Arc::clone(block), documents.clone());
                ops::recompute(&x, block.weights.vars(), move |x| again.forward(x, draws, documents.as_ref()))?
            } else {
                mode.detach_in_eval(block.forward(&x, draws, documents.as_ref())?)
            };
        }
        let x = self.norm.forward(&x)?;
        let outputs = match &self.head {
            Some(head) => head.forward(&x, draws.as_ref())?,
            None => ops::linear(&x, self.tokens.tensor(), None)?,
        };
        ops::cast(&outputs, self.policy.output)
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn frozen(&self) -> Parameters {
        self.frozen.clone()
    }
}

/// Attention, then an MLP, each on the normalized input and added to it.
#[derive(Debug)]
struct Block {
    config: GptConfig,
    index: usize,
    drop: BlockDrop,
    weights: BlockWeights,
}

impl Block {
    fn forward(&self, x: &Tensor, draws: Option<StepRng>, documents: Option<&Documents>) -> Result<Tensor> {
        let attended = self.attention(&self.weights.attention_norm.forward(x)?, draws, documents)?;
        let attended = self.drop_some(attended, draws, "projection")?;
        let x = ops::add(x, &self.drop.of(attended, draws.as_ref(), "attention")?)?;
        let transformed = self.mlp(&self.weights.mlp_norm.forward(&x)?, draws.as_ref())?;
        let transformed = self.drop_some(transformed, draws, "mlp")?;
        ops::add(&x, &self.drop.of(transformed, draws.as_ref(), "mlp")?)
    }

    fn attention(&self, x: &Tensor, draws: Option<StepRng>, documents: Option<&Documents>) -> Result<Tensor> {
        let heads = Heads { queries: self.config.heads, keys: self.config.kv_heads() };
        let mask = draws.and_then(|draws| Mask::new(self.config.dropout, &draws, &self.purpose("attention")));
        let attended = match &self.weights.qkv {
            Qkv::Packed(qkv) => ops::attention_packed_within(&qkv.forward(x, draws.as_ref())?, heads, mask, documents)?,
            Qkv::Separate(maps) => {
                let [q, k, v] = &**maps;
                let q = self.turn(q.forward(x, draws.as_ref())?, heads.queries)?;
                let k = self.turn(k.forward(x, draws.as_ref())?, heads.keys)?;
                ops::attention_within(&q, &k, &v.forward(x, draws.as_ref())?, heads, mask, documents)?
            }
        };
        self.weights.projection.forward(&attended, draws.as_ref())
    }

    /// Applies rotary positions if the model uses them.
    fn turn(&self, x: Tensor, heads: usize) -> Result<Tensor> {
        match self.config.positions {
            Positions::Rotary => ops::rotary(&x, heads, self.config.rotary_base),
            Positions::Learned => Ok(x),
        }
    }

    fn mlp(&self, x: &Tensor, draws: Option<&StepRng>) -> Result<Tensor> {
        let up = self.weights.up.forward(x, draws)?;
        let hidden = match (&self.weights.gate, self.config.activation) {
            (Some(gate), _) => ops::swiglu(&gate.forward(x, draws)?, &up)?,
            (None, GptActivation::GeluTanh) => ops::gelu_tanh(&up)?,
            (None, GptActivation::Gelu | GptActivation::Swiglu) => ops::gelu(&up)?,
        };
        self.weights.down.forward(&hidden, draws)
    }

    fn drop_some(&self, x: Tensor, draws: Option<StepRng>, part: &str) -> Result<Tensor> {
        drop_some(x, self.config.dropout, draws, &self.purpose(part))
    }

    fn purpose(&self, part: &str) -> String {
        format!("dropout/{}/{part}", self.index)
    }
}

/// Applies dropout in training.
fn drop_some(x: Tensor, p: f64, draws: Option<StepRng>, purpose: &str) -> Result<Tensor> {
    match draws {
        Some(draws) => dropout(&x, p, &draws, purpose),
        None => Ok(x),
    }
}

#[cfg(test)]
mod tests;
