//! A convolutional network: blocks of convolution, norm, activation, pooling and dropout, followed by linear layers.

mod config;
mod graph;
mod spec;

use candle_core::{Device, Tensor};

pub use config::{ConvBlock, ConvNetConfig, PoolKind};

use super::images::{image, other_data};
use super::layers::{BatchNorm, Builder, Conv, Linear};
use super::{Activation, Mode, Model, ModelError, Policy};
use crate::model::Input;
use crate::ops::{self, Conv2d};
use crate::parameters::Parameters;

/// A convolutional network. Its weights are named like those of torchvision's VGG, which is two `torch.nn.Sequential`:
///
/// - `features` has for each block a `Conv2d`, a `BatchNorm2d` if there is one, the activation, a pooling if there
///   is one, and a `Dropout` where the block has one. The first weight is `features.0.weight` `[out, in, kernel,
///   kernel]`; a batch norm has `weight`, `bias`, `running_mean` and `running_var`.
/// - `classifier` has for each hidden layer a `Linear`, the activation and a `Dropout`, and then the last `Linear`:
///   `classifier.0`, `classifier.3` and so on.
#[derive(Debug)]
pub struct ConvNet {
    config: ConvNetConfig,
    features: Vec<Block>,
    classifier: Vec<Linear>,
    min_batch_rows: usize,
    policy: Policy,
    parameters: Parameters,
    buffers: Parameters,
    frozen: Parameters,
}

#[derive(Debug)]
struct Block {
    config: ConvBlock,
    conv: Conv,
    norm: Option<BatchNorm>,
    /// The stream name of its dropout.
    dropout: String,
}

impl ConvNet {
    /// Creates a model from images of `input` to `outputs` numbers, with PyTorch's initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The input is not an image, or too small, or the device fails.
    pub fn new(
        config: ConvNetConfig,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::with_policy(config, input, outputs, seed, device, Policy::default())
    }

    /// [`ConvNet::new`] with other types of numbers than f32.
    ///
    /// # Errors
    /// As [`ConvNet::new`], or when the device has no such type.
    pub fn with_policy(
        config: ConvNetConfig,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> Result<Self, ModelError> {
        let [mut channels, height, width] = image("a convnet", input)?;
        let mut builder = Builder::new(seed, device, policy).adapting(config.lora.as_ref())?;
        let (mut sides, mut index) = ([height, width], 0);
        let (mut features, mut min_batch_rows) = (Vec::new(), 1);
        for (number, block) in config.blocks.iter().enumerate() {
            let [convolved, pooled] = block.sides(sides).map_err(|problem| {
                other_data("a convnet of these blocks", format!("larger images (blocks[{number}]: {problem})"), input)
            })?;
            sides = pooled;
            if block.batch_norm && convolved == [1, 1] {
                min_batch_rows = 2;
            }
            let relu = config.activation == Activation::Relu && !block.batch_norm;
            let options = Conv2d { stride: block.stride, padding: block.padding, relu, ..Conv2d::default() };
            let shape = [channels, block.channels, block.kernel];
            let conv = builder.conv(&format!("features.{index}"), shape, options)?;
            index += 1;
            let norm = if block.batch_norm {
                index += 1;
                Some(builder.batch_norm(&format!("features.{}", index - 1), block.channels)?)
            } else {
                None
            };
            index += 1 + usize::from(block.pool.is_some());
            let dropout = format!("dropout/features.{index}");
            index += usize::from(block.dropout > 0.0);
            features.push(Block { config: block.clone(), conv, norm, dropout });
            channels = block.channels;
        }
        let [height, width] = config.average_to.map_or(sides, |side| [side, side]);
        let mut inputs = channels.saturating_mul(height.saturating_mul(width));
        let mut classifier = Vec::new();
        for (layer, &width) in config.hidden.iter().chain([&outputs]).enumerate() {
            classifier.push(builder.linear(&format!("classifier.{}", 3 * layer), inputs, width)?);
            inputs = width;
        }
        builder.check()?;
        let Builder { parameters, buffers, frozen, .. } = builder;
        Ok(Self { features, classifier, min_batch_rows, policy, parameters, buffers, frozen, config })
    }

    fn block(&self, block: &Block, x: &Tensor, mode: Mode<'_>) -> candle_core::Result<Tensor> {
        let activation = self.config.activation;
        let x = block.conv.forward(x)?;
        let x = match &block.norm {
            Some(norm) => norm.activated(&x, activation, mode)?,
            // The convolution has already applied ReLU.
            None if activation == Activation::Relu => x,
            None => activation.apply(&x)?,
        };
        let x = match block.config.pool {
            Some(PoolKind::Max) => ops::max_pool2d(&x, block.config.pool())?,
            Some(PoolKind::Average) => ops::avg_pool2d(&x, block.config.pool())?,
            None => x,
        };
        dropout(&x, block.config.dropout, mode, &block.dropout)
    }
}

fn dropout(x: &Tensor, p: f64, mode: Mode<'_>, purpose: &str) -> candle_core::Result<Tensor> {
    match mode {
        Mode::Train(draws) => ops::dropout::dropout(x, p, draws, purpose),
        Mode::Evaluate => Ok(x.clone()),
    }
}

impl Model for ConvNet {
    /// `inputs` is `[rows, channels, height, width]`; the result is `[rows, outputs]`.
    fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> candle_core::Result<Tensor> {
        let mut x = ops::cast(inputs, self.policy.compute)?;
        for block in &self.features {
            x = mode.detach_in_eval(self.block(block, &x, mode)?);
        }
        if let Some(side) = self.config.average_to {
            x = ops::adaptive_avg_pool2d(&x, side, side)?;
        }
        x = ops::flatten(&x)?;
        for (index, layer) in self.classifier.iter().enumerate() {
            if index + 1 == self.classifier.len() {
                x = layer.forward(&x, mode.draws())?;
            } else {
                x = layer.activated(&x, self.config.activation, mode.draws())?;
                x = dropout(&x, self.config.dropout, mode, &format!("dropout/classifier.{}", 3 * index + 2))?;
            }
        }
        ops::cast(&x, self.policy.output)
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn min_batch_rows(&self) -> usize {
        self.min_batch_rows
    }

    fn buffers(&self) -> Parameters {
        self.buffers.clone()
    }

    fn frozen(&self) -> Parameters {
        self.frozen.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    fn config(text: &str) -> ConvNetConfig {
        toml::from_str(text).unwrap()
    }

    fn build(text: &str, shape: &[usize]) -> Result<ConvNet, ModelError> {
        ConvNet::new(config(text), &Input::Numbers(shape.to_vec()), 10, 0, &Device::Cpu)
    }

    fn names(parameters: &Parameters) -> Vec<String> {
        parameters.iter().map(|(name, var)| format!("{name} {:?}", var.dims())).collect()
    }

    #[test]
    fn weights_are_named_as_in_a_sequential_of_pytorch() {
        let blocks = "hidden = [5]\nblocks = [{ channels = 2 }, { channels = 3, pool = 'max', dropout = 0.25 }, \
                      { channels = 4, batch_norm = true, padding = 1 }]";
        let model = build(blocks, &[1, 8, 8]).unwrap();
        let expected = [
            "classifier.0.bias [5]",
            "classifier.0.weight [5, 16]",
            "classifier.3.bias [10]",
            "classifier.3.weight [10, 5]",
            "features.0.bias [2]",
            "features.0.weight [2, 1, 3, 3]",
            "features.2.bias [3]",
            "features.2.weight [3, 2, 3, 3]",
            "features.6.bias [4]",
            "features.6.weight [4, 3, 3, 3]",
            "features.7.bias [4]",
            "features.7.weight [4]",
        ];
        assert_eq!(names(model.parameters()), expected);
        assert_eq!(names(&model.buffers()), ["features.7.running_mean [4]", "features.7.running_var [4]"]);
    }

    #[test]
    fn an_image_that_is_too_small_is_refused_with_the_block() {
        let message = |text, shape: &[usize]| build(text, shape).unwrap_err().to_string();
        assert_eq!(
            message("blocks = [{ channels = 2 }, { channels = 2, pool = 'max', pool_kernel = 4 }]", &[1, 7, 9]),
            "a convnet of these blocks takes larger images (blocks[1]: its pooling of 4 by 4 meets 3 by 5), and a row \
             of the data is numbers of shape [1, 7, 9]"
        );
        assert!(message("blocks = [{ channels = 2 }]", &[1, 2, 9]).contains("its convolution of 3 by 3 meets 2 by 9"));
        assert!(build("blocks = [{ channels = 2, padding = 1 }]", &[1, 1, 1]).is_ok());
    }

    #[test]
    fn data_that_is_no_image_is_refused_with_both_shapes() {
        let expected = "a convnet takes images, numbers of shape [channels, height, width], and a row of the data is \
                        numbers of shape [64]";
        assert_eq!(build("blocks = [{ channels = 2 }]", &[64]).unwrap_err().to_string(), expected);
        let tokens = Input::Tokens { context: 8, vocabulary: 3 };
        let refused = ConvNet::new(config("blocks = [{ channels = 2 }]"), &tokens, 2, 0, &Device::Cpu).unwrap_err();
        assert!(refused.to_string().ends_with("8 tokens out of 3"), "{refused}");
    }

    #[test]
    fn a_size_of_zero_is_refused_by_name() {
        let message = |text: &str| {
            let config: ModelConfig = toml::from_str(&format!("kind = 'convnet'\n{text}")).unwrap();
            config.validate().unwrap_err().to_string()
        };
        assert!(message("blocks = []").starts_with("model.blocks = 0 blocks"));
        for size in
            ["channels = 0", "channels = 1, kernel = 0", "channels = 1, stride = 0", "channels = 1, pool_stride = 0"]
        {
            assert!(message(&format!("blocks = [{{ {size} }}]")).contains("no size in it can be 0"), "{size}");
        }
        assert!(message("blocks = [{ channels = 1, dropout = 1.0 }]").contains("a dropout must be"));
        assert!(message("blocks = [{ channels = 1 }]\naverage_to = 0").contains("model.average_to = 0"));
        assert!(message("blocks = [{ channels = 1 }]\nhidden = [0]").contains("model.hidden = [0]"));
    }
}
