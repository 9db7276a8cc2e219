//! The loop of a [`Trainer`](super::Trainer).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::{DeviceLocation, Tensor};

use super::error::TrainerError;
use super::hooks::{RunEnd, StepEnd};
use super::log::Log;
use super::place::Place;
use super::settings::{Chosen, Trainer};
use super::updates::Updates;
use crate::checkpoint::{CheckpointError, Folder, Saver, WrittenBy};
use crate::device;
use crate::ops::Tape;
use crate::optim::{AdamW, Gradients, MeasuredGradients, Optimizer, OptimizerConfig, StepHyperparams};
use crate::parameters::Parameters;
use crate::schedule::{RunLength, Scheduler};

/// A run in its directory.
pub(super) struct Loop<'a, B> {
    pub settings: Trainer<'a, B>,
    pub updates: Box<dyn Updates + 'a>,
    /// Its `t` is the number of updates made.
    pub scheduler: Scheduler,
    pub steps_per_epoch: u64,
    /// The results of the validation after the last update, if there was one.
    pub metrics: BTreeMap<String, f64>,
    pub log: Log,
    pub saver: Saver,
    /// The step of the newest save, which may be in flight, and its start.
    pub saving: u64,
    pub last_save: Instant,
    /// The step of the newest checkpoint.
    pub saved: Option<u64>,
    /// Why the newest save has failed.
    pub failed: Option<CheckpointError>,
    resumed_from: Option<u64>,
    /// Dropped last, because a save may still be in flight.
    _place: Place,
}

impl<'a, B> Loop<'a, B> {
    /// Makes the run of these settings, or continues the one in `directory`.
    pub fn begin(mut settings: Trainer<'a, B>, directory: &Path) -> Result<Self, TrainerError> {
        settings.require_sound()?;
        let mut updates: Box<dyn Updates + 'a> = match settings.optimizer.take() {
            Some(Chosen::Own(updates)) => updates,
            Some(Chosen::Config(config)) => Box::new(Optimizer::new(&settings.parameters, *config)?),
            None => Box::new(Optimizer::new(&settings.parameters, OptimizerConfig::from(AdamW::default()))?),
        };
        let steps_per_epoch = settings.steps_per_epoch.unwrap_or(settings.steps);
        let length = RunLength { total_steps: Some(settings.steps), steps_per_epoch };
        let mut scheduler = Scheduler::new(settings.schedule.clone(), updates.base_lrs(), length)?;
        if scheduler.wants_metric() && settings.follows.is_none() {
            let rule = "the schedule follows a metric; call it with the name of a result of the validation, or `loss`";
            return Err(TrainerError::setting("follow", rule));
        }
        let place = Place::hold(directory)?;
        let (folder, here) = (Folder::new(place.checkpoints()), written_by(&settings.parameters));
        let resumed_from = settings.restore(&mut *updates, &mut scheduler, &folder, &here)?;
        let saver = Saver::new(folder, here).keeping(settings.keep.clone());
        // A killed process may not have reached the end of its last save.
        saver.prune(scheduler.t());
        Ok(Self {
            log: Log::open(place.log_file(), scheduler.t())?,
            saver,
            metrics: BTreeMap::new(),
            saving: scheduler.t(),
            last_save: Instant::now(),
            saved: resumed_from,
            failed: None,
            settings,
            updates,
            scheduler,
            steps_per_epoch,
            resumed_from,
            _place: place,
        })
    }

    /// Trains to the end, or until asked to stop.
    pub fn run(mut self) -> Result<RunEnd, TrainerError> {
        if self.saved.is_none() {
            // A part that cannot be saved is found before the first step.
            self.save_now()?;
        }
        let mut is_stopped = false;
        while !is_stopped && self.scheduler.t() < self.settings.steps {
            is_stopped = self.settings.requests.stop.iter_mut().any(|stop| stop());
            if !is_stopped {
                self.step()?;
                self.save_when_due()?;
            }
        }
        self.save_now()?;
        let step = self.scheduler.t();
        let end = RunEnd { step, is_finished: step == self.settings.steps, resumed_from: self.resumed_from };
        self.settings.hooks.end.iter_mut().for_each(|hook| hook(&end));
        Ok(end)
    }

    /// Makes an update, and what follows from it except a save.
    fn step(&mut self) -> Result<(), TrainerError> {
        let step = self.scheduler.t();
        let hyperparams = self.hyperparams();
        let batch = (self.settings.batch)(step).map_err(TrainerError::own("the batch", step))?;
        let (loss, gradients) = self.gradients(&batch)?;
        self.updates.update(&gradients, &hyperparams)?;
        self.scheduler.advance();
        self.validate_when_due()?;
        self.report(loss)?;
        let momentum = hyperparams.iter().map(|group| group.momentum).collect();
        let end = StepEnd {
            step,
            epoch: step / self.steps_per_epoch + 1,
            lr: hyperparams.iter().map(|group| group.lr).collect(),
            momentum,
            loss,
            grad_norm: gradients.norm(),
            metrics: self.metrics.clone(),
        };
        self.log.write(&end)?;
        let hooks = &mut self.settings.hooks;
        hooks.step.iter_mut().for_each(|hook| hook(&end));
        if !end.metrics.is_empty() {
            hooks.validation.iter_mut().for_each(|hook| hook(&end));
        }
        Ok(())
    }

    /// The hyperparameters of the next update, for each group.
    fn hyperparams(&self) -> Vec<StepHyperparams> {
        let t = self.scheduler.t();
        let of_group = |(group, lr)| StepHyperparams {
            momentum: self.scheduler.momentum_at(t, group),
            ..StepHyperparams::from(lr)
        };
        self.scheduler.rates().into_iter().enumerate().map(of_group).collect()
    }

    /// The loss of a batch and its clipped gradients. A device other than the CPU is read once, for both.
    fn gradients(&mut self, batch: &B) -> Result<(f64, MeasuredGradients), TrainerError> {
        let step = self.scheduler.t();
        let (loss, tape) = Tape::record(|| (self.settings.loss)(batch));
        let loss = loss.map_err(TrainerError::own("the loss", step))?;
        if loss.elem_count() != 1 {
            return Err(TrainerError::LossShape { shape: loss.dims().to_vec() });
        }
        let value = loss.detach().reshape(())?;
        let gradients = Gradients::from_tape(tape, loss, 1.0, &self.settings.parameters)?;
        let (gradients, values) = self.updates.prepare(gradients)?.measure_with(&[value])?;
        let loss = values.first().copied().unwrap_or(f64::NAN);
        if !loss.is_finite() {
            return Err(TrainerError::NotFinite { what: "the loss".to_owned(), step });
        }
        if gradients.check_finite().is_err() {
            return Err(TrainerError::NotFinite { what: "a gradient".to_owned(), step });
        }
        let gradients = match self.settings.clip_norm {
            Some(max_norm) => gradients.clip(max_norm)?,
            None => gradients,
        };
        Ok((loss, gradients))
    }

    /// Measures the model if it is due, with the weights for evaluations.
    fn validate_when_due(&mut self) -> Result<(), TrainerError> {
        self.metrics.clear();
        let (done, steps) = (self.scheduler.t(), self.settings.steps);
        let Some(validation) = &mut self.settings.validation else { return Ok(()) };
        if !done.is_multiple_of(validation.every) && done != steps {
            return Ok(());
        }
        let lent = self.updates.evaluation_weights()?;
        let measured = with_weights(&self.settings.parameters, lent.as_ref(), &mut validation.measure)?;
        self.metrics = measured.map_err(TrainerError::own("the validation", done - 1))?;
        match self.metrics.keys().find(|name| StepEnd::NAMES.contains(&name.as_str())) {
            Some(name) => {
                let rule = format!("a result is called `{name}`, as something else in the log is; call it otherwise");
                Err(TrainerError::setting("validate_every", rule))
            }
            None => Ok(()),
        }
    }

    /// Reports to the schedule the metric that it follows.
    fn report(&mut self, loss: f64) -> Result<(), TrainerError> {
        match self.settings.follows.as_deref() {
            Some("loss") => self.scheduler.report(loss),
            Some(name) if !self.metrics.is_empty() => match self.metrics.get(name) {
                Some(metric) => self.scheduler.report(*metric),
                None => {
                    let known: Vec<&str> = self.metrics.keys().map(String::as_str).collect();
                    let rule = format!("the validation has no result `{name}`; it has {}", known.join(", "));
                    return Err(TrainerError::setting("follow", rule));
                }
            },
            _ => {}
        }
        Ok(())
    }
}

/// Calls `work` while the variables of `own` have the values of `lent`, and then restores their own values.
fn with_weights<T>(own: &Parameters, lent: Option<&Parameters>, work: impl FnOnce() -> T) -> candle_core::Result<T> {
    let pairs = lent.into_iter().flat_map(Parameters::iter).filter_map(|(name, lent)| Some((own.get(name)?, lent)));
    let mut kept = Vec::new();
    for (own, lent) in pairs {
        kept.push((own, own.as_tensor().copy()?));
        own.set(&lent.to_dtype(own.dtype())?)?;
    }
    let done = work();
    kept.iter().try_for_each(|(var, value): &(_, Tensor)| var.set(value))?;
    Ok(done)
}

/// This build, and the device that has the parameters.
fn written_by(parameters: &Parameters) -> WrittenBy {
    let Some((_, var)) = parameters.iter().next() else { return WrittenBy::this_build("cpu") };
    let name = match var.device().location() {
        DeviceLocation::Cpu => "cpu".to_owned(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    };
    WrittenBy::this_build(&name).on_gpu(device::gpu(var.device())).computing_in(var.dtype())
}
