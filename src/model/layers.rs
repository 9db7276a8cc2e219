//! Layers with weights, how they get their names, and in which types they compute.

use std::collections::HashMap;

use candle_core::{Device, Result, Shape, Tensor, Var, bail};

use super::lora::{ADAPTER, Adapter, Lora, LoraConfig};
use super::policy::Policy;
use super::{Activation, Mode, ModelError, init};
use crate::ops::{self, After, Conv2d};
use crate::parameters::Parameters;
use crate::rng::StepRng;

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
    /// Weights that are never trained, beside adapters.
    pub frozen: Parameters,
    lora: Option<Lora<'a>>,
    /// Weights that are an earlier one: their name, and that of the earlier.
    pub tied: HashMap<String, String>,
}

impl<'a> Builder<'a> {
    pub fn new(seed: u64, device: &'a Device, policy: Policy) -> Self {
        let (parameters, buffers, frozen) = (Parameters::new(), Parameters::new(), Parameters::new());
        Self { seed, device, policy, parameters, buffers, frozen, lora: None, tied: HashMap::new() }
    }

    /// Adds adapters to linear maps, if there is a configuration for them; other weights are then frozen.
    pub fn adapting(mut self, lora: Option<&'a LoraConfig>) -> std::result::Result<Self, ModelError> {
        self.lora = lora.map(Lora::of).transpose()?;
        Ok(self)
    }

    /// Refuses patterns of adapters that match nothing in the finished model.
    pub fn check(&self) -> std::result::Result<(), ModelError> {
        self.lora.as_ref().map_or(Ok(()), Lora::check)
    }

    /// Creates the adapter of the linear map `name`, if it gets one: `name.lora_A.weight` `[rank, inputs]`, with the
    /// initial weights of a linear layer as in PEFT, and `name.lora_B.weight` `[outputs, rank]`, which begins as 0.
    pub fn adapter(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Option<Adapter>> {
        let Some(lora) = &mut self.lora else { return Ok(None) };
        if !lora.adapts(name) {
            return Ok(None);
        }
        let (rank, scale, dropout) = (lora.rank(), lora.scale(), lora.dropout());
        let [a, b] = ADAPTER.map(|end| format!("{name}{end}"));
        let first = self.kept(init::linear_default(&a, (rank, inputs), inputs, self.seed, self.device)?)?;
        let second = self.kept(init::constant(&b, (outputs, rank), 0.0, self.device)?)?;
        self.parameters.insert(a, first.clone());
        self.parameters.insert(b, second.clone());
        let purpose = format!("dropout/lora/{name}");
        Ok(Some(Adapter { a: Weight::trained(first), b: Weight::trained(second), scale, dropout, purpose }))
    }

    /// Creates a linear layer with PyTorch's initial weights: `name.weight` `[outputs, inputs]` and `name.bias`
    /// `[outputs]`.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.default(&format!("{name}.weight"), (outputs, inputs), inputs)?;
        let bias = Some(self.default(&format!("{name}.bias"), outputs, inputs)?);
        Ok(Linear { weight, bias, in_first: false, adapter: self.adapter(name, inputs, outputs)? })
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
                Some(var) => Ok(Weight::trained(var.clone())),
                None => bail!("`{name}` cannot be tied to `{earlier}`, which is no earlier parameter"),
            };
        }
        let var = init::linear_default(name, shape, fan_in, self.seed, self.device)?;
        self.trained(name, var)
    }

    fn trained(&mut self, name: &str, var: Var) -> Result<Weight> {
        let var = self.kept(var)?;
        if self.lora.as_mut().is_some_and(|lora| !lora.trains(name)) {
            self.frozen.insert(name, var.clone());
            return Ok(Weight::frozen(var));
        }
        self.parameters.insert(name, var.clone());
        Ok(Weight::trained(var))
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

/// A tensor that is trained, or frozen beside adapters.
#[derive(Debug)]
pub(super) struct Weight {
    /// The tensor; that of a frozen one is not tracked, so that no gradient is computed for it.
    tensor: Tensor,
    /// The variable, if it is trained.
    trained: Option<Var>,
}

impl Weight {
    pub fn trained(var: Var) -> Self {
        Self { tensor: var.as_tensor().clone(), trained: Some(var) }
    }

    /// A weight that shares the memory of `var`, and so has its value whenever that is set.
    pub fn frozen(var: Var) -> Self {
        Self { tensor: var.as_detached_tensor(), trained: None }
    }

    /// The tensor, in the type of the parameters. Products round it as they read it.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The variable, if it is trained.
    pub fn var(&self) -> Option<&Var> {
        self.trained.as_ref()
    }
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    pub weight: Weight,
    pub bias: Option<Weight>,
    /// Whether the weight is `[in, out]`.
    pub in_first: bool,
    pub adapter: Option<Adapter>,
}

impl Linear {
    /// Applies the layer; its adapter may drop inputs in training, which has `draws`.
    pub fn forward(&self, x: &Tensor, draws: Option<&StepRng>) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Weight::tensor);
        let linear = if self.in_first { ops::linear_in_out } else { ops::linear };
        let y = linear(x, self.weight.tensor(), bias)?;
        match &self.adapter {
            Some(adapter) => ops::add(&y, &adapter.forward(x, draws)?),
            None => Ok(y),
        }
    }

    /// Applies the layer, then `activation`.
    pub fn activated(&self, x: &Tensor, activation: Activation, draws: Option<&StepRng>) -> Result<Tensor> {
        match (activation, &self.bias, &self.adapter) {
            (Activation::Relu, Some(bias), None) if !self.in_first => {
                ops::linear_relu(x, self.weight.tensor(), bias.tensor())
            }
            (other, ..) => other.apply(&self.forward(x, draws)?),
        }
    }

    /// Its weights.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        let adapter = self.adapter.iter().flat_map(|adapter| [&adapter.a, &adapter.b]);
        [&self.weight].into_iter().chain(&self.bias).chain(adapter)
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
        ops::conv2d(x, self.weight.tensor(), self.bias.as_ref().map(Weight::tensor), self.options)
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
        let (weight, bias) = (self.weight.tensor(), self.bias.tensor());
        match mode {
            Mode::Train(_) => self.norm.train_then(x, weight, bias, after),
            Mode::Evaluate => self.norm.evaluate_then(x, weight, bias, after),
        }
    }
}
