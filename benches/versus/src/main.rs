//! Rekindle beside other frameworks, measured in turns on one machine.
//!
//! `cargo run --release --manifest-path benches/versus/Cargo.toml` builds the contestants, runs them, and writes
//! `results.json`, `results.md` and `results.svg`. What it does and how to read it: `docs/performance.md`.

mod conditions;
mod contestant;
mod picture;
mod programs;
mod publish;
mod results;
mod resume;
mod rounds;
mod storage;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use conditions::Conditions;
use programs::Programs;
use results::Results;

/// Measure Rekindle beside plain candle-nn, PyTorch, torch.compile and burn.
#[derive(Parser)]
struct Arguments {
    /// Which workloads.
    #[arg(long, value_delimiter = ',', default_value = "W1,W2,W3,W4")]
    workloads: Vec<String>,
    /// Who takes part; Rekindle always does.
    #[arg(long, value_delimiter = ',', default_value = "candle,torch,compile,burn")]
    contestants: Vec<String>,
    /// With how many threads.
    #[arg(long, value_delimiter = ',', default_value = "2,1")]
    threads: Vec<usize>,
    /// How often each contestant has its turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long a turn is.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "steps,saves,storage,resume")]
    parts: Vec<Stateful>,
    /// The size of the state that is saved and loaded.
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
    /// A Python with torch, safetensors and numpy. Without it the one that `--make-python` made is taken.
    #[arg(long, env = "VERSUS_PYTHON")]
    python: Option<PathBuf>,
    /// Make a Python with the newest torch, in a folder of the user's cache; a download of some gigabytes.
    #[arg(long)]
    make_python: bool,
    /// Where results go; by default `target/versus` of the main crate.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Measure nothing; take the results that are in `--out`.
    #[arg(long)]
    render: bool,
    /// Put the results in `docs/benchmarks.md` and the README, with the picture in `docs` and the figures beside this
    /// program.
    #[arg(long)]
    publish: bool,
}

/// Something to measure.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Stateful {
    /// The time of a training step.
    Steps,
    /// What a save every 50 steps costs.
    Saves,
    /// Saving and loading.
    Storage,
    /// From the start of a process that resumes to its first step.
    Resume,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let out = arguments.out.clone().unwrap_or_else(|| root.join("target/versus"));
    fs::create_dir_all(&out)?;
    let results = if arguments.render {
        let text =
            fs::read_to_string(out.join("results.json")).with_context(|| format!("no results in {}", out.display()))?;
        serde_json::from_str(&text)?
    } else {
        measure(&arguments, &root, &out)?
    };
    write(&results, &out)?;
    if arguments.publish {
        publish::publish(&results, &root)?;
    }
    print!("{}", table::full(&results));
    eprintln!("\nwritten to {}", out.display());
    Ok(())
}

fn measure(arguments: &Arguments, root: &Path, out: &Path) -> Result<Results> {
    let mut results = Results::default();
    let programs = Programs::build(root, out, arguments, &mut results)?;
    let mut conditions = Conditions::before();
    for part in &arguments.parts {
        match part {
            Stateful::Steps => rounds::measure(arguments, &programs, &mut conditions, &mut results)?,
            Stateful::Saves => storage::measure_saves(&programs, &mut conditions, &mut results)?,
            Stateful::Storage => storage::measure(arguments.megabytes, &programs, &mut conditions, &mut results)?,
            Stateful::Resume => resume::measure(&programs, &mut conditions, &mut results)?,
        }
        // What is measured stays, should a later part fail.
        results.conditions = conditions.so_far();
        write(&results, out)?;
    }
    Ok(results)
}

fn write(results: &Results, out: &Path) -> Result<()> {
    fs::write(out.join("results.json"), serde_json::to_string_pretty(results)? + "\n")?;
    fs::write(out.join("results.md"), table::full(results))?;
    Ok(fs::write(out.join("results.svg"), picture::bars(results))?)
}
