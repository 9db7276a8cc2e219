//! Differences between two checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::json::{FieldDifference, differences};
use super::tensor::{TensorChange, TensorDifference, compare};
use crate::checkpoint::{Checkpoint, CheckpointError, Manifest};
use crate::schedule::Schedule;
use crate::state::HostTensor;
use crate::train::config::paths;
use crate::train::{SCHEDULES, base_of};

/// Differences between two checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckpointDifference {
    /// The step of the checkpoint in A.
    pub step: u64,
    /// The directory in A.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub a: PathBuf,
    /// The directory in B.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub b: PathBuf,
    /// The faults of damaged checkpoints; if there are any, nothing else is compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    /// Settings of the configuration, except schedules.
    pub config: Vec<FieldDifference>,
    /// Fields of the schedules, in the configuration and in the state. A schedule is shown as its line of text.
    pub schedule: Vec<FieldDifference>,
    /// All other fields of `state.json`.
    pub state: Vec<FieldDifference>,
    /// Tensors, in the order of their parts and then by name.
    pub tensors: Vec<TensorDifference>,
    /// Files with different bytes but the same meaning, or without meaning and only in one of the two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<String>,
    /// Paths of the data, which do not count as a difference, because the content is compared by its digest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<FieldDifference>,
    /// Program, time and number of threads of the save, which do not count either.
    pub written_by: Vec<FieldDifference>,
}

impl CheckpointDifference {
    /// Whether both hold the same bits.
    pub fn is_identical(&self) -> bool {
        let fields = [&self.config, &self.schedule, &self.state];
        self.damage.is_empty()
            && fields.into_iter().all(Vec::is_empty)
            && self.tensors.is_empty()
            && self.rewritten.is_empty()
    }

    /// Compares the checkpoints in the directories `a` and `b`, and verifies every byte. Tensors are loaded into memory
    /// only if a digest differs.
    ///
    /// # Errors
    /// One of them cannot be read. Damage is a difference.
    pub(super) fn between(a: &Path, b: &Path) -> Result<Self, CheckpointError> {
        let step = crate::checkpoint::step_of(a).unwrap_or_default();
        let mut found = Self { step, a: a.to_owned(), b: b.to_owned(), ..Self::default() };
        let (Some(first), Some(second)) =
            (found.unless_damaged(Checkpoint::verify(a))?, found.unless_damaged(Checkpoint::verify(b))?)
        else {
            return Ok(found);
        };
        found.step = first.step;
        found.written_by = differences(&json(&first.written_by), &json(&second.written_by));
        if first.files != second.files {
            let (a, b) = (Checkpoint::read(a)?, Checkpoint::read(b)?);
            found.compare_documents(&a, &b);
            found.compare_tensors(&a, &b);
            found.compare_files(&first, &second);
        }
        Ok(found)
    }

    fn unless_damaged<T>(&mut self, read: Result<T, CheckpointError>) -> Result<Option<T>, CheckpointError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.is_damage() => {
                self.damage.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn compare_documents(&mut self, a: &Checkpoint, b: &Checkpoint) {
        let [mut first, mut second] = [a, b].map(|checkpoint| Value::Object(checkpoint.document().clone()));
        word_schedules(&mut first, &mut second);
        for mut difference in differences(&first, &second) {
            let setting = difference.field.strip_prefix("config.").map(str::to_owned);
            let list = match setting {
                Some(name) if is_same_place(&name, &difference, a.path(), b.path()) => &mut self.places,
                Some(name) if SCHEDULES.iter().any(|schedule| is_within(&name, schedule)) => &mut self.schedule,
                Some(name) => {
                    difference.field = name;
                    &mut self.config
                }
                None if is_within(&difference.field, "schedulers") => &mut self.schedule,
                None => &mut self.state,
            };
            list.push(difference);
        }
    }

    fn compare_tensors(&mut self, a: &Checkpoint, b: &Checkpoint) {
        let none = BTreeMap::new();
        let only_in_b = b.parts().filter(|part| a.state(part).is_none());
        for part in a.parts().chain(only_in_b) {
            let [in_a, in_b] = [a, b].map(|checkpoint| checkpoint.state(part).map_or(&none, |state| &state.tensors));
            let only_in_b = in_b.keys().filter(|name| !in_a.contains_key(*name));
            let mut names: Vec<&String> = in_a.keys().chain(only_in_b).collect();
            names.sort();
            for name in names {
                if let Some(change) = change(in_a.get(name), in_b.get(name)) {
                    self.tensors.push(TensorDifference { part: part.to_owned(), name: name.clone(), change });
                }
            }
        }
    }

    /// Digests differ although no content does: the files are written differently.
    fn compare_files(&mut self, a: &Manifest, b: &Manifest) {
        let only_in_b = b.files.iter().filter(|file| a.files.iter().all(|other| other.name != file.name));
        for file in a.files.iter().chain(only_in_b) {
            let digest = |manifest: &Manifest| {
                manifest.files.iter().find(|other| other.name == file.name).map(|file| file.blake3.clone())
            };
            let explained = match file.name.strip_suffix(".safetensors") {
                Some(part) => self.tensors.iter().any(|tensor| tensor.part == part),
                None => [&self.config, &self.schedule, &self.state, &self.places].iter().any(|list| !list.is_empty()),
            };
            if digest(a) != digest(b) && !explained {
                self.rewritten.push(file.name.clone());
            }
        }
    }
}

fn change(a: Option<&HostTensor>, b: Option<&HostTensor>) -> Option<TensorChange> {
    match (a, b) {
        (Some(a), Some(b)) => compare(a, b),
        (Some(a), None) => Some(TensorChange::OnlyInA(a.kind())),
        (None, b) => b.map(|b| TensorChange::OnlyInB(b.kind())),
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn is_within(field: &str, name: &str) -> bool {
    field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether a setting is a path and its target is the same: the data, which is identified by its digest, or one file
/// under two relative paths. `a` and `b` are checkpoints.
pub(super) fn is_same_place(field: &str, difference: &FieldDifference, a: &Path, b: &Path) -> bool {
    let resolved = |path: &Option<Value>, checkpoint: &Path| {
        let path = Path::new(path.as_ref()?.as_str()?);
        Some(paths::absolute(path, &base_of(checkpoint)))
    };
    let (place_a, place_b) = (resolved(&difference.a, a), resolved(&difference.b, b));
    match field {
        "data.path" | "data.validation_path" | "data.test_path" => true,
        "train.initial_weights" | "train.initial_adapter" => place_a.is_some() && place_a == place_b,
        _ => false,
    }
}

/// Replaces schedules that differ by their text, if their texts differ too: one line says more than the leaves of two
/// tables.
fn word_schedules(a: &mut Value, b: &mut Value) {
    let settings = SCHEDULES.map(|name| format!("/config/{name}"));
    let parts = ["lr", "momentum", "beta2", "weight_decay", "ema_decay"].map(|name| format!("/schedulers/{name}/spec"));
    for place in settings.iter().chain(&parts) {
        let text = |value: &Value| serde_json::from_value(value.clone()).ok().map(|s: Schedule| s.to_string());
        if let (Some(a), Some(b)) = (a.pointer_mut(place), b.pointer_mut(place))
            && let (Some(text_a), Some(text_b)) = (text(a), text(b))
            && text_a != text_b
        {
            (*a, *b) = (text_a.into(), text_b.into());
        }
    }
}
