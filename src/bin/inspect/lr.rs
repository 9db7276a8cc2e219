//! `inspect lr`: the rates of a schedule before it runs, as numbers and charts.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};
use rekindle::peers::report::plan;
use rekindle::report::chart::{Chart, Mark};
use rekindle::report::{Driven, LrPlan, pictures, terminal};
use rekindle::schedule::{Like, RunLength, Trajectory, like, read_metrics};

use crate::{peer, print};

/// Arguments of `inspect lr`.
#[derive(Args)]
pub struct Lr {
    /// A schedule: a line such as 'warmup(10) -> cosine(90)', a JSON table or a TOML file; or a run, by its
    /// configuration, its directory or one of its checkpoints; or another trainer's checkpoint
    #[arg(required_unless_present = "like")]
    spec: Option<String>,
    /// A second one, shown with the first by --diff; settings of the run that it lacks are taken from the first
    #[arg(requires = "diff")]
    other: Option<String>,
    /// Show two plans together: as lines in one chart, or as columns side by side over the steps that both have
    #[arg(long, requires = "other")]
    diff: bool,
    /// A scheduler of another library as its constructor in Python, such as 'torch.optim.lr_scheduler.OneCycleLR(
    /// max_lr=0.1, total_steps=100)': prints our schedule and where it differs, and with --format its rates
    #[arg(long, value_name = "CONSTRUCTOR", conflicts_with_all = ["spec", "other", "diff"])]
    like: Option<String>,
    /// Show another number that a schedule of the run drives
    #[arg(long, value_enum, default_value_t = Of::Lr, conflicts_with = "like")]
    of: Of,
    /// Base rate of each parameter group, as 0.1 or 0.1,0.01 [default: the run's, or 1]
    #[arg(long, value_name = "RATES", value_delimiter = ',', allow_negative_numbers = true)]
    base_lr: Option<Vec<f64>>,
    /// Number of updates to show; if no run gives its length, shares such as "10%" are shares of this [default: the
    /// whole run, or 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count())]
    steps: Option<u64>,
    /// Updates in an epoch, for schedules that count epochs [default: the run's, or 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count())]
    steps_per_epoch: Option<u64>,
    /// A file with a JSON array of metrics; number t is reported after update t, for plateau and greedy
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Output format [default: by the ending of FILE; otherwise plot on a terminal, table elsewhere]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Draw the rate on a logarithmic axis
    #[arg(long)]
    log: bool,
    /// Columns of a plot [default: those of the terminal, or 100]
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Maximal number of steps.
const MOST_STEPS: i64 = 10_000_000;

/// Parses a number of steps, from 1 to [`MOST_STEPS`].
fn count() -> RangedI64ValueParser<u64> {
    RangedI64ValueParser::new().range(1..=MOST_STEPS)
}

/// A number that a schedule drives.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// The learning rate
    Lr,
    /// The momentum, or the first beta
    Momentum,
    /// The second beta
    Beta2,
    /// The weight decay
    WeightDecay,
    /// The decay of `[ema]`
    EmaDecay,
}

impl From<Of> for Driven {
    fn from(of: Of) -> Self {
        match of {
            Of::Lr => Self::Lr,
            Of::Momentum => Self::Momentum,
            Of::Beta2 => Self::Beta2,
            Of::WeightDecay => Self::WeightDecay,
            Of::EmaDecay => Self::EmaDecay,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns for people
    Table,
    /// Comma-separated values, all digits
    Csv,
    /// {"lrs": [[rate of group 0, …], …]}, all digits
    Json,
    /// A plot in Braille dots, for the terminal
    Plot,
    /// A vector image
    Svg,
    /// A pixel image
    Png,
}

/// A plan evaluated over its steps.
struct Followed {
    plan: LrPlan,
    run: RunLength,
    trajectory: Trajectory,
}

/// Evaluates a plan; if neither the user nor the plan gives the length of the run or the base rates, they are taken
/// from the `other` plan.
fn follow(lr: &Lr, plan: LrPlan, other: Option<&LrPlan>, metrics: &[f64]) -> anyhow::Result<Followed> {
    let known = plan.run.or(other.and_then(|other| other.run));
    let total_steps = known.and_then(|run| run.total_steps);
    let steps = lr.steps.or(total_steps).unwrap_or(100).min(MOST_STEPS.unsigned_abs());
    let run = RunLength {
        total_steps: total_steps.or(Some(steps)),
        steps_per_epoch: lr.steps_per_epoch.or(known.map(|run| run.steps_per_epoch)).unwrap_or(1),
    };
    let others = other.and_then(|other| other.base_lrs.as_ref());
    let base_lrs = lr.base_lr.as_ref().or(plan.base_lrs.as_ref()).or(others).cloned().unwrap_or_else(|| vec![1.0]);
    let trajectory = Trajectory::new(&plan.schedule, &base_lrs, run, steps, metrics)?;
    Ok(Followed { plan, run, trajectory })
}

/// Reads a plan: a schedule, a run of ours, or another trainer's checkpoint.
fn read(spec: &str, of: Of) -> anyhow::Result<LrPlan> {
    // A file of text is a schedule or a configuration.
    match peer::open(Path::new(spec)) {
        Ok(Some(_)) if of != Of::Lr => {
            anyhow::bail!("{spec}: of another trainer's checkpoint only the learning rate is shown; leave --of out")
        }
        Ok(Some(found)) => plan(&found).map_err(|refusal| anyhow::anyhow!("{spec}: {refusal}")),
        Ok(None) => Ok(LrPlan::read_of(spec, of.into())?),
        Err(_) if peer::is_text(Path::new(spec)) => Ok(LrPlan::read_of(spec, of.into())?),
        Err(error) => Err(error),
    }
}

/// Returns the schedule of a constructor, its base rates, and notes.
fn described(like: &Like) -> String {
    let mut text = format!("{}\n", like.schedule);
    if let Some(base_lrs) = &like.base_lrs {
        let rates: Vec<String> = base_lrs.iter().map(f64::to_string).collect();
        text.push_str(&format!("base rate {}\n", rates.join(", ")));
    }
    text.extend(like.notes.iter().map(|note| format!("note: {note}\n")));
    text
}

/// Tells notes beside the rates, which may be read by a program.
fn told(notes: &[String]) {
    for note in notes {
        drop(writeln!(io::stderr(), "note: {note}"));
    }
}

/// Shows the rates of one or two plans.
pub fn show(lr: &Lr) -> anyhow::Result<()> {
    let metrics = lr.metrics.as_deref().map(read_metrics).transpose()?.unwrap_or_default();
    let plan = match (&lr.like, &lr.spec) {
        (Some(constructor), _) => {
            let like = like(constructor)?;
            if lr.format.is_none() && lr.output.is_none() {
                return print(described(&like).as_bytes());
            }
            told(&like.notes);
            LrPlan { schedule: like.schedule, base_lrs: like.base_lrs, run: None, step: None }
        }
        (None, Some(spec)) => read(spec, lr.of)?,
        (None, None) => anyhow::bail!("there is no schedule to show; give one, or --like"),
    };
    let other = lr.other.as_deref().map(|other| read(other, lr.of)).transpose()?;
    let first = follow(lr, plan.clone(), other.as_ref(), &metrics)?;
    let second = other.map(|other| follow(lr, other, Some(&plan), &metrics)).transpose()?;
    if metrics.is_empty() && [Some(&first), second.as_ref()].into_iter().flatten().any(Followed::waits) {
        drop(writeln!(
            io::stderr(),
            "no metrics are given, so plateau and greedy keep their initial rates; see --metrics"
        ));
    }
    let both = second.as_ref().map(|second| first.trajectory.beside(&second.trajectory));
    let trajectory = both.as_ref().unwrap_or(&first.trajectory);
    let chart = || chart(lr, &first, second.as_ref());
    let shown = match lr.format() {
        Format::Table => trajectory.to_table().into_bytes(),
        Format::Csv => trajectory.to_csv().into_bytes(),
        Format::Json => trajectory.to_json()?.into_bytes(),
        Format::Plot => chart().to_braille(lr.width.unwrap_or_else(terminal::columns), 20).into_bytes(),
        Format::Svg => chart().to_svg().into_bytes(),
        Format::Png if lr.output.is_none() && io::stdout().is_terminal() => {
            anyhow::bail!("a PNG cannot be shown on the terminal; name a file with --output")
        }
        Format::Png => chart().to_png()?,
    };
    match &lr.output {
        Some(path) => fs::write(path, shown).map_err(|error| {
            anyhow::anyhow!("{} cannot be written: {error}; choose another place with --output", path.display())
        }),
        None => print(&shown),
    }
}

impl Lr {
    /// Returns the requested format; by default that of the file, or a readable one for the terminal.
    fn format(&self) -> Format {
        let ending = self.output.as_deref().and_then(Path::extension).and_then(OsStr::to_str);
        let of_file = ending.and_then(|ending| Format::from_str(ending, true).ok());
        let on_terminal = self.output.is_none() && io::stdout().is_terminal();
        self.format.or(of_file).unwrap_or(if on_terminal { Format::Plot } else { Format::Table })
    }
}

impl Followed {
    /// Whether the schedule follows a metric.
    fn waits(&self) -> bool {
        let groups = self.trajectory.lrs.first().map_or(1, Vec::len);
        self.plan.schedule.plan(&self.run, groups).is_ok_and(|plan| plan.wants_metric())
    }

    /// Returns its rates as lines called `name`, with the number of the group if there are several.
    fn chart(&self, title: &str, name: &str, log: bool) -> Chart {
        let groups = self.trajectory.lrs.first().map_or(0, Vec::len);
        let name_of = |group| if groups == 1 { name.to_owned() } else { format!("group {group} of {name}") };
        let names: Vec<String> = (0..groups).map(name_of).collect();
        pictures::of_trajectory(title, &self.trajectory, &names, log)
    }
}

/// Draws the rates. One plan has its phases shaded, and the current step marked if it is from a checkpoint; two plans
/// are drawn over each other, each over its own steps.
fn chart(lr: &Lr, first: &Followed, second: Option<&Followed>) -> Chart {
    if let (Some(second), Some(other)) = (second, &lr.other) {
        let name = lr.spec.as_deref().unwrap_or_default();
        let mut chart = first.chart("Two learning rates", name, lr.log);
        chart.series.extend(second.chart("", other, lr.log).series);
        return chart;
    }
    let mut chart = pictures::of_trajectory(&first.plan.schedule.to_string(), &first.trajectory, &[], lr.log);
    chart.phases = pictures::phases(&first.plan.schedule, &first.run, first.trajectory.lrs.len() as u64);
    let mark = |step: u64| Mark { x: step as f64, label: format!("step {step}") };
    chart.marks = first.plan.step.map(mark).into_iter().collect();
    chart
}
