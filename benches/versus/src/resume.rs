//! From the start of a process that resumes to the end of its first step: the program `train`, and a PyTorch script.
//!
//! The model and optimizer are those of W2, with a cosine schedule, and one batch of 512 rows is all data: then `train`
//! prints a line after each step.

use std::fs;
use std::path::Path;
use std::process::Command;
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
    let (mut own, mut torch) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        conditions.sample(PAUSE);
        let rekindle = first_line(resume(), &folder)?;
        let other = programs.python.as_ref().map(|python| first_line(script(python, "resume"), &folder)).transpose()?;
        // The first turn brings files into memory.
        if turn > 0 {
            own.push(rekindle);
            torch.extend(other);
        }
    }
    results.add(WHAT, "Rekindle", "s", own);
    if !torch.is_empty() {
        results.add(WHAT, "PyTorch", "s", torch);
    }
    Ok(fs::remove_dir_all(folder)?)
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
