//! `train --plan`: a run before it begins, with a forecast of its memory and its time.

use std::path::Path;
use std::time::Duration;

use std::process::ExitCode;

use anyhow::Result;
use rekindle::report::Planned;
use rekindle::train::Console;

use crate::{Arguments, default_out, listening, print, stopped_by};

/// The mean time between two failures if nobody says another.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Prints the plan of the run of `config`, and returns the exit code.
pub fn plan(config: &Path, arguments: &Arguments, console: &Console) -> Result<ExitCode> {
    let control = listening(console)?;
    let settings = arguments.all_settings()?;
    let out = arguments.out.clone().unwrap_or_else(|| default_out(config));
    let failures = arguments.failures_every.unwrap_or(A_DAY);
    let planned = Planned::of_file(config, &settings, &out, failures, &control)?;
    if let Some(signal) = control.stop_requested() {
        return Ok(stopped_by(signal));
    }
    let text =
        if arguments.output.is_json() { serde_json::to_string_pretty(&planned)? + "\n" } else { planned.to_string() };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
