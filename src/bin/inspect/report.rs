//! `inspect report`: runs as a page for the browser.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use rekindle::report::page::{PageOptions, page, read_runs, write_to};

use crate::print;

/// Arguments of `inspect report`.
#[derive(Args)]
#[command(after_help = "Examples:\n  inspect report runs/digits -o digits.html\n  \
                        inspect report runs/digits runs/wide -o both.html")]
pub struct Report {
    /// Run directories, their URLs, logs, or folders of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Leave out the tensors of the newest checkpoint and the predictions, which take the most time
    #[arg(long)]
    quick: bool,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the page.
pub fn write(report: &Report) -> Result<()> {
    if report.output.is_none() && io::stdout().is_terminal() {
        anyhow::bail!("a page cannot be shown on the terminal; name a file with --output");
    }
    let runs = read_runs(&report.runs, |count| PageOptions {
        tensors: !report.quick,
        predictions: !report.quick,
        ..PageOptions::for_runs(count)
    })?;
    let page = page(&runs, None);
    match &report.output {
        Some(file) => Ok(write_to(&page, file)?),
        None => print(page.as_bytes()),
    }
}
