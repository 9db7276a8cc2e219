//! `inspect diff`: differences between two runs or checkpoints.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use rekindle::peers::Peer;
use rekindle::peers::report::diff::{self as peers, Side};
use rekindle::report::diff::Difference;
use rekindle::train::resume;
use serde_json::json;

use crate::{Answer, peer};

/// Arguments of `inspect diff`.
#[derive(Args)]
#[command(after_help = "Program, time and data path of a checkpoint may differ: they are shown, but do not count.\n\
                        Exit codes: 0 identical; 1 different; 2 the request is wrong.")]
pub struct Diff {
    /// A run directory, a folder of checkpoints, one checkpoint, or another trainer's checkpoint
    a: PathBuf,
    /// The other one
    b: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Compares the two, bit by bit.
pub fn diff(arguments: &Diff) -> Result<Answer> {
    let difference = match (peer::open(&arguments.a)?, peer::open(&arguments.b)?) {
        (None, None) => Difference::between(&arguments.a, &arguments.b)?,
        (a, b) => {
            peers::difference(&side(&arguments.a, a)?, &side(&arguments.b, b)?).map_err(|error| anyhow!(error))?
        }
    };
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

/// Returns a side of a comparison with another trainer's run; ours is read whole, its newest checkpoint.
fn side(path: &Path, found: Option<Peer>) -> Result<Side> {
    Ok(match found {
        Some(found) => Side::Peer(Box::new(found)),
        None => Side::Ours(Box::new(resume::newest_at(path)?.0)),
    })
}
