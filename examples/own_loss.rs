//! A user-defined loss and metric, used in a configuration like those of the catalogue.
//! Run it, kill it, run it again: `cargo run --release --example own_loss runs/own-loss`.

use anyhow::Result;
use candle_core::Tensor;
use rekindle::data::TargetKind;
use rekindle::loss::{self, BinaryCrossEntropy, Loss, LossError, Predicted};
use rekindle::metric::{self, Mean, Metric, Tally};
use rekindle::train::{Config, Console, Control, Session};
use serde::{Deserialize, Serialize};

const CONFIG: &str = r#"
    data = { path = "", format = "csv", header = false, skip_lines = 1, validation = 0.2 }
    model = { kind = "mlp", hidden = [32] }
    loss = { kind = "two_class_focal", gamma = 2.0 }
    optimizer = { kind = "adamw", lr = 3e-3 }
    schedule = 'plateau(mode="max", patience=1, threshold=0.1)'
    train = { epochs = 20, metric = "validation_confidence" }
    validation = { every = "1 epoch", metrics = ["confidence"] }
    checkpoint = { every = "10 steps", keep = { last = 40, best = 3, metric = "validation_confidence" } }
"#;

/// Minus the logarithm of the probability that a logit gives to the right one of two classes.
fn surprise(logits: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
    let sign = ((targets.to_dtype(logits.dtype())?.reshape(logits.shape())? * 2.0)? - 1.0)?;
    rekindle::ops::softplus(&(logits * sign)?.neg()?)
}

/// Binary cross-entropy with less weight on correct predictions: Lin et al., ICCV 2017.
#[derive(Debug, Serialize, Deserialize)]
struct Focal {
    gamma: f64,
}

impl Loss for Focal {
    fn outputs(&self, targets: TargetKind) -> Result<usize, LossError> {
        BinaryCrossEntropy::default().outputs(targets)
    }
    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        let surprise = surprise(outputs, targets)?;
        ((1.0 - surprise.neg()?.exp()?)?.powf(self.gamma)? * surprise)?.mean_all()
    }
    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        BinaryCrossEntropy::default().interpret(outputs)
    }
}

/// The mean probability of the right class.
#[derive(Debug, Serialize, Deserialize)]
struct Confidence {}

impl Metric for Confidence {
    fn more_is_better() -> bool {
        true
    }
    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Mean::of(|outputs: &Tensor, targets: &Tensor| surprise(outputs, targets)?.neg()?.exp()))
    }
}

fn main() -> Result<()> {
    loss::register::<Focal>("two_class_focal")?;
    metric::register::<Confidence>("confidence")?;
    let mut config: Config = toml::from_str(CONFIG)?;
    config.data.path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/breast_cancer.csv").into();
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/own-loss".to_owned());
    Session::builder(config).run_in(out.as_ref(), Control::new())?.run.train(&mut Console::new())?;
    Ok(())
}
