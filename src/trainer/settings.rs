//! The settings of a training loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use candle_core::Tensor;

use super::error::{Fallible, TrainerError};
use super::hooks::{Hooks, RunEnd, SaveEnd, StepEnd};
use super::steps::Loop;
use super::updates::Updates;
use crate::checkpoint::Retention;
use crate::optim::OptimizerConfig;
use crate::parameters::Parameters;
use crate::schedule::Schedule;
use crate::state::Stateful;
#[cfg(feature = "trainer")]
use crate::train::{Control, Stake};

/// A function from batch to loss.
type LossOf<'a, B> = Box<dyn FnMut(&B) -> Fallible<Tensor> + 'a>;

/// A training loop for a model of yours: a function from step to batch, and one from batch to loss, are enough.
///
/// [`Trainer::train_in`] trains in a directory, and continues there if a run has begun: a program that is killed at any
/// instant and started again gets the same weights, rates and log, to the bit, as one that was never stopped. For that,
/// the two functions may depend on their arguments, the weights and the [parts](Trainer::part), and on nothing else that
/// changes: random numbers come from the step, as [`Stream`](crate::rng::Stream) computes them.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use rekindle::{Trainer, optim::Sgd, parameters::Parameters, rng::Stream};
///
/// let weight = Var::zeros((1, 2), DType::F32, &Device::Cpu)?;
/// let mut parameters = Parameters::new();
/// parameters.insert("weight", weight.clone());
/// // The sum of two numbers is to be learned.
/// let batch = |step| Ok(Tensor::from_vec(Stream::new(7, "x").uniform(step, 32), (16, 2), &Device::Cpu)?);
/// let loss = |x: &Tensor| Ok((x.matmul(&weight.t()?)? - x.sum_keepdim(1)?)?.sqr()?.mean_all()?);
///
/// let folder = tempfile::tempdir()?;
/// let end = Trainer::new(&parameters, batch, loss)
///     .optimizer(Sgd { lr: 0.5, ..Sgd::default() })
///     .steps(100)
///     .train_in(folder.path())?;
/// assert!(end.is_finished && weight.to_vec2::<f32>()?[0].iter().all(|w| (w - 1.0).abs() < 0.01));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub struct Trainer<'a, B> {
    pub(super) parameters: Parameters,
    pub(super) batch: Box<dyn FnMut(u64) -> Fallible<B> + 'a>,
    pub(super) loss: LossOf<'a, B>,
    /// AdamW if it is not set.
    pub(super) optimizer: Option<Chosen<'a>>,
    pub(super) schedule: Schedule,
    pub(super) steps: u64,
    pub(super) steps_per_epoch: Option<u64>,
    pub(super) clip_norm: Option<f64>,
    pub(super) parts: Vec<(String, Box<dyn Stateful + 'a>)>,
    pub(super) validation: Option<Validation<'a>>,
    pub(super) follows: Option<String>,
    pub(super) save_every: Option<u64>,
    pub(super) save_after: Duration,
    pub(super) keep: Retention,
    pub(super) hooks: Hooks<'a>,
    pub(super) requests: Requests<'a>,
}

/// The optimizer, or the settings from which it is made.
pub(super) enum Chosen<'a> {
    Config(Box<OptimizerConfig>),
    Own(Box<dyn Updates + 'a>),
}

/// The function that measures the model now and then.
pub(super) struct Validation<'a> {
    pub every: u64,
    pub measure: Box<dyn FnMut() -> Fallible<BTreeMap<String, f64>> + 'a>,
}

/// Functions that are asked after each step.
#[derive(Default)]
pub(super) struct Requests<'a> {
    pub stop: Vec<Box<dyn FnMut() -> bool + 'a>>,
    pub save: Vec<Box<dyn FnMut() -> bool + 'a>>,
}

impl<'a, B> Trainer<'a, B> {
    /// Trains `parameters` to lower what `loss` returns: one number, the mean of its batch, computed from them. `batch`
    /// returns the batch of an update, by its number.
    ///
    /// Without further settings, the optimizer is AdamW, and the schedule leaves its rate as it is.
    pub fn new(
        parameters: &Parameters,
        batch: impl FnMut(u64) -> Fallible<B> + 'a,
        loss: impl FnMut(&B) -> Fallible<Tensor> + 'a,
    ) -> Self {
        Self {
            parameters: parameters.clone(),
            batch: Box::new(batch),
            loss: Box::new(loss),
            optimizer: None,
            schedule: Schedule::constant().into(),
            steps: 0,
            steps_per_epoch: None,
            clip_norm: None,
            parts: Vec::new(),
            validation: None,
            follows: None,
            save_every: None,
            save_after: Duration::from_secs(600),
            keep: Retention::default(),
            hooks: Hooks::default(),
            requests: Requests::default(),
        }
    }

    /// Sets the number of updates of the whole run.
    #[must_use]
    pub fn steps(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// Sets the number of updates of an epoch, for schedules that count in epochs. Without it the run is one epoch.
    #[must_use]
    pub fn steps_per_epoch(self, steps: u64) -> Self {
        Self { steps_per_epoch: Some(steps), ..self }
    }

    /// Sets the optimizer: a rule with its numbers, such as [`AdamW`](crate::optim::AdamW), or a configuration with groups.
    #[must_use]
    pub fn optimizer(self, optimizer: impl Into<OptimizerConfig>) -> Self {
        Self { optimizer: Some(Chosen::Config(Box::new(optimizer.into()))), ..self }
    }

    /// Sets an optimizer of yours, or one that is built already.
    #[must_use]
    pub fn update_with(self, updates: impl Updates + 'a) -> Self {
        Self { optimizer: Some(Chosen::Own(Box::new(updates))), ..self }
    }

    /// Sets the schedule of the rates.
    #[must_use]
    pub fn schedule(self, schedule: impl Into<Schedule>) -> Self {
        Self { schedule: schedule.into(), ..self }
    }

    /// Scales the gradients so that their norm is at most `norm`.
    #[must_use]
    pub fn clip_norm(self, norm: f64) -> Self {
        Self { clip_norm: Some(norm), ..self }
    }

    /// Saves and restores `part` with the run, under `name`: lower-case words joined by dots. A part that your functions
    /// change is shared with them in an `Rc<RefCell<_>>` or an `Arc<Mutex<_>>`; a clone of
    /// [`Parameters`] shares its variables already.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, part: impl Stateful + 'a) -> Self {
        self.parts.push((name.into(), Box::new(part)));
        self
    }

    /// Calls `measure` after every `steps` updates and after the last, with the weights that the optimizer has for
    /// evaluations. The numbers that it returns by name are in the log and in the checkpoint of that step; `val_loss` and
    /// `val_accuracy` are the names that `inspect` draws.
    #[must_use]
    pub fn validate_every<S: Into<String>, M: IntoIterator<Item = (S, f64)>>(
        self,
        steps: u64,
        mut measure: impl FnMut() -> Fallible<M> + 'a,
    ) -> Self {
        let measure = move || Ok(measure()?.into_iter().map(|(name, value)| (name.into(), value)).collect());
        Self { validation: Some(Validation { every: steps, measure: Box::new(measure) }), ..self }
    }

    /// Reports the result called `metric` of each validation to a schedule that follows one, such as `plateau`; `loss` is
    /// that of each training step.
    #[must_use]
    pub fn follow(self, metric: impl Into<String>) -> Self {
        Self { follows: Some(metric.into()), ..self }
    }

    /// Saves after every `steps` updates, besides the saves at the start, at the end, and when
    /// [`save_after`](Self::save_after) has passed.
    #[must_use]
    pub fn save_every(self, steps: u64) -> Self {
        Self { save_every: Some(steps), ..self }
    }

    /// Saves when this time has passed since the last save; without this call, ten minutes.
    #[must_use]
    pub fn save_after(self, time: Duration) -> Self {
        Self { save_after: time, ..self }
    }

    /// Deletes the checkpoints that these rules do not keep. Without it all are kept.
    #[must_use]
    pub fn keep(self, keep: Retention) -> Self {
        Self { keep, ..self }
    }

    /// Calls `hook` after each step.
    #[must_use]
    pub fn on_step(mut self, hook: impl FnMut(&StepEnd) + 'a) -> Self {
        self.hooks.step.push(Box::new(hook));
        self
    }

    /// Calls `hook` after each validation, with the step that it followed.
    #[must_use]
    pub fn on_validation(mut self, hook: impl FnMut(&StepEnd) + 'a) -> Self {
        self.hooks.validation.push(Box::new(hook));
        self
    }

    /// Calls `hook` after each save, on the thread that trains.
    #[must_use]
    pub fn on_save(mut self, hook: impl FnMut(&SaveEnd<'_>) + 'a) -> Self {
        self.hooks.save.push(Box::new(hook));
        self
    }

    /// Calls `hook` last, when everything is saved.
    #[must_use]
    pub fn on_end(mut self, hook: impl FnMut(&RunEnd) + 'a) -> Self {
        self.hooks.end.push(Box::new(hook));
        self
    }

    /// Asks `stop` before each step, and saves and stops when it returns true. The same program continues from there.
    #[must_use]
    pub fn stop_when(mut self, stop: impl FnMut() -> bool + 'a) -> Self {
        self.requests.stop.push(Box::new(stop));
        self
    }

    /// Asks `save` after each step, and saves when it returns true.
    #[must_use]
    pub fn save_when(mut self, save: impl FnMut() -> bool + 'a) -> Self {
        self.requests.save.push(Box::new(save));
        self
    }

    /// Saves and stops, or saves and continues, when `control` is asked to: by signals, if it is one of
    /// [`Control::from_signals`]. Needs the feature `trainer`.
    #[cfg(feature = "trainer")]
    #[must_use]
    pub fn control(self, control: Control) -> Self {
        control.put_at_stake(Stake {
            in_order: "saving and stopping after this step".to_owned(),
            at_once: "nothing after the newest checkpoint is saved; run the program again to continue".to_owned(),
            save: "saving after this step".to_owned(),
        });
        let saves = control.clone();
        self.stop_when(move || control.stop_requested().is_some()).save_when(move || saves.take_save_request())
    }

    /// Trains to the end, or until asked to stop, in `directory`: it has `checkpoints` and `log.jsonl`. If a run has begun
    /// there, it is continued from its newest valid checkpoint.
    ///
    /// # Errors
    /// A setting cannot be, or does not fit the checkpoint; one of your functions fails; a value is not finite; the
    /// directory is in use or cannot be written; or the last save fails.
    pub fn train_in(self, directory: impl AsRef<Path>) -> Result<RunEnd, TrainerError> {
        Loop::begin(self, directory.as_ref())?.run()
    }
}
impl<B> Trainer<'_, B> {
    /// Refuses settings that cannot be, before anything is written.
    pub(super) fn require_sound(&self) -> Result<(), TrainerError> {
        let refused = |setting, rule: &str| Err(TrainerError::setting(setting, rule));
        if self.steps == 0 {
            return refused("steps", "is 0 or was not called; give the number of updates of the run");
        }
        if self.steps_per_epoch == Some(0) {
            return refused("steps_per_epoch", "is 0; an epoch has at least one update");
        }
        if self.save_every == Some(0) {
            return refused("save_every", "is 0; give a number of updates, or leave it out to save by the clock");
        }
        if self.validation.as_ref().is_some_and(|validation| validation.every == 0) {
            return refused("validate_every", "is 0; give a number of updates");
        }
        if self.clip_norm.is_some_and(|norm| norm.is_nan() || norm <= 0.0) {
            return refused("clip_norm", "is not positive");
        }
        if self.validation.is_none() && self.follows.as_ref().is_some_and(|name| name != "loss") {
            return refused("follow", "there is no validation; call `validate_every`, or follow `loss`");
        }
        Ok(())
    }
}
