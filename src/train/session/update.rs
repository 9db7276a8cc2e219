//! A training step of a session: batch, gradients, update, and the end of an epoch or a validation.

use std::time::{Duration, Instant};

use candle_core::Tensor;

use super::Session;
use crate::data::{Batch, DataError, pieces};
use crate::distributed::{self, CommunicatorError, GradientSum, SumError};
use crate::loss::Loss;
use crate::memory::Need;
use crate::model::{LayerFlops, Mode, Model};
use crate::ops::{self, Seen, Tape};
use crate::optim::{CLIP_EPS, Gradients, MeasuredGradients, StepHyperparams};
use crate::rng::StepRng;
use crate::train::TrainError;
use crate::train::checks::memory::{self, Purpose};
use crate::train::component::{self, Update};
use crate::train::config::figure::Metric;
use crate::train::error::RanksError;
use crate::train::metrics::{self, Evaluation, Judge, Measured, TestFigures};
use crate::train::observe::control::{Control, Requests};
use crate::train::record::StepRecord;

/// The results of a step in all processes, in their order.
#[derive(Default)]
struct OfAll {
    /// The loss of each micro-batch, times its share of the batch.
    losses: Vec<f64>,
    /// The requests to any of them.
    asked: Requests,
    /// The batches that batch norms have seen, if there are several processes; in one, they are applied already.
    seen: Vec<Seen>,
}

/// Returns a number above 0 for a moment that another process has asked at.
fn milliseconds_since(asked: Instant) -> u64 {
    u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Returns the moment for such a number, by the clock of this process.
fn moment_before(milliseconds: u64) -> Option<Instant> {
    let before = Duration::from_millis(milliseconds.checked_sub(1)?);
    Some(Instant::now().checked_sub(before).unwrap_or_else(Instant::now))
}

impl Session {
    /// Returns the batch of the next update, or `None` if `stop` asks to end the wait.
    pub(in crate::train) fn batch(&self, stop: &dyn Fn() -> bool) -> Result<Option<Batch>, TrainError> {
        Ok(self.data.batch_unless(self.step, stop)?)
    }

    /// Returns the mean loss over the rows of a batch in training, with the dropout of this step, and its clipped
    /// gradients. Gradients are accumulated over micro-batches only inside this function, so no checkpoint can be taken
    /// in between.
    ///
    /// A device other than the CPU is read once, for the norm and the loss together. If there are several processes, they
    /// agree on what `control` asks of each, which is also returned.
    pub(in crate::train) fn gradients(
        &self,
        batch: &Batch,
        control: &Control,
    ) -> Result<(f64, MeasuredGradients, Requests), TrainError> {
        let several = self.communicator.world() > 1;
        if several && self.step == self.first_step + 1 {
            self.compare_buffers()?;
        }
        let (sum, seen) = match several {
            true => ops::collect_seen(|| self.sum_of_gradients(batch)),
            false => (self.sum_of_gradients(batch), Vec::new()),
        };
        let (sum, shares, losses) = sum?;
        let (gradients, losses) = self.optimizer.without_frozen(self.with_noise(sum)?)?.measure_with(&losses)?;
        let gradients = match self.loss_scale() {
            Some(scale) => gradients.unscaled(scale),
            None => gradients,
        };
        let weighted: Vec<f64> = shares.iter().zip(losses).map(|(share, loss)| share * loss).collect();
        let OfAll { losses, asked, seen } = self.of_all(weighted, &seen, control)?;
        // After the last exchange: if another process is lost, the state is still that from before the step.
        seen.iter().try_for_each(Seen::apply)?;
        let mean = losses.into_iter().fold(0.0, |mean, part| mean + part);
        let gradients = match self.config.train.clip_value {
            Some(limit) => gradients.clip_value(limit)?,
            None => gradients,
        };
        let gradients = match self.config.train.clip_norm {
            Some(max_norm) => gradients.clip_with(max_norm, self.config.train.clip_eps.unwrap_or(CLIP_EPS))?,
            None => gradients,
        };
        Ok((mean, gradients, asked))
    }

    /// Adds noise to gradients, which are scaled as the loss is.
    fn with_noise(&self, gradients: Gradients) -> Result<Gradients, TrainError> {
        let Some(noise) = &self.config.train.gradient_noise else { return Ok(gradients) };
        let draws = StepRng::at(self.config.seed, self.step);
        let deviation = noise.deviation(self.step) * self.loss_scale().unwrap_or(1.0);
        Ok(gradients.with_noise(deviation, &draws)?)
    }

    /// The sum of the gradients of all micro-batches; of each that this process computes its share of the batch, and
    /// the mean loss over its rows, which is not read yet.
    fn sum_of_gradients(&self, batch: &Batch) -> Result<(Gradients, Vec<f64>, Vec<Tensor>), TrainError> {
        let rows = self.data.batch_rows(self.step);
        let pieces: Vec<_> = pieces(rows, self.config.train.accumulate.unwrap_or(1)).collect();
        if pieces.is_empty() {
            return Err(DataError::NothingToVisit.into());
        }
        let (mut shares, mut losses) = (Vec::new(), Vec::new());
        let scale = self.loss_scale().unwrap_or(1.0);
        let mut sum = GradientSum::new(&*self.communicator, pieces.len());
        // The batch has only the rows of this process.
        let own = sum.own();
        let first = pieces.get(own.start).map_or(0, |piece| piece.start);
        let (model, loss, parameters) = (&*self.model, &*self.loss, &self.parameters);
        let draws = StepRng::at(self.config.seed, self.step);
        let compute = |number: usize| {
            let piece = pieces[number].start - first..pieces[number].end - first;
            let share = piece.len() as f64 / rows as f64;
            let piece = batch.slice(piece)?;
            let (loss, tape) = Tape::record(|| loss_of(model, loss, &piece, draws.of_micro_batch(number)));
            let loss = loss?;
            let mean = loss.detach();
            Ok::<_, TrainError>((share, mean, Gradients::from_tape(tape, loss, share * scale, parameters)?))
        };
        let mut add = |number, (share, loss, gradients)| {
            shares.push(share);
            losses.push(loss);
            sum.add(number, gradients).map_err(|error| self.not_added(error))
        };
        match self.is_synchronized(pieces.len()) {
            true => own.clone().zip(self.in_step(own, compute)?).try_for_each(|(number, found)| add(number, found))?,
            false => own.into_iter().try_for_each(|number| add(number, compute(number)?))?,
        }
        let sum = sum.finish(&self.parameters).map_err(|error| self.not_added(error))?;
        Ok((sum, shares, losses))
    }

    /// Returns what all processes have of a step beside its gradients.
    fn of_all(&self, losses: Vec<f64>, seen: &[Seen], control: &Control) -> Result<OfAll, TrainError> {
        if self.communicator.world() == 1 {
            return Ok(OfAll { losses, ..OfAll::default() });
        }
        let own = control.take_requests();
        let mut words = vec![own.stop.unwrap_or(0) as u64, own.save.map_or(0, milliseconds_since), losses.len() as u64];
        words.extend(losses.iter().map(|loss| loss.to_bits()));
        self.write_seen(seen, &mut words)?;
        let mut all = OfAll::default();
        for bytes in self.gather(bytemuck::cast_slice(&words))? {
            let words: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
            let [stop, save, count, ref rest @ ..] = words[..] else { continue };
            let (losses, seen) = rest.split_at(rest.len().min(count as usize));
            all.losses.extend(losses.iter().map(|&loss| f64::from_bits(loss)));
            all.seen.extend(self.read_seen(seen)?);
            all.asked.stop = all.asked.stop.or(Some(stop as usize).filter(|&signal| signal != 0));
            all.asked.save = all.asked.save.max(moment_before(save));
        }
        Ok(all)
    }

    /// Returns the objects that take memory in training, in the order in which they are made.
    pub(crate) fn memory(&self) -> Result<Vec<Need>, TrainError> {
        let outputs = self.loss.outputs(self.data.targets())?;
        memory::needs(&self.config, &self.data, outputs, &self.device, Purpose::Train)
    }

    /// Returns the operations of a forward pass for a row, by layer; empty if they are not known.
    pub(crate) fn flops(&self) -> Result<Vec<LayerFlops>, TrainError> {
        let outputs = self.loss.outputs(self.data.targets())?;
        Ok(self.config.model.spec().flops(&self.data.input(), outputs)?)
    }

    /// Returns about how many operations an update of the parameters takes beside those of the model.
    pub(crate) fn update_flops(&self) -> u64 {
        self.optimizer.operations()
    }

    /// Returns the error of a step; if the memory of the device is used up, with what it holds.
    pub(in crate::train) fn explained(&self, error: TrainError) -> TrainError {
        let outputs = self.loss.outputs(self.data.targets()).unwrap_or(0);
        // The rows of a batch are fixed once updates are made.
        let purpose = if self.step > 0 { Purpose::Resume { held: 0 } } else { self.purpose };
        memory::explained(error, &self.config, &self.data, outputs, &self.device, purpose)
    }

    fn not_added(&self, error: SumError) -> TrainError {
        match error {
            SumError::Optim(error) => error.into(),
            SumError::Communicator(error) => self.disconnected(error),
            error => self.disconnected(error.into()),
        }
    }

    pub(super) fn disconnected(&self, error: CommunicatorError) -> TrainError {
        let (rank, world) = (self.communicator.rank(), self.communicator.world());
        RanksError::LostTouch { rank, world, step: self.step, error }.into()
    }

    /// Returns the factor of the loss in the next backward pass, if the model computes in f16.
    pub(in crate::train) fn loss_scale(&self) -> Option<f64> {
        self.loss_scale.map(|loss_scale| loss_scale.scale())
    }

    /// Whether [`Session::update`] will skip these gradients, because they overflowed in f16.
    pub(in crate::train) fn overflows(&self, gradients: &MeasuredGradients) -> bool {
        self.loss_scale.is_some_and(|loss_scale| loss_scale.overflows(gradients))
    }

    /// Makes an update, or skips it if the gradients [overflow](Session::overflows). The next step begins in any case,
    /// with the rates of its number.
    pub(in crate::train) fn update(
        &mut self,
        gradients: &MeasuredGradients,
        rates: &[StepHyperparams],
        loss: f64,
    ) -> Result<(), TrainError> {
        let overflows = self.overflows(gradients);
        if overflows {
            self.optimizer.skip();
        } else {
            self.optimizer.update(gradients, rates)?;
            self.share_weights()?;
            let update = Update {
                step: self.step,
                loss,
                parameters: &self.parameters,
                buffers: &self.buffers,
                ema_decay: self.schedulers.ema_decay(),
            };
            for (name, component) in &mut self.components {
                let failed = |error| TrainError::Component { name: name.clone(), step: update.step, error };
                component.after_update(&update).map_err(failed)?;
            }
        }
        if let Some(loss_scale) = &mut self.loss_scale {
            loss_scale.advance(overflows);
        }
        self.schedulers.advance();
        self.epoch_mean.add(loss);
        self.measured = Measured::default();
        self.step += 1;
        self.freeze_when_due();
        Ok(())
    }

    /// Whether there are validation rows and a validation is due.
    pub(in crate::train) fn validation_is_due(&self) -> bool {
        self.validations.is_some_and(|validations| validations.are_due(self.step))
    }

    /// Returns the metrics measured after the last update.
    pub(in crate::train) fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Records that the validation after the last update, whose log line is `record`, is still pending. A checkpoint
    /// taken now contains the line, and a resume makes the validation and writes it.
    pub(in crate::train) fn postpone_validation(&mut self, record: StepRecord) {
        self.unvalidated = Some(record);
    }

    /// Returns the log line of the last update, if the validation after it is pending.
    pub(in crate::train) fn unvalidated(&self) -> Option<&StepRecord> {
        self.unvalidated.as_ref()
    }

    /// Evaluates the model on the validation rows, and reports to the schedule. Returns `None`, without changes, if
    /// `stop` asks for an end meanwhile.
    pub(in crate::train) fn validate(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>, TrainError> {
        self.prepare_evaluation(stop)?;
        if stop() {
            return Ok(None);
        }
        let evaluation = self.with_evaluation_weights(|| self.evaluate(stop))?;
        if let Some(evaluation) = &evaluation {
            self.unvalidated = None;
            self.measured.take(evaluation);
            if let Some(stopping) = self.early_stopping.as_mut().filter(|it| it.metric().is_of_validation()) {
                stopping.report(self.measured.figure(stopping.metric()).unwrap_or(f64::NAN), self.step);
            }
            if self.metric.is_of_validation() {
                self.schedulers.report(self.measured.figure(self.metric).unwrap_or(f64::NAN));
            }
        }
        Ok(evaluation)
    }

    /// Runs `work` with the weights that the optimizer or a component has for evaluations.
    pub(super) fn with_evaluation_weights<T>(
        &self,
        work: impl FnOnce() -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let averaged = self.optimizer.evaluation_weights()?;
        let lent = match (averaged.as_ref(), component::lent(self.components())?) {
            (Some(_), Some(_)) => return Err(self.twice_averaged()),
            (averaged, lent) => averaged.or(lent),
        };
        component::with_weights(&self.weights, lent, work)
    }

    fn twice_averaged(&self) -> TrainError {
        TrainError::Field {
            field: "optimizer.kind".to_owned(),
            value: self.config.optimizer.has_evaluation_weights().unwrap_or_default().to_owned(),
            rule: "it averages the weights for evaluations, and so does a component; remove one of the two".to_owned(),
        }
    }

    fn judge(&self) -> Judge<'_> {
        let scale = self.data.dataset().target_scale();
        Judge { loss: self.loss.as_ref(), metrics: &self.metrics, task: &self.task, scale }
    }

    /// Evaluates the model on the test rows; `None` if there are none. It changes nothing, and each of several processes
    /// computes all of it.
    pub(in crate::train) fn test(&self) -> Result<Option<TestFigures>, TrainError> {
        let rows = self.data.test_rows();
        if rows.is_empty() {
            return Ok(None);
        }
        let batches = || self.data.evaluation_batches(rows.clone());
        let found = self.with_evaluation_weights(|| metrics::evaluate(self.model.as_ref(), self.judge(), batches()))?;
        Ok(found.map(TestFigures::from))
    }

    /// Evaluates the model on the validation rows, which several processes share.
    fn evaluate(&self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>, TrainError> {
        let model = self.model.as_ref();
        let judge = self.judge();
        let (rank, world) = (self.communicator.rank(), self.communicator.world());
        if world == 1 || !judge.can_be_shared() {
            let found = metrics::evaluate(model, judge, self.data.validation_batches_unless(stop))?;
            return Ok(found.filter(|_| !stop()));
        }
        let gather = |bytes: &[u8]| {
            // The others wait until this process ends, or begins again. Once they have its figures, they go on, and so
            // must this one.
            if stop() { Ok(Vec::new()) } else { self.gather(bytes) }
        };
        let own = self.data.validation_share_unless(rank, world, stop);
        metrics::evaluate_shared(model, judge, own, gather)
    }

    /// Returns what each process gives.
    pub(super) fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, TrainError> {
        distributed::gather(&*self.communicator, own).map_err(|error| self.disconnected(error))
    }

    /// Returns the mean loss at the end of an epoch, and reports it to the schedule.
    pub(in crate::train) fn end_epoch_when_due(&mut self) -> Option<f64> {
        if self.data.epoch_began(self.step) != self.step {
            return None;
        }
        let mean = self.epoch_mean.take();
        self.measured.training_loss = Some(mean);
        if let Some(stopping) = self.early_stopping.as_mut().filter(|it| it.metric() == Metric::TrainingLoss) {
            stopping.report(mean, self.step);
        }
        if self.metric == Metric::TrainingLoss {
            self.schedulers.report(mean);
        }
        Some(mean)
    }
}

/// The mean loss over the rows of a micro-batch.
fn loss_of(model: &dyn Model, loss: &dyn Loss, batch: &Batch, draws: StepRng) -> Result<Tensor, TrainError> {
    let outputs = model.forward(&batch.inputs, Mode::Train(&draws))?;
    Ok(loss.forward(&outputs, &batch.targets)?)
}
