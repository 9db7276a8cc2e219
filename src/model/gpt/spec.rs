//! A GPT as a model of a configuration.

use candle_core::Device;

use super::Gpt;
use super::config::{GptConfig, Positions};
use crate::model::Input;
use crate::model::error::check_dropout;
use crate::model::stochastic_depth;
use crate::model::{Activations, LayerFlops, LoraConfig, Model, ModelConfig, ModelError, ModelSpec};
use crate::model::{Outline, Policy, flops};

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
        self.lora.iter().try_for_each(LoraConfig::validate)?;
        check_dropout(self.dropout)?;
        stochastic_depth::check(self.stochastic_depth, self.layers)
    }

    fn build(&self, input: &Input, outputs: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>, ModelError> {
        self.build_with_policy(input, outputs, seed, device, Policy::default())
    }

    fn build_with_policy(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> Result<Box<dyn Model>, ModelError> {
        match *input {
            Input::Tokens { context, vocabulary } => {
                let gpt = Gpt::with_policy(self.clone(), context, vocabulary, outputs, seed, device, policy)?;
                Ok(Box::new(gpt))
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

    fn flops(&self, input: &Input, outputs: usize) -> Result<Vec<LayerFlops>, ModelError> {
        let outline = Outline::counted(self, Activations::default(), input, outputs)?;
        let (tokens, width) = (input.numbers() as u64, self.width as u64);
        let mut layers = Vec::new();
        for layer in flops::of_weights(&outline, std::iter::repeat(tokens)) {
            // A table is read, without a product.
            if ["wte", "wpe", "embed_tokens", "embed_positions"].iter().any(|table| layer.layer.ends_with(table)) {
                continue;
            }
            let attention =
                ["attn.c_proj", "attn.o_proj"].iter().find(|projection| layer.layer.ends_with(**projection));
            if attention.is_some()
                && let Some((block, _)) = layer.layer.rsplit_once('.')
            {
                layers.push(LayerFlops::new(block, &[2, tokens, tokens, width]));
            }
            layers.push(layer);
        }
        if self.tied {
            layers.push(LayerFlops::new("lm_head", &[tokens, width, outputs as u64]));
        }
        Ok(layers)
    }

    fn resumable(&self) -> &'static [&'static str] {
        &["dropout", "lora.dropout", "stochastic_depth", "activation", "checkpoint_activations"]
    }

    fn complete(&self, context: Option<usize>) -> Option<ModelConfig> {
        let context = self.context.or(context);
        let (kv_heads, hidden) = (Some(self.kv_heads()), Some(self.hidden()));
        ModelConfig::of(&Self { context, kv_heads, hidden, ..self.clone() }).ok()
    }

    fn of_documents(&self, start: u32) -> Option<ModelConfig> {
        ModelConfig::of(&Self { document_start: Some(start), ..self.clone() }).ok()
    }

    fn memory_remedies(&self) -> Vec<(String, ModelConfig)> {
        if self.checkpoint_activations {
            return Vec::new();
        }
        let again = ModelConfig::of(&Self { checkpoint_activations: true, ..self.clone() });
        again.into_iter().map(|again| ("`model.checkpoint_activations = true`".to_owned(), again)).collect()
    }
}
