//! `inspect watch`: a run in the terminal while it trains.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// Arguments of `inspect watch`.
#[derive(Args)]
#[command(
    after_help = "Keys: q ends, l log axis, s smoothing, arrows zoom and move, Tab another run, ? all of them.\n\n\
                        Nothing is written, and the training is left alone. Colors are left out if NO_COLOR is set.\n\n\
                        Examples:\n  inspect watch runs/digits\n  ssh machine -t inspect watch runs"
)]
pub struct Watch {
    /// A run directory, or a folder of runs, which Tab changes between
    run: PathBuf,
}

/// Watches the run until the user ends it.
pub fn watch(arguments: &Watch) -> Result<()> {
    Ok(rekindle::watch::watch(&arguments.run)?)
}
