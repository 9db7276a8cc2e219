//! The options `--quiet` and `--json`, which choose the output of a run.

use std::io::{self, Stdout};

use clap::{Args, ValueEnum};
use rekindle::train::{Console, JsonLines, Records};

/// The options.
#[derive(Args)]
pub struct Output {
    /// Print only errors, warnings, answers to signals.
    #[arg(long, conflicts_with = "plan")]
    quiet: bool,
    /// Print the record of each step as a line of JSON, or with --json=epochs those of epochs and validations; with
    /// --plan, print the plan as JSON.
    #[arg(long, value_name = "OF", num_args = 0..=1, require_equals = true, default_missing_value = "steps")]
    json: Option<Of>,
}

/// The records to print.
#[derive(Clone, Copy, ValueEnum)]
enum Of {
    Steps,
    Epochs,
}

impl Output {
    /// Whether programs read the output.
    pub fn is_json(&self) -> bool {
        self.json.is_some()
    }

    /// Returns the console for messages, and for progress if nothing else is printed.
    pub fn console(&self) -> Console {
        match (self.quiet, self.json) {
            (true, _) => Console::new().quiet(),
            (false, Some(_)) => Console::new().messages_only(),
            (false, None) => Console::new(),
        }
    }

    /// Returns the writer of records to stdout, if one is asked for.
    pub fn records(&self) -> Option<JsonLines<Stdout>> {
        let records = match self.json? {
            Of::Steps => Records::Steps,
            Of::Epochs => Records::Epochs,
        };
        Some(JsonLines::new(io::stdout(), records))
    }
}
