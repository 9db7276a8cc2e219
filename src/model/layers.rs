//! Layers with weights, how they get their names, and in which types they compute.

use std::collections::HashMap;

use candle_core::{Device, Result, Shape, Tensor, Var, bail};

use super::policy::Policy;
use super::{Activation, Mode, init};
use crate::ops::{self, After, Conv2d};
use crate::parameters::Parameters;

/// Creates layers, and collects their weights by name.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    seed: u64,
    device: &'a Device,
    policy: Policy,
    /// Trainable parameters.
    pub parameters: Parameters,
    /// Non-trainable state.
    pub buffers: Parameters,
    /// Weights that are an earlier one: their name, and that of the earlier.
    pub tied: HashMap<String, String>,
}

impl<'a> Builder<'a> {
    pub fn new(seed: u64, device: &'a Device, policy: Policy) -> Self {
        let (parameters, buffers) = (Parameters::new(), Parameters::new());
        Self { seed, device, policy, parameters, buffers, tied: HashMap::new() }
    }

    /// Creates a linear layer with PyTorch's initial weights: `name.weight` `[outputs, inputs]` and `name.bias`
    /// `[outputs]`.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.default(&format!("{name}.weight"), (outputs, inputs), inputs)?;
        Ok(Linear { weight, bias: Some(self.default(&format!("{name}.bias"), outputs, inputs)?), in_first: false })
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
        Ok(Conv { weight: self.trained(&name, weight)?, bias: None, options })
    }

    /// Creates a batch norm: `name.weight` and `name.bias`, and the buffers `name.running_mean` and `name.running_var`.
    pub fn batch_norm(&mut self, name: &str, channels: usize) -> Result<BatchNorm> {
        let weight = self.constant(&format!("{name}.weight"), channels, 1.0)?;
        let bias = self.constant(&format!("{name}.bias"), channels, 0.0)?;
        let mean = self.remembered(&format!("{name}.running_mean"), channels, 0.0)?;
        let variance = self.remembered(&format!("{name}.running_var"), channels, 1.0)?;
        Ok(BatchNorm { weight, bias, norm: ops::BatchNorm::new(mean, variance) })
    }

    /// A weight with the same number everywhere.
    pub fn constant(&mut self, name: &str, shape: impl Into<Shape>, value: f32) -> Result<Weight> {
        let var = init::constant(name, shape, value, self.device)?;
        self.trained(name, var)
    }

    /// A weight of normal numbers with mean 0.
    pub fn normal(&mut self, name: &str, shape: impl Into<Shape>, deviation: f32) -> Result<Weight> {
        let var = init::normal(name, shape, deviation, self.seed, self.device)?;
        self.trained(name, var)
    }

    fn default(&mut self, name: &str, shape: impl Into<Shape>, fan_in: usize) -> Result<Weight> {
        if let Some(earlier) = self.tied.get(name) {
            return match self.parameters.get(earlier) {
                Some(var) => Ok(Weight(var.clone())),
                None => bail!("`{name}` cannot be tied to `{earlier}`, which is no earlier parameter"),
            };
        }
        let var = init::linear_default(name, shape, fan_in, self.seed, self.device)?;
        self.trained(name, var)
    }

    fn trained(&mut self, name: &str, var: Var) -> Result<Weight> {
        let var = self.kept(var)?;
        self.parameters.insert(name, var.clone());
        Ok(Weight(var))
    }

    fn remembered(&mut self, name: &str, shape: impl Into<Shape>, value: f32) -> Result<Var> {
        let var = self.kept(init::constant(name, shape, value, self.device)?)?;
        self.buffers.insert(name, var.clone());
        Ok(var)
    }

    /// `var` in the type in which parameters are kept.
    fn kept(&self, var: Var) -> Result<Var> {
        if var.dtype() == self.policy.parameters {
            return Ok(var);
        }
        Var::from_tensor(&var.as_detached_tensor().to_dtype(self.policy.parameters)?)
    }
}

/// A tensor that is trained.
#[derive(Debug)]
pub(super) struct Weight(Var);

impl Weight {
    /// The tensor, in the type of the parameters. Products round it as they read it.
    pub fn var(&self) -> &Var {
        &self.0
    }
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    pub weight: Weight,
    pub bias: Option<Weight>,
    /// Whether the weight is `[in, out]`.
    pub in_first: bool,
}

impl Linear {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|bias| bias.var().as_tensor());
        let linear = if self.in_first { ops::linear_in_out } else { ops::linear };
        linear(x, self.weight.var(), bias)
    }

    /// Applies the layer, then `activation`.
    pub fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        match (activation, &self.bias) {
            (Activation::Relu, Some(bias)) if !self.in_first => ops::linear_relu(x, self.weight.var(), bias.var()),
            (other, _) => other.apply(&self.forward(x)?),
        }
    }

    /// Its weights.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        [&self.weight].into_iter().chain(&self.bias)
    }
}

/// A convolution.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Weight,
    bias: Option<Weight>,
    options: Conv2d,
}

impl Conv {
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(x, self.weight.var(), self.bias.as_ref().map(|bias| bias.var().as_tensor()), self.options)
    }
}

/// A batch norm.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Weight,
    bias: Weight,
    norm: ops::BatchNorm,
}

impl BatchNorm {
    pub fn forward(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.finished(x, After::default(), mode)
    }

    /// Applies the layer, then `activation`.
    pub fn activated(&self, x: &Tensor, activation: Activation, mode: Mode<'_>) -> Result<Tensor> {
        match activation {
            Activation::Relu => self.finished(x, After { relu: true, ..After::default() }, mode),
            other => other.apply(&self.forward(x, mode)?),
        }
    }

    /// Applies the layer, and finishes its result in the same pass.
    pub fn finished(&self, x: &Tensor, after: After<'_>, mode: Mode<'_>) -> Result<Tensor> {
        let (weight, bias) = (self.weight.var(), self.bias.var());
        match mode {
            Mode::Train(_) => self.norm.train_then(x, weight, bias, after),
            Mode::Evaluate => self.norm.evaluate_then(x, weight, bias, after),
        }
    }
}
