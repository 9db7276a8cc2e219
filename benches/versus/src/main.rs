//! Rekindle compared with other frameworks, measured in turns on one machine.
//!
//! `cargo run --release --manifest-path benches/versus/Cargo.toml` builds the contestants, runs them, and writes
//! `results.json`, `results.md` and `results.svg`. `docs/performance.md` describes it.

mod conditions;
mod contestant;
mod on_gpu;
mod picture;
mod processor;
mod programs;
mod publish;
mod results;
mod resume;
mod rounds;
mod sizes;
mod storage;
mod summary;
mod table;
#[path = "../../workloads/workload.rs"]
mod workload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use conditions::Conditions;
use programs::Programs;
use results::Results;

/// Measure Rekindle, plain candle-nn, PyTorch, torch.compile and burn.
#[derive(Parser)]
struct Arguments {
    /// Workloads to measure; `-bf16` computes products in bf16.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "W1,W2,W3,W4,W5,W6,W7,W2-bf16,W3-bf16,W4-bf16,W5-bf16,W6-bf16,W7-bf16"
    )]
    workloads: Vec<String>,
    /// Contestants; Rekindle always takes part.
    #[arg(long, value_delimiter = ',', default_value = "candle,torch,compile,burn")]
    contestants: Vec<String>,
    /// The device that trains: `cpu`, `cuda` or `cuda:1`; candle-nn and burn take part on the CPU alone.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// A folder with the programs `workloads` and `train` and the script `contestant.py`; nothing is built then.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "2,1")]
    threads: Vec<usize>,
    /// Number of turns of each contestant.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of a turn in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Measurements to make.
    #[arg(long, value_delimiter = ',', default_value = "steps,saves,storage,resume")]
    parts: Vec<Part>,
    /// Measure the table of sizes too; alone with `--parts sizes`.
    #[arg(long)]
    sizes: bool,
    /// The workload of the runs with saves and without.
    #[arg(long, default_value = "W2")]
    saves_of: String,
    /// Number of steps from one save to the next; a run has two saves or more, and at least 200 steps.
    #[arg(long, default_value_t = 50)]
    save_every: usize,
    /// Number of runs with saves, and of those without.
    #[arg(long, default_value_t = 7)]
    save_turns: usize,
    /// The size in MB of the state that is saved and loaded.
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
    /// A Python with torch, safetensors and numpy; by default the one made by `--make-python`.
    #[arg(long, env = "VERSUS_PYTHON")]
    python: Option<PathBuf>,
    /// Make a Python with the newest torch, in the user's cache folder; a download of some gigabytes.
    #[arg(long)]
    make_python: bool,
    /// Folder for results; by default `target/versus` of the main crate.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Measure nothing: write `docs/benchmarks.md`, the README's table and the pictures from the results of all
    /// processors in `benches/versus/results`. With `--publish`, after adding those of the last run in `--out`.
    #[arg(long)]
    render: bool,
    /// Put the results in the file of this processor in `benches/versus/results`, and render all of them.
    #[arg(long)]
    publish: bool,
}

/// A measurement.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// The time of a training step.
    Steps,
    /// Cost of a save every 50 steps.
    Saves,
    /// Saving and loading.
    Storage,
    /// From the start of a process that resumes to its first step.
    Resume,
    /// The time of a step by width, length of rows and batch.
    Sizes,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = if arguments.programs.is_some() { root } else { root.canonicalize()? };
    let out = arguments.out.clone().unwrap_or_else(|| root.join("target/versus"));
    fs::create_dir_all(&out)?;
    if arguments.render && !arguments.publish {
        return publish::render(&root);
    }
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
    let mut results = Results { device: arguments.device.clone(), ..Results::default() };
    let programs = Programs::build(root, out, arguments, &mut results)?;
    let mut conditions = Conditions::before(arguments.programs.as_deref());
    if arguments.device != "cpu" {
        on_gpu::measure_products(&programs, &mut results);
    }
    let sizes = arguments.sizes && !arguments.parts.contains(&Part::Sizes);
    for part in arguments.parts.iter().chain(sizes.then_some(&Part::Sizes)) {
        match part {
            Part::Steps => {
                for workload in &arguments.workloads {
                    rounds::measure(workload, arguments, &programs, &mut conditions, &mut results)?;
                    results.conditions = conditions.so_far();
                    write(&results, out)?;
                }
            }
            Part::Saves => storage::measure_saves(arguments, &programs, &mut conditions, &mut results)?,
            Part::Storage => storage::measure(arguments.megabytes, &programs, &mut conditions, &mut results)?,
            Part::Resume => resume::measure(&programs, &mut conditions, &mut results)?,
            Part::Sizes => {
                for point in sizes::POINTS {
                    sizes::measure(point, arguments, &programs, &mut conditions, &mut results)?;
                    results.conditions = conditions.so_far();
                    write(&results, out)?;
                }
            }
        }
        // The results so far are kept if a later part fails.
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
