//! A user-defined model and data set in the loop of `train`, resumable to the bit.
//! Run it, kill it, run it again: `cargo run --release --example own_model runs/own-model`.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::{Linear, Module};
use rekindle::data::{Batch, DataError, Dataset, Fingerprint, Input, TargetKind};
use rekindle::model::{Mode, Model, linear_default};
use rekindle::{parameters::Parameters, rng::Stream, train};

const CONFIG: &str = r#"
    data = { format = "custom", batch_size = 64, validation = 0.2 }
    model = { kind = "custom" }
    optimizer = { kind = "adamw", lr = 0.02 }
    schedule = 'warmup(20) -> cosine("100%")'
    train = { steps = 400 }
    checkpoint = { every = "20 steps" }
"#;

/// Points in the unit square, and whether they lie in a disk.
struct Disk(Fingerprint);

impl Dataset for Disk {
    fn len(&self) -> usize {
        2000
    }
    fn input(&self) -> Input {
        Input::Numbers(vec![2])
    }
    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: 2 }
    }
    fn fingerprint(&self) -> &Fingerprint {
        &self.0
    }
    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let points: Vec<_> = rows.iter().flat_map(|&row| Stream::new(7, "points").uniform(row as u64, 2)).collect();
        let inside = points.chunks(2).map(|p| u32::from((p[0] - 0.5).hypot(p[1] - 0.5) < 0.3)).collect();
        let (inputs, count) = (Tensor::from_vec(points, (rows.len(), 2), &Device::Cpu)?, rows.len());
        Ok(Batch { inputs, targets: Tensor::from_vec(inside, count, &Device::Cpu)? })
    }
}

/// Two layers of candle-nn with a sine between them.
struct Sine(Linear, Linear, Parameters);

impl Model for Sine {
    fn forward(&self, inputs: &Tensor, _mode: Mode<'_>) -> candle_core::Result<Tensor> {
        self.1.forward(&self.0.forward(&(inputs * 8.0)?)?.sin()?)
    }
    fn parameters(&self) -> &Parameters {
        &self.2
    }
}

fn main() -> Result<()> {
    let mut parameters = Parameters::new();
    let mut layer = |name: &str, inputs: usize, outputs: usize| -> Result<Linear> {
        let weight = linear_default(name, (outputs, inputs), inputs, 7, &Device::Cpu)?;
        parameters.insert(name, weight.clone());
        Ok(Linear::new(weight.as_tensor().clone(), None))
    };
    let model = Sine(layer("in", 2, 32)?, layer("out", 32, 2)?, parameters);
    let out = std::env::args().nth(1).unwrap_or("runs/own-model".to_owned());
    let data = Disk(Fingerprint::of(b"disk, version 1"));
    let run = train::Session::builder(toml::from_str(CONFIG)?).model(model).dataset(data);
    run.run_in(out.as_ref(), train::Control::new())?.run.train(&mut train::Console::new())?;
    Ok(())
}
