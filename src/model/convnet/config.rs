//! The shape of a convolutional network: what a user may write, and what follows from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Activations;
use crate::model::LoraConfig;
use crate::model::activation::Activation;
use crate::model::outline::product;
use crate::ops::Pool2d;

/// The settings of a [`ConvNet`](super::ConvNet).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConvNetConfig {
    /// The convolutional blocks, in order from the image.
    #[schemars(length(min = 1))]
    pub blocks: Vec<ConvBlock>,
    /// Side of the grid that each channel is averaged to after the blocks, for any size of image; left out, all
    /// positions are kept. 1 keeps the mean of each channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub average_to: Option<usize>,
    /// Width of each hidden linear layer after the blocks.
    #[serde(default)]
    #[schemars(inner(range(min = 1)))]
    pub hidden: Vec<usize>,
    /// Nonlinearity in each block and after each hidden layer.
    #[serde(default)]
    pub activation: Activation,
    /// Probability in `[0, 1)` of dropping a unit of a hidden layer in training.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Adapters of low rank beside the linear layers, which are trained in place of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

/// A block of a [`ConvNet`](super::ConvNet): convolution, optional batch norm, activation, optional pooling, optional
/// dropout, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConvBlock {
    /// Number of output channels of the convolution.
    #[schemars(range(min = 1))]
    pub channels: usize,
    /// Side of the convolution's kernel, in pixels.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub kernel: usize,
    /// Step of the convolution, in pixels.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub stride: usize,
    /// Number of zeros that the convolution adds at each edge.
    #[serde(default)]
    pub padding: usize,
    /// Whether a batch norm follows the convolution.
    #[serde(default)]
    pub batch_norm: bool,
    /// Kind of pooling after the activation; left out, no pooling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolKind>,
    /// Side of the pooling's windows, in pixels.
    #[serde(default = "two")]
    #[schemars(range(min = 1))]
    pub pool_kernel: usize,
    /// Step of the pooling, in pixels; left out, the side of its windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub pool_stride: Option<usize>,
    /// Probability in `[0, 1)` of dropping a number in training at the end of the block.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
}

/// The reduction of a pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PoolKind {
    /// The maximum.
    Max,
    /// The mean.
    Average,
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}

impl ConvNetConfig {
    /// Creates a network of these blocks and a linear layer, with defaults for everything else.
    pub fn new(blocks: impl Into<Vec<ConvBlock>>) -> Self {
        let (average_to, hidden, activation) = (None, Vec::new(), Activation::default());
        Self { blocks: blocks.into(), average_to, hidden, activation, dropout: 0.0, lora: None }
    }

    /// Estimates the memory of activations for an image of this shape and `outputs` numbers. ReLU is part of a
    /// convolution, norm or layer.
    pub(super) fn activations(&self, image: &[usize], outputs: usize) -> Activations {
        let input = product(image);
        let &[mut channels, height, width] = image else { return Activations::default() };
        let (mut sides, mut steps) = ([height, width], Vec::new());
        for block in &self.blocks {
            let Ok([convolved, pooled]) = block.sides(sides) else { break };
            (channels, sides) = (block.channels, pooled);
            let is_apart = self.activation != Activation::Relu;
            let results = 1 + usize::from(block.batch_norm) + usize::from(is_apart);
            steps.extend(std::iter::repeat_n(product(&[channels, convolved[0], convolved[1]]), results));
            steps.extend(block.pool.is_some().then(|| product(&[channels, pooled[0], pooled[1]])));
        }
        let averaged = self.average_to.map(|side| product(&[channels, side, side]));
        let layers = self.hidden.iter().chain([&outputs]).map(|&width| width as u64);
        let drops = self.dropout > 0.0 || self.blocks.iter().any(|block| block.dropout > 0.0);
        Activations::of_steps(input, steps.into_iter().chain(averaged).chain(layers)).with_dropout(drops)
    }

    /// Returns the number of pixels in a channel of the result of each convolution, for an image of this shape.
    pub(super) fn pixels(&self, image: &[usize]) -> Vec<u64> {
        let &[_, height, width] = image else { return Vec::new() };
        let (mut sides, mut pixels) = ([height, width], Vec::new());
        for block in &self.blocks {
            let Ok([convolved, pooled]) = block.sides(sides) else { break };
            pixels.push(product(&convolved));
            sides = pooled;
        }
        pixels
    }
}

impl ConvBlock {
    /// Creates a convolution with this number of output channels, and defaults for everything else.
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            kernel: three(),
            stride: one(),
            padding: 0,
            batch_norm: false,
            pool: None,
            pool_kernel: two(),
            pool_stride: None,
            dropout: 0.0,
        }
    }

    pub(super) fn pool(&self) -> Pool2d {
        let stride = self.pool_stride.unwrap_or(self.pool_kernel);
        Pool2d { kernel: self.pool_kernel, stride, padding: 0 }
    }

    /// Returns height and width after the convolution and after the block, given `sides` before it, or a message if
    /// they do not fit.
    pub(super) fn sides(&self, sides: [usize; 2]) -> Result<[[usize; 2]; 2], String> {
        let along = |[height, width]: [usize; 2], what: &str, kernel: usize, stride: usize, padding: usize| {
            let side =
                |side: usize| Some((side.saturating_add(padding.saturating_mul(2))).checked_sub(kernel)? / stride + 1);
            match (side(height), side(width)) {
                (Some(height), Some(width)) => Ok([height, width]),
                _ => Err(format!("its {what} of {kernel} by {kernel} meets {height} by {width}")),
            }
        };
        let convolved = along(sides, "convolution", self.kernel, self.stride, self.padding)?;
        let Pool2d { kernel, stride, .. } = self.pool();
        let pooled = if self.pool.is_some() { along(convolved, "pooling", kernel, stride, 0)? } else { convolved };
        Ok([convolved, pooled])
    }
}
