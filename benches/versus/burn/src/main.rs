//! Burn in the bench, on its fastest backend for the CPU, with its own layers, losses and optimizers.

mod models;
#[path = "../../protocol.rs"]
mod protocol;
mod start;

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, MseLoss, Reduction};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Int, Tensor};
use models::{ConvNet, Gpt, Mlp};
use start::Start;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, workload, path] = &arguments[..] else { panic!("usage: steps WORKLOAD START") };
    assert_eq!(command, "steps");
    let start = Start::read(path, device());
    let device = &start.device;
    device.seed(0);
    let cross_entropy = CrossEntropyLoss::new(None, device);
    let classes = |logits: Tensor<2>, y: &Tensor<1, Int>| cross_entropy.forward(logits, y.clone());
    match workload.as_str() {
        "W1" => {
            let mse = |values: Tensor<2>, y: &Tensor<2>| MseLoss::new().forward(values, y.clone(), Reduction::Mean);
            let batches = start.floats::<3, 2>("x").into_iter().zip(start.floats::<3, 2>("y")).collect();
            let forward = |model: &Mlp, x: &Tensor<2>| model.forward(x.clone());
            train(Mlp::new(&[10, 32, 1], &start), SgdConfig::new().init(), 0.1, batches, forward, mse);
        }
        "W2" => {
            let batches = start.floats::<3, 2>("x").into_iter().zip(start.classes("y")).collect();
            let forward = |model: &Mlp, x: &Tensor<2>| model.forward(x.clone());
            train(Mlp::new(&[784, 1024, 1024, 10], &start), adamw(), 1e-3, batches, forward, classes);
        }
        "W3" => {
            let batches = start.floats::<5, 4>("x").into_iter().zip(start.classes("y")).collect();
            let forward = |model: &ConvNet, x: &Tensor<4>| model.forward(x.clone());
            train(ConvNet::new(&start), adamw(), 1e-3, batches, forward, classes);
        }
        "W4" => {
            let batches = start.tokens("x").into_iter().zip(start.classes("y")).collect();
            let forward = |model: &Gpt, x: &Tensor<2, Int>| model.forward(x.clone());
            train(Gpt::new(&start), adamw(), 1e-3, batches, forward, classes);
        }
        other => {
            eprintln!("burn's program has no {other}");
            std::process::exit(3);
        }
    }
}

#[cfg(not(feature = "ndarray"))]
fn device() -> Device {
    Device::flex().autodiff()
}

#[cfg(feature = "ndarray")]
fn device() -> Device {
    Device::ndarray().autodiff()
}

/// The settings of the others; burn's own defaults are different.
fn adamw() -> ModuleOptimizer {
    AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init()
}

/// Trains on request, with the loop of burn's book.
fn train<M: Module, X, Y>(
    model: M,
    mut optimizer: ModuleOptimizer,
    lr: f64,
    batches: Vec<(X, Y)>,
    forward: impl Fn(&M, &X) -> Tensor<2>,
    loss: impl Fn(Tensor<2>, &Y) -> Tensor<1>,
) {
    let (mut model, mut done) = (Some(model), 0);
    let mut step = || {
        let (x, y) = &batches[done % batches.len()];
        let trained = model.take().expect("it is put back");
        let loss = loss(forward(&trained, x), y);
        let gradients = GradientsParams::from_grads(loss.backward(), &trained);
        model = Some(optimizer.step(lr, trained, gradients));
        done += 1;
        loss.into_scalar::<f32>()
    };
    let backend = if cfg!(feature = "ndarray") { "ndarray" } else { "flex" };
    let version = format!("0.22 ({backend})");
    protocol::serve(&version, &mut step, &mut |words| panic!("there is no request {words:?}"));
}
