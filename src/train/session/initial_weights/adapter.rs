//! The adapters that a run begins with, from a folder of PEFT. They must be those of `[model.lora]`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::files::{Files, Stored};
use super::names::Rule;
use super::{Tensors, can_become, give, listed};
use crate::Notice;
use crate::figures::counted;
use crate::model::{ADAPTER, LoraConfig, ModelConfig, is_adapter};
use crate::plain;
use crate::regular;
use crate::tensor_header;
use crate::train::TrainError;

const SETTINGS: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// The name of the adapted model within PEFT's.
const PREFIX: &str = "base_model.model.";

/// The content of `adapter_config.json`, as far as it is needed.
#[derive(Deserialize)]
struct Settings {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    rank_pattern: Value,
    #[serde(default)]
    alpha_pattern: Value,
}

/// Gives the model's adapters, and what it trains as a whole, the numbers in the folder at `path`. Returns what became of
/// them.
///
/// # Errors
/// The folder cannot be read, or its adapters are not those of the model: other ranks, factors, maps or shapes.
pub(super) fn load(path: &Path, model: &ModelConfig, tensors: &Tensors<'_>) -> Result<Vec<Notice>, TrainError> {
    let wrong = |rule: String| TrainError::Field {
        field: "train.initial_adapter".to_owned(),
        value: path.display().to_string(),
        rule,
    };
    let settings = Settings::read(path).map_err(wrong)?;
    let lora = serde_json::to_value(model).ok().and_then(|model| LoraConfig::deserialize(model.get("lora")?).ok());
    settings.check(lora.as_ref()).map_err(wrong)?;
    let files = opened(path).map_err(wrong)?;
    let known: BTreeSet<&str> = tensors.trained().collect();
    let stripped: Vec<&str> = files.names().map(|name| name.strip_prefix(PREFIX).unwrap_or(name)).collect();
    let rule = Rule::of(&[], stripped.iter().copied(), &known).map_err(wrong)?;
    let renamed = stripped.iter().map(|name| rule.renamed(name));
    let named: BTreeMap<String, &Stored> = renamed.zip(files.tensors().map(|(_, stored)| stored)).collect();
    if named.len() < stripped.len() {
        return Err(wrong("two of its tensors have one name".to_owned()));
    }
    fit(&named, tensors, &known).map_err(wrong)?;
    for (name, stored) in &named {
        give(&files, (name, stored), tensors.all, wrong)?;
    }
    let maps: Vec<&str> = named.keys().filter_map(|name| name.strip_suffix(ADAPTER[0])).collect();
    let count = counted(maps.len(), "map");
    let taken = format!("{}: the adapters of {count} are taken from it{rule}: {}", path.display(), listed(&maps));
    let whole: Vec<&str> = named.keys().map(String::as_str).filter(|name| !is_adapter(name)).collect();
    let whole = (!whole.is_empty()).then(|| {
        Notice::Note(format!("{}: what it trains as a whole is taken from it: {}", path.display(), listed(&whole)))
    });
    let dropout = lora.map(|lora| lora.dropout).filter(|dropout| *dropout != settings.lora_dropout).map(|dropout| {
        let theirs = settings.lora_dropout;
        Notice::Note(format!(
            "{}: it was trained with a dropout of {theirs}, and this run has {dropout}",
            path.display()
        ))
    });
    Ok([Some(Notice::Note(taken)), whole, dropout].into_iter().flatten().collect())
}

impl Settings {
    fn read(folder: &Path) -> Result<Self, String> {
        let unread = |error: std::io::Error| {
            format!(
                "`{SETTINGS}` in it cannot be read: {error}; give the folder that `save_pretrained` of PEFT has written"
            )
        };
        let file = regular::open(&folder.join(SETTINGS)).map_err(unread)?;
        let mut text = Vec::new();
        file.take(tensor_header::LIMIT).read_to_end(&mut text).map_err(unread)?;
        let invalid = |error: serde_json::Error| format!("`{SETTINGS}` in it: {}", plain::of_serde(&error.to_string()));
        serde_json::from_slice(&text).map_err(invalid)
    }

    /// Refuses adapters that are computed in another way than those of the run.
    fn check(&self, lora: Option<&LoraConfig>) -> Result<(), String> {
        if self.peft_type != "LORA" || self.use_dora {
            let kind = if self.use_dora { "DoRA" } else { &self.peft_type };
            return Err(format!("its adapters are of {kind}, and the run can have those of LoRA"));
        }
        let is_given = |pattern: &Value| pattern.as_object().is_some_and(|pattern| !pattern.is_empty());
        if is_given(&self.rank_pattern) || is_given(&self.alpha_pattern) {
            return Err("some of its maps have another rank or alpha (`rank_pattern`, `alpha_pattern`), and \
                        `[model.lora]` has one for all; merge the adapters in PEFT with `merge_and_unload`"
                .to_owned());
        }
        let (rank, root) = (self.r as f64, (self.r as f64).sqrt());
        let scale = self.lora_alpha / if self.use_rslora { root } else { rank };
        let alpha = scale * rank;
        let Some(lora) = lora else {
            return Err(format!(
                "the model has no adapters; add `[model.lora]` with `rank = {rank}` and `alpha = {alpha}`"
            ));
        };
        if self.r != lora.rank {
            return Err(format!("its rank is {rank}, and `model.lora.rank` is {}; set it to {rank}", lora.rank));
        }
        // The two are written as decimal numbers and divided: a rounding apart is the same.
        if (scale - lora.scale()).abs() > 1e-9 * scale.abs() {
            let (own, why) = (lora.scale(), if self.use_rslora { ", by the root of the rank" } else { "" });
            return Err(format!(
                "its results are multiplied by {scale}{why}, and those of the run by {own}; set `model.lora.alpha = {alpha}`"
            ));
        }
        Ok(())
    }
}

/// Opens the weights of a folder.
fn opened(folder: &Path) -> Result<Files, String> {
    if !folder.join(WEIGHTS).is_file() && folder.join("adapter_model.bin").is_file() {
        return Err(format!(
            "it has `adapter_model.bin` in place of `{WEIGHTS}`; write it with `save_pretrained(DIR)` of a newer PEFT"
        ));
    }
    Files::open(&folder.join(WEIGHTS)).map_err(|reason| format!("`{WEIGHTS}` in it: {reason}"))
}

/// Refuses tensors that the model does not train, has in other shapes, or lacks.
fn fit(named: &BTreeMap<String, &Stored>, tensors: &Tensors<'_>, known: &BTreeSet<&str>) -> Result<(), String> {
    let map = |name: &str| ADAPTER.iter().find_map(|end| name.strip_suffix(end)).map(str::to_owned);
    for (name, stored) in named {
        let parameter = tensors.all.get(name).filter(|_| known.contains(name.as_str()));
        let Some(parameter) = parameter else {
            return Err(match map(name) {
                Some(map) => format!(
                    "has an adapter of `{map}`, and the run has none there; let a pattern of `model.lora.patterns` match it"
                ),
                None if tensors.frozen.get(name).is_some() => {
                    format!("has `{name}`, trained as a whole; add it to `model.lora.trained`")
                }
                None => format!("has a tensor `{name}` that the model has no place for"),
            });
        };
        if stored.shape != parameter.dims() || !can_become(stored.dtype, parameter.dtype()) {
            let (has, shape, own) = (stored.dtype, &stored.shape, parameter.dims());
            return Err(format!("has `{name}` as {has:?}{shape:?}, and the model as {own:?}: it adapts another model"));
        }
    }
    let missing: BTreeSet<String> =
        known.iter().filter(|name| !named.contains_key(**name)).filter_map(|name| map(name)).collect();
    match missing.first() {
        Some(first) => Err(format!(
            "has no adapter of `{first}`, and the run has one there; let `model.lora.patterns` match the maps that it adapts"
        )),
        None => Ok(()),
    }
}
