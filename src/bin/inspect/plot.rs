//! `inspect plot`: the numbers of runs as a chart.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use rekindle::report::{Plot as Picture, PlotAxis, terminal};

use crate::print;

/// Arguments of `inspect plot`.
#[derive(Args)]
#[command(after_help = "Examples:\n  inspect plot runs/digits -o loss.svg\n  \
                        inspect plot runs/digits runs/wide --metric val_loss --x epoch --log-y -o val.png")]
pub struct Plot {
    /// Run directories, their URLs, logs, or folders of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The number to draw, by its name in the log, as val_loss or lr.1; may be given again
    #[arg(long = "metric", value_name = "NAME", default_value = "loss")]
    metrics: Vec<String>,
    /// The horizontal axis
    #[arg(long, value_enum, default_value = "step")]
    x: X,
    /// Draw the vertical axis logarithmically
    #[arg(long)]
    log_y: bool,
    /// Smooth the lines by an exponential average in which earlier values have this share, as 0.9
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_value = "0", default_missing_value = "0.9",
        value_parser = share)]
    smooth: f64,
    /// Output format [default: by the ending of FILE, otherwise plot]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Columns of a plot [default: those of the terminal, or 100]
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum X {
    /// The number of the step
    Step,
    /// The number of epochs done
    Epoch,
    /// The time since the run began, as far as its saves tell it
    Time,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Braille dots, for the terminal
    Plot,
    /// A vector image
    Svg,
    /// A pixel image
    Png,
}

/// Parses a share of earlier values.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..1.0).contains(share));
    share.ok_or_else(|| "give a number from 0 to below 1, such as 0.9".to_owned())
}

/// Returns the format of a file by its ending.
fn format_of(file: &Path) -> Result<Format> {
    match file.extension().and_then(OsStr::to_str) {
        None | Some("txt") => Ok(Format::Plot),
        Some(ending) => Format::from_str(ending, true).map_err(|_| {
            let name = file.display();
            anyhow::anyhow!("{name}: pictures are .svg or .png, and plots of characters .txt; or name a --format")
        }),
    }
}

/// Draws the runs.
pub fn draw(plot: &Plot) -> Result<()> {
    let of_file = plot.output.as_deref().filter(|_| plot.format.is_none()).map(format_of).transpose()?;
    let x = match plot.x {
        X::Step => PlotAxis::Step,
        X::Epoch => PlotAxis::Epoch,
        X::Time => PlotAxis::Time,
    };
    let (runs, metrics) = (plot.runs.clone(), plot.metrics.clone());
    let (chart, left_out) = Picture { runs, metrics, x, log_y: plot.log_y, smooth: plot.smooth }.chart()?;
    for reason in left_out {
        drop(writeln!(io::stderr(), "note: a run is left out: {reason}"));
    }
    let drawn = match plot.format.or(of_file).unwrap_or(Format::Plot) {
        Format::Plot => chart.to_braille(plot.width.unwrap_or_else(terminal::columns), 20).into_bytes(),
        Format::Svg => chart.to_svg().into_bytes(),
        Format::Png if plot.output.is_none() && io::stdout().is_terminal() => {
            anyhow::bail!("a PNG cannot be shown on the terminal; name a file with --output")
        }
        Format::Png => chart.to_png()?,
    };
    match &plot.output {
        Some(path) => fs::write(path, drawn).map_err(|error| {
            anyhow::anyhow!("{} cannot be written: {error}; choose another place with --output", path.display())
        }),
        None => print(&drawn),
    }
}
