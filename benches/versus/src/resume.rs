//! From the start of a process to the end of its first step: the program `train`, and where it resumes a PyTorch script.
//!
//! The model and optimizer are those of W2, with a cosine schedule, and one batch of 512 rows is all data: then `train`
//! prints a line after each step. A run of one weight with 1.5 million steps shows what a long log takes on a resume.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::conditions::Conditions;
use crate::contestant::Contestant;
use crate::programs::Programs;
use crate::results::Results;

const TURNS: usize = 7;
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(120);

const CONFIG: &str = r#"
data = { path = "data.safetensors", batch_size = "all" }
model = { kind = "mlp", hidden = [1024, 1024] }
optimizer = { kind = "adamw", lr = 1e-3 }
schedule = "cosine(1000)"
train = { steps = 1000 }
checkpoint = { every = "1000 steps" }
"#;

const WHAT: &str = "from the process's start to the first step of a resumed run";
const OF_A_NEW_RUN: &str = "from the process's start to the first step of a new run";
const WITH_A_LONG_LOG: &str = "the same of a resumed run of one weight, with 1.5 million lines in its log";

/// A run that is ended after its save, some thousand steps later.
const LONG: &str = r#"
data = { path = "data.csv", label = "y", task = "regression", batch_size = "all" }
model = { kind = "mlp", hidden = [] }
optimizer = { kind = "sgd", lr = 1e-3 }
train = { steps = 100000000 }
checkpoint = { every = "1500000 steps" }
"#;

/// How long its steps may take.
const LONG_PATIENCE: Duration = Duration::from_secs(1200);

/// Measures both, in turns.
pub fn measure(programs: &Programs, conditions: &mut Conditions, results: &mut Results) -> Result<()> {
    let folder = programs.empty_folder("resume")?;
    fs::copy(programs.start.join("data.safetensors"), folder.join("data.safetensors"))?;
    fs::write(folder.join("config.toml"), CONFIG)?;
    let run = folder.join("run");
    let mut begin = Command::new(&programs.train);
    begin.arg(folder.join("config.toml")).arg("--out").arg(&run);
    Contestant::start(begin, folder.join("stderr"))?.interrupt_after_a_line(PATIENCE)?;
    let resume = || {
        let mut command = Command::new(&programs.train);
        command.arg("--resume").arg(&run);
        command
    };
    let script = |python: &Path, command: &str| programs.script(python, &[command, &folder.to_string_lossy()]);
    if let Some(python) = &programs.python {
        wait_for(&mut script(python, "prepare"))?;
    }
    let (mut own, mut torch, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        conditions.sample(PAUSE);
        let rekindle = first_line(resume(), &folder)?;
        let other = programs.python.as_ref().map(|python| first_line(script(python, "resume"), &folder)).transpose()?;
        let mut start = Command::new(&programs.train);
        start.arg(folder.join("config.toml")).arg("--out").arg(folder.join(format!("new-{turn}")));
        let started = first_line(start, &folder)?;
        // The first turn brings files into memory.
        if turn > 0 {
            own.push(rekindle);
            new.push(started);
            torch.extend(other);
        }
    }
    results.add(WHAT, "Rekindle", "s", own);
    if !torch.is_empty() {
        results.add(WHAT, "PyTorch", "s", torch);
    }
    results.add(OF_A_NEW_RUN, "Rekindle", "s", new);
    results.add(WITH_A_LONG_LOG, "Rekindle", "s", with_a_long_log(programs, conditions, &folder)?);
    Ok(fs::remove_dir_all(folder)?)
}

/// Makes a run with a long log, and measures its resume.
fn with_a_long_log(programs: &Programs, conditions: &mut Conditions, folder: &Path) -> Result<Vec<f64>> {
    let rows: String = (0..8).map(|x| format!("{x},{}\n", 2 * x + 1)).collect();
    fs::write(folder.join("data.csv"), format!("x,y\n{rows}"))?;
    fs::write(folder.join("long.toml"), LONG)?;
    let run = folder.join("long");
    eprintln!("making a log of 1.5 million lines …");
    let mut begin = Command::new(&programs.train);
    begin.arg(folder.join("long.toml")).arg("--out").arg(&run).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut process, began) = (begin.spawn()?, Instant::now());
    while !run.join("checkpoints/step-0001500000").exists() {
        if process.try_wait()?.is_some() || began.elapsed() > LONG_PATIENCE {
            process.kill()?;
            bail!("the run with a long log has not come to its save");
        }
        thread::sleep(PAUSE);
    }
    process.kill()?;
    process.wait()?;
    let mut times = Vec::new();
    for turn in 0..=TURNS {
        conditions.sample(PAUSE);
        let mut resume = Command::new(&programs.train);
        resume.arg("--resume").arg(&run);
        let seconds = first_line(resume, folder)?;
        times.extend((turn > 0).then_some(seconds));
    }
    Ok(times)
}

/// The seconds until a process prints its first line; then it is ended.
fn first_line(command: Command, folder: &Path) -> Result<f64> {
    let began = Instant::now();
    Contestant::start(command, folder.join("stderr"))?.line(PATIENCE)?;
    Ok(began.elapsed().as_secs_f64())
}

fn wait_for(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
