//! A run of ours, written as another trainer resumes it, or its model, as another program uses it.
//!
//! [`Target`] names the trainer or the program. Everything that it needs is computed before the first file is written, so
//! that a refusal leaves nothing behind.

mod classes;
mod cycles;
mod error;
mod hugging_face;
mod lightning;
mod lora;
mod onnx;
mod optimizer;
mod optimizer_classes;
pub(super) mod order;
mod python;
mod recipe;
mod schedule;
pub(super) mod source;
mod text;
mod torch;
mod transformers;
mod unsaid;
mod writing;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use error::ExportError;
use optimizer::{TorchOptimizer, optimizer};
use schedule::{TorchSchedule, schedule};
use source::{Source, SourceGroup};
use writing::Writing;

use crate::checkpoint::Checkpoint;
use crate::train::Weights;
use crate::trained::Trained;

/// A trainer, and its form of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A PyTorch script: one file with `model`, `optimizer`, `scheduler`, `epoch` and `step`.
    Torch,
    /// The Trainer of transformers: a folder like its `checkpoint-500`.
    Transformers,
    /// Lightning: a `.ckpt`.
    Lightning {
        /// The attribute of the LightningModule that holds the model; empty where the module is the model.
        attribute: String,
    },
    /// The weights alone, as safetensors; adapters are merged into them.
    Safetensors,
    /// The adapters of LoRA, as a folder of PEFT.
    Peft,
    /// The model with the preparation of its rows, for runtimes of ONNX: one file.
    Onnx,
    /// A GPT for transformers and other programs that load Hugging Face's directories.
    HuggingFace,
}

/// An export that is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exported {
    /// The file or folder.
    pub path: PathBuf,
    /// The files.
    pub files: Vec<PathBuf>,
    /// The Python lines that load it.
    pub python: Vec<String>,
    /// Things that the trainer does not take from it, or does differently.
    pub notes: Vec<String>,
}

/// The optimizer and the scheduler of an export.
struct Parts<'a> {
    optimizer: TorchOptimizer<'a>,
    optimizer_groups: Vec<SourceGroup<'a>>,
    schedule: TorchSchedule,
}

impl<'a> Parts<'a> {
    /// Returns those of each class of PyTorch, in the order of the groups.
    fn all(source: &Source<'a>) -> Result<Vec<Self>, ExportError> {
        let mut kinds: Vec<&str> = Vec::new();
        for group in &source.groups {
            if !kinds.contains(&group.kind.as_str()) {
                kinds.push(&group.kind);
            }
        }
        let of_kind = |kind: &str| source.groups.iter().filter(|group| group.kind == kind).cloned().collect();
        kinds.into_iter().map(|kind| Self::of(source, of_kind(kind))).collect()
    }

    /// Returns those of a run with one class of PyTorch.
    fn single(source: &Source<'a>, groups: Vec<SourceGroup<'a>>) -> Result<Self, ExportError> {
        let differs = |group: &&SourceGroup<'_>| groups.first().is_some_and(|first| first.kind != group.kind);
        if let Some(other) = groups.iter().find(differs) {
            let thing = format!("the group of {} with the rule `{}`", other.parameters.join(" "), other.kind);
            let first = &groups[0].kind;
            let reason = format!(
                "the others have `{first}`, and an optimizer of PyTorch has one rule; \
                 --to torch writes an optimizer for each"
            );
            return Err(ExportError::refused(thing, reason));
        }
        Self::of(source, groups)
    }

    fn of(source: &Source<'a>, groups: Vec<SourceGroup<'a>>) -> Result<Self, ExportError> {
        if source.hyperparameters.get("layer_decay").is_some_and(|layers| !layers.is_null()) {
            let reason = "each layer has another rate, and would need a group of PyTorch for it";
            return Err(ExportError::refused("`optimizer.layer_decay`", reason));
        }
        let schedule = schedule(source, &groups)?;
        let optimizer = optimizer(source, &groups, &schedule.rates)?;
        Ok(Self { optimizer, optimizer_groups: groups, schedule })
    }
}

fn write(
    checkpoint: &Checkpoint,
    target: &Target,
    weights: &Weights,
    writing: &mut Writing,
) -> Result<(), ExportError> {
    let continues = matches!(target, Target::Torch | Target::Transformers | Target::Lightning { .. });
    if continues && lora::config(checkpoint).is_some() {
        let reason = "the optimizer has only those; export them to PEFT, `--to peft`, or the merged weights, \
                      `--to safetensors`";
        return Err(ExportError::refused("the adapters of `[model.lora]`", reason));
    }
    match target {
        Target::Torch => write_run(checkpoint, target, weights, writing, |source, writing| {
            torch::write(source, &Parts::all(source)?, writing)
        }),
        Target::Transformers => write_run(checkpoint, target, weights, writing, |source, writing| {
            transformers::write(source, &Parts::single(source, transformers::groups(source)?)?, writing)
        }),
        Target::Lightning { attribute } => write_run(checkpoint, target, weights, writing, |source, writing| {
            let prefix = if attribute.is_empty() { String::new() } else { format!("{attribute}.") };
            lightning::write(source, &Parts::single(source, source.groups.clone())?, &prefix, writing)
        }),
        Target::Safetensors => write_run(checkpoint, target, weights, writing, |source, writing| {
            let out = writing.place().to_owned();
            writing.safetensors(&out, &source.weights)?;
            writing.lines.push("import safetensors.torch".to_owned());
            let path = python::text(&out.display().to_string());
            writing.lines.push(format!("model.load_state_dict(safetensors.torch.load_file({path}))"));
            if lora::config(source.checkpoint).is_some() {
                writing.notes.push("the adapters of `[model.lora]` are merged into the weights".to_owned());
            }
            writing.notes.push("left: everything but the weights".to_owned());
            Ok(())
        }),
        Target::Peft => write_run(checkpoint, target, weights, writing, lora::write),
        Target::Onnx => {
            let trained = Trained::on_cpu(checkpoint, weights)?;
            onnx::write(&trained, lora::whole(checkpoint, trained.weights()?.tensors)?, writing)
        }
        Target::HuggingFace => {
            let trained = Trained::on_cpu(checkpoint, weights)?;
            hugging_face::write(&trained, lora::whole(checkpoint, trained.weights()?.tensors)?, writing)
        }
    }
}

/// Writes a run by `form`, with merged adapters unless these are the target, and says which of its weights these are.
fn write_run(
    checkpoint: &Checkpoint,
    target: &Target,
    weights: &Weights,
    writing: &mut Writing,
    form: impl FnOnce(&Source<'_>, &mut Writing) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let lora = lora::config(checkpoint).filter(|_| *target != Target::Peft);
    let whole = lora.map(|lora| lora::merged(&lora, &source::tensors(checkpoint, weights)?)).transpose()?;
    let source = match &whole {
        Some(whole) => Source::read(checkpoint, weights)?.merged(whole),
        None => Source::read(checkpoint, weights)?,
    };
    form(&source, writing)?;
    if let (Weights::Evaluated | Weights::Trained, [first, ..]) = (weights, &source::averages(checkpoint)[..]) {
        writing.notes.push(format!("these are the trained weights; `--weights {first}` exports those of `{first}`"));
    }
    let names: Vec<&str> = source.weights.iter().map(|(name, _)| *name).filter(|name| !order::is_known(name)).collect();
    if let Some(first) = names.first().filter(|_| *target != Target::Peft) {
        writing.notes.push(format!(
            "parameters such as `{first}` are in the order of the alphabet, not in that of their registration, which is \
             not known here: make the optimizer with the groups above"
        ));
    }
    Ok(())
}

/// Writes the run of `checkpoint` to `out`, as `target` takes it. If that fails, nothing is left of it.
///
/// # Errors
/// There is something at `out`, the trainer has no such optimizer or schedule, or a file cannot be written.
pub fn export(checkpoint: &Checkpoint, target: &Target, out: &Path) -> Result<Exported, ExportError> {
    export_weights(checkpoint, target, &Weights::Trained, out)
}

/// The same with other weights of the checkpoint, such as those of its average. [`Weights::Evaluated`] are those that
/// validations use for a program that uses the model, and the trained ones for a trainer.
///
/// # Errors
/// As [`export`]; the checkpoint has no such weights.
pub fn export_weights(
    checkpoint: &Checkpoint,
    target: &Target,
    weights: &Weights,
    out: &Path,
) -> Result<Exported, ExportError> {
    let mut writing = Writing::at(out)?;
    if let Err(error) = write(checkpoint, target, weights, &mut writing) {
        writing.undo();
        return Err(error);
    }
    let Writing { files, lines, notes, .. } = writing;
    Ok(Exported { path: out.to_owned(), files, python: lines, notes })
}
