//! `inspect prune`, `inspect pin` and `inspect unpin`: which checkpoints of a run stay on the disk.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rekindle::checkpoint::{Folder, step_of};
use rekindle::figures;
use rekindle::store;
use rekindle::train::{Every, KeepConfig, Metric, Pruning};

use crate::Answer;

/// What `inspect prune` takes. Without a rule, those of the run's configuration hold.
#[derive(Args)]
pub struct Prune {
    /// A run directory
    run: PathBuf,
    /// Keep so many of the newest
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Keep so many of the best
    #[arg(long, value_name = "K")]
    best: Option<usize>,
    /// What the best go by: training_loss, validation_loss or validation_accuracy [default: the validation loss, where
    /// there is one]
    #[arg(long, requires = "best", value_parser = metric)]
    metric: Option<Metric>,
    /// Keep one every so often for ever: '1000 steps', '10 epochs'
    #[arg(long, value_name = "INTERVAL")]
    every: Option<Every>,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// What `inspect pin` and `inspect unpin` take.
#[derive(Args)]
pub struct Pin {
    /// A checkpoint's directory
    checkpoint: PathBuf,
}

fn metric(text: &str) -> Result<Metric, String> {
    Metric::named(text).ok_or_else(|| format!("known are {}", Metric::names().join(", ")))
}

/// Lists all checkpoints with what becomes of them, and deletes those that go.
pub fn prune(arguments: &Prune) -> Result<Answer> {
    let mut given = KeepConfig::default();
    (given.last, given.best) = (arguments.last, arguments.best);
    (given.metric, given.every) = (arguments.metric, arguments.every);
    let pruning = Pruning::plan(&arguments.run, (!given.is_empty()).then_some(given))?;
    let did = if arguments.dry_run { "would be deleted" } else { "deleted" };
    let mut text = String::new();
    for verdict in &pruning.verdicts {
        let metric = verdict.metric.map(|metric| format!("  {}", figures::loss(metric))).unwrap_or_default();
        let fate = match verdict.stays {
            Some(reason) => format!("stays: {reason}"),
            None => format!("{did}{}", if verdict.copy.is_some() { ": superseded" } else { "" }),
        };
        text += &format!("{}{metric}  {fate}\n", verdict.path.display());
    }
    let (all, go) = (pruning.verdicts.len(), pruning.verdicts.iter().filter(|verdict| verdict.stays.is_none()).count());
    if !arguments.dry_run {
        pruning.carry_out()?;
    }
    Ok(Answer::good(text + &format!("{go} of {all} checkpoints {did}\n")))
}

/// Keeps a checkpoint from ever being deleted.
pub fn pin(arguments: &Pin) -> Result<Answer> {
    let (folder, step) = place(&arguments.checkpoint)?;
    folder.pin(step)?;
    Ok(Answer::good(format!("{} is pinned\n", arguments.checkpoint.display())))
}

/// Takes a pin away.
pub fn unpin(arguments: &Pin) -> Result<Answer> {
    let (folder, step) = place(&arguments.checkpoint)?;
    folder.unpin(step)?;
    Ok(Answer::good(format!("{} is no longer pinned\n", arguments.checkpoint.display())))
}

/// The folder and the step of the checkpoint at `path`.
fn place(path: &Path) -> Result<(Folder, u64)> {
    let missing = |error| anyhow!("there is no checkpoint at {}: {error}", path.display());
    let resolved = || path.canonicalize().map_err(missing);
    let whole = if store::is_url(path) { path.to_owned() } else { resolved()? };
    let Some((folder, step)) = whole.parent().zip(step_of(&whole)) else {
        bail!("{} is no checkpoint: its name is not like `step-0000000100`", path.display());
    };
    Ok((Folder::new(folder), step))
}
