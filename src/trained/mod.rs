//! Inference with a trained model, from a checkpoint alone.
//!
//! [`Trained`] needs no optimizer, schedule or data, so that a copy of a checkpoint can be used anywhere.
//!
//! ```no_run
//! use rekindle::trained::{SampleOptions, Trained};
//!
//! let (trained, _messages) = Trained::open("runs/table".as_ref(), &[])?;
//! for batch in trained.predict("new.csv".as_ref())? {
//!     println!("{:?}", batch?.predicted);
//! }
//! let (trained, _messages) = Trained::open("runs/text".as_ref(), &[])?;
//! let text: String = trained.sample("In the beginning", &SampleOptions::default())?.collect::<Result<_, _>>()?;
//! # Ok::<(), rekindle::trained::TrainedError>(())
//! ```
//!
//! A run whose model, loss, metrics or format of data are a program's own is opened in a program that has registered
//! them, by the same names, before: `rekindle::model::register` and so on. A model that was handed over as a value is
//! handed over again, to [`Trained::with_model`].
//!
//! 1. `evaluate.rs`: loss and accuracy. `predict.rs`: what the model says of rows; `table.rs`: into a
//!    file that is there whole or not at all.
//! 2. `sample.rs`: text that a model goes on with; `streaming_decoder.rs`: from tokens to text while they come.

mod error;
mod evaluate;
#[cfg(feature = "parquet")]
mod parquet;
mod predict;
mod sample;
mod streaming_decoder;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

pub use error::TrainedError;
pub use evaluate::{Evaluated, EvaluationRows};
pub use predict::{PredictedRows, Predictions};
pub use sample::{SampleOptions, Sampler};
pub use table::{TableFormat, TableWriter};

use crate::checkpoint::Checkpoint;
use crate::data::{Data, DataError, Input, Recalled, Schema, TargetKind};
use crate::loss::Loss;
pub use crate::loss::Predicted;
use crate::model::{Mode, Model, with_parameter_budget};
use crate::state::State;
use crate::train::{self, Config, Setting, TrainError, resume};

/// A trained model, with the saved state of its run's data.
pub struct Trained {
    /// The path of its checkpoint.
    path: PathBuf,
    step: u64,
    config: Config,
    schema: Schema,
    /// The state of the data set.
    memory: State,
    /// The identity of the run's own data.
    fingerprint: Option<Value>,
    given: Given,
    model: Box<dyn Model>,
    loss: Arc<dyn Loss>,
    device: Device,
    /// Number of lines before the rows of other tables, if given.
    skip_lines: Option<usize>,
}

/// Which paths are given by the user, not by the checkpoint.
struct Given {
    tokenizer: bool,
    cache: bool,
}

impl Trained {
    /// Opens the newest valid checkpoint of the run at `path` or of a folder of checkpoints, or the checkpoint at
    /// `path`. Also returns messages for the user: damaged checkpoints that were skipped, and whether this is another
    /// machine. `settings` may only contain places: `device`, and the paths of data.
    ///
    /// # Errors
    /// There is no valid checkpoint, or as [`Trained::from_checkpoint`].
    pub fn open(path: &Path, settings: &[Setting]) -> Result<(Self, Vec<String>), TrainedError> {
        Self::of(resume::newest_at(path)?, settings)
    }

    /// Opens the best checkpoint of a run or a folder, by the metric measured at its save.
    ///
    /// # Errors
    /// No checkpoint has a metric, or as [`Trained::open`].
    pub fn open_best(path: &Path, settings: &[Setting]) -> Result<(Self, Vec<String>), TrainedError> {
        Self::of(train::best_at(path)?, settings)
    }

    fn of(
        (checkpoint, mut messages): (Checkpoint, Vec<String>),
        settings: &[Setting],
    ) -> Result<(Self, Vec<String>), TrainedError> {
        let trained = Self::from_checkpoint(&checkpoint, settings)?;
        messages.extend(resume::other_machine(&checkpoint, &trained.config.device));
        Ok((trained, messages))
    }

    /// Opens the model of a checkpoint. Old checkpoints do not describe the rows of their model, so the run's data is
    /// needed too; if it is not at the path in the configuration, `settings` must contain its path.
    ///
    /// # Errors
    /// The checkpoint is not from a run, a setting is not allowed, the device or the required data cannot be opened, or
    /// weights and model do not fit together.
    pub fn from_checkpoint(checkpoint: &Checkpoint, settings: &[Setting]) -> Result<Self, TrainedError> {
        Self::assemble(checkpoint, settings, None)
    }

    /// The same with a model that the program hands over, as it did to
    /// [`Session::builder`](crate::train::Session::builder). Its parameters and buffers take their values from the
    /// checkpoint.
    ///
    /// # Errors
    /// As [`Trained::from_checkpoint`]; the checkpoint is of a model with other parameters.
    pub fn with_model(
        checkpoint: &Checkpoint,
        model: impl Model + 'static,
        settings: &[Setting],
    ) -> Result<Self, TrainedError> {
        Self::assemble(checkpoint, settings, Some(Box::new(model)))
    }

    fn assemble(
        checkpoint: &Checkpoint,
        settings: &[Setting],
        model: Option<Box<dyn Model>>,
    ) -> Result<Self, TrainedError> {
        let path = checkpoint.path().to_owned();
        if let Some(setting) = settings.iter().find(|setting| !setting.is_of_place()) {
            return Err(TrainedError::Setting { key: setting.key().to_owned() });
        }
        let config = checkpoint.field("config").ok_or_else(|| TrainedError::NoConfig { path: path.clone() })?;
        let read = |config: &Value| train::from_checkpoint(config, settings, &train::base_of(&path));
        let config = read(config).or_else(|error| read(&without_training(config)).map_err(|_| error))?;
        let device = config.open_device()?;
        let schema = match checkpoint.field("schema") {
            Some(saved) => read_schema(saved).map_err(|reason| TrainedError::Schema { path: path.clone(), reason })?,
            None => schema_of_data(checkpoint, settings, &config, &device)?,
        };
        let (loss, outputs) = config.loss.fitted(schema.targets).map_err(TrainError::from)?;
        let build = || config.model.build(&schema.input, outputs, config.seed, &device);
        let model = model
            .map_or_else(|| with_parameter_budget(train::room(checkpoint), build), Ok)
            .map_err(TrainError::from)?;
        let mut weights = model.parameters().and(&model.buffers());
        checkpoint.restore_some(&mut [("model", &mut weights)]).map_err(TrainError::from)?;
        train::apply_lent(&config.components, checkpoint, model.parameters())?;
        let recalled = train::recalled(checkpoint, settings);
        let given = Given { tokenizer: recalled.tokenizer_is_given, cache: recalled.cache_is_given };
        let memory = checkpoint.state(train::data_part(checkpoint)).cloned().unwrap_or_default();
        let (step, fingerprint) = (checkpoint.step(), checkpoint.field("data").cloned());
        Ok(Self { path, step, config, schema, memory, fingerprint, given, model, loss, device, skip_lines: None })
    }

    /// Skips the first `lines` lines of other tables. By default, as many lines as in the run's own file are skipped,
    /// or fewer if the header (without one, the first row) comes earlier.
    #[must_use]
    pub fn skipping(mut self, lines: Option<usize>) -> Self {
        self.skip_lines = lines;
        self
    }

    /// Opens the data of the run, but no other file that only the checkpoint names.
    fn data(&self) -> Result<Data, TrainedError> {
        let recalled = Recalled {
            fingerprint: self.fingerprint.as_ref(),
            memory: Some(&self.memory),
            tokenizer_is_given: self.given.tokenizer,
            cache_is_given: self.given.cache,
        };
        Ok(Data::reopen(&self.config.data, self.config.seed, &self.device, recalled)?)
    }

    /// Returns the directory of the checkpoint.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of updates that trained the model.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Returns the configuration of the run; an optimizer unknown to this program is replaced by another.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the schema of the model's rows.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the model.
    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// Returns the outputs of the model for preprocessed inputs: standardized, for example, `[rows, …]`.
    ///
    /// # Errors
    /// The inputs have another shape, or the device fails.
    pub fn outputs(&self, inputs: &Tensor) -> Result<Tensor, TrainedError> {
        Ok(self.model.forward(&inputs.to_device(&self.device)?, Mode::Evaluate)?)
    }
}

/// Returns the schema of the model's rows from the run's data. Unless the user gives a path, it must be exactly the
/// data of the checkpoint.
fn schema_of_data(
    checkpoint: &Checkpoint,
    settings: &[Setting],
    config: &Config,
    device: &Device,
) -> Result<Schema, TrainedError> {
    let is_given = settings.iter().any(|setting| setting.key() == "data.path");
    match Data::reopen(&config.data, config.seed, device, train::recalled(checkpoint, settings)) {
        Ok(data) if is_given => Ok(data.schema()),
        Ok(data) => {
            train::refuse_other_content(config, &data, checkpoint.field("data"))?;
            Ok(data.schema())
        }
        // These errors already contain the remedy.
        Err(error) if is_given || matches!(error, DataError::OtherContent { .. }) => Err(error.into()),
        Err(error) => Err(TrainedError::NoSchema { path: checkpoint.path().to_owned(), reason: Box::new(error) }),
    }
}

/// Returns a configuration without optimizer and schedules, which are ignored: only the program that trained the model
/// may know them.
fn without_training(config: &Value) -> Value {
    let mut config = config.clone();
    if let Value::Object(tables) = &mut config {
        tables.retain(|key, _| !["schedule", "momentum_schedule", "weight_decay_schedule"].contains(&key.as_str()));
        tables.insert("optimizer".to_owned(), json!({"kind": "sgd", "lr": 0.0}));
    }
    config
}

/// Reads the schema of rows in a checkpoint.
fn read_schema(saved: &Value) -> Result<Schema, String> {
    const MOST: usize = 1 << 31;
    let schema = Schema::deserialize(saved).map_err(|_| "it describes none".to_owned())?;
    let numbers = match &schema.input {
        Input::Numbers(shape) => shape.iter().copied().try_fold(1, usize::checked_mul),
        Input::Tokens { context, vocabulary } => Some(*context.max(vocabulary)),
    };
    let (TargetKind::Values { width: outputs } | TargetKind::Classes { count: outputs }) = schema.targets;
    let possible = |count: usize| (1..MOST).contains(&count);
    if numbers.is_some_and(possible) && possible(outputs) {
        return Ok(schema);
    }
    Err(format!("no rows are {} with {outputs} outputs", schema.input))
}
