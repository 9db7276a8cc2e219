//! `inspect sweep`: the outcome of a sweep, perhaps before its end.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rekindle::sweep::Outcome;

use crate::print;

/// Arguments of `inspect sweep`.
#[derive(Args)]
#[command(after_help = "Examples:\n  inspect sweep runs/sweep\n  inspect sweep runs/sweep -o trials.csv\n  \
                        inspect sweep runs/sweep -o sweep.png")]
pub struct Sweep {
    /// The directory of a sweep, or its URL
    path: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    /// Write the table to a .csv file, or the picture to a .svg or .png file
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
}

/// Returns the table of the trials that have ended, or JSON.
pub fn told(path: &Path, is_json: bool) -> Result<String> {
    let outcome = Outcome::of(path)?;
    Ok(if is_json { serde_json::to_string_pretty(&outcome)? + "\n" } else { outcome.to_string() })
}

/// Shows or writes the trials that have ended.
pub fn show(sweep: &Sweep) -> Result<()> {
    let Some(file) = &sweep.output else { return print(told(&sweep.path, sweep.json)?.as_bytes()) };
    let outcome = Outcome::of(&sweep.path)?;
    let content = match file.extension().and_then(OsStr::to_str) {
        Some("csv") => outcome.to_csv().into_bytes(),
        Some("svg") => outcome.picture().to_svg().into_bytes(),
        Some("png") => outcome.picture().to_png()?,
        _ => bail!("{}: a table is a .csv file, a picture a .svg or .png file", file.display()),
    };
    let unwritten =
        |error| anyhow!("{} cannot be written: {error}; choose another place with --output", file.display());
    fs::write(file, content).map_err(unwritten)
}
