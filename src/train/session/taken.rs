//! A state taken from elsewhere: another trainer's, in the terms of this run.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Session;
use crate::checkpoint::CheckpointError;
use crate::state::{HostTensor, State, StateError, Stateful};
use crate::train::TrainError;

/// The state of a run after some updates that another trainer made.
pub(crate) struct Taken {
    /// Number of the next update.
    pub step: u64,
    /// Updates before it that the optimizer skipped.
    pub skipped: u64,
    /// Every parameter and buffer, by name.
    pub weights: BTreeMap<String, HostTensor>,
    /// State tensors of the optimizer, as `<parameter>.<state>`; those that are not here stay zero.
    pub moments: BTreeMap<String, HostTensor>,
    /// Averages of the weights, by name, for `[ema]`; those that are not here begin with the weights.
    pub average: Option<BTreeMap<String, HostTensor>>,
    /// Memory of the schedule of rates, if it follows a metric.
    pub memory: Option<Value>,
    /// The state of the loss scale, for a run in f16.
    pub loss_scale: Option<Value>,
    /// Entry of the history that says where this came from.
    pub origin: Value,
}

impl Session {
    /// Continues from `taken` instead of the start; `source` is named in errors.
    ///
    /// The losses of a begun epoch are not known, so the mean of that epoch is over its other updates.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or the run is shorter than what was made of it.
    pub(crate) fn taking(mut self, taken: Taken, source: &Path) -> Result<Self, TrainError> {
        let Taken { step, skipped, weights, moments, average, memory, loss_scale, origin } = taken;
        let refused = |part: &str, error| CheckpointError::Refused {
            path: source.to_owned(),
            part: part.to_owned(),
            error: Box::new(error),
        };
        let put = |part: &str, owner: &mut dyn Stateful, change: &mut dyn FnMut(&mut State)| {
            put(owner, change).map_err(|error| refused(part, error))
        };
        let (mut weights, mut moments) = (Some(weights), Some(moments));
        put("model", &mut self.weights, &mut |state| state.tensors = weights.take().unwrap_or_default())?;
        put("optimizer", &mut self.optimizer, &mut |state| {
            state.tensors.extend(moments.take().unwrap_or_default());
            state.json["updates"] = step.saturating_sub(skipped).into();
            state.json["skipped"] = skipped.into();
        })?;
        for (part, scheduler) in self.schedulers.all_mut() {
            put(part, scheduler, &mut |state| {
                state.json["t"] = step.into();
                if let Some(memory) = memory.as_ref().filter(|_| part == "schedulers.lr") {
                    state.json["memory"] = memory.clone();
                }
            })?;
        }
        if let Some((_, ema)) = self.components.iter_mut().find(|(name, _)| name == "ema") {
            // It begins with the weights that are taken, not with initial ones.
            let mut values = self.weights.save().map_err(|error| refused("model", error))?.tensors;
            let begun = average.is_some();
            values.extend(average.unwrap_or_default());
            put("components.ema", &mut **ema, &mut |state| {
                for (name, tensor) in &mut state.tensors {
                    if let Some(value) = values.get(name).filter(|value| value.dtype == tensor.dtype) {
                        *tensor = value.clone();
                    }
                }
                if begun {
                    state.json = serde_json::json!({"begun": true, "updates": step});
                }
            })?;
        }
        if let Some((scale, saved)) = self.loss_scale.as_mut().zip(loss_scale) {
            put("loss_scale", scale, &mut |state| state.json = saved.clone())?;
        }
        self.epoch_mean.miss(step - self.data.epoch_began(step));
        (self.step, self.first_step) = (step, step);
        self.freeze();
        self.history.push(origin);
        self.check_steps(source)?;
        Ok(self)
    }
}

/// Changes the state of a part: it is saved, changed, and loaded if the part accepts it.
fn put(part: &mut dyn Stateful, change: &mut dyn FnMut(&mut State)) -> Result<(), StateError> {
    let mut state = part.save()?;
    change(&mut state);
    part.check(&state)?;
    part.load(&state)
}
