//! The preparation of an evaluation: components make their weights ready, with the running statistics that a pass over
//! the training rows gives for them.

use std::cell::RefCell;

use candle_core::{Tensor, Var};

use super::Session;
use crate::data::{Batch, pieces};
use crate::distributed;
use crate::model::Mode;
use crate::ops::{self, Seen};
use crate::parameters::Parameters;
use crate::rng::StepRng;
use crate::state::StateError;
use crate::train::TrainError;
use crate::train::component;

impl Session {
    /// Has each component prepare its weights, which takes a pass over the training rows if one needs running
    /// statistics. If `stop` asks for an end, such weights are left as they are; several processes, which only one of
    /// them would tell, come to the end of the pass together.
    pub(in crate::train) fn prepare_evaluation(&mut self, stop: &dyn Fn() -> bool) -> Result<(), TrainError> {
        let stop = &|| self.communicator.world() == 1 && stop();
        let mut components = std::mem::take(&mut self.components);
        let prepared = components.iter_mut().try_for_each(|(name, component)| {
            let cause = RefCell::new(None);
            let statistics = |weights: &Parameters| {
                let found = component::with_weights(&self.weights, Some(weights), || self.statistics(stop));
                found.map_err(|error| {
                    let said = StateError::Unable(error.to_string());
                    *cause.borrow_mut() = Some(error);
                    said
                })
            };
            let prepared = component.before_evaluation(&statistics);
            let step = self.step.saturating_sub(1);
            prepared.map_err(|error| match cause.take() {
                Some(cause) => cause,
                None => TrainError::Component { name: name.clone(), step, error },
            })
        });
        self.components = components;
        prepared
    }

    /// Computes the running statistics of all batch norms as equal means over the batches of an epoch, as
    /// `torch.optim.swa_utils.update_bn` does; `None` if `stop` asks for an end. Several processes share each batch as in
    /// training, and find the same bits.
    fn statistics(&self, stop: &dyn Fn() -> bool) -> Result<Option<Parameters>, TrainError> {
        let mut means: Vec<Mean> = Vec::new();
        for step in self.data.whole_epoch() {
            let Some(batch) = self.data.batch_unless(step, stop)? else { return Ok(None) };
            if stop() {
                return Ok(None);
            }
            for seen in self.seen_by_all(&batch, step)? {
                let at = means.iter().position(|mean| mean.is_of(&seen)).unwrap_or_else(|| {
                    means.push(Mean::of(&seen));
                    means.len() - 1
                });
                means[at].add(&seen)?;
            }
        }
        let mut found = Parameters::new();
        for (name, buffer) in self.buffers.iter() {
            if let Some(values) = means.iter().find_map(|mean| mean.value_of(buffer)) {
                let value = Tensor::from_vec(values, buffer.shape(), &candle_core::Device::Cpu)?;
                let value = value.to_device(buffer.device())?.to_dtype(buffer.dtype())?;
                found.insert(name, Var::from_tensor(&value)?);
            }
        }
        Ok(Some(found))
    }

    /// Returns what batch norms see of a batch in training, in the order of its micro-batches.
    fn seen_by_all(&self, batch: &Batch, step: u64) -> Result<Vec<Seen>, TrainError> {
        let (rank, world) = (self.communicator.rank(), self.communicator.world());
        let pieces: Vec<_> = pieces(self.data.batch_rows(step), self.config.train.accumulate.unwrap_or(1)).collect();
        let own = distributed::share(pieces.len(), rank, world);
        // The batch has only the rows of this process.
        let first = pieces.get(own.start).map_or(0, |piece| piece.start);
        let (model, seed) = (&*self.model, self.config.seed);
        let compute = |number: usize| {
            let piece = batch.slice(pieces[number].start - first..pieces[number].end - first)?;
            let draws = StepRng::at(seed, step).of_micro_batch(number);
            model.forward(&piece.inputs, Mode::Train(&draws)).map(drop).map_err(TrainError::from)
        };
        let (forward, seen) = ops::collect_seen(|| match self.is_synchronized(pieces.len()) {
            true => self.in_step(own, compute).map(drop),
            false => own.into_iter().try_for_each(compute),
        });
        forward?;
        if world == 1 {
            return Ok(seen);
        }
        let mut words = Vec::new();
        self.write_seen(&seen, &mut words)?;
        let mut all = Vec::new();
        for bytes in self.gather(bytemuck::cast_slice(&words))? {
            let words: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
            all.extend(self.read_seen(&words)?);
        }
        Ok(all)
    }
}

/// The equal mean of what a batch norm has seen.
struct Mean {
    running_mean: Var,
    running_variance: Var,
    means: Vec<f64>,
    variances: Vec<f64>,
    count: f64,
}

impl Mean {
    fn of(seen: &Seen) -> Self {
        let (running_mean, running_variance) = (seen.running_mean.clone(), seen.running_variance.clone());
        let channels = running_mean.elem_count();
        Self { running_mean, running_variance, means: vec![0.0; channels], variances: vec![0.0; channels], count: 0.0 }
    }

    fn is_of(&self, seen: &Seen) -> bool {
        self.running_mean.id() == seen.running_mean.id()
    }

    /// Adds the statistics of a batch; the running variance is of unbiased ones.
    fn add(&mut self, seen: &Seen) -> Result<(), TrainError> {
        let [means, variances] = seen.values()?;
        let unbiased = seen.count as f64 / (seen.count as f64 - 1.0);
        self.means.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean);
        self.variances.iter_mut().zip(variances).for_each(|(sum, variance)| *sum += variance * unbiased);
        self.count += 1.0;
        Ok(())
    }

    /// Returns the value of a buffer, if it is one of this batch norm.
    fn value_of(&self, buffer: &Var) -> Option<Vec<f64>> {
        let sums = match buffer.id() {
            id if id == self.running_mean.id() => &self.means,
            id if id == self.running_variance.id() => &self.variances,
            _ => return None,
        };
        Some(sums.iter().map(|sum| sum / self.count).collect())
    }
}
