//! The configuration of a run, in the form of a TOML file and of a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::averages::{self, EmaConfig, SwaConfig};
use super::distributed::DistributedConfig;
use super::early_stopping::{self, EarlyStoppingConfig};
use super::every::Interval;
use super::figure::Metric;
use super::hooks::HooksConfig;
use super::initial_weights::{self, MissingWeights, UnusedWeights};
use super::keep::KeepConfig;
use super::log::LogConfig;
use super::paths;
use super::shaping::{self, FreezeConfig, GradientNoise};
use super::time_budget::TimeBudget;
use super::validation::ValidationConfig;
use crate::Notice;
use crate::data::{Data, DataConfig};
use crate::device::{self, DeviceError, Opened};
use crate::loss::LossConfig;
use crate::model::{ModelConfig, Precision};
use crate::optim::OptimizerConfig;
use crate::schedule::Schedule;
use crate::train::{TrainError, component};

/// All inputs of a run. Two runs of one configuration have the same bits.
///
/// Paths are absolute in memory; in a file they are relative to that file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The seed of initial weights, split, shuffling and dropout.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// The device of the tensors: `"cpu"`, `"cuda"`, `"cuda:1"`, `"metal"`, or `"auto"`, which is the first GPU that the
    /// program can use, or else the CPU. The name of the device that was opened is written down.
    #[serde(default = "default_device")]
    #[schemars(regex(pattern = r"^(auto|(cpu|cuda|metal)(:[0-9]+)?)$"))]
    pub device: String,
    /// The number type in which the layers of the model compute: `"f32"`, `"bf16"` or `"f16"`. In half precision they
    /// take half the memory, and less time where the device has instructions for it. Weights, the optimizer's state,
    /// the sums of norms and the loss stay in f32. With f16 the loss is scaled, so that small gradients do not become
    /// 0, and a step whose gradients overflow is skipped. A model that a program passes as a value chooses its own
    /// types.
    #[serde(default)]
    pub precision: Precision,
    /// The training data.
    pub data: DataConfig,
    /// The model.
    pub model: ModelConfig,
    /// The loss.
    #[serde(default)]
    pub loss: LossConfig,
    /// The update rule of the weights.
    pub optimizer: OptimizerConfig,
    /// The schedule of the learning rate; constant by default.
    #[serde(default = "default_schedule")]
    pub schedule: Schedule,
    /// The schedule of the momentum of SGD and the first beta of Adam kinds, starting from each group's own value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum_schedule: Option<Schedule>,
    /// The schedule of the second beta of Adam and AdamW, starting from each group's own value. The correction of the
    /// second moment then uses the product of all betas so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta2_schedule: Option<Schedule>,
    /// The schedule of the weight decay, starting from each group's own value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay_schedule: Option<Schedule>,
    /// The schedule of the decay of `[ema]`, starting from its `decay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay_schedule: Option<Schedule>,
    /// Length and safeguards of training.
    pub train: TrainConfig,
    /// Evaluation on the validation rows.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// Saving of the state.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// The end of the run before its last step, by a metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// Files for other programs.
    #[serde(default)]
    pub log: LogConfig,
    /// Commands that are started when something happens in the run.
    #[serde(default, skip_serializing_if = "HooksConfig::is_default")]
    pub hooks: HooksConfig,
    /// How several processes share the work.
    #[serde(default)]
    pub distributed: DistributedConfig,
    /// An exponential moving average of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaConfig>,
    /// Stochastic weight averaging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swa: Option<SwaConfig>,
    /// Components that a program has registered (`rekindle::train::register_component`), by name, each with its
    /// settings. They are saved with the run, act after each update and may provide the weights for validations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, serde_json::Value>,
}

/// The length of a run; exactly one of `epochs` and `steps` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Number of passes over the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Number of optimizer updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Number of micro-batches into which the rows of an update are divided; 1 by default. The update is that of the
    /// whole batch, including a shorter last one, but only one micro-batch has to fit in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub accumulate: Option<usize>,
    /// Whether batch norms take the statistics of the whole batch in place of those of each micro-batch, in any number of
    /// processes. The micro-batches of a process are then computed at the same time and must fit in memory together. The
    /// bits are the same for any number of processes; another value is another run. By default they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_batch_norm: Option<bool>,
    /// Maximal global norm of the gradients; larger ones are scaled down to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub clip_norm: Option<f64>,
    /// Added to the norm before `clip_norm` is divided by it: 1e-6 by default, as in PyTorch; 0 in optax and Keras.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub clip_eps: Option<f64>,
    /// Maximal size of each element of the gradients; larger ones are cut to it, before `clip_norm`, which then
    /// goes by what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub clip_value: Option<f64>,
    /// Noise that is added to the gradients, before they are clipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_noise: Option<GradientNoise>,
    /// Parameters that are frozen for a part of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<FreezeConfig>,
    /// The initial weights, by parameter name: a safetensors file, an index of shards, a folder with one of both, or a
    /// run or a checkpoint of Rekindle. Numbers of f16 and bf16 are widened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<PathBuf>,
    /// The adapters that `model.lora` begins with, beside `initial_weights`: a folder of PEFT, with the same rank and maps.
    /// By default they begin new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_adapter: Option<PathBuf>,
    /// Treatment of tensors in that file that the model has no place for: "error", as without this key, or "ignore".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_weights: Option<UnusedWeights>,
    /// Treatment of tensors of the model that the file lacks: "error", as without this key, or "new".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_weights: Option<MissingWeights>,
    /// Glob patterns of tensors of the model that begin new whatever is in the file, such as `"fc.*"`, a new head.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_weights: Vec<String>,
    /// Pairs of prefixes of names: a tensor in the file whose name begins with the first gets the second in its place,
    /// as in `[["module.", ""]]`. Without this key, one prefix that the names of the model lack or have is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rename_weights: Vec<[String; 2]>,
    /// The longest time of a process that trains the run, such as `"2h"`: it saves before that, and stops. A resume has
    /// this time again. No limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_time: Option<TimeBudget>,
    /// The metric reported to schedules that follow one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}

/// Time of saves. The last step is always saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CheckpointConfig {
    /// `"1 epoch"`, `"500 steps"`, `"10 minutes"`, or `"auto"`, the default: every 10 minutes, and at the end of an
    /// epoch or after a validation if saves then take no more than 3% of the time.
    #[serde(default)]
    pub every: Interval,
    /// The retention of checkpoints; all are kept by default.
    #[serde(default, skip_serializing_if = "KeepConfig::is_empty")]
    pub keep: KeepConfig,
}

fn default_device() -> String {
    "cpu".to_owned()
}

fn default_schedule() -> Schedule {
    Schedule::constant().into()
}

impl Config {
    /// This data, model and optimizer, trained for so long, everything else as it is where nothing is said.
    ///
    /// ```
    /// use rekindle::data::DataConfig;
    /// use rekindle::model::{MlpConfig, ModelConfig};
    /// use rekindle::optim::AdamW;
    /// use rekindle::train::{Config, TrainConfig};
    ///
    /// let model = ModelConfig::of(&MlpConfig::new([64]))?;
    /// let mut length = TrainConfig::default();
    /// length.epochs = Some(10);
    /// let mut config = Config::new(DataConfig::new("rows.csv"), model, AdamW::default().into(), length);
    /// config.seed = 3;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(data: DataConfig, model: ModelConfig, optimizer: OptimizerConfig, train: TrainConfig) -> Self {
        Self {
            seed: 0,
            device: default_device(),
            precision: Precision::default(),
            data,
            model,
            loss: LossConfig::default(),
            optimizer,
            schedule: default_schedule(),
            momentum_schedule: None,
            beta2_schedule: None,
            weight_decay_schedule: None,
            ema_decay_schedule: None,
            train,
            validation: ValidationConfig::default(),
            checkpoint: CheckpointConfig::default(),
            early_stopping: None,
            log: LogConfig::default(),
            hooks: HooksConfig::default(),
            distributed: DistributedConfig::default(),
            ema: None,
            swa: None,
            components: BTreeMap::new(),
        }
    }

    /// Checks the fields that can be checked before any data is read.
    ///
    /// # Errors
    /// The field and its value.
    pub fn validate(&self) -> Result<(), TrainError> {
        let wrong = |field: &str, value: String, rule: &str| {
            Err(TrainError::Field { field: field.to_owned(), value, rule: rule.to_owned() })
        };
        self.data.validate()?;
        self.optimizer.validate()?;
        self.model.validate()?;
        self.loss.validate()?;
        self.log.validate()?;
        self.hooks.validate()?;
        component::validate(&self.components)?;
        shaping::check(&self.train)?;
        initial_weights::check(&self.train)?;
        averages::check(self)?;
        early_stopping::check(self)?;
        match (self.train.epochs, self.train.steps) {
            (None, None) => return Err(TrainError::NoLength),
            (Some(epochs), Some(steps)) => {
                return wrong("train", format!("{epochs} epochs and {steps} steps"), "give only one of the two");
            }
            _ => {}
        }
        if self.train.accumulate == Some(0) {
            return wrong("train.accumulate", "0".to_owned(), "must be at least 1; 1 computes the whole batch at once");
        }
        if let Some(eps) = self.train.clip_eps {
            let value = eps.to_string();
            if !(eps >= 0.0 && eps.is_finite()) {
                return wrong("train.clip_eps", value, "must be a finite number, at least 0");
            }
            if self.train.clip_norm.is_none() {
                return wrong(
                    "train.clip_eps",
                    value,
                    "acts on clipping only; set `train.clip_norm` too, or remove it",
                );
            }
        }
        let keep = ("checkpoint.keep.metric", self.checkpoint.keep.metric);
        let stopping = self.early_stopping.as_ref().and_then(|stopping| stopping.metric);
        let stopping = ("early_stopping.metric", stopping);
        self.validation.check([("train.metric", self.train.metric), keep, stopping])?;
        if let Interval::Minutes(_) = self.validation.every {
            let rule = "validations by the clock would not be at the same steps again; give steps or epochs";
            return wrong("validation.every", self.validation.every.to_string(), rule);
        }
        Ok(())
    }

    /// Refuses a new run without any step.
    pub(super) fn require_steps(&self) -> Result<(), TrainError> {
        let lengths = [("train.epochs", self.train.epochs), ("train.steps", self.train.steps)];
        match lengths.into_iter().find(|(_, length)| *length == Some(0)) {
            Some((field, _)) => {
                let (field, value) = (field.to_owned(), "0".to_owned());
                let rule = "must be at least 1; a run without a step trains nothing".to_owned();
                Err(TrainError::Field { field, value, rule })
            }
            None => Ok(()),
        }
    }

    /// Returns the number of updates of the run on `data`.
    pub fn total_steps(&self, data: &Data) -> u64 {
        match (self.train.steps, self.train.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => data.steps_of(epochs.unwrap_or_default()),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// The name is unknown, this build does not support it, or there is no such device.
    pub fn open_device(&self) -> Result<Device, TrainError> {
        Ok(self.opened_device(false, 0)?.device)
    }

    /// Opens the device, and replaces `auto` by its name. Also returns a notice about what `auto` means here. `begun`
    /// is whether the run has begun, perhaps elsewhere, and `local_rank` the number of this process on its machine.
    ///
    /// # Errors
    /// As [`Config::open_device`].
    pub(crate) fn settle_device(
        &mut self,
        begun: bool,
        local_rank: usize,
    ) -> Result<(Device, Option<Notice>), TrainError> {
        let opened = self.opened_device(begun, local_rank)?;
        let is_chosen = self.device != opened.name;
        let why = opened.no_gpu.map(|reason| format!(": {reason}")).unwrap_or_default();
        let notice = format!("device `{}` is `{}` here{why}", self.device, opened.name);
        self.device = opened.name;
        Ok((opened.device, is_chosen.then_some(Notice::Note(notice))))
    }

    fn opened_device(&self, begun: bool, local_rank: usize) -> Result<Opened, TrainError> {
        device::open_for(&self.device, local_rank).map_err(|source| match source {
            DeviceError::Unknown => TrainError::Field {
                field: "device".to_owned(),
                value: self.device.clone(),
                rule: DeviceError::Unknown.to_string(),
            },
            source => TrainError::Device { device: self.device.clone(), begun, source: Box::new(source) },
        })
    }

    /// Returns the configuration for a checkpoint or a file in `folder`, with paths relative to `folder`.
    pub fn relative_to(&self, folder: &Path) -> Self {
        let mut config = self.clone();
        config.each_path(|path| *path = paths::relative(path, folder));
        config
    }

    /// The inverse of [`Config::relative_to`]: makes relative paths absolute, starting from `folder`.
    pub(super) fn resolved_against(mut self, folder: &Path) -> Self {
        self.each_path(|path| *path = paths::absolute(path, folder));
        self
    }

    fn each_path(&mut self, mut change: impl FnMut(&mut PathBuf)) {
        self.data.paths_mut().for_each(&mut change);
        self.train.initial_weights.iter_mut().chain(&mut self.train.initial_adapter).for_each(change);
    }
}
