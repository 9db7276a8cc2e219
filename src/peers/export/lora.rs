//! Adapters of low rank in an export: merged into the weights beside them, or apart, as PEFT reads them.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ExportError;
use super::python;
use super::recipe;
use super::source::Source;
use super::writing::Writing;
use crate::checkpoint::Checkpoint;
use crate::model::{ADAPTER, LoraConfig, is_adapter};
use crate::parameters::{from_host, to_host};
use crate::state::{HostTensor, StateError};

/// The name of the adapted model within PEFT's.
const PREFIX: &str = "base_model.model.";

/// Returns the configuration of the adapters of a run; `None` if it has none.
pub(super) fn config(checkpoint: &Checkpoint) -> Option<LoraConfig> {
    let lora = checkpoint.field("config")?.pointer("/model/lora")?;
    LoraConfig::deserialize(lora).ok()
}

/// Returns the weights of all maps with an adapter, with what the adapter adds to them.
///
/// # Errors
/// The tensors of an adapter do not fit its weight.
pub(super) fn merged(
    lora: &LoraConfig,
    tensors: &BTreeMap<&str, &HostTensor>,
) -> Result<BTreeMap<String, HostTensor>, ExportError> {
    let mut merged = BTreeMap::new();
    for (name, weight) in tensors {
        let Some(map) = name.strip_suffix(".weight") else { continue };
        let [a, b] = ADAPTER.map(|end| tensors.get(format!("{map}{end}").as_str()));
        let (Some(a), Some(b)) = (a, b) else { continue };
        let sum = with_adapter(weight, [a, b], lora.scale(), name.starts_with("transformer."));
        let wrong = |error: StateError| ExportError::refused(format!("the adapter of `{map}`"), error.to_string());
        merged.insert((*name).to_owned(), sum.map_err(wrong)?);
    }
    Ok(merged)
}

/// Returns the weights of a model with its adapters merged into them, if it has any.
///
/// # Errors
/// As [`merged`].
pub(super) fn whole(
    checkpoint: &Checkpoint,
    mut tensors: BTreeMap<String, HostTensor>,
) -> Result<BTreeMap<String, HostTensor>, ExportError> {
    if let Some(lora) = config(checkpoint) {
        let sums = merged(&lora, &tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect())?;
        tensors.retain(|name, _| !is_adapter(name));
        tensors.extend(sums);
    }
    Ok(tensors)
}

/// Computes a weight with its adapter in f64, and rounds the sum once. GPT-2 has its maps `[in, out]`.
fn with_adapter(
    weight: &HostTensor,
    [a, b]: [&HostTensor; 2],
    scale: f64,
    is_gpt2: bool,
) -> Result<HostTensor, StateError> {
    let wide = |host: &HostTensor| Ok::<_, StateError>(from_host(host, &Device::Cpu)?.to_dtype(DType::F64)?);
    let product: Tensor = (wide(b)?.matmul(&wide(a)?)? * scale)?;
    let product = if is_gpt2 { product.t()?.contiguous()? } else { product };
    let narrow = DType::try_from(weight.dtype)?;
    to_host(&(wide(weight)? + product)?.to_dtype(narrow)?)
}

/// Writes the adapters as a folder of PEFT.
///
/// # Errors
/// The run has no adapters, or trains a part of a module that PEFT only takes as a whole.
pub(super) fn write(source: &Source<'_>, writing: &mut Writing) -> Result<(), ExportError> {
    let lora = config(source.checkpoint).ok_or_else(|| {
        let reason = "its model has no `[model.lora]`; export all weights, `--to safetensors`";
        ExportError::refused("the adapters", reason)
    })?;
    let module = |name: &str| name.rsplit_once('.').map_or("", |(module, _)| module).to_owned();
    let trained: BTreeSet<&str> = source.groups.iter().flat_map(|group| group.parameters.iter().copied()).collect();
    let whole: BTreeSet<String> = trained.iter().filter(|name| !is_adapter(name)).map(|name| module(name)).collect();
    let of_whole = |name: &str| whole.contains(&module(name));
    if let Some((name, _)) = source.weights.iter().find(|(name, _)| of_whole(name) && !trained.contains(name)) {
        let reason = "other parameters of its module are trained, and PEFT saves modules as a whole; merge the adapters, \
                      `--to safetensors`";
        return Err(ExportError::refused(format!("the frozen parameter `{name}`"), reason));
    }
    let tensors: Vec<(String, &HostTensor)> = source
        .weights
        .iter()
        .filter(|(name, _)| is_adapter(name) || of_whole(name))
        .map(|(name, tensor)| (format!("{PREFIX}{name}"), *tensor))
        .collect();
    let tensors: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    let folder = writing.place().to_owned();
    writing.folder(&folder)?;
    writing.json(&folder.join("adapter_config.json"), &settings(source, &lora, &whole))?;
    writing.safetensors(&folder.join("adapter_model.safetensors"), &tensors)?;
    writing.lines.push("from peft import PeftModel".to_owned());
    writing.lines.extend(recipe::model(source));
    let path = python::text(&folder.display().to_string());
    writing.lines.push(format!("model = PeftModel.from_pretrained(model, {path})"));
    writing.notes.push("the model is the one whose weights the run began with, which are not in it".to_owned());
    writing.notes.push("left: everything but the adapters and what is trained as a whole".to_owned());
    Ok(())
}

/// Returns `adapter_config.json`.
fn settings(source: &Source<'_>, lora: &LoraConfig, whole: &BTreeSet<String>) -> Value {
    let adapted = source.weights.iter().filter_map(|(name, _)| name.strip_suffix(ADAPTER[0]));
    let is_gpt = source.config("/model/kind") == "gpt";
    json!({
        "peft_type": "LORA",
        "task_type": is_gpt.then_some("CAUSAL_LM"),
        "base_model_name_or_path": null,
        "r": lora.rank,
        "lora_alpha": lora.alpha.unwrap_or(lora.rank as f64),
        "lora_dropout": lora.dropout,
        "target_modules": adapted.collect::<Vec<_>>(),
        "modules_to_save": (!whole.is_empty()).then_some(whole),
        "fan_in_fan_out": recipe::is_gpt2(source),
        "bias": "none",
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
        "inference_mode": true,
    })
}
