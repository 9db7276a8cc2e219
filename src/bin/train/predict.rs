//! `train predict`: what a run has learned, applied to rows.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rekindle::train::{Console, Control, Observer};
use rekindle::trained::{TableWriter, Trained, TrainedError};

use crate::settings;

/// What `train predict` takes.
#[derive(Args)]
#[command(
    after_help = "A table may lack the column of the label. Columns are found by name; without names they must be \
                        as many as in the run's data, with the label or without. Rows are read and written in batches, \
                        so they may be more than fit in memory."
)]
pub struct Predict {
    /// A run directory or a folder of checkpoints, of which the newest is taken, or one checkpoint.
    run: PathBuf,
    /// The rows: a file in the format of the run's data, or a folder of images.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Where predictions go, a file that ends with .csv or .parquet; CSV on stdout by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say where something is: `device=cpu`, or `data.path=…` for the run's data; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// Writes down what the model says of every row.
pub fn predict(arguments: &Predict, console: &mut Console) -> Result<ExitCode, TrainedError> {
    // From here on a signal ends this in order, so that a file that was begun is cleared away.
    let control = Control::from_signals().map_err(|source| TrainedError::Write { path: "stdout".into(), source })?;
    let (trained, messages) = Trained::open(&arguments.run, &settings(&arguments.settings)?)?;
    messages.iter().for_each(|message| console.message(message));
    let mut rows = trained.predict(&arguments.data)?;
    let mut table = match &arguments.output {
        Some(path) => TableWriter::create(&trained, path)?,
        None => TableWriter::to(&trained, Box::new(io::stdout()))
            .map_err(|source| TrainedError::Write { path: "stdout".into(), source })?,
    };
    let mut count = 0;
    loop {
        if let Some(signal) = control.stop_requested() {
            return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)));
        }
        let Some(rows) = rows.next().transpose()? else { break };
        match table.write(&rows) {
            Err(error) if arguments.output.is_none() && has_no_reader(&error) => return Ok(ExitCode::SUCCESS),
            written => written?,
        }
        count += rows.predicted.len();
    }
    match table.finish() {
        Err(error) if arguments.output.is_none() && has_no_reader(&error) => return Ok(ExitCode::SUCCESS),
        finished => finished?,
    }
    if let Some(path) = &arguments.output {
        console.message(&format!("{count} rows written to {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether whoever read what is written has gone away, having read enough.
fn has_no_reader(error: &TrainedError) -> bool {
    matches!(error, TrainedError::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}
