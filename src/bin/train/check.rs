//! `train check`: a configuration as a run would interpret it, without training.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use rekindle::report::Check as Checked;

use crate::on_device::OnDevice;
use crate::print;

/// Arguments of `train check`.
#[derive(Args)]
#[command(
    after_help = "Data and model are made as in a run, and any error that would stop a run before its start ends \
                        this with exit code 2. Nothing is trained, and no run directory is made."
)]
pub struct Check {
    /// The configuration of a run, a TOML file.
    config: PathBuf,
    /// Change a setting first, such as `data.validation=0.1`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Prints the interpretation.
pub fn check(arguments: &Check) -> Result<()> {
    let checked = Checked::of_file(&arguments.config, &arguments.device.with(&arguments.settings)?)?;
    let text = if arguments.json { serde_json::to_string_pretty(&checked)? + "\n" } else { checked.to_string() };
    Ok(print(&text)?)
}
