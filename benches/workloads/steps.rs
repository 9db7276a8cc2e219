//! The workloads on Rekindle; a step is that of the training loop.

use std::collections::BTreeMap;
use std::error::Error;

use candle_core::{DType, Device, Result, Tensor};
use rekindle::data::Input;
use rekindle::model::{ConvNet, Gpt, GptConfig, Mlp, Mode, Model, Policy, ResNet};
use rekindle::ops::{Tape, loss};
use rekindle::optim::{Gradients, Optimizer, OptimizerConfig};
use rekindle::parameters::Parameters;
use rekindle::rng::StepRng;

use crate::start::Start;
use crate::workload::{Model as Shape, Workload};

/// A model in training, and its data.
pub struct Training {
    pub model: Box<dyn Model>,
    pub optimizer: Optimizer,
    batches: Vec<(Tensor, Tensor)>,
    has_classes: bool,
    clip_norm: Option<f64>,
    device: Device,
    pub step: u64,
}

const CONVNET: &str = "
blocks = [{ channels = 32 }, { channels = 64, pool = 'max', dropout = 0.25 }]
hidden = [128]
dropout = 0.5
";

/// Returns the model of a workload on `device`. The largest GPT computes in bf16 with weights of f32, except on the CPU.
fn build(workload: &Workload, device: &Device) -> std::result::Result<Box<dyn Model>, Box<dyn Error>> {
    let in_bf16 = workload.in_bf16 || workload.base == "GPT-124M" && !device.is_cpu();
    let policy = if in_bf16 { Policy { compute: DType::BF16, ..Policy::default() } } else { Policy::default() };
    let input = Input::Numbers(workload.model.input());
    Ok(match &workload.model {
        Shape::Mlp(widths) => {
            let [inputs, hidden @ .., outputs] = &widths[..] else {
                return Err("an MLP has two widths or more".into());
            };
            let config = toml::from_str(&format!("hidden = {hidden:?}"))?;
            Box::new(Mlp::with_policy(config, *inputs, *outputs, 0, device, policy)?)
        }
        Shape::ConvNet => Box::new(ConvNet::with_policy(toml::from_str(CONVNET)?, &input, 10, 0, device, policy)?),
        Shape::ResNet { widths, depths } => {
            let config = toml::from_str(&format!("widths = {widths:?}\ndepths = {depths:?}"))?;
            Box::new(ResNet::with_policy(&config, &input, 10, 0, device, policy)?)
        }
        Shape::Gpt(size) => {
            let config = GptConfig::new(size.layers, size.heads, size.width);
            Box::new(Gpt::with_policy(config, size.context, size.vocabulary, size.vocabulary, 0, device, policy)?)
        }
    })
}

/// Sets the parameters to the initial weights of all contestants. A GPT has the names of Hugging Face's GPT-2, under
/// `transformer`, with linear maps `[in, out]`.
fn begin_with(weights: &BTreeMap<String, Tensor>, parameters: &Parameters) -> std::result::Result<(), Box<dyn Error>> {
    let in_first = |name: &str| name.ends_with(".weight") && (name.contains(".attn.c_") || name.contains(".mlp.c_"));
    let own = |name: &str| name.strip_prefix("transformer.").unwrap_or(name).to_owned();
    if !parameters.iter().map(|(name, _)| own(name)).eq(weights.keys().cloned()) {
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
        return Err(format!("the model's parameters are {names:?}, not {:?}", weights.keys()).into());
    }
    for (name, var) in parameters.iter() {
        let weight = &weights[&own(name)];
        let weight = if in_first(name) { weight.t()?.contiguous()? } else { weight.clone() };
        var.set(&weight.to_device(var.device())?)?;
    }
    Ok(())
}

impl Training {
    /// A workload at `start`, which computes on `device`.
    pub fn new(workload: &Workload, start: &Start, device: &Device) -> std::result::Result<Self, Box<dyn Error>> {
        let model = build(workload, device)?;
        begin_with(&start.weights, model.parameters())?;
        let has_classes = workload.has_classes();
        let optimizer = if has_classes { "kind = 'adamw'\nlr = 1e-3" } else { "kind = 'sgd'\nlr = 0.1" };
        let optimizer = toml::from_str::<OptimizerConfig>(optimizer)?;
        let optimizer = Optimizer::new(model.parameters(), optimizer)?;
        // A device gets one batch at a time: a part of a tensor is moved with the storage of all of it.
        let batch = |tensor: &Tensor, i: usize| match device.is_cpu() {
            true => tensor.get(i),
            false => tensor.get(i)?.force_contiguous()?.to_device(device),
        };
        let batches = (0..start.x.dim(0)?).map(|i| Ok((batch(&start.x, i)?, batch(&start.y, i)?)));
        let batches = batches.collect::<Result<_>>()?;
        let (clip_norm, device) = (workload.clip_norm, device.clone());
        Ok(Self { model, optimizer, batches, has_classes, clip_norm, device, step: 0 })
    }

    /// The kind of its device.
    pub fn device_name(&self) -> &'static str {
        match self.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
    }

    /// Makes an update, waits until the device has made it, and returns the loss before it.
    pub fn step(&mut self) -> f32 {
        self.try_step().unwrap_or_else(|error| crate::refuse(&error.to_string()))
    }

    fn try_step(&mut self) -> std::result::Result<f32, Box<dyn Error>> {
        let (x, y) = &self.batches[self.step as usize % self.batches.len()];
        let (loss, tape) = Tape::record(|| {
            let outputs = self.model.forward(x, Mode::Train(&StepRng::at(0, self.step)))?;
            if self.has_classes { loss::cross_entropy(&outputs, y, 0.0) } else { loss::mean_squared_error(&outputs, y) }
        });
        let loss = loss?;
        let value = loss.detach();
        let gradients = Gradients::from_tape(tape, loss, 1.0, self.model.parameters())?;
        let (gradients, values) = gradients.measure_with(&[value])?;
        let gradients = match self.clip_norm {
            Some(max_norm) => gradients.clip(max_norm)?,
            None => gradients,
        };
        gradients.check_finite()?;
        self.optimizer.update(&gradients, &self.optimizer.base_lrs())?;
        self.device.synchronize()?;
        self.step += 1;
        Ok(values[0] as f32)
    }
}
