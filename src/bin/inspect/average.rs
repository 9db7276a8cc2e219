//! `inspect average`: the equal mean of the weights of several checkpoints.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rekindle::checkpoint::Checkpoint;
use rekindle::figures::counted;
use rekindle::shell;
use rekindle::train::{CheckpointAverage, resume};

use crate::Answer;

/// Arguments of `inspect average`.
#[derive(Args)]
#[command(after_help = "The output is a folder with one checkpoint, which `train predict`, `train eval` and `inspect \
                        export` read; its `model.safetensors` can be the initial weights of another run.")]
pub struct Average {
    /// The checkpoints; or with --last a run directory or a folder of checkpoints
    #[arg(required = true)]
    checkpoints: Vec<PathBuf>,
    /// Average the N newest valid checkpoints of one run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// The folder to create
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

/// Averages checkpoints, and says what can be done with the mean.
pub fn average(arguments: &Average) -> Result<Answer> {
    let output = &arguments.output;
    if output.exists() {
        bail!("there is something at {}; name a new folder with --output", output.display());
    }
    let (checkpoints, mut text) = chosen(arguments)?;
    let averaged = CheckpointAverage::of(&checkpoints)?;
    averaged.checkpoints().iter().for_each(|path| text += &format!("averaged {}\n", path.display()));
    let saved = averaged.save(output)?;
    let path = shell::path(&saved.path);
    text += &format!("the mean of {} is {path}\n", counted(checkpoints.len(), "checkpoint"));
    text += &format!("to use it: train eval {path}\n");
    Ok(Answer::good(text))
}

/// Returns the checkpoints to average, and messages about damaged ones.
fn chosen(arguments: &Average) -> Result<(Vec<PathBuf>, String)> {
    let Some(last) = arguments.last else {
        let all = arguments.checkpoints.iter().map(|path| match resume::folder_of(path)? {
            None => Ok(path.clone()),
            Some(_) => Err(anyhow!(
                "{} has several checkpoints; give --last N for the newest ones, or name each",
                path.display()
            )),
        });
        return Ok((all.collect::<Result<_>>()?, String::new()));
    };
    let [run] = &arguments.checkpoints[..] else {
        bail!("--last takes the checkpoints of one run; give one run directory");
    };
    let (mut found, mut text) = (Vec::new(), String::new());
    for path in resume::all_at(run)?.into_iter().rev() {
        if found.len() as u64 == last {
            break;
        }
        match Checkpoint::verify(&path) {
            Ok(_) => found.push(path),
            Err(error) => text += &format!("warning: skipped a damaged checkpoint: {error}\n"),
        }
    }
    if (found.len() as u64) < last {
        bail!("{} has {}, fewer than --last {last}", run.display(), counted(found.len(), "valid checkpoint"));
    }
    found.reverse();
    Ok((found, text))
}
