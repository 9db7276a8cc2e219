//! The option `--until`: how far this process trains the run.

use clap::Args;
use rekindle::train::{Interval, Run};

/// The option.
#[derive(Args)]
pub struct Until {
    /// Save and stop at `500 steps`, or at `2 epochs`.
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    until: Option<Interval>,
}

impl Until {
    /// Returns the run, which stops there.
    pub fn limit(&self, run: Run) -> Run {
        match self.until {
            Some(until) => run.until(until),
            None => run,
        }
    }
}

/// Reads a length in steps or epochs.
fn length(text: &str) -> Result<Interval, String> {
    let length = Interval::kept(text)?;
    let is_by_steps = length.in_steps(1).is_some();
    is_by_steps.then_some(length).ok_or_else(|| "give a number of steps or epochs, such as `2 epochs`".to_owned())
}
