//! The equal mean of the weights of several checkpoints of one run, as a checkpoint that can be used like them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::{Value, json};

use super::TrainError;
use super::component::BUILT_IN;
use super::config::load::from_checkpoint;
use super::config::paths::base_of;
use crate::checkpoint::{Checkpoint, Folder, Saved, Snapshot};
use crate::state::{HostTensor, State};

/// The mean of the weights of some checkpoints.
#[derive(Debug)]
pub struct CheckpointAverage {
    /// The newest of the checkpoints, whose other parts the mean keeps.
    newest: Checkpoint,
    /// The mean, by name.
    weights: BTreeMap<String, HostTensor>,
    /// The checkpoints, in the order in which they were given.
    of: Vec<PathBuf>,
}

/// Sums of the weights of checkpoints, in f64.
#[derive(Default)]
struct Sums {
    of: Vec<PathBuf>,
    newest: Option<Checkpoint>,
    tensors: BTreeMap<String, Vec<f64>>,
}

impl CheckpointAverage {
    /// Averages the weights of the checkpoints in these directories, and the running statistics of batch norms with
    /// them. One checkpoint at a time is in memory, beside the sums.
    ///
    /// # Errors
    /// There is none, one is not valid, or they are not of one model.
    pub fn of(checkpoints: &[PathBuf]) -> Result<Self, TrainError> {
        let mut sums = Sums::default();
        checkpoints.iter().try_for_each(|path| sums.add(path))?;
        sums.mean()
    }

    /// Returns the averaged weights, by name.
    pub fn weights(&self) -> &BTreeMap<String, HostTensor> {
        &self.weights
    }

    /// Returns the averaged checkpoints.
    pub fn checkpoints(&self) -> &[PathBuf] {
        &self.of
    }

    /// Saves the mean as a checkpoint in `folder`, at the step of the newest of the checkpoints, with its other parts.
    /// Averages that the run keeps are left out, because predictions would use them.
    ///
    /// # Errors
    /// The configuration cannot be read, or the checkpoint cannot be written.
    pub fn save(self, folder: &Path) -> Result<Saved, TrainError> {
        let target = folder.join(crate::checkpoint::dir_name(self.newest.step()));
        let snapshot = self.snapshot(&base_of(&target))?;
        Ok(Folder::new(folder).save(&snapshot, &self.newest.manifest().written_by)?)
    }

    /// Returns the state for a checkpoint whose paths are relative to `base`.
    fn snapshot(&self, base: &Path) -> Result<Snapshot, TrainError> {
        let newest = &self.newest;
        let is_average = |part: &str| {
            part == "schedulers.ema_decay" || BUILT_IN.iter().any(|name| part == format!("components.{name}"))
        };
        let mut snapshot = Snapshot::at(newest.step());
        let roots: Vec<&str> = newest.parts().filter_map(|part| part.split('.').next()).collect();
        for (name, value) in newest.document() {
            if !roots.contains(&name.as_str()) && !["step", "parts", "metrics"].contains(&name.as_str()) {
                snapshot = snapshot.field(name, self.field(name, value, base)?)?;
            }
        }
        for part in newest.parts().filter(|part| !is_average(part)) {
            let mut state = newest.state(part).cloned().unwrap_or_default();
            if part == "model" {
                state = State { tensors: self.weights.clone(), ..state };
            }
            snapshot = snapshot.state(part, state)?;
        }
        Ok(snapshot)
    }

    /// Returns a field of the newest checkpoint, as it is in the mean.
    fn field(&self, name: &str, value: &Value, base: &Path) -> Result<Value, TrainError> {
        let mut value = value.clone();
        match name {
            "config" => {
                let mut config = from_checkpoint(&value, &[], &base_of(self.newest.path()))?;
                (config.ema, config.swa, config.ema_decay_schedule) = (None, None, None);
                value = serde_json::to_value(config.relative_to(base).complete()).unwrap_or_default();
            }
            "history" => {
                let of: Vec<String> = self.of.iter().map(|path| path.display().to_string()).collect();
                if let Some(history) = value.as_array_mut() {
                    history.push(json!({"step": self.newest.step(), "averaged": of}));
                }
            }
            _ => {}
        }
        Ok(value)
    }
}

impl Sums {
    fn add(&mut self, path: &Path) -> Result<(), TrainError> {
        let refuse = |reason: String| TrainError::NothingToResume { path: path.to_owned(), reason };
        if self.of.iter().any(|before| is_same(before, path)) {
            return Err(refuse("is given twice, and would count twice in the mean; name it once".to_owned()));
        }
        let checkpoint = Checkpoint::read(path)?;
        let model = checkpoint.state("model").ok_or_else(|| refuse("has no part `model`".to_owned()))?;
        let like = self.newest.as_ref().and_then(|newest| newest.state("model"));
        if let Some(difference) = like.and_then(|like| difference(like, model)) {
            return Err(refuse(format!("is of another model than the checkpoints before it: {difference}")));
        }
        for (name, tensor) in &model.tensors {
            let values = to_f64s(tensor).ok_or_else(|| refuse(format!("`{name}` is not of floating-point numbers")))?;
            let sums = self.tensors.entry(name.clone()).or_insert_with(|| vec![0.0; values.len()]);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        self.of.push(path.to_owned());
        if self.newest.as_ref().is_none_or(|newest| newest.step() <= checkpoint.step()) {
            self.newest = Some(checkpoint);
        }
        Ok(())
    }

    fn mean(self) -> Result<CheckpointAverage, TrainError> {
        let nothing = || TrainError::NothingToResume {
            path: PathBuf::new(),
            reason: "there is no checkpoint to average; name at least one".to_owned(),
        };
        let newest = self.newest.ok_or_else(nothing)?;
        refuse_averaged(&newest)?;
        let count = self.of.len() as f64;
        let mut weights = newest.state("model").map(|model| model.tensors.clone()).unwrap_or_default();
        for (name, tensor) in &mut weights {
            let sums = self.tensors.get(name).map(Vec::as_slice).unwrap_or_default();
            tensor.bytes = bytes(tensor.dtype, sums.iter().map(|sum| sum / count));
        }
        Ok(CheckpointAverage { newest, weights, of: self.of })
    }
}

/// Whether two paths lead to one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Refuses weights that their optimizer averages: what it evaluates is computed from them and its state, of one step.
fn refuse_averaged(checkpoint: &Checkpoint) -> Result<(), TrainError> {
    let Some(config) = checkpoint.field("config") else { return Ok(()) };
    let config = from_checkpoint(config, &[], &base_of(checkpoint.path()))?;
    let Some(kind) = config.optimizer.has_evaluation_weights() else { return Ok(()) };
    let reason = format!("is of `{kind}`, which averages the weights by itself; use the newest checkpoint");
    Err(TrainError::NothingToResume { path: checkpoint.path().to_owned(), reason })
}

/// Returns how the tensors of two models differ in their names, shapes or types.
fn difference(one: &State, other: &State) -> Option<String> {
    let kinds = |state: &State| -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let kind = |(name, tensor): (&String, &HostTensor)| (name.clone(), (tensor.dtype, tensor.shape.clone()));
        state.tensors.iter().map(kind).collect()
    };
    let (one, other) = (kinds(one), kinds(other));
    let name = one.keys().chain(other.keys()).find(|name| one.get(*name) != other.get(*name))?;
    let said = |kinds: &BTreeMap<String, (Dtype, Vec<usize>)>| {
        kinds.get(name).map_or("missing".to_owned(), |(dtype, shape)| format!("{dtype:?}{shape:?}"))
    };
    Some(format!("`{name}` is {} here and {} there", said(&other), said(&one)))
}

/// Returns the elements of a tensor of floating-point numbers.
fn to_f64s(tensor: &HostTensor) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
    }
    let bytes = &tensor.bytes;
    match tensor.dtype {
        Dtype::F64 => Some(each(bytes, f64::from_le_bytes)),
        Dtype::F32 => Some(each(bytes, |bytes| f64::from(f32::from_le_bytes(bytes)))),
        Dtype::F16 => Some(each(bytes, |bytes| half::f16::from_le_bytes(bytes).to_f64())),
        Dtype::BF16 => Some(each(bytes, |bytes| half::bf16::from_le_bytes(bytes).to_f64())),
        _ => None,
    }
}

/// Returns numbers as the bytes of a tensor of this type.
fn bytes(dtype: Dtype, values: impl Iterator<Item = f64>) -> Vec<u8> {
    match dtype {
        Dtype::F64 => values.flat_map(f64::to_le_bytes).collect(),
        Dtype::F16 => values.flat_map(|value| half::f16::from_f64(value).to_le_bytes()).collect(),
        Dtype::BF16 => values.flat_map(|value| half::bf16::from_f64(value).to_le_bytes()).collect(),
        _ => values.flat_map(|value| (value as f32).to_le_bytes()).collect(),
    }
}
