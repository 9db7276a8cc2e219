//! A residual network for small images: He et al., "Deep residual learning for image recognition", CVPR 2016.

mod graph;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::images::image;
use super::layers::{BatchNorm, Builder, Conv, Linear};
use super::lora::LoraConfig;
use super::outline::product;
use super::stochastic_depth::{self, BlockDrop};
use super::{Activation, Activations, Graph, LayerFlops, Mode, Model, ModelError, ModelSpec, Outline, Policy, flops};
use crate::model::Input;
use crate::ops::{self, After, Conv2d};
use crate::parameters::Parameters;

/// The settings of a [`ResNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ResNetConfig {
    /// Channels of each stage. Height and width are halved from one stage to the next.
    #[serde(default = "default_widths")]
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub widths: Vec<usize>,
    /// Number of blocks of each stage; a block has two convolutions.
    #[serde(default = "default_depths")]
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub depths: Vec<usize>,
    /// Adapters of low rank beside the linear layer, which are trained in place of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// Probability in `[0, 1)` that training drops the residual branch of the last block, for a row: stochastic depth. It
    /// grows evenly from 0 at the first block, and what is kept is divided by the probability of that, as in timm.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub stochastic_depth: f64,
}

/// The widths of the paper's section 4.2, for CIFAR-10.
fn default_widths() -> Vec<usize> {
    vec![16, 32, 64]
}

/// With 3 blocks per stage it is the paper's ResNet-20.
fn default_depths() -> Vec<usize> {
    vec![3, 3, 3]
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self { widths: default_widths(), depths: default_depths(), lora: None, stochastic_depth: 0.0 }
    }
}

impl ModelSpec for ResNetConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let value = |sizes: &[usize]| format!("{sizes:?}");
        if self.widths.is_empty() || self.widths.contains(&0) {
            return Err(ModelError::field("widths", value(&self.widths), "a stage needs at least one channel"));
        }
        if self.depths.len() != self.widths.len() || self.depths.contains(&0) {
            let rule = format!("each of the {} stages of `widths` needs at least one block", self.widths.len());
            return Err(ModelError::field("depths", value(&self.depths), rule));
        }
        self.lora.iter().try_for_each(LoraConfig::validate)?;
        stochastic_depth::check(self.stochastic_depth, self.blocks())
    }

    fn resumable(&self) -> &'static [&'static str] {
        &["lora.dropout", "stochastic_depth"]
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
        Ok(Box::new(ResNet::with_policy(self, input, outputs, seed, device, policy)?))
    }

    fn outline(&self, input: &Input, outputs: usize) -> Result<Option<Outline>, ModelError> {
        Outline::counted(self, self.activations(input.shape(), outputs), input, outputs).map(Some)
    }

    fn graph(&self, input: &Input) -> Result<Option<Graph>, ModelError> {
        graph::graph(self, input).map(Some)
    }

    fn flops(&self, input: &Input, outputs: usize) -> Result<Vec<LayerFlops>, ModelError> {
        let [_, mut height, mut width] = image("a resnet", input)?;
        let mut positions = vec![product(&[height, width])];
        for (stage, &depth) in self.depths.iter().enumerate() {
            if stage > 0 {
                (height, width) = (height.div_ceil(2), width.div_ceil(2));
            }
            let convolutions = depth.saturating_mul(2).saturating_add(usize::from(stage > 0));
            positions.extend(std::iter::repeat_n(product(&[height, width]), convolutions));
        }
        let outline = Outline::counted(self, Activations::default(), input, outputs)?;
        Ok(flops::of_weights(&outline, positions.into_iter().chain([1])))
    }
}

impl ResNetConfig {
    fn blocks(&self) -> usize {
        self.depths.iter().fold(0, |blocks, depth| blocks.saturating_add(*depth))
    }

    /// Estimates the memory of activations for an image of this shape and `outputs` numbers.
    fn activations(&self, image: &[usize], outputs: usize) -> Activations {
        let &[_, mut height, mut width] = image else { return Activations::default() };
        let mut inputs = self.widths.first().copied().unwrap_or(1);
        // A convolution, and a norm with its ReLU.
        let mut steps = vec![product(&[inputs, height, width]); 2];
        for (stage, (&channels, &depth)) in self.widths.iter().zip(&self.depths).enumerate() {
            if stage > 0 {
                (height, width) = (height.div_ceil(2), width.div_ceil(2));
            }
            let changes = stage > 0 || inputs != channels;
            // Two convolutions and two norms; with stochastic depth also a branch and a sum; also a convolution and a norm
            // if the shape changes. A model whose number of blocks reaches this limit has too many tensors anyway.
            let of_block = if self.stochastic_depth > 0.0 { 6 } else { 4 };
            let results = depth.saturating_mul(of_block).saturating_add(2 * usize::from(changes)).min(1 << 20);
            steps.extend(std::iter::repeat_n(product(&[channels, height, width]), results));
            inputs = channels;
        }
        Activations::of_steps(product(image), steps.into_iter().chain([inputs as u64, outputs as u64]))
    }
}

/// A residual network of basic blocks; its first convolution has a 3 by 3 kernel and stride 1, as for CIFAR-10. Names
/// and initial weights are those of torchvision's ResNet: `conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.bn1`,
/// `layer1.0.conv2`, `layer1.0.bn2`, where the shape changes `layer2.0.downsample.0` and `layer2.0.downsample.1`, and
/// at the end `fc`.
#[derive(Debug)]
pub struct ResNet {
    conv1: Conv,
    bn1: BatchNorm,
    blocks: Vec<Block>,
    fc: Linear,
    min_batch_rows: usize,
    policy: Policy,
    parameters: Parameters,
    buffers: Parameters,
    frozen: Parameters,
}

/// Two convolutions with a shortcut around them.
#[derive(Debug)]
struct Block {
    first: (Conv, BatchNorm),
    second: (Conv, BatchNorm),
    downsample: Option<(Conv, BatchNorm)>,
    drop: BlockDrop,
}

impl ResNet {
    /// Creates a model from images of `input` to `outputs` numbers, with torchvision's initial weights drawn from
    /// `seed`.
    ///
    /// # Errors
    /// The input is not an image, or the device fails.
    pub fn new(
        config: &ResNetConfig,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::with_policy(config, input, outputs, seed, device, Policy::default())
    }

    /// [`ResNet::new`] with other types of numbers than f32.
    ///
    /// # Errors
    /// As [`ResNet::new`], or when the device has no such type.
    pub fn with_policy(
        config: &ResNetConfig,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> Result<Self, ModelError> {
        let [channels, mut height, mut width] = image("a resnet", input)?;
        let mut builder = Builder::new(seed, device, policy).adapting(config.lora.as_ref())?;
        let mut inputs = config.widths.first().copied().unwrap_or(1);
        let conv1 = builder.conv_kaiming("conv1", [channels, inputs, 3], padded(1))?;
        let bn1 = builder.batch_norm("bn1", inputs)?;
        let mut blocks = Vec::new();
        for (stage, (&outputs, &depth)) in config.widths.iter().zip(&config.depths).enumerate() {
            for block in 0..depth {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                let drop = BlockDrop::new(config.stochastic_depth, blocks.len(), config.blocks());
                blocks.push(Block::new(&mut builder, &name, [inputs, outputs, stride], drop)?);
                (inputs, height, width) = (outputs, height.div_ceil(stride), width.div_ceil(stride));
            }
        }
        let min_batch_rows = if (height, width) == (1, 1) { 2 } else { 1 };
        let fc = builder.linear("fc", inputs, outputs)?;
        builder.check()?;
        let Builder { parameters, buffers, frozen, .. } = builder;
        Ok(Self { conv1, bn1, blocks, fc, min_batch_rows, policy, parameters, buffers, frozen })
    }
}

fn padded(stride: usize) -> Conv2d {
    Conv2d { stride, padding: 1, ..Conv2d::default() }
}

impl Block {
    fn new(
        builder: &mut Builder<'_>,
        name: &str,
        [inputs, outputs, stride]: [usize; 3],
        drop: BlockDrop,
    ) -> candle_core::Result<Self> {
        let mut pair = |conv: &str, norm: &str, shape: [usize; 3], options: Conv2d| {
            let conv = builder.conv_kaiming(&format!("{name}.{conv}"), shape, options)?;
            Ok::<_, candle_core::Error>((conv, builder.batch_norm(&format!("{name}.{norm}"), outputs)?))
        };
        let first = pair("conv1", "bn1", [inputs, outputs, 3], padded(stride))?;
        let second = pair("conv2", "bn2", [outputs, outputs, 3], padded(1))?;
        let changes = stride != 1 || inputs != outputs;
        let options = Conv2d { stride, ..Conv2d::default() };
        let downsample = changes.then(|| pair("downsample.0", "downsample.1", [inputs, outputs, 1], options));
        Ok(Self { first, second, downsample: downsample.transpose()?, drop })
    }

    fn forward(&self, x: &Tensor, mode: Mode<'_>) -> candle_core::Result<Tensor> {
        let apply = |(conv, norm): &(Conv, BatchNorm), x: &Tensor, after| norm.finished(&conv.forward(x)?, after, mode);
        let inner = apply(&self.first, x, After { relu: true, ..After::default() })?;
        let around = match &self.downsample {
            Some(pair) => apply(pair, x, After::default())?,
            None => x.clone(),
        };
        let draws = match mode {
            Mode::Train(draws) => self.drop.in_training(Some(draws)),
            Mode::Evaluate => None,
        };
        if draws.is_none() {
            return apply(&self.second, &inner, After { add: Some(&around), relu: true });
        }
        let branch = apply(&self.second, &inner, After::default())?;
        ops::relu(&ops::add(&self.drop.of(branch, draws, "branch")?, &around)?)
    }
}

impl Model for ResNet {
    /// `inputs` is `[rows, channels, height, width]`; the result is `[rows, outputs]`.
    fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> candle_core::Result<Tensor> {
        let x = ops::cast(inputs, self.policy.compute)?;
        let mut x = self.bn1.activated(&self.conv1.forward(&x)?, Activation::Relu, mode)?;
        for block in &self.blocks {
            x = mode.detach_in_eval(block.forward(&x, mode)?);
        }
        let outputs = self.fc.forward(&ops::flatten(&ops::adaptive_avg_pool2d(&x, 1, 1)?)?, mode.draws())?;
        ops::cast(&outputs, self.policy.output)
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

    fn resnet(widths: &[usize], depths: &[usize]) -> ResNet {
        let config = ResNetConfig { widths: widths.to_vec(), depths: depths.to_vec(), ..ResNetConfig::default() };
        ResNet::new(&config, &Input::Numbers(vec![3, 8, 8]), 10, 0, &Device::Cpu).unwrap()
    }

    #[test]
    fn weights_are_named_as_in_torchvision() {
        let model = resnet(&[4, 6], &[1, 2]);
        let names: Vec<&str> = model.parameters().iter().map(|(name, _)| name).filter(|n| !n.contains("bn")).collect();
        let expected = [
            "conv1.weight",
            "fc.bias",
            "fc.weight",
            "layer1.0.conv1.weight",
            "layer1.0.conv2.weight",
            "layer2.0.conv1.weight",
            "layer2.0.conv2.weight",
            "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.bias",
            "layer2.0.downsample.1.weight",
            "layer2.1.conv1.weight",
            "layer2.1.conv2.weight",
        ];
        assert_eq!(names, expected);
        assert_eq!(model.parameters().get("layer2.0.downsample.0.weight").unwrap().dims(), [6, 4, 1, 1]);
        // One norm per convolution, eight in all.
        assert_eq!((model.buffers().len(), model.parameters().len()), (16, 8 + 16 + 2));
    }

    /// The variance of 3 * 3 * 64 * 64 draws is within 3 % of `2 / fan_out`: five standard errors are 2.6 %.
    #[test]
    fn convolutions_start_as_in_torchvision() {
        let model = resnet(&[64], &[1]);
        let weight = model.parameters().get("layer1.0.conv1.weight").unwrap();
        let variance = weight.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
        let expected = 2.0 / (9.0 * 64.0);
        assert!((variance / expected - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn stages_that_do_not_come_out_even_are_refused() {
        let message = |text: &str| {
            let config: ModelConfig = toml::from_str(&format!("kind = 'resnet'\n{text}")).unwrap();
            config.validate().unwrap_err().to_string()
        };
        assert!(message("widths = []").starts_with("model.widths = []"));
        assert!(message("widths = [8, 0, 8]").contains("a stage needs at least one channel"));
        assert!(message("depths = [1]").contains("each of the 3 stages of `widths` needs at least one block"));
        assert!(message("depths = [1, 0, 1]").contains("at least one block"));
    }
}
