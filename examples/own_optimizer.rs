//! A user-defined update rule, Lion (Chen et al., NeurIPS 2023, algorithm 2), in a run that survives being killed.
//!
//! Run it, kill it, run it again: `cargo run --release --example own_optimizer CONFIG.toml runs/own`, where
//! `CONFIG.toml` has `kind = "lion"` in `[optimizer]`, or in one of its groups.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rekindle::optim::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule, register};
use rekindle::train::{Control, Run, from_file, resume};
use serde::{Deserialize, Serialize};

/// Moves each weight by the learning rate, in the direction of a mean of gradients.
#[derive(Debug, Serialize, Deserialize)]
struct Lion {
    lr: f64,
    #[serde(default = "default_betas")]
    betas: [f64; 2],
    #[serde(default)]
    weight_decay: f64,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.99]
}

impl UpdateRule for Lion {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> Result<(), OptimError> {
        let in_range = (0.0..1.0).contains(&self.betas[1]);
        OptimError::require("betas", format!("{:?}", self.betas), in_range, "each must be at least 0 and below 1")
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> candle_core::Result<()> {
        let (weights, gradient, mean) = (tensors.weights()?, tensors.gradient()?, tensors.state(0)?);
        let mix = |beta: f64| (&mean * beta)? + (&gradient * (1.0 - beta))?;
        let direction = (mix(step.momentum)?.sign()? + (&weights * step.weight_decay)?)?;
        tensors.set_weights(&(weights - (direction * step.lr)?)?)?;
        tensors.set_state(0, &mix(self.betas[1])?)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let config = arguments.next().context("give a configuration and the directory of the run")?;
    let run = arguments.next().unwrap_or_else(|| "runs/own".into());
    // From here on configurations and checkpoints can use the name.
    register::<Lion>("lion")?;
    let mut run = match run.join("checkpoints").exists() {
        true => resume::resume(&run, resume::ResumeOptions::default(), Control::new())?.run,
        false => Run::start(from_file(&config, &[])?, &run, Control::new())?,
    };
    run.train(&mut ())?;
    println!("done: {} steps", run.session().step());
    Ok(())
}
