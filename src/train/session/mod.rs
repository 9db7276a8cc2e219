//! The state of a run, built from a configuration.

mod batches;
mod begun;
mod documents;
mod evaluation;
mod examples;
mod found;
mod freezing;
mod in_step;
mod initial_weights;
mod intervals;
mod lent_states;
mod notices;
mod parts;
mod ranks;
mod recalled;
mod saved;
mod shards;
mod shared_saves;
mod statistics;
#[cfg(feature = "peers")]
mod taken;
mod update;

use std::sync::Arc;

use candle_core::Device;
use serde_json::{Value, json};

use super::checks::memory::Purpose;
use super::checks::{memory, targets};
use super::component::{Component, Makers};
use super::config::figure::Metric;
use super::config::{Config, SCHEDULES};
use super::early_stopping::EarlyStopping;
use super::given::Given;
use super::intervals::Validations;
use super::joining::CONTENT;
use super::metrics::{EpochMean, Measured};
use super::record::StepRecord;
use super::schedulers::Schedulers;
use super::{TrainError, metrics};
use crate::Notice;
use crate::checkpoint::{Retention, WrittenBy};
use crate::data::{Data, Recalled, class_counts};
use crate::device;
use crate::distributed::Communicator;
use crate::loss::Loss;
use crate::metric::{MetricConfig, Task};
use crate::model::{Model, Precision};
use crate::optim::{LossScale, Optimizer, StepHyperparams};
use crate::parameters::Parameters;
use crate::schedule::{RunLength, Scheduler};

use self::begun::Begun;
use self::freezing::Freezing;
use self::lent_states::LentStates;
pub(crate) use recalled::{data_part, recalled, refuse_other_content, room};
#[cfg(feature = "peers")]
pub(crate) use taken::Taken;

/// Returns the step at which a run with this history was taken over from another trainer; 0 if it began here.
pub(super) fn began_at(history: &[Value]) -> u64 {
    let origin = history.iter().find(|entry| entry["imported"].is_object());
    origin.and_then(|origin| origin["step"].as_u64()).unwrap_or_default()
}

/// The parts of a run: data, model, optimizer and schedule, and the number of updates made.
pub struct Session {
    config: Config,
    data: Data,
    model: Box<dyn Model>,
    /// The parameters that the optimizer updates.
    parameters: Parameters,
    /// Everything else that the model remembers, such as running statistics.
    buffers: Parameters,
    /// Both, and weights that are never trained.
    weights: Parameters,
    loss: Arc<dyn Loss>,
    communicator: Arc<dyn Communicator>,
    /// The metrics of a validation, in addition to loss and accuracy.
    metrics: Vec<MetricConfig>,
    task: Task,
    optimizer: Optimizer,
    /// Present if the model computes in f16.
    loss_scale: Option<LossScale>,
    schedulers: Schedulers,
    early_stopping: Option<EarlyStopping>,
    freezing: Freezing,
    /// Components, by name.
    components: Vec<(String, Box<dyn Component>)>,
    device: Device,
    purpose: Purpose,
    metric: Metric,
    epoch_mean: EpochMean,
    /// The metrics measured after the last update.
    measured: Measured,
    /// Times of validations; `None` without validation rows.
    validations: Option<Validations>,
    keep: Retention,
    step: u64,
    /// The number of the first update of this process.
    first_step: u64,
    /// The log line of the last update, while the validation after it is pending.
    unvalidated: Option<StepRecord>,
    /// The configuration changes of each resume.
    history: Vec<Value>,
    /// While each process of a shared optimizer saves its own states.
    lent: Option<LentStates>,
    /// Notices about the device, the initial weights and the resume that this session began with.
    resumed: Vec<Notice>,
}

impl Session {
    /// Creates a session at its start.
    ///
    /// # Errors
    /// The data cannot be read, or configuration, data and model do not fit together.
    pub fn new(config: Config) -> Result<Self, TrainError> {
        Self::made_for(Purpose::Train, config)
    }

    /// Like [`Session::new`], for another purpose, which determines the required memory.
    pub(crate) fn made_for(purpose: Purpose, config: Config) -> Result<Self, TrainError> {
        Self::with_data(purpose, config, None, &Begun::default(), Given::default())
    }

    /// Creates a session at its start, with values that may be passed by a program.
    pub(super) fn of(config: Config, given: Given) -> Result<Self, TrainError> {
        Self::with_data(Purpose::Train, config, None, &Begun::default(), given)
    }

    /// Creates a session at its start, with data that may be that of a checkpoint, for a run that has `begun` with some
    /// of its settings.
    fn with_data(
        purpose: Purpose,
        mut config: Config,
        recalled: Option<Recalled<'_>>,
        begun: &Begun,
        given: Given,
    ) -> Result<Self, TrainError> {
        let (device, no_gpu) = config.settle_device(recalled.is_some(), given.joining.communicator().local_rank())?;
        given.joining.same_configuration(&config)?;
        let mut resumed = Vec::from_iter(no_gpu);
        if given.dataset.is_none() && recalled.is_none() {
            let (settled, said) = config.data.settled()?;
            config.data = settled;
            resumed.extend(said);
        }
        let data = match (given.dataset, recalled) {
            (Some(source), recalled) => {
                let batch_sizes = recalled.and_then(|recalled| recalled.batch_sizes);
                Data::of_source(source, &config.data, config.seed, &device, batch_sizes)?
            }
            (None, Some(recalled)) => Data::reopen(&config.data, config.seed, &device, recalled)?,
            (None, None) => given.joining.open(&config, &device)?,
        };
        if given.model.is_none() {
            documents::settle_model(&mut config, &data)?;
        }
        let (loss, outputs) = match given.loss {
            Some(loss) => {
                let outputs = loss.outputs(data.targets())?;
                (loss, outputs)
            }
            None => {
                if config.data.has_labels() {
                    config.loss = config.loss.of_labels();
                }
                if let Some(counted) = config.loss.counted(|| class_counts(data.dataset(), data.train_rows()))? {
                    config.loss = counted;
                }
                documents::settle_loss(&mut config, &data)?;
                config.loss.fitted(data.targets())?
            }
        };
        targets::check(&config, &data, loss.as_ref())?;
        let task = metrics::task(&data, loss.as_ref());
        metrics::check(&config.validation.metrics, &task)?;
        let communicator = given.joining.communicator();
        ranks::check(&*communicator, &config)?;
        let data = ranks::shared(data, &*communicator, &config)?;
        memory::require(&config, &data, outputs, &device, purpose)?;
        let model = match given.model {
            Some(model) => model,
            None => {
                let policy = config.precision.policy();
                let built = config.model.build_with_policy(&data.input(), outputs, config.seed, &device, policy);
                built.map_err(|error| memory::explained(error.into(), &config, &data, outputs, &device, purpose))?
            }
        };
        let parameters = model.parameters().clone();
        let buffers = model.buffers();
        let frozen = model.frozen();
        let weights = parameters.and(&buffers).and(&frozen);
        memory::note(&parameters, &config, &data, outputs, &device, purpose)?;
        resumed.extend(initial_weights::begin(&config, &weights, &frozen, purpose == Purpose::Train)?);
        in_step::check(&config, &device, &buffers)?;
        batches::refuse_small(&config, &data, model.min_batch_rows())?;
        let optimizer = Optimizer::of_begun_run(&parameters, config.optimizer.clone())?;
        resumed.extend(begun.unless(
            &["optimizer.groups", "optimizer.kind"],
            optimizer.refuse_unmatched(&parameters).map_err(Into::into),
        )?);
        let steps_per_epoch = data.steps_per_epoch();
        let (total, epochs) = (config.total_steps(&data), data.epochs());
        let validations = super::intervals::settle(&mut config, &data, total);
        let length = RunLength { total_steps: Some(total), steps_per_epoch };
        let freezing = Freezing::new(&config, &parameters, (total, &epochs))?;
        let schedulers = Schedulers::new(&config, &optimizer, length, batches::taken(&data))?;
        let components =
            Makers { config: &config, parameters: &parameters, buffers: &buffers, length: (total, epochs) }.all()?;
        let metric = schedulers.metric(&config, &data, loss.as_ref())?;
        let opposite = schedulers.refuse_opposite(metric, loss.has_accuracy());
        let deciding = [&SCHEDULES[..], &["train.metric"][..]].concat();
        resumed.extend(begun.unless(&deciding, opposite)?);
        let validates = !data.validation_rows().is_empty();
        let early_stopping = config.early_stopping.as_ref().map(|stopping| EarlyStopping::new(stopping, validates));
        early_stopping.iter().try_for_each(|stopping| stopping.require_measured(validates, loss.has_accuracy()))?;
        let keep = config.checkpoint.keep.rules(validates, loss.as_ref(), steps_per_epoch)?;
        let mut session = Self {
            data,
            model,
            parameters,
            buffers,
            weights,
            loss,
            communicator,
            metrics: config.validation.metrics.clone(),
            task,
            optimizer,
            loss_scale: (config.precision == Precision::F16).then(LossScale::default),
            schedulers,
            early_stopping,
            freezing,
            components,
            device,
            purpose,
            metric,
            epoch_mean: EpochMean::default(),
            measured: Measured::default(),
            validations,
            keep,
            step: 0,
            first_step: 0,
            unvalidated: None,
            history: Vec::new(),
            lent: None,
            resumed,
            config,
        };
        session.freeze();
        Ok(session)
    }

    /// Returns what all processes of the run must have in common.
    pub(in crate::train) fn identity(&self) -> Value {
        let mut build = json!(self.written_by());
        for own in ["device", "threads", "created"] {
            build[own] = Value::Null;
        }
        let mut identity = self.config.in_common();
        identity[CONTENT] = json!(self.data.fingerprint());
        identity["build"] = build;
        identity["step"] = self.step.into();
        identity
    }

    /// Returns the number of processes that compute the run.
    pub fn world(&self) -> usize {
        self.communicator.world()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns its data.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the parameters that the optimizer updates.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns what the model remembers beside its parameters, such as running statistics.
    pub fn buffers(&self) -> &Parameters {
        &self.buffers
    }

    /// Returns all tensors of the model: parameters, buffers, and weights that are never trained.
    #[cfg(feature = "peers")]
    pub(crate) fn weights(&self) -> &Parameters {
        &self.weights
    }

    /// Returns the components, by name.
    pub fn components(&self) -> impl Iterator<Item = (&str, &dyn Component)> {
        self.components.iter().map(|(name, component)| (name.as_str(), &**component))
    }

    /// Returns the number of updates made, which is the number of the next one.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Returns the number of updates that were skipped because a gradient overflowed in f16.
    pub fn skipped(&self) -> u64 {
        self.optimizer.skipped()
    }

    /// Returns the number of updates that another trainer made before the run was taken over. They have no lines in the
    /// log.
    pub(super) fn begun_at(&self) -> u64 {
        began_at(&self.history)
    }

    /// Returns the number of updates with lines in the log: all that were made, except one whose validation is pending.
    pub(super) fn logged(&self) -> u64 {
        self.step - u64::from(self.unvalidated.is_some())
    }

    /// Returns the number of updates in the run.
    pub fn total_steps(&self) -> u64 {
        self.config.total_steps(&self.data)
    }

    /// Returns the epoch of update number `step`, from 0.
    pub fn epoch_of(&self, step: u64) -> u64 {
        self.data.epoch_of(step)
    }

    /// Returns the number of updates per epoch, of those that begin with the present batch size.
    pub fn steps_per_epoch(&self) -> u64 {
        self.data.steps_per_epoch()
    }

    /// Returns the configuration changes of each resume, oldest first.
    pub fn history(&self) -> &[Value] {
        &self.history
    }

    /// Returns the retention rules.
    pub(super) fn keep(&self) -> &Retention {
        &self.keep
    }

    /// Describes this build and its device, for a checkpoint.
    pub(in crate::train) fn written_by(&self) -> WrittenBy {
        let precision = self.config.precision.dtype();
        WrittenBy::this_build(self.device_name()).on_gpu(device::gpu(&self.device)).computing_in(precision)
    }

    /// Returns the device, as named in a checkpoint.
    pub fn device_name(&self) -> &str {
        &self.config.device
    }

    /// Returns the scheduler of the learning rate.
    pub fn scheduler(&self) -> &Scheduler {
        self.schedulers.lr()
    }

    /// Returns the scheduler with this name in a checkpoint, such as `schedulers.momentum`, if the run has it.
    pub(crate) fn scheduler_of(&self, part: &str) -> Option<&Scheduler> {
        self.schedulers.all().find(|(name, _)| *name == part).map(|(_, scheduler)| scheduler)
    }

    /// Returns the length of the run for its schedules.
    pub fn length(&self) -> RunLength {
        RunLength { total_steps: Some(self.total_steps()), steps_per_epoch: self.steps_per_epoch() }
    }

    /// Returns the base rate of each group.
    pub fn base_lrs(&self) -> Vec<f64> {
        self.optimizer.base_lrs()
    }

    /// Returns why the run ends before its last update, if its metric says so.
    pub(in crate::train) fn ends_early(&self) -> Option<String> {
        self.early_stopping.as_ref()?.reason()
    }

    /// Returns the decay of the average of the weights after the next update, if a schedule drives it.
    pub(in crate::train) fn ema_decay(&self) -> Option<f64> {
        self.schedulers.ema_decay()
    }

    /// Returns the hyperparameters of the next update in each group.
    pub fn rates(&self) -> Vec<StepHyperparams> {
        self.schedulers.rates()
    }
}
