//! `inspect prune`, `inspect pin` and `inspect unpin`: retention of a run's checkpoints.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rekindle::checkpoint::{Folder, step_of};
use rekindle::figures;
use rekindle::store;
use rekindle::train::{Interval, KeepConfig, Metric, Pruning, TrainError};

use crate::Answer;
use rekindle::figures::counted;

/// Arguments of `inspect prune`. Without a rule, those of the run's configuration apply.
#[derive(Args)]
pub struct Prune {
    /// A run directory
    run: PathBuf,
    /// Number of newest checkpoints to keep
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Number of best checkpoints to keep
    #[arg(long, value_name = "K")]
    best: Option<usize>,
    /// Metric of the best checkpoints: training_loss, validation_loss, validation_accuracy, or validation_NAME for a
    /// metric in `validation.metrics` [default: the validation loss, if there is one]
    #[arg(long, requires = "best", value_parser = metric)]
    metric: Option<Metric>,
    /// Interval of checkpoints to keep for ever: '1000 steps', '10 epochs'
    #[arg(long, value_name = "INTERVAL", value_parser = Interval::kept)]
    every: Option<Interval>,
    /// Show what would be deleted, but delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `inspect pin` and `inspect unpin`.
#[derive(Args)]
pub struct Pin {
    /// A checkpoint's directory
    checkpoint: PathBuf,
}

fn metric(text: &str) -> Result<Metric, String> {
    Metric::named(text).ok_or_else(|| format!("known are {}", Metric::names().join(", ")))
}

/// Lists all checkpoints with the decision on each, and deletes those that are not kept.
pub fn prune(arguments: &Prune) -> Result<Answer> {
    let mut given = KeepConfig::default();
    (given.last, given.best) = (arguments.last, arguments.best);
    (given.metric, given.every) = (arguments.metric, arguments.every);
    let is_given = !given.is_empty();
    let planned = Pruning::plan(&arguments.run, is_given.then_some(given));
    let pruning = planned.map_err(|error| if is_given { of_option(error) } else { error.into() })?;
    let did = if arguments.dry_run { "would be deleted" } else { "deleted" };
    let mut text = String::new();
    for decision in &pruning.decisions {
        let metric = decision.metric.map(|metric| format!("  {}", figures::loss(metric))).unwrap_or_default();
        let fate = match decision.stays {
            Some(reason) => format!("stays: {reason}"),
            None => format!("{did}{}", if decision.copy.is_some() { ": superseded" } else { "" }),
        };
        text += &format!("{}{metric}  {fate}\n", decision.path.display());
    }
    let (all, go) =
        (pruning.decisions.len(), pruning.decisions.iter().filter(|decision| decision.stays.is_none()).count());
    if !arguments.dry_run {
        pruning.carry_out()?;
    }
    Ok(Answer::good(text + &format!("{go} of {} {did}\n", counted(all, "checkpoint"))))
}

/// Names the option of a rule in place of the key of a configuration.
fn of_option(error: TrainError) -> anyhow::Error {
    let TrainError::Field { field, value, rule } = &error else { return error.into() };
    match field.strip_prefix("checkpoint.keep.") {
        Some(option) => anyhow!("--{option} {value}: {rule}"),
        None => error.into(),
    }
}

/// Keeps a checkpoint from ever being deleted.
pub fn pin(arguments: &Pin) -> Result<Answer> {
    let (folder, step) = place(&arguments.checkpoint)?;
    folder.pin(step)?;
    Ok(Answer::good(format!("{} is pinned\n", arguments.checkpoint.display())))
}

/// Removes a pin.
pub fn unpin(arguments: &Pin) -> Result<Answer> {
    let (folder, step) = place(&arguments.checkpoint)?;
    if !folder.is_pinned(step)? {
        return Ok(Answer::good(format!("{} was not pinned\n", arguments.checkpoint.display())));
    }
    folder.unpin(step)?;
    Ok(Answer::good(format!("{} is no longer pinned\n", arguments.checkpoint.display())))
}

/// Returns the folder and the step of the checkpoint at `path`.
fn place(path: &Path) -> Result<(Folder, u64)> {
    let missing = |error| anyhow!("there is no checkpoint at {}: {error}", path.display());
    let resolved = || path.canonicalize().map_err(missing);
    let whole = if store::is_url(path) { path.to_owned() } else { resolved()? };
    let Some((folder, step)) = whole.parent().zip(step_of(&whole)) else {
        bail!("{} is not a checkpoint: its name is not like `step-0000000100`", path.display());
    };
    Ok((Folder::new(folder), step))
}
