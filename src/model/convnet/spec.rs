//! A convolutional network as a model of a configuration.

use candle_core::Device;

use super::ConvNet;
use super::config::{ConvBlock, ConvNetConfig};
use super::graph::graph;
use crate::model::Input;
use crate::model::error::check_dropout;
use crate::model::{Activations, Graph, LayerFlops, LoraConfig, Model, ModelConfig, ModelError, ModelSpec};
use crate::model::{Outline, Policy, flops};

impl ModelSpec for ConvNetConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let sizes = |block: &ConvBlock| {
            [block.channels, block.kernel, block.stride, block.pool_kernel, block.pool_stride.unwrap_or(1)]
        };
        if self.blocks.is_empty() || self.blocks.iter().any(|block| sizes(block).contains(&0)) {
            let value = format!("{} blocks", self.blocks.len());
            return Err(ModelError::field("blocks", value, "at least one is needed, and no size in it can be 0"));
        }
        if let Some(block) = self.blocks.iter().find(|block| block.padding > block.kernel) {
            let rule = "a padding must be at most the size of its kernel; more would only add zeros";
            return Err(ModelError::field("blocks", block.padding, rule));
        }
        if self.average_to == Some(0) {
            return Err(ModelError::field("average_to", 0, "must be at least 1; omit it to average nothing"));
        }
        if self.hidden.contains(&0) {
            return Err(ModelError::field("hidden", format!("{:?}", self.hidden), "a layer needs at least one unit"));
        }
        if let Some(block) = self.blocks.iter().find(|block| !(0.0..1.0).contains(&block.dropout)) {
            return Err(ModelError::field("blocks", block.dropout, "a dropout must be at least 0 and below 1"));
        }
        self.lora.iter().try_for_each(LoraConfig::validate)?;
        check_dropout(self.dropout)
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
        Ok(Box::new(ConvNet::with_policy(self.clone(), input, outputs, seed, device, policy)?))
    }

    fn outline(&self, input: &Input, outputs: usize) -> Result<Option<Outline>, ModelError> {
        Outline::counted(self, self.activations(input.shape(), outputs), input, outputs).map(Some)
    }

    fn flops(&self, input: &Input, outputs: usize) -> Result<Vec<LayerFlops>, ModelError> {
        let outline = Outline::counted(self, Activations::default(), input, outputs)?;
        Ok(flops::of_weights(&outline, self.pixels(input.shape()).into_iter().chain(std::iter::repeat(1))))
    }

    fn graph(&self, input: &Input) -> Result<Option<Graph>, ModelError> {
        graph(self, input).map(Some)
    }

    fn resumable(&self) -> &'static [&'static str] {
        &["dropout", "lora.dropout", "activation"]
    }

    fn complete(&self, _context: Option<usize>) -> Option<ModelConfig> {
        let mut config = self.clone();
        for block in config.blocks.iter_mut().filter(|block| block.pool.is_some()) {
            block.pool_stride.get_or_insert(block.pool_kernel);
        }
        ModelConfig::of(&config).ok()
    }
}
