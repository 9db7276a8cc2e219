//! `--best` and `--weights`: which checkpoint of a run is used, and which of its weights.

use std::path::Path;

use clap::Args;
use rekindle::train::Setting;
use rekindle::trained::{Trained, TrainedError, Weights};

/// The choice of a checkpoint, and of its weights.
#[derive(Args)]
pub struct Which {
    /// Use the best checkpoint by its metric instead of the newest.
    #[arg(long)]
    best: bool,
    /// Use these weights: `trained`, or those of an average, `ema` or `swa`. Default: those that validations use.
    #[arg(long, value_name = "WEIGHTS")]
    weights: Option<Weights>,
}

impl Which {
    /// Opens the trained model of the run at `path`.
    pub fn open(&self, path: &Path, settings: &[Setting]) -> Result<(Trained, Vec<String>), TrainedError> {
        Trained::open_weights(path, self.best, &self.weights.clone().unwrap_or_default(), settings)
    }
}
