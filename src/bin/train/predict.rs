//! `train predict`: predictions for rows, and figures of texts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rekindle::data::Input;
use rekindle::figures::counted;
use rekindle::train::{Console, Control, Sink, Stake};
use rekindle::trained::{PredictedRows, ScoreTable, TableFormat, TableWriter, TextScore, Trained, TrainedError};

use crate::on_device::OnDevice;
use crate::piped::rows_at;
use crate::which::Which;
use crate::{listening, stopped_by};

/// Arguments of `train predict`.
#[derive(Args)]
#[command(after_help = "A table may lack the label column. Columns are found by name; without names they must be \
                        as many as in the run's data, with or without the label. Rows are read and written in batches, \
                        so they may be more than fit in memory. A model of text gives loss, perplexity and bits per byte \
                        of each text: of each line of a file, or of each record of JSON Lines, of a pair of its answer \
                        alone.")]
pub struct Predict {
    /// A run directory or a folder of checkpoints, whose newest is used, or one checkpoint.
    run: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The rows: a file in the format of the run's data, a pattern of names in quotes ('part-*.csv'), an image, or a folder of
    /// images; of a run of text a file of texts; `-` for stdin.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Output file for predictions, with the ending .csv, .jsonl or .parquet; CSV on stdout by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the most probable classes, this many, in place of all: `class_1`, `class_2`, …, `p_1`, `p_2`, ….
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Print JSON lines in place of CSV.
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Lines to skip at the start of a CSV file. Default: as many as in the run's own file, or fewer if the header
    /// (without one, the first row) comes earlier.
    #[arg(long, value_name = "LINES")]
    skip_lines: Option<usize>,
    /// Set a place: `device=cpu`, or `data.path=…` for the run's data; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
}

/// Writes the predictions for every row.
pub fn predict(arguments: &Predict, console: &mut Console) -> Result<ExitCode, TrainedError> {
    let data = rows_at(&arguments.data)?;
    let control = listening(console)?;
    let (trained, messages) = arguments.which.open(&arguments.run, &arguments.device.with(&arguments.settings)?)?;
    messages.iter().for_each(|message| console.message(message));
    let trained = trained.skipping(arguments.skip_lines);
    let (written, unit) = match trained.schema().input {
        Input::Tokens { .. } => (texts(&trained, &data, arguments, &control, console), "text"),
        Input::Numbers(_) => (rows(&trained, &data, arguments, &control, console), "row"),
    };
    match (written, &arguments.output) {
        (Err(error), None) if has_no_reader(&error) => Ok(ExitCode::SUCCESS),
        (Err(error), _) => Err(error),
        (Ok(Written::Stopped(signal)), _) => Ok(stopped_by(signal)),
        (Ok(Written::All(count)), path) => {
            if let Some(path) = path {
                console.message(&format!("{} written to {}", counted(count, unit), path.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// From here on a signal ends this cleanly, so that an incomplete file is removed.
fn end_cleanly(control: &Control, things: &str) {
    control.put_at_stake(Stake {
        in_order: format!("stopping after these {things}"),
        at_once: "an incomplete file may be left".to_owned(),
        save: String::new(),
    });
}

/// Writes the predictions for the rows at `data`.
fn rows(
    trained: &Trained,
    data: &Path,
    arguments: &Predict,
    control: &Control,
    console: &mut Console,
) -> Result<Written, TrainedError> {
    let mut rows = trained.predict(data)?;
    end_cleanly(control, "rows");
    let format = if arguments.json { TableFormat::JsonLines } else { TableFormat::Csv };
    let table = match &arguments.output {
        Some(path) => TableWriter::create(trained, path, arguments.top_k)?,
        None => TableWriter::to(trained, format, arguments.top_k, Box::new(crate::out()?))?,
    };
    let written = write(&mut rows, table, control);
    rows.notices().iter().for_each(|notice| console.message(&notice.to_string()));
    written
}

/// Writes the figures of the texts at `data`.
fn texts(
    trained: &Trained,
    data: &Path,
    arguments: &Predict,
    control: &Control,
    console: &mut Console,
) -> Result<Written, TrainedError> {
    let of_rows = [("top-k", arguments.top_k), ("skip-lines", arguments.skip_lines)];
    if let Some((option, value)) = of_rows.iter().find_map(|(option, value)| Some((*option, (*value)?))) {
        return Err(TrainedError::Option {
            option,
            value: value.to_string(),
            rule: "is for rows, and the run's data is text",
        });
    }
    let mut scores = trained.score(data)?;
    end_cleanly(control, "texts");
    let table = match &arguments.output {
        Some(path) => ScoreTable::create(path)?,
        None => ScoreTable::to(arguments.json, Box::new(crate::out()?))?,
    };
    let written = write_scores(&mut scores, table, control);
    scores.notices().iter().for_each(|notice| console.message(&notice.to_string()));
    written
}

/// Progress of writing.
enum Written {
    /// Finished; the number of rows.
    All(usize),
    /// Stopped by a signal; the number of rows.
    Stopped(usize),
}

fn write(
    mut rows: impl Iterator<Item = Result<PredictedRows, TrainedError>>,
    mut table: TableWriter,
    control: &Control,
) -> Result<Written, TrainedError> {
    let mut count = 0;
    loop {
        if let Some(signal) = control.stop_requested() {
            return Ok(Written::Stopped(signal));
        }
        let Some(rows) = rows.next().transpose()? else { break };
        table.write(&rows)?;
        count += rows.predicted.len();
    }
    table.finish()?;
    Ok(Written::All(count))
}

fn write_scores(
    scores: impl Iterator<Item = Result<TextScore, TrainedError>>,
    mut table: ScoreTable,
    control: &Control,
) -> Result<Written, TrainedError> {
    let mut count = 0;
    for score in scores {
        table.write(&score?)?;
        count += 1;
        if let Some(signal) = control.stop_requested() {
            return Ok(Written::Stopped(signal));
        }
    }
    table.finish()?;
    Ok(Written::All(count))
}

/// Whether the reader of the output has closed the pipe early.
fn has_no_reader(error: &TrainedError) -> bool {
    matches!(error, TrainedError::Stdout { source } if source.kind() == io::ErrorKind::BrokenPipe)
}
