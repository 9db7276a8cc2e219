//! `train eval`: loss, accuracy and metrics of a trained model.

mod lists;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rekindle::figures;
use rekindle::train::{Console, Sink};
use rekindle::trained::{Evaluated, EvaluationRows, TrainedError};
use serde::Serialize;

use crate::on_device::OnDevice;
use crate::print;
use crate::which::Which;

/// Arguments of `train eval`.
#[derive(Args)]
#[command(
    after_help = "On the validation rows the result is the one that the run logged at the checkpoint's step, to the \
                        last bit. Optimizer and schedule are not used, and nothing is changed."
)]
pub struct Eval {
    /// A run directory or a folder of checkpoints, whose newest is used, or one checkpoint.
    run: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Rows of the run's data.
    #[arg(long, value_name = "ROWS", default_value = "validation", conflicts_with = "data")]
    rows: Rows,
    /// Other data, all of it: a file in the format of the run's, a pattern of names in quotes ('part-*.csv'), or a folder of
    /// images.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Lines to skip at the start of a CSV file of other data. Default: as many as in the run's own file, or fewer if
    /// the header (without one, the first row) comes earlier.
    #[arg(long, value_name = "LINES", requires = "data")]
    skip_lines: Option<usize>,
    /// Set a place: `data.path=…` for the run's data, or `device=cpu`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rows {
    Validation,
    Train,
    All,
    Test,
}

/// The output for programs.
#[derive(Serialize)]
struct Report<'a> {
    checkpoint: &'a str,
    step: u64,
    data: &'a str,
    #[serde(flatten)]
    evaluated: Evaluated,
}

/// Evaluates a run and prints the result.
pub fn evaluate(arguments: &Eval, console: &mut Console) -> Result<(), TrainedError> {
    let (trained, messages) = arguments.which.open(&arguments.run, &arguments.device.with(&arguments.settings)?)?;
    messages.iter().for_each(|message| console.message(message));
    let trained = trained.skipping(arguments.skip_lines);
    let (evaluated, data) = match &arguments.data {
        Some(path) => {
            let (evaluated, notices) = trained.evaluate_on(path)?;
            notices.iter().for_each(|notice| console.message(&notice.to_string()));
            (evaluated, path.display().to_string())
        }
        None => {
            let rows = match arguments.rows {
                Rows::Validation => EvaluationRows::Validation,
                Rows::Train => EvaluationRows::Train,
                Rows::All => EvaluationRows::All,
                Rows::Test => EvaluationRows::Test,
            };
            let mut is_counting = false;
            let evaluated = trained.evaluate_watched(rows, &mut |seen, all| {
                if !std::mem::replace(&mut is_counting, true) {
                    console.count("row", all as u64);
                }
                console.at(seen as u64, "");
            });
            console.clear();
            (evaluated?, format!("{rows} rows"))
        }
    };
    let (checkpoint, step) = (trained.path().display().to_string(), trained.step());
    let text = if arguments.json {
        let report = Report { checkpoint: &checkpoint, step, data: &data, evaluated };
        serde_json::to_string_pretty(&report).unwrap_or_default()
    } else {
        let accuracy = evaluated.accuracy.map(|accuracy| format!(" | accuracy={accuracy}")).unwrap_or_default();
        let (rows, loss) = (evaluated.rows, figures::exact(evaluated.loss));
        let metrics: String = evaluated.metrics.iter().map(|(name, value)| format!(" | {name}={value}")).collect();
        let lists = lists::text(&evaluated.lists, trained.class_names().or_else(|| trained.label_names()).as_deref());
        format!("{checkpoint} on {data}\nrows={rows} | loss={loss}{accuracy}{metrics}{lists}")
    };
    print(&format!("{text}\n"))
}
