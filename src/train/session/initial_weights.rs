//! The initial weights of a run, from a safetensors file of any program. A tensor of the file that the model has no
//! place for is part of another model: by default that is an error.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor, safetensors};

use crate::Notice;
use crate::backtrace::without_backtrace;
use crate::parameters::{Parameters, host_dtype};
use crate::regular;
use crate::train::TrainError;
use crate::train::config::UnusedWeights;

/// Ends of the names of tensors that a model computes from its configuration, and that some files have: masks of
/// attention, rotary frequencies, and the count of batches of a batch norm.
const COMPUTED: [&str; 4] = [".attn.masked_bias", ".inv_freq", ".num_batches_tracked", ".position_ids"];

/// The names of an output map, which is not in the file of a model that shares it with its embedding.
const OUTPUT_MAPS: [&str; 2] = ["lm_head.weight", "output.weight"];

/// Loads `parameters` from the tensors of their names in the file at `path`. Returns notes about other tensors in it.
///
/// # Errors
/// A parameter has no tensor, or one of another shape or type; or a tensor has no place, unless such tensors are to be
/// ignored.
pub(super) fn load(
    path: &Path,
    parameters: &Parameters,
    device: &Device,
    unused: UnusedWeights,
) -> Result<Vec<Notice>, TrainError> {
    let wrong = |rule: String| TrainError::Field {
        field: "train.initial_weights".to_owned(),
        value: path.display().to_string(),
        rule,
    };
    regular::require(path).map_err(|error| wrong(format!("{error}; give a safetensors file")))?;
    let tensors = safetensors::load(path, device)
        .map_err(|error| wrong(format!("{}; give a valid safetensors file", without_backtrace(error))))?;
    let unfit = |reason: String| wrong(format!("{reason}; give weights of this model, or change `model` to theirs"));
    let without: Vec<&str> =
        parameters.iter().map(|(name, _)| name).filter(|name| !tensors.contains_key(*name)).collect();
    if let [first, ..] = without[..] {
        let reason = if without.len() == 1 {
            format!("has no tensor `{first}`")
        } else {
            format!("has no tensors for {} parameters: {}", without.len(), listed(&without))
        };
        return Err(unfit(reason));
    }
    for (name, parameter) in parameters.iter() {
        let Some(tensor) = tensors.get(name) else { continue };
        if tensor.dims() != parameter.dims() || tensor.dtype() != parameter.dtype() {
            let (has, needs) = (host_dtype(tensor.dtype()), host_dtype(parameter.dtype()));
            let (shape, own) = (tensor.dims(), parameter.dims());
            return Err(unfit(format!("has `{name}` as {has:?}{shape:?}, and the model as {needs:?}{own:?}")));
        }
    }
    let others = Others::of(&tensors, parameters)?;
    if unused == UnusedWeights::Error
        && let Some(reason) = others.refusal()
    {
        return Err(wrong(reason));
    }
    for (name, parameter) in parameters.iter() {
        if let Some(tensor) = tensors.get(name) {
            parameter.set(tensor)?;
        }
    }
    Ok(others.notices(path))
}

/// Tensors of the file that the model has no place for.
#[derive(Default)]
struct Others {
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
    fn of(tensors: &HashMap<String, Tensor>, parameters: &Parameters) -> Result<Self, TrainError> {
        let known: BTreeMap<&str, ()> = parameters.iter().map(|(name, _)| (name, ())).collect();
        let mut names: Vec<&String> = tensors.keys().filter(|name| !known.contains_key(name.as_str())).collect();
        names.sort();
        let mut others = Self::default();
        for name in names {
            let Some(tensor) = tensors.get(name) else { continue };
            // GPT-2's causal mask has the name of a bias, and four dimensions.
            let is_mask = name.ends_with(".attn.bias") && tensor.rank() == 4;
            if is_mask || COMPUTED.iter().any(|end| name.ends_with(end)) {
                others.computed.push(name.clone());
            } else if OUTPUT_MAPS.contains(&name.as_str()) && is_copy(tensor, tensors, &known)? {
                others.tied = Some(name.clone());
            } else {
                if OUTPUT_MAPS.contains(&name.as_str()) {
                    others.untied = Some(name.clone());
                }
                others.lost.push(name.clone());
            }
        }
        Ok(others)
    }

    fn refusal(&self) -> Option<String> {
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

    fn notices(self, path: &Path) -> Vec<Notice> {
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

/// Whether a tensor has the same bytes as another in the file that has a place.
fn is_copy(tensor: &Tensor, tensors: &HashMap<String, Tensor>, known: &BTreeMap<&str, ()>) -> Result<bool, TrainError> {
    let bits = |tensor: &Tensor| -> Result<Vec<u64>, candle_core::Error> {
        // Every weight is a number of at most 64 bits, which this conversion keeps.
        let values: Vec<f64> = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok(values.into_iter().map(f64::to_bits).collect())
    };
    for (name, other) in tensors {
        let is_like = other.dims() == tensor.dims() && other.dtype() == tensor.dtype();
        if known.contains_key(name.as_str()) && is_like && bits(other)? == bits(tensor)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lists the first few names in quotes, and the number of the others.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
