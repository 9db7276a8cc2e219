//! `inspect export`: a run, written as another trainer resumes it, or its model, as another program uses it.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use rekindle::peers::export::{Target, export_weights};
use rekindle::train::{Weights, resume};

use crate::Answer;

/// Arguments of `inspect export`.
#[derive(Args)]
pub struct Export {
    /// A run directory, a folder of checkpoints, or one checkpoint; the newest valid one is exported
    checkpoint: PathBuf,
    /// The trainer that continues it, or the program that uses its model
    #[arg(long, value_enum)]
    to: To,
    /// The file to write; for transformers, hugging-face and PEFT the folder
    #[arg(long, short, value_name = "PATH")]
    output: PathBuf,
    /// The weights to export: `trained`, or those of an average, `ema` or `swa` [default: `trained`; for onnx and
    /// hugging-face those that validations use]
    #[arg(long, value_name = "WEIGHTS")]
    weights: Option<Weights>,
    /// The attribute of the LightningModule that holds the model, such as `net` [default: the module is the model]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    attribute: String,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// A PyTorch script: one file with the states of model, optimizer and scheduler
    Torch,
    /// The Trainer of transformers: a folder like its `checkpoint-500`
    Transformers,
    /// Lightning: a `.ckpt`
    Lightning,
    /// The weights alone; adapters of LoRA are merged into them
    Safetensors,
    /// The adapters of LoRA: a folder of PEFT
    #[value(alias = "lora")]
    Peft,
    /// The model for runtimes of ONNX, with standardization, probabilities and names of classes: one file
    Onnx,
    /// A GPT with its tokenizer, for `from_pretrained` of transformers: a directory
    HuggingFace,
}

/// Exports a checkpoint, and says how to load it.
pub fn export_run(arguments: &Export) -> Result<Answer> {
    let (checkpoint, messages) = resume::newest_at(&arguments.checkpoint)?;
    let target = match arguments.to {
        To::Torch => Target::Torch,
        To::Transformers => Target::Transformers,
        To::Lightning => Target::Lightning { attribute: arguments.attribute.clone() },
        To::Safetensors => Target::Safetensors,
        To::Peft => Target::Peft,
        To::Onnx => Target::Onnx,
        To::HuggingFace => Target::HuggingFace,
    };
    let exported =
        export_weights(&checkpoint, &target, &arguments.weights.clone().unwrap_or_default(), &arguments.output)?;
    if arguments.json {
        return Ok(Answer::good(serde_json::to_string_pretty(&exported)? + "\n"));
    }
    let messages: String = messages.into_iter().map(|message| message + "\n").collect();
    Ok(Answer::good(format!("{messages}{exported}")))
}
