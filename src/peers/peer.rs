//! A run of another trainer, described in one form: where it stands, with which optimizer and schedule, and which tensors
//! it has.
//!
//! Names, settings and numbers are the peer's own, as its file has them; to translate them is the import's work. A thing
//! that the file does not hold is not guessed here: it is left out, and named in [`Peer::missing`] where a resume needs it.

use std::path::PathBuf;

use super::tensor::Tensor;

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

/// Weights by name, as the file has them.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Tensors in the order of the file. Buffers, such as the mean of a batch norm, are among them.
    pub tensors: Vec<Named>,
    /// Whether this order is the one in which the parameters were registered: yes for a pickled `state_dict`, no for a
    /// file sorted by name.
    pub in_order: bool,
    /// Names in a second place for a tensor that is already in the list: tied weights. (further name, name in the list)
    pub tied: Vec<(String, String)>,
}

/// A tensor with its name.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name in the file, with any prefix.
    pub name: String,
    /// Its numbers.
    pub tensor: Tensor,
    /// Whether a matrix is stored as `[in, out]`, the transpose of PyTorch's order; its moments are then too.
    pub in_out: bool,
    /// Whether it is known to be a buffer, which no optimizer updates.
    pub buffer: bool,
}

impl Named {
    /// Returns a tensor in PyTorch's order that is not known to be a buffer.
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        Self { name: name.into(), tensor, in_out: false, buffer: false }
    }
}

/// Averages of the weights.
#[derive(Clone, Debug)]
pub struct Averages {
    /// Their place in the file.
    pub place: String,
    /// The averaged tensors, under the names of the weights where that can be told.
    pub tensors: Vec<Named>,
    /// The number of averaged states, where the file has it.
    pub count: Option<u64>,
    /// The decay of an exponential average, where the file has it.
    pub decay: Option<f64>,
}

/// An optimizer with its groups.
#[derive(Clone, Debug)]
pub struct Optimizer {
    /// The class, such as `AdamW`; told by the file or by the keys of its groups and states. `Adam or AdamW` where they
    /// are the same for both, and `unknown` where no known class has such keys.
    pub class: String,
    /// Whether the file names the class. A file of PyTorch does not: SGD and Adam are told apart by their states.
    pub named: bool,
    /// The library whose arithmetic it is.
    pub dialect: Dialect,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
    /// Updates of this optimizer, where it counts them.
    pub updates: Option<u64>,
}

/// The library whose arithmetic an optimizer follows, where libraries differ under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PyTorch's, and whoever uses its classes.
    Torch,
    /// Composer's decoupled rules: decay is multiplied by `lr / initial_lr`.
    Composer,
    /// fastai's: decoupled decay; `sqr_mom`, and no bias of the first update.
    Fastai,
    /// Keras': epsilon beside the unscaled root, and the rate inside the velocity of SGD.
    Keras,
    /// optax': a chain of transformations.
    Optax,
}

/// A group of parameters that share settings.
#[derive(Clone, Debug)]
pub struct Group {
    /// The rate in the file; `None` where it has none, as Keras and optax under a schedule.
    pub lr: Option<f64>,
    /// Which update that rate belongs to.
    pub rate_of: RateOf,
    /// The base rate (`initial_lr`), where the file has it.
    pub initial_lr: Option<f64>,
    /// Further settings under the peer's names: `betas`, `weight_decay`, `momentum`…
    pub settings: Vec<(String, Setting)>,
    /// The parameters, in the order of their ids.
    pub parameters: Vec<Parameter>,
}

impl Group {
    /// Returns a setting by its name in the file.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns a setting that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.setting(name)?.number()
    }

    /// Returns whether a setting is there and true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.setting(name), Some(Setting::Bool(true)))
    }
}

/// The update that a rate in a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOf {
    /// The next update, for whoever steps a scheduler before saving.
    Next,
    /// The last update that was made.
    Last,
    /// The rate is the same for every update.
    Constant,
    /// That cannot be told.
    Unknown,
}

/// A setting of an optimizer or a schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Numbers, such as betas or milestones.
    Numbers(Vec<f64>),
    /// A word.
    Text(String),
    /// Something else, as text.
    Other(String),
}

impl Setting {
    /// Returns a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns numbers; a single one is a list of one.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Number(number) => Some(vec![*number]),
            Self::Numbers(numbers) => Some(numbers.clone()),
            _ => None,
        }
    }

    /// Returns a word.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A parameter as an optimizer knows it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its id in the file: a number, an address, or a name.
    pub id: String,
    /// Its name in [`Peer::model`], only where the file itself tells it; the import finds the others by rule.
    pub name: Option<String>,
    /// Updates that it had, where the file has them.
    pub updates: Option<u64>,
    /// State tensors by the peer's names: `exp_avg`, `momentum_buffer`, `mu`… Frozen parameters have none.
    pub states: Vec<(String, Tensor)>,
    /// State numbers by the peer's names, such as `mu_product`.
    pub numbers: Vec<(String, f64)>,
}

/// A schedule of rates, or of another setting.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its form, with its settings.
    pub form: Form,
    /// Index of its optimizer in [`Peer::optimizers`].
    pub optimizer: usize,
    /// Its own counter, such as `last_epoch`: the `t` at which its formula gives the next rate. In
    /// `CosineAnnealingWarmRestarts` it is `T_cur`, which may be a fraction.
    pub at: Option<f64>,
    /// The unit of that counter.
    pub unit: Unit,
    /// Base rate of each group, where the file has them.
    pub base_lrs: Vec<f64>,
    /// Rate of each group as last computed, where the file has them.
    pub last_lrs: Vec<f64>,
    /// Updates by which it is behind: update `t` uses its rate at `t - late` (Composer: 1).
    pub late: u64,
    /// Whether rates are computed in f32.
    pub in_f32: bool,
}

/// The form of a schedule: a class with settings, and members where it is composed of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// The class with its library: `torch.CosineAnnealingLR`, `transformers.linear`, `keras.CosineDecay`,
    /// `optax.warmup_cosine_decay_schedule`, `timm.cosine`, `nanogpt.cosine`, `ignite.ConcatScheduler`, `composer`…
    /// `unknown` where the file has no form; what it lacks is in [`Peer::missing`].
    pub class: String,
    /// Settings under the peer's names, counters among them.
    pub settings: Vec<(String, Setting)>,
    /// Members of a composed schedule.
    pub members: Vec<Form>,
}

impl Form {
    /// Returns a setting by its name in the file.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns a setting that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.setting(name)?.number()
    }
}

/// The unit in which a schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Optimizer updates.
    Updates,
    /// Epochs.
    Epochs,
    /// That cannot be told from the file.
    Unknown,
}

/// Clipping of gradients before an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clipping {
    /// The file says that there is none.
    Off,
    /// By the norm of all gradients: `g * most / (norm + eps)` where the norm is above `most`.
    Norm {
        /// The largest norm.
        most: f64,
        /// The number added to the norm: 1e-6 in PyTorch, 0 elsewhere.
        eps: f64,
    },
    /// By the norm of each gradient apart: `g * most / norm` where its norm is above `most` (Keras' `clipnorm`).
    NormOfEach {
        /// The largest norm.
        most: f64,
    },
    /// Each number of a gradient, to at most `most` and at least `-most`.
    Value {
        /// The largest size of a number.
        most: f64,
    },
    /// The file does not say.
    Unknown,
}

/// A dynamic loss scale, of training in f16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The scale.
    pub scale: f64,
    /// Factor of growth.
    pub growth_factor: f64,
    /// Factor after an overflow.
    pub backoff_factor: f64,
    /// Updates without an overflow between two growths.
    pub growth_interval: u64,
    /// Updates since the last change.
    pub since: u64,
}

/// A model's configuration in the peer's words.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The kind, such as `gpt2`, `Sequential`, `nanogpt`.
    pub kind: String,
    /// Its settings.
    pub settings: Vec<(String, Setting)>,
}
