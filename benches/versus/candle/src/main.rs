//! Plain candle-nn in the bench, with its own layers, losses and optimizers, as its examples use them.
//!
//! Two of its fused operations, the layer norm and the softmax over the last dimension, have no backward pass:
//! gradients before them are lost silently. A GPT has to be trained with the slow ones, as in this program.

mod models;
#[path = "../../protocol.rs"]
mod protocol;

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap, loss};
use models::{ConvNet, Gpt, Mlp, Model, Size};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, workload, start] = &arguments[..] else { panic!("usage: steps WORKLOAD START") };
    assert_eq!(command, "steps");
    let mut training = Training::new(workload, start)?;
    let mut step = || training.step().expect("the model trains");
    protocol::serve("candle-nn 0.11", &mut step, &mut |words| panic!("there is no request {words:?}"));
    Ok(())
}

struct Training {
    model: Box<dyn Model>,
    optimizer: Either,
    /// All parameters, where gradients are clipped.
    clipped: Vec<Var>,
    batches: Vec<(Tensor, Tensor)>,
    step: usize,
}

/// Candle's optimizers have no trait object.
enum Either {
    Sgd(SGD),
    AdamW(AdamW),
}

impl Training {
    fn new(workload: &str, start: &str) -> Result<Self> {
        let mut tensors = candle_core::safetensors::load(start, &Device::Cpu)?;
        let mut take = |name: &str| tensors.remove(name).expect("the data is there");
        let (x, y) = (take("x"), take("y"));
        let batches = (0..x.dim(0)?)
            .map(|i| Ok((x.get(i)?.force_contiguous()?, y.get(i)?.force_contiguous()?)))
            .collect::<Result<_>>()?;
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let model: Box<dyn Model> = match workload {
            "W1" => Box::new(Mlp::new(&[10, 32, 1], vb)?),
            "W2" => Box::new(Mlp::new(&[784, 1024, 1024, 10], vb)?),
            "W3" => Box::new(ConvNet::new(vb)?),
            "W4" => Box::new(Gpt::new(Size { layers: 4, heads: 4, width: 128, context: 64 }, vb)?),
            "W5" => Box::new(Gpt::new(Size { layers: 6, heads: 6, width: 384, context: 256 }, vb)?),
            "W7" => Box::new(Mlp::new(&[784, 4096, 4096, 10], vb)?),
            other => {
                eprintln!("candle-nn's program has no {other}");
                std::process::exit(3);
            }
        };
        begin_with(&map, &tensors)?;
        let optimizer = match workload {
            "W1" => Either::Sgd(SGD::new(map.all_vars(), 0.1)?),
            _ => Either::AdamW(AdamW::new(map.all_vars(), ParamsAdamW { lr: 1e-3, ..Default::default() })?),
        };
        let clipped = if ["W5", "W7"].contains(&workload) { map.all_vars() } else { Vec::new() };
        Ok(Self { model, optimizer, clipped, batches, step: 0 })
    }

    fn step(&mut self) -> Result<f32> {
        let (x, y) = &self.batches[self.step % self.batches.len()];
        let outputs = self.model.forward(x)?;
        let loss = match &self.optimizer {
            Either::Sgd(_) => loss::mse(&outputs, y)?,
            Either::AdamW(_) => loss::cross_entropy(&outputs, &y.flatten_all()?)?,
        };
        let mut gradients = loss.backward()?;
        clip(&mut gradients, &self.clipped)?;
        match &mut self.optimizer {
            Either::Sgd(sgd) => sgd.step(&gradients)?,
            Either::AdamW(adamw) => adamw.step(&gradients)?,
        }
        self.step += 1;
        loss.to_scalar()
    }
}

/// Scales the gradients of `vars` so that their norm together is at most 1. Candle has no such function.
fn clip(gradients: &mut GradStore, vars: &[Var]) -> Result<()> {
    if vars.is_empty() {
        return Ok(());
    }
    let square = |var| gradients.get(var).expect("all are trained").sqr()?.sum_all()?.to_scalar::<f32>();
    let norm = vars.iter().map(|var| square(var.as_tensor())).sum::<Result<f32>>()?.sqrt();
    let scale = f64::from(1.0 / (norm + 1e-6)).min(1.0);
    for var in vars {
        let scaled = (gradients.remove(var).expect("all are trained") * scale)?;
        gradients.insert(var, scaled);
    }
    Ok(())
}

/// Sets the weights of `map` to the initial weights of all contestants.
fn begin_with(map: &VarMap, weights: &HashMap<String, Tensor>) -> Result<()> {
    let vars = map.data().lock().expect("nobody else has it");
    assert_eq!(vars.len(), weights.len(), "the model has other weights than the start");
    vars.iter().try_for_each(|(name, var)| var.set(&weights[name]))
}
