//! The Python lines that load an exported run.

use serde_json::Value;

use super::Parts;
use super::optimizer::TorchOptimizer;
use super::schedule::TorchSchedule;
use super::source::Source;

/// The line that names the parameters.
pub(super) const NAMED: &str = "named = dict(model.named_parameters())";

/// Returns the expression for the model of the run, or a comment that says which one is needed.
pub(super) fn model(source: &Source<'_>) -> Vec<String> {
    let config = source.config("/model");
    match config["kind"].as_str() {
        Some("mlp") if config["tied"].as_bool() != Some(true) => vec![format!("model = {}", mlp(source, config))],
        Some("gpt") => {
            let class = if is_gpt2(source) { "GPT2LMHeadModel" } else { "LlamaForCausalLM" };
            vec![format!("model = ...  # transformers.{class} of this size")]
        }
        Some("resnet") => vec!["model = ...  # torchvision's ResNet of this size".to_owned()],
        _ => vec!["model = ...  # a module whose parameters have the names in saved[\"model\"]".to_owned()],
    }
}

/// Whether the weights have the names of a GPT-2 of transformers.
pub(super) fn is_gpt2(source: &Source<'_>) -> bool {
    source.weights.iter().any(|(name, _)| *name == "transformer.wte.weight")
}

/// Returns a `Sequential` whose layers have our numbers: an activation, and dropout with it, is one module.
fn mlp(source: &Source<'_>, config: &Value) -> String {
    let activation = match config["activation"].as_str() {
        Some("gelu") => "torch.nn.GELU()",
        Some("tanh") => "torch.nn.Tanh()",
        _ => "torch.nn.ReLU()",
    };
    let activation = match config["dropout"].as_f64() {
        Some(dropout) if dropout > 0.0 => {
            format!("torch.nn.Sequential({activation}, torch.nn.Dropout({dropout:?}))")
        }
        _ => activation.to_owned(),
    };
    let layers = source.weights.iter().filter(|(name, tensor)| name.ends_with(".weight") && tensor.shape.len() == 2);
    let layers = layers.filter_map(|(_, tensor)| Some((tensor.shape.get(1)?, tensor.shape.first()?)));
    let layers: Vec<String> = layers.map(|(inputs, outputs)| format!("torch.nn.Linear({inputs}, {outputs})")).collect();
    format!("torch.nn.Sequential({})", layers.join(&format!(", {activation}, ")))
}

/// Returns the lines that make several optimizers, each with a scheduler if the rates need one.
pub(super) fn several(all: &[Parts<'_>]) -> Vec<String> {
    let (mut lines, mut calls) = (Vec::new(), Vec::new());
    for Parts { optimizer, schedule, .. } in all {
        let name = optimizer.name.to_lowercase();
        lines.push(format!("def {name}():"));
        lines.extend(parts(optimizer, schedule).iter().map(|line| format!("    {line}")));
        let scheduler = if schedule.state.is_some() { "scheduler" } else { "None" };
        lines.push(format!("    return optimizer, {scheduler}"));
        calls.push(format!("{name}()"));
    }
    lines.push(format!("optimizers, schedulers = zip({})", calls.join(", ")));
    lines
}

/// Returns the lines that make an optimizer and a scheduler like the run's, of the parameters in `named`.
pub(super) fn parts(optimizer: &TorchOptimizer<'_>, schedule: &TorchSchedule) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(format!("optimizer = {}", optimizer.code).lines().map(str::to_owned));
    if schedule.state.is_some() {
        lines.extend(schedule.functions.lines().map(str::to_owned));
        lines.extend(format!("scheduler = {}", schedule.code).lines().map(str::to_owned));
    }
    lines
}

/// Returns the remark on when the scheduler is stepped.
pub(super) fn stepping(schedule: &TorchSchedule) -> Option<String> {
    let unit = if schedule.per_epoch { "epoch" } else { "update" };
    schedule.state.as_ref().map(|_| format!("scheduler.step() belongs after each {unit}"))
}

/// Returns the line that imports PyTorch, `others`, and what the functions of the schedule need.
pub(super) fn imports(schedule: &TorchSchedule, others: &[&str]) -> String {
    let needed = ["ctypes", "math"].into_iter().filter(|module| schedule.functions.contains(&format!("{module}.")));
    let modules: Vec<&str> = needed.chain(["torch"]).chain(others.iter().copied()).collect();
    format!("import {}", modules.join(", "))
}
