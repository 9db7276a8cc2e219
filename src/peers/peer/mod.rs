//! A run of another trainer, described in one form: where it stands, with which optimizer and schedule, and which tensors
//! it has.
//!
//! Names, settings and numbers are the peer's own, as its file has them; to translate them is the import's work. A thing
//! that the file does not hold is not guessed here: it is left out, and named in [`Peer::missing`] where a resume needs it.

mod gradients;
mod model;
mod optimizer;
mod schedule;
mod setting;

use std::path::PathBuf;

pub use gradients::{Clipping, LossScale};
pub use model::{Architecture, Averages, Model, Named};
pub use optimizer::{Dialect, Group, Optimizer, Parameter, RateOf};
pub use schedule::{Form, Schedule, Unit};
pub use setting::Setting;

/// A checkpoint of another trainer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The file or folder that was named.
    pub path: PathBuf,
    /// The trainer that wrote it.
    pub trainer: Trainer,
    /// The trainer's version, where the file tells.
    pub version: Option<String>,
    /// The format in words, such as "zip of PyTorch".
    pub format: &'static str,
    /// Optimizer updates made so far.
    pub updates: Option<u64>,
    /// Passes over the data made so far, possibly a fraction.
    pub epochs: Option<f64>,
    /// Every counter in the file, with its meaning.
    pub counters: Vec<Counter>,
    /// Weights that the optimizer updates, and buffers.
    pub model: Model,
    /// Averages of weights, apart from the live ones.
    pub averages: Option<Averages>,
    /// Optimizers; each has its parameters by groups.
    pub optimizers: Vec<Optimizer>,
    /// Schedules of rates.
    pub schedules: Vec<Schedule>,
    /// Clipping of gradients.
    pub clipping: Clipping,
    /// The loss scale of training in f16.
    pub loss_scale: Option<LossScale>,
    /// Micro-batches per update, where the file tells.
    pub accumulation: Option<u64>,
    /// Settings of the run that the file tells, such as its batch size or seed: name and value, as text.
    pub settings: Vec<(String, String)>,
    /// The model's own configuration, such as `config.json`: keys and values as text, under the peer's names.
    pub architecture: Option<Architecture>,
    /// Things that a resume needs and the file does not hold, each as a sentence that begins with the thing.
    pub missing: Vec<String>,
    /// Things that the file holds and nobody here reads, such as the states of random generators.
    pub left: Vec<String>,
    /// Remarks on how its numbers are to be understood.
    pub remarks: Vec<String>,
}

impl Peer {
    /// Returns the description of a checkpoint in which nothing was found yet.
    pub fn new(path: impl Into<PathBuf>, trainer: Trainer, format: &'static str) -> Self {
        Self {
            path: path.into(),
            trainer,
            version: None,
            format,
            updates: None,
            epochs: None,
            counters: Vec::new(),
            model: Model::default(),
            averages: None,
            optimizers: Vec::new(),
            schedules: Vec::new(),
            clipping: Clipping::Unknown,
            loss_scale: None,
            accumulation: None,
            settings: Vec::new(),
            architecture: None,
            missing: Vec::new(),
            left: Vec::new(),
            remarks: Vec::new(),
        }
    }
}

/// A trainer whose checkpoints are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Trainer {
    PyTorch,
    Transformers,
    Accelerate,
    Lightning,
    DeepSpeed,
    Composer,
    Dcp,
    Ignite,
    Fastai,
    Timm,
    NanoGpt,
    Keras,
    Orbax,
    Flax,
    /// Weights alone, in a safetensors file.
    Safetensors,
}

impl Trainer {
    /// Returns its name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::PyTorch => "PyTorch",
            Self::Transformers => "transformers",
            Self::Accelerate => "accelerate",
            Self::Lightning => "Lightning",
            Self::DeepSpeed => "DeepSpeed",
            Self::Composer => "Composer",
            Self::Dcp => "PyTorch (distributed checkpoint)",
            Self::Ignite => "Ignite",
            Self::Fastai => "fastai",
            Self::Timm => "timm",
            Self::NanoGpt => "nanoGPT",
            Self::Keras => "Keras",
            Self::Orbax => "Orbax",
            Self::Flax => "Flax",
            Self::Safetensors => "safetensors",
        }
    }
}

/// A counter in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    /// Its path in the file, such as `loops.fit_loop.epoch_progress`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The thing that it counts, in words.
    pub counts: String,
}
