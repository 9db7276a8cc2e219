//! `inspect diff`: differences between two runs or checkpoints.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use rekindle::report::diff::Difference;
use serde_json::json;

use crate::Answer;

/// Arguments of `inspect diff`.
#[derive(Args)]
#[command(after_help = "Program, time and data path of a checkpoint may differ: they are shown, but do not count.\n\
                        Exit codes: 0 identical; 1 different; 2 the request is wrong.")]
pub struct Diff {
    /// A run directory, a folder of checkpoints, or one checkpoint
    a: PathBuf,
    /// The other one
    b: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Compares the two, bit by bit.
pub fn diff(arguments: &Diff) -> Result<Answer> {
    let difference = Difference::between(&arguments.a, &arguments.b)?;
    let is_good = difference.is_identical();
    let text = if arguments.json {
        let mut whole = serde_json::to_value(&difference)?;
        whole["identical"] = json!(is_good);
        serde_json::to_string_pretty(&whole)? + "\n"
    } else {
        difference.to_string()
    };
    Ok(Answer { text, is_good })
}
