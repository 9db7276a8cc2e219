//! `train sample`: text generation from a prompt.

use std::path::PathBuf;

use clap::Args;
use rekindle::train::{Console, Sink};
use rekindle::trained::{SampleOptions, TrainedError};

use crate::on_device::OnDevice;
use crate::which::Which;
use crate::write_out;

/// Arguments of `train sample`.
#[derive(Args)]
#[command(after_help = "The text is the same every time for the same checkpoint, prompt, options and seed, with any \
                        number of threads. The run's data is not needed.")]
pub struct Sample {
    /// A run directory or a folder of checkpoints, whose newest is used, or one checkpoint.
    run: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The beginning of the text.
    #[arg(long, value_name = "TEXT", default_value = "\n", hide_default_value = true, allow_hyphen_values = true)]
    prompt: String,
    /// Number of tokens to generate.
    #[arg(long, value_name = "N", default_value_t = SampleOptions::default().tokens)]
    tokens: usize,
    /// Below 1 probable tokens become more probable, above 1 less; 0 always takes the most probable token.
    #[arg(long, value_name = "T", allow_negative_numbers = true, default_value = "1")]
    temperature: f64,
    /// Choose from this number of most probable tokens; by default from all.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Seed of the choices: another seed gives another text.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Set the device: `device=cpu`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
}

/// Prints the prompt and the generated text as it comes.
pub fn sample(arguments: &Sample, console: &mut Console) -> Result<(), TrainedError> {
    let (trained, messages) = arguments.which.open(&arguments.run, &arguments.device.with(&arguments.settings)?)?;
    messages.iter().for_each(|message| console.message(message));
    let Sample { tokens, temperature, top_k, seed, ref prompt, .. } = *arguments;
    let pieces = trained.sample(prompt, &SampleOptions { tokens, temperature, top_k, seed })?;
    if pieces.unknown().count > 0 {
        console.message(&format!("warning: the prompt: {}", pieces.unknown()));
    }
    write_out(prompt)?;
    for piece in pieces {
        write_out(&piece?)?;
    }
    write_out("\n")
}
