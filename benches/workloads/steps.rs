//! The workloads on Rekindle; a step is that of the training loop.

use std::collections::BTreeMap;
use std::error::Error;

use candle_core::{Device, Result, Tensor};
use rekindle::data::Input;
use rekindle::model::{Mode, Model, ModelConfig};
use rekindle::ops::{Tape, loss};
use rekindle::optim::{Gradients, Optimizer, OptimizerConfig};
use rekindle::parameters::Parameters;
use rekindle::rng::StepRng;

use crate::start::Start;

/// A model in training, and its data.
pub struct Training {
    pub model: Box<dyn Model>,
    pub optimizer: Optimizer,
    batches: Vec<(Tensor, Tensor)>,
    has_classes: bool,
    pub step: u64,
}

/// Returns the configuration of the workload: model and optimizer.
fn config(workload: &str) -> (&'static str, &'static str) {
    match workload {
        "W1" => ("kind = 'mlp'\nhidden = [32]", "kind = 'sgd'\nlr = 0.1"),
        "W2" => ("kind = 'mlp'\nhidden = [1024, 1024]", ADAMW),
        "W3" => (CONVNET, ADAMW),
        _ => ("kind = 'gpt'\nlayers = 4\nheads = 4\nwidth = 128", ADAMW),
    }
}

const CONVNET: &str = "
kind = 'convnet'
blocks = [{ channels = 32 }, { channels = 64, pool = 'max', dropout = 0.25 }]
hidden = [128]
dropout = 0.5
";

const ADAMW: &str = "kind = 'adamw'\nlr = 1e-3";

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
        var.set(&if in_first(name) { weight.t()?.contiguous()? } else { weight.clone() })?;
    }
    Ok(())
}

impl Training {
    /// A workload at `start`.
    pub fn new(workload: &str, start: &Start) -> std::result::Result<Self, Box<dyn Error>> {
        let (model, optimizer) = config(workload);
        let (model, optimizer): (ModelConfig, OptimizerConfig) = (toml::from_str(model)?, toml::from_str(optimizer)?);
        let (input, outputs) = match workload {
            "W4" => (Input::Tokens { context: 64, vocabulary: 65 }, 65),
            "W1" => (Input::Numbers(vec![10]), 1),
            _ => (Input::Numbers(start.x.dims()[2..].to_vec()), 10),
        };
        let model = model.build(&input, outputs, 0, &Device::Cpu)?;
        begin_with(&start.weights, model.parameters())?;
        let optimizer = Optimizer::new(model.parameters(), optimizer)?;
        let batches = (0..start.x.dim(0)?).map(|i| Ok((start.x.get(i)?.copy()?, start.y.get(i)?.copy()?)));
        let batches = batches.collect::<Result<_>>()?;
        Ok(Self { model, optimizer, batches, has_classes: workload != "W1", step: 0 })
    }

    /// Makes an update, and returns the loss before it.
    pub fn step(&mut self) -> f32 {
        self.try_step().expect("the model trains")
    }

    fn try_step(&mut self) -> std::result::Result<f32, Box<dyn Error>> {
        let (x, y) = &self.batches[self.step as usize % self.batches.len()];
        let (loss, tape) = Tape::record(|| {
            let outputs = self.model.forward(x, Mode::Train(&StepRng::at(0, self.step)))?;
            if self.has_classes { loss::cross_entropy(&outputs, y, 0.0) } else { loss::mean_squared_error(&outputs, y) }
        });
        let loss = loss?;
        let value = loss.to_scalar::<f32>()?;
        let gradients = Gradients::from_tape(tape, loss, 1.0, self.model.parameters())?.measure()?;
        gradients.check_finite()?;
        self.optimizer.update(&gradients, &self.optimizer.base_lrs())?;
        self.step += 1;
        Ok(value)
    }
}
