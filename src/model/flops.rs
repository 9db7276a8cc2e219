//! Floating-point operations of a model, by layer.
//!
//! Only products of matrices count: one of `m × k` and `k × n` numbers takes `2·m·n·k` operations, a multiplication and
//! an addition for each term. Everything else takes less than a hundredth of the time of a large model. So, for a row:
//!
//! - a linear layer from `k` to `n` numbers: `2·k·n`, at each of the positions where it is applied;
//! - a convolution: `2·k·k·inputs·outputs` at each pixel of its result;
//! - attention over `t` tokens of `width` numbers: `4·t·t·width` for the scores and the sums of values. The half that a
//!   causal mask excludes is counted too, as is usual.

use serde::Serialize;

use super::Outline;
use super::outline::product;

/// The operations of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerFlops {
    /// The name of the layer: that of its weight without the last part.
    pub layer: String,
    /// Floating-point operations of a forward pass for a row, saturated at the largest `u64`.
    pub forward: u64,
}

impl LayerFlops {
    pub(super) fn new(layer: impl Into<String>, factors: &[u64]) -> Self {
        let forward = factors.iter().fold(2, |product: u64, &factor| product.saturating_mul(factor));
        Self { layer: layer.into(), forward }
    }

    /// Returns the operations of a training step for a row, from all layers: in the backward pass each product has two
    /// of its size, for the gradients of its two factors. That of the model's input is not needed, so this is a little
    /// too much.
    pub fn of_training(layers: &[Self]) -> u64 {
        let forward = layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.forward));
        forward.saturating_mul(3)
    }
}

/// Returns the operations of the layers of a model whose weights are applied at these numbers of positions, in their
/// order. A tensor of one dimension is no factor of a product.
pub(super) fn of_weights(outline: &Outline, positions: impl IntoIterator<Item = u64>) -> Vec<LayerFlops> {
    let weights = outline.tensors.iter().filter(|(_, shape)| shape.len() > 1);
    let of_one = |((name, shape), positions): (&(String, Vec<usize>), u64)| {
        LayerFlops::new(name.strip_suffix(".weight").unwrap_or(name), &[product(shape), positions])
    };
    weights.zip(positions).map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Input, ModelConfig};

    fn forward(config: &str, input: Input, outputs: usize) -> (Vec<LayerFlops>, u64) {
        let config: ModelConfig = toml::from_str(config).unwrap();
        let layers = config.spec().flops(&input, outputs).unwrap();
        let sum = layers.iter().map(|layer| layer.forward).sum();
        (layers, sum)
    }

    #[test]
    fn an_mlp_has_two_operations_for_each_weight() {
        let (layers, _) = forward("kind = 'mlp'\nhidden = [256, 128]", Input::Numbers(vec![64]), 10);
        let of = |layer: &str, factors: &[u64]| LayerFlops::new(layer, factors);
        assert_eq!(layers, [of("0", &[64, 256]), of("2", &[256, 128]), of("4", &[128, 10])]);
        let tied = "kind = 'mlp'\nhidden = [8, 8]\ntied = [['2.weight', '0.weight']]";
        let (layers, _) = forward(tied, Input::Numbers(vec![8]), 3);
        assert_eq!(layers, [of("0", &[64]), of("2", &[64]), of("4", &[24])]);
    }

    /// ResNet-20 has 40.6 million multiplications with shortcuts without weights, and 0.26 million more in those here.
    #[test]
    fn a_resnet_has_the_operations_of_the_paper() {
        let (layers, sum) = forward("kind = 'resnet'", Input::Numbers(vec![3, 32, 32]), 10);
        assert_eq!((sum, layers.len()), (2 * 40_813_184, 22));
        assert!(layers.contains(&LayerFlops::new("layer2.0.downsample.0", &[16, 32, 16, 16])), "{layers:?}");
    }

    #[test]
    fn a_convnet_counts_the_pixels_of_each_result() {
        let config = "kind = 'convnet'\nhidden = [20]\n[[blocks]]\nchannels = 4\nbatch_norm = true\npool = 'max'\n\
                      [[blocks]]\nchannels = 6\nstride = 2";
        let (layers, _) = forward(config, Input::Numbers(vec![3, 16, 16]), 10);
        let expected = [
            LayerFlops::new("features.0", &[4 * 3 * 9, 14 * 14]),
            LayerFlops::new("features.4", &[6 * 4 * 9, 3 * 3]),
            LayerFlops::new("classifier.0", &[54, 20]),
            LayerFlops::new("classifier.3", &[20, 10]),
        ];
        assert_eq!(layers, expected);
    }

    /// The number of "forward_total" in nanoGPT's transformer_sizing.ipynb, for the 124M model and 1024 tokens.
    #[test]
    fn a_gpt2_has_the_operations_that_nanogpt_counts() {
        let input = || Input::Tokens { context: 1024, vocabulary: 50_257 };
        let (layers, sum) = forward("kind = 'gpt'\nlayers = 12\nheads = 12\nwidth = 768", input(), 50_257);
        assert_eq!(sum, 291_648_307_200);
        assert_eq!(layers[1], LayerFlops::new("transformer.h.0.attn", &[2, 1024, 1024, 768]));
        let llama = "kind = 'gpt'\nlayers = 1\nheads = 12\nwidth = 768\npositions = 'rotary'\ntied = false\nhidden = 8";
        let (layers, sum) = forward(llama, input(), 50_257);
        let maps = 4 * 768 * 768 + 2 * 8 * 768 + 50_257 * 768;
        assert_eq!((layers.len(), sum), (8, 2 * 1024 * maps + 4 * 1024 * 1024 * 768));
    }
}
