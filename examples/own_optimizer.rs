//! A user-defined update rule, Tiger (Su, 2023: the sign of a mean of gradients), in a run that survives being killed.
//!
//! Run it, kill it, run it again: `cargo run --release --example own_optimizer CONFIG.toml runs/own`, where
//! `CONFIG.toml` has `kind = "tiger"` in `[optimizer]`, or in one of its groups.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rekindle::optim::{BaseHyperparams, Momentum, Step, Update, UpdateRule, register};
use rekindle::train::{Control, Run, from_file, resume};
use serde::{Deserialize, Serialize};

/// Moves each weight by the learning rate, in the direction of a mean of gradients.
#[derive(Debug, Serialize, Deserialize)]
struct Tiger {
    lr: f64,
    #[serde(default = "default_beta")]
    beta: f64,
    #[serde(default)]
    weight_decay: f64,
}

fn default_beta() -> f64 {
    0.965
}

impl UpdateRule for Tiger {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.beta));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> candle_core::Result<()> {
        let (weights, gradient, mean) = (tensors.weights()?, tensors.gradient()?, tensors.state(0)?);
        let mean = ((mean * step.momentum)? + (gradient * (1.0 - step.momentum))?)?;
        let direction = (mean.sign()? + (&weights * step.weight_decay)?)?;
        tensors.set_weights(&(weights - (direction * step.lr)?)?)?;
        tensors.set_state(0, &mean)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let config = arguments.next().context("give a configuration and the directory of the run")?;
    let run = arguments.next().unwrap_or_else(|| "runs/own".into());
    // From here on configurations and checkpoints can use the name.
    register::<Tiger>("tiger")?;
    let mut run = match run.join("checkpoints").exists() {
        true => resume::resume(&run, resume::ResumeOptions::default(), Control::new())?.run,
        false => Run::start(from_file(&config, &[])?, &run, Control::new())?,
    };
    run.train(&mut ())?;
    println!("done: {} steps", run.session().step());
    Ok(())
}
