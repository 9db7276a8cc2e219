//! The data and the size of a checkpoint, read before a session is made from it.

use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::data::{BatchSizes, Data, Recalled};
use crate::train::config::Config;
use crate::train::{Setting, TrainError};

/// Returns the maximal number of weights for the model of a checkpoint's configuration: as many as the checkpoint has
/// bytes of them, and some more, so that the tensors of a small one are compared by name and shape.
pub(crate) fn room(checkpoint: &Checkpoint) -> usize {
    const SLACK: usize = 1 << 20;
    let tensors = checkpoint.state("model").into_iter().flat_map(|state| state.tensors.values());
    tensors.map(|tensor| tensor.bytes.len()).sum::<usize>() + SLACK
}

/// Returns the description of the data in a checkpoint; `settings` has the paths given by the user.
pub(crate) fn recalled<'a>(checkpoint: &'a Checkpoint, settings: &[Setting]) -> Recalled<'a> {
    let is_given = |key| settings.iter().any(|setting| setting.key() == key);
    Recalled {
        fingerprint: checkpoint.field("data"),
        memory: checkpoint.state(data_part(checkpoint)),
        tokenizer_is_given: is_given("data.tokenizer"),
        cache_is_given: is_given("data.cache"),
        batch_sizes: Some(BatchSizes {
            step: checkpoint.step(),
            saved: checkpoint.field("config").map(|config| &config["data"]["batch_size"]),
            history: checkpoint.field("history"),
        }),
    }
}

/// Returns the number of bytes of a checkpoint's tensors in memory.
pub(super) fn held(checkpoint: &Checkpoint) -> u64 {
    let states = checkpoint.parts().filter_map(|part| checkpoint.state(part));
    states.flat_map(|state| state.tensors.values()).map(|tensor| tensor.bytes.len() as u64).sum()
}

/// Returns the name of the data's part in a checkpoint. Early versions named it after its only content.
pub(crate) fn data_part(checkpoint: &Checkpoint) -> &'static str {
    let is_old = checkpoint.parts().any(|name| name == "standardization");
    if is_old { "standardization" } else { "dataset" }
}

/// Refuses data with other content than the run's; `saved` is the fingerprint in its checkpoint.
pub(crate) fn refuse_other_content(config: &Config, data: &Data, saved: Option<&Value>) -> Result<(), TrainError> {
    let fingerprint = serde_json::to_value(data.fingerprint()).unwrap_or_default();
    match saved.filter(|saved| **saved != fingerprint) {
        Some(saved) => Err(TrainError::Refused {
            what: match config.data.path.as_os_str().is_empty() {
                true => "the content of the data".to_owned(),
                false => format!("the content of {}", config.data.path.display()),
            },
            saved: saved.to_string(),
            asked: fingerprint.to_string(),
            remedy: match config.data.path.as_os_str().is_empty() {
                true => "; a run must continue with the rows that it began with".to_owned(),
                false => "; `--set data.path=…` gives the new path of the run's data".to_owned(),
            },
        }),
        None => Ok(()),
    }
}
