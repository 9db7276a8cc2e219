//! `train --plan`: a run before it begins, with a forecast of its memory and its time.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rekindle::report::Planned;
use rekindle::train::Control;

use crate::{Arguments, default_out, print};

/// The mean time between two failures if nobody says another.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Prints the plan of the run of `config`.
pub fn plan(config: &Path, arguments: &Arguments) -> Result<()> {
    let settings = arguments.device.with(&arguments.settings)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_out(config));
    let failures = arguments.failures_every.unwrap_or(A_DAY);
    let planned = Planned::of_file(config, &settings, &out, failures, &Control::new())?;
    let text = if arguments.json { serde_json::to_string_pretty(&planned)? + "\n" } else { planned.to_string() };
    Ok(print(&text)?)
}
