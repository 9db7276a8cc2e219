//! Tensors of the files that the model has no place for: they are part of another model, unless the model computes them
//! or shares them.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{Files, Stored};
use super::listed;
use crate::Notice;
use crate::parameters::Parameters;

/// Ends of the names of tensors that a model computes from its configuration, and that some files have: masks of
/// attention, rotary frequencies, and the count of batches of a batch norm.
const COMPUTED: [&str; 4] = [".attn.masked_bias", ".inv_freq", ".num_batches_tracked", ".position_ids"];

/// The names of an output map, which is not in the file of a model that shares it with its embedding.
const OUTPUT_MAPS: [&str; 2] = ["lm_head.weight", "output.weight"];

/// Tensors of the files that the model has no place for.
#[derive(Default)]
pub(super) struct Others {
    /// Those that would be lost, in the order of their names.
    lost: Vec<String>,
    /// An output map that differs from the embedding it would be shared with.
    untied: Option<String>,
    /// An output map that equals the embedding.
    tied: Option<String>,
    /// Those that the model computes itself.
    computed: Vec<String>,
}

impl Others {
    /// Sorts the tensors that are not among `weights`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(files: &Files, named: &BTreeMap<String, &Stored>, weights: &Parameters) -> Result<Self, String> {
        let mut others = Self::default();
        for (name, stored) in named.iter().filter(|(name, _)| weights.get(name).is_none()) {
            // GPT-2's causal mask has the name of a bias, and four dimensions.
            let is_mask = name.ends_with(".attn.bias") && stored.shape.len() == 4;
            let is_output = OUTPUT_MAPS.iter().any(|map| name == map || name.ends_with(&format!(".{map}")));
            if is_mask || COMPUTED.iter().any(|end| name.ends_with(end)) {
                others.computed.push(name.clone());
            } else if is_output && is_copy(files, stored, named, weights)? {
                others.tied = Some(name.clone());
            } else {
                if is_output {
                    others.untied = Some(name.clone());
                }
                others.lost.push(name.clone());
            }
        }
        Ok(others)
    }

    /// Returns why they are an error, if they are.
    pub fn refusal(&self) -> Option<String> {
        let names: Vec<&str> = self.lost.iter().map(String::as_str).collect();
        let reason = match names[..] {
            [] => return None,
            [name] => format!("has a tensor `{name}` that the model has no place for"),
            _ => format!("has {} tensors that the model has no place for: {}", names.len(), listed(&names)),
        };
        let untied = self.untied.as_ref().map_or(String::new(), |name| {
            format!(
                " (`{name}` differs from the embedding, so the output map is not tied: `model.tied = false` has it)"
            )
        });
        Some(format!(
            "{reason}{untied}; change `model` to theirs, or set `train.unused_weights = \"ignore\"` to drop them"
        ))
    }

    /// Returns what is said about them where they are no error.
    pub fn notices(self, path: &Path) -> Vec<Notice> {
        let path = path.display();
        let names = |names: &[String]| listed(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let lost = (!self.lost.is_empty()).then(|| {
            let (count, names) = (self.lost.len(), names(&self.lost));
            Notice::Warning(format!("{path}: the model has no place for {count} of its tensors, dropped: {names}"))
        });
        let tied = self.tied.map(|name| {
            Notice::Note(format!("{path}: `{name}` equals the embedding, with which the model shares its output map"))
        });
        let computed = (!self.computed.is_empty()).then(|| {
            Notice::Note(format!(
                "{path}: tensors that the model computes itself are not read: {}",
                names(&self.computed)
            ))
        });
        [lost, tied, computed].into_iter().flatten().collect()
    }
}

/// Whether a tensor has the same bytes as another in the files that has a place.
fn is_copy(
    files: &Files,
    tensor: &Stored,
    named: &BTreeMap<String, &Stored>,
    weights: &Parameters,
) -> Result<bool, String> {
    let bytes = files.read(tensor)?.bytes;
    let placed = named.iter().filter(|(name, _)| weights.get(name).is_some());
    for (_, other) in placed.filter(|(_, other)| other.shape == tensor.shape && other.dtype == tensor.dtype) {
        if files.read(other)?.bytes == bytes {
            return Ok(true);
        }
    }
    Ok(false)
}
