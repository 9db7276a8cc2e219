//! `train find-lr`: a learning-rate range test, with its table and its chart.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rekindle::report::{pictures, terminal};
use rekindle::train::{Console, RangePoint, RangeTest, RangeTestOptions, Sink, find_lr, from_file};
use rekindle::{figures, shell, store};

use crate::on_device::OnDevice;
use crate::{default_out, listening, print, stopped_by};

/// Arguments of `train find-lr`.
#[derive(Args)]
#[command(
    after_help = "It trains in memory, from the initial weights; no run is changed. The rate is that of the first \
                        parameter group, the others keep their ratio to it; the schedule is ignored. A signal such as \
                        Ctrl-C ends it; the results until then are kept."
)]
pub struct FindLr {
    /// The configuration of a run, a TOML file.
    config: PathBuf,
    /// The rate of the first step.
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, default_value = "1e-6")]
    start: f64,
    /// The rate of the last step.
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, default_value = "10")]
    end: f64,
    /// Number of steps from the first rate to the last; it ends earlier if the loss diverges.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = RangeTestOptions::default().steps)]
    steps: u32,
    /// Folder of the table and the chart; by default `runs/` and the name of the configuration with `-find-lr`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a setting for the test, such as `data.batch_size=64`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
}

/// Runs a range test and writes its results: `find-lr.csv`, `find-lr.svg`, and the plot on stdout.
pub fn test_range(arguments: &FindLr, console: &mut Console) -> Result<ExitCode> {
    let settings = arguments.device.with(&arguments.settings)?;
    let options = RangeTestOptions { start: arguments.start, end: arguments.end, steps: arguments.steps };
    options.validate().map_err(|error| anyhow!("--{error}"))?;
    if let Some(out) = arguments.out.as_deref().filter(|out| store::is_url(out) || store::meant_url(out).is_some()) {
        bail!("--out {}: the results are files on the local disk; give a folder", shell::path(out));
    }
    let control = listening(console)?;
    console.count("step", options.steps.into());
    let mut watch =
        |made: u32, lr, loss| console.at(made.into(), &format!("loss={} | lr={lr:.2e}", figures::loss(loss)));
    let test = find_lr(from_file(&arguments.config, &settings)?, options, &control, &mut watch);
    console.clear();
    let test = test?;
    if let (Some(signal), true) = (test.stopped, test.points.is_empty()) {
        console.message("stopped before its first step, so there are no results");
        return Ok(stopped_by(signal));
    }
    let stem = arguments.config.file_stem().unwrap_or_default().to_string_lossy();
    let out = arguments.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{stem}-find-lr")));
    let chart = pictures::of_range_test(&format!("Learning-rate range test of {stem}"), &test);
    let unwritten = |error| anyhow!("{} cannot be written: {error}; choose another place with --out", out.display());
    fs::create_dir_all(&out).map_err(unwritten)?;
    for (name, content) in [("find-lr.csv", table(&test)), ("find-lr.svg", chart.to_svg())] {
        fs::write(out.join(name), content).map_err(unwritten)?;
    }
    let ending = match test.points.last() {
        Some(last) if test.stopped.is_some() => {
            format!("stopped at lr={:.2e}, after {} of {} steps\n", last.lr, test.points.len(), options.steps)
        }
        Some(last) if test.diverged => format!("the loss diverged beyond lr={:.2e}\n", last.lr),
        None => format!("the loss was not finite at lr={:.2e} already\n", options.start),
        Some(_) => String::new(),
    };
    let found = match test.suggestion {
        Some(lr) if test.stopped.is_some() => {
            format!("so far the loss fell fastest at lr={lr:.2e}; a whole test may find another rate")
        }
        Some(lr) => {
            let config = shell::path(&arguments.config);
            let out = free_out(&arguments.config).map(|out| format!(" --out {}", shell::path(&out)));
            let out = out.unwrap_or_default();
            format!("suggested lr={lr:.2e}; to train with it: train {config} --set optimizer.lr={lr:.2e}{out}")
        }
        None if test.stopped.is_some() => {
            "no suggestion, because the test was stopped too early; run it again to its end".to_owned()
        }
        None => "no suggestion, because the loss did not fall; try another range with --start and --end".to_owned(),
    };
    let plot = chart.to_braille(terminal::columns(), 18);
    print(&format!("{plot}\n{ending}{found}\nwritten to {}\n", out.display()))?;
    Ok(test.stopped.map_or(ExitCode::SUCCESS, stopped_by))
}

/// Returns a free folder for a run of the configuration, if its default folder is taken.
fn free_out(config: &Path) -> Option<PathBuf> {
    let usual = default_out(config);
    usual.exists().then(|| rekindle::free_name::of(&usual))
}

fn table(test: &RangeTest) -> String {
    let row = |point: &RangePoint| format!("{},{},{}\n", point.lr, point.loss, point.smoothed);
    "lr,loss,smoothed_loss\n".to_owned() + &test.points.iter().map(row).collect::<String>()
}
