//! The state of a run as one list of named parts, which are saved, checked and restored together.

use serde_json::Value;

use super::Session;
use crate::checkpoint::{Checkpoint, CheckpointError, Snapshot};
use crate::model::Precision;
use crate::state::{State, StateError, Stateful};
use crate::train::TrainError;
use crate::train::component::{BUILT_IN, Makers, setting};
use crate::train::schedulers::Schedulers;

/// The prefix of the part of a component.
const COMPONENTS: &str = "components.";

/// The part with the memory of early stopping, and the table of its settings.
const EARLY_STOPPING: &str = "early_stopping";

/// The part with the loss scale, which a run in f16 has.
const LOSS_SCALE: &str = "loss_scale";

/// A part under its name in a checkpoint.
struct Named<P> {
    name: String,
    part: P,
    /// The setting that adds the part to a run, if it is optional.
    setting: Option<String>,
}

fn required<P>(name: &str, part: P) -> Named<P> {
    Named { name: name.to_owned(), part, setting: None }
}

impl Session {
    /// Returns all parts, in the order of saving.
    fn parts(&self) -> Vec<Named<&dyn Stateful>> {
        let mut parts: Vec<Named<&dyn Stateful>> = vec![
            required("model", &self.weights),
            required("optimizer", &self.optimizer),
            required("dataset", &self.data),
            required("epoch_mean", &self.epoch_mean),
        ];
        parts.extend(self.schedulers.all().map(|(name, part)| required::<&dyn Stateful>(name, part)));
        parts.extend(self.loss_scale.as_ref().map(|part| required::<&dyn Stateful>(LOSS_SCALE, part)));
        parts.extend(self.early_stopping.as_ref().map(|part| required::<&dyn Stateful>(EARLY_STOPPING, part)));
        let components = self.components.iter();
        parts.extend(components.map(|(name, part)| required::<&dyn Stateful>(&format!("{COMPONENTS}{name}"), &**part)));
        parts
    }

    /// Returns the same parts for restoring from a checkpoint, in which the data is called `data`.
    fn parts_mut(&mut self, data: &str) -> Vec<Named<&mut dyn Stateful>> {
        let mut parts: Vec<Named<&mut dyn Stateful>> = vec![
            required("model", &mut self.weights),
            required("optimizer", &mut self.optimizer),
            required(data, &mut self.data),
            required("epoch_mean", &mut self.epoch_mean),
        ];
        parts.extend(self.schedulers.all_mut().map(|(name, part)| {
            let setting = Schedulers::OPTIONAL.contains(&name).then(|| Schedulers::setting(name).to_owned());
            Named::<&mut dyn Stateful> { name: name.to_owned(), part, setting }
        }));
        parts.extend(self.loss_scale.as_mut().map(|part| required::<&mut dyn Stateful>(LOSS_SCALE, part)));
        parts.extend(self.early_stopping.as_mut().map(|part| {
            let (name, setting) = (EARLY_STOPPING.to_owned(), Some(EARLY_STOPPING.to_owned()));
            Named::<&mut dyn Stateful> { name, part, setting }
        }));
        parts.extend(self.components.iter_mut().map(|(name, part)| {
            let setting = Some(setting(name));
            Named::<&mut dyn Stateful> { setting, name: format!("{COMPONENTS}{name}"), part: &mut **part }
        }));
        parts
    }

    /// Adds every part to `snapshot`.
    pub(super) fn save_parts(&self, snapshot: Snapshot) -> Result<Snapshot, CheckpointError> {
        let mut parts = self.parts().into_iter();
        let snapshot = parts.try_fold(snapshot, |snapshot, Named { name, part, .. }| snapshot.part(&name, part))?;
        Ok(self.with_owners(snapshot))
    }

    /// Returns the names of the parts whose tensors each process has, or some of them, and saves without a difference.
    pub(in crate::train) fn shared_parts(&self) -> Vec<String> {
        let is_built_in = |name: &str| name.strip_prefix(COMPONENTS).is_some_and(|name| BUILT_IN.contains(&name));
        let is_shared = |name: &str| match name {
            "model" | "optimizer" => true,
            component => is_built_in(component),
        };
        self.parts().into_iter().map(|part| part.name).filter(|name| is_shared(name)).collect()
    }

    /// Adds these parts to `snapshot`.
    pub(in crate::train) fn fill_shared(&self, snapshot: Snapshot) -> Result<Snapshot, CheckpointError> {
        let shared = self.shared_parts();
        let mut parts = self.parts().into_iter().filter(|part| shared.contains(&part.name));
        let snapshot = parts.try_fold(snapshot, |snapshot, Named { name, part, .. }| snapshot.part(&name, part))?;
        Ok(self.with_owners(snapshot))
    }

    /// Restores every part. An optional part that was added on this resume starts at the checkpoint's step, and the
    /// state of a removed one is discarded; both are in the history.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        // Only a part that is not in the saved configuration can be missing from the checkpoint.
        let config = checkpoint.field("config").unwrap_or(&Value::Null);
        let is_new = |setting: &str| {
            let value = setting.split('.').try_fold(config, |table, name| table.get(name));
            value.is_none_or(Value::is_null)
        };
        let has_no_scale = config["precision"] != Precision::F16.to_string();
        let mut parts = self.parts_mut(super::data_part(checkpoint));
        parts.retain(|part| !part.setting.as_deref().is_some_and(is_new));
        parts.retain(|part| !(part.name == LOSS_SCALE && has_no_scale));
        let removed = checkpoint.parts().filter(|name| is_optional(name));
        let removed: Vec<&str> = removed.filter(|name| parts.iter().all(|part| part.name != *name)).collect();
        let mut discarded: Vec<Discarded> = removed.iter().map(|_| Discarded).collect();
        let mut all: Vec<(&str, &mut dyn Stateful)> =
            parts.iter_mut().map(|part| (part.name.as_str(), &mut *part.part)).collect();
        all.extend(removed.into_iter().zip(discarded.iter_mut().map(|part| part as &mut dyn Stateful)));
        checkpoint.restore(&mut all)?;
        for (name, scheduler) in self.schedulers.all_mut() {
            if Schedulers::OPTIONAL.contains(&name) && is_new(Schedulers::setting(name)) {
                scheduler.seek(checkpoint.step());
            }
        }
        let makers = Makers {
            config: &self.config,
            parameters: &self.parameters,
            buffers: &self.buffers,
            length: (self.total_steps(), self.data.epochs()),
        };
        for (name, part) in self.components.iter_mut().filter(|(name, _)| is_new(&setting(name))) {
            // Created from the current weights, not from the initial ones.
            *part = makers.make(name)?;
        }
        Ok(())
    }
}

/// Whether the part is optional.
fn is_optional(name: &str) -> bool {
    Schedulers::OPTIONAL.contains(&name) || name.starts_with(COMPONENTS) || [LOSS_SCALE, EARLY_STOPPING].contains(&name)
}

/// The placeholder of a part that a run no longer has: it accepts any state.
struct Discarded;

impl Stateful for Discarded {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::default())
    }

    fn check(&self, _: &State) -> Result<(), StateError> {
        Ok(())
    }

    fn load(&mut self, _: &State) -> Result<(), StateError> {
        Ok(())
    }
}
