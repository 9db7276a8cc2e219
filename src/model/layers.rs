//! Layers with weights, and the names of their weights.

use candle_core::{Device, Result, Shape, Tensor, Var};

use super::{Activation, Mode, init};
use crate::ops::{self, Conv2d};
use crate::parameters::Parameters;

/// Creates layers, and collects their weights by name.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    seed: u64,
    device: &'a Device,
    /// Trainable parameters.
    pub parameters: Parameters,
    /// Non-trainable state.
    pub buffers: Parameters,
}

impl<'a> Builder<'a> {
    pub fn new(seed: u64, device: &'a Device) -> Self {
        Self { seed, device, parameters: Parameters::new(), buffers: Parameters::new() }
    }

    /// Creates a linear layer with PyTorch's initial weights: `name.weight` `[outputs, inputs]` and `name.bias`
    /// `[outputs]`.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.default(&format!("{name}.weight"), (outputs, inputs), inputs)?;
        Ok(Linear { weight, bias: self.default(&format!("{name}.bias"), outputs, inputs)? })
    }

    /// Creates a convolution with bias and PyTorch's initial weights: `name.weight` `[outputs, inputs, kernel, kernel]`
    /// and `name.bias` `[outputs]`.
    pub fn conv(&mut self, name: &str, [inputs, outputs, kernel]: [usize; 3], options: Conv2d) -> Result<Conv> {
        let fan_in = inputs.saturating_mul(kernel.saturating_mul(kernel));
        let weight = self.default(&format!("{name}.weight"), (outputs, inputs, kernel, kernel), fan_in)?;
        Ok(Conv { weight, bias: Some(self.default(&format!("{name}.bias"), outputs, fan_in)?), options })
    }

    /// Creates a convolution without bias, with the initial weights of torchvision's ResNet.
    pub fn conv_kaiming(&mut self, name: &str, [inputs, outputs, kernel]: [usize; 3], options: Conv2d) -> Result<Conv> {
        let (name, fan_out) = (format!("{name}.weight"), outputs.saturating_mul(kernel.saturating_mul(kernel)));
        let weight = init::kaiming_normal(&name, (outputs, inputs, kernel, kernel), fan_out, self.seed, self.device)?;
        self.parameters.insert(name, weight.clone());
        Ok(Conv { weight, bias: None, options })
    }

    /// Creates a batch norm: `name.weight` and `name.bias`, and the buffers `name.running_mean` and `name.running_var`.
    pub fn batch_norm(&mut self, name: &str, channels: usize) -> Result<BatchNorm> {
        let constant = |parameters: &mut Parameters, part: &str, value: f32| {
            let name = format!("{name}.{part}");
            let var = init::constant(&name, channels, value, self.device)?;
            parameters.insert(name, var.clone());
            Ok::<_, candle_core::Error>(var)
        };
        let weight = constant(&mut self.parameters, "weight", 1.0)?;
        let bias = constant(&mut self.parameters, "bias", 0.0)?;
        let mean = constant(&mut self.buffers, "running_mean", 0.0)?;
        let variance = constant(&mut self.buffers, "running_var", 1.0)?;
        Ok(BatchNorm { weight, bias, norm: ops::BatchNorm::new(mean, variance) })
    }

    fn default(&mut self, name: &str, shape: impl Into<Shape>, fan_in: usize) -> Result<Var> {
        let var = init::linear_default(name, shape, fan_in, self.seed, self.device)?;
        self.parameters.insert(name, var.clone());
        Ok(var)
    }
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias))
    }

    /// Applies the layer, then `activation`.
    pub fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        match activation {
            Activation::Relu => ops::linear_relu(x, &self.weight, &self.bias),
            other => other.apply(&self.forward(x)?),
        }
    }
}

/// A convolution.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Var,
    bias: Option<Var>,
    options: Conv2d,
}

impl Conv {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(x, &self.weight, self.bias.as_deref(), self.options)
    }
}

/// A batch norm.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Var,
    bias: Var,
    norm: ops::BatchNorm,
}

impl BatchNorm {
    pub fn forward(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        match mode {
            Mode::Train(_) => self.norm.train(x, &self.weight, &self.bias),
            Mode::Evaluate => self.norm.evaluate(x, &self.weight, &self.bias),
        }
    }
}
