//! The contestants' programs: built here, or found.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Arguments;
use crate::contestant::Contestant;
use crate::results::Results;
use crate::workload::Workload;

/// The contestants: their names as arguments, and as displayed.
pub const CONTESTANTS: [(&str, &str); 5] = [
    ("rekindle", "Rekindle"),
    ("torch", "PyTorch eager"),
    ("compile", "torch.compile"),
    ("candle", "candle-nn"),
    ("burn", "burn"),
];

/// Paths of all programs.
pub struct Programs {
    /// Rekindle's own workloads, a bench target of the main crate.
    rekindle: PathBuf,
    /// The program `train` of the main crate.
    pub train: PathBuf,
    candle: Option<PathBuf>,
    burn: Option<PathBuf>,
    /// A Python with torch.
    pub python: Option<PathBuf>,
    script: PathBuf,
    /// The folder with the start of each workload.
    pub start: PathBuf,
    out: PathBuf,
    device: String,
}

impl Programs {
    /// Takes the programs that are given, or builds them, in the release profile and without any flags, like users do;
    /// reports and leaves out missing ones.
    pub fn build(root: &Path, out: &Path, arguments: &Arguments, results: &mut Results) -> Result<Self> {
        let own = root.join("benches/versus");
        let (rekindle, train, script) = match &arguments.programs {
            Some(folder) => (folder.join("workloads"), folder.join("train"), folder.join("contestant.py")),
            None => (
                cargo_build(root, &["--bench", "workloads"])?,
                cargo_build(root, &["--bin", "train"])?,
                own.join("pytorch/contestant.py"),
            ),
        };
        let mut built = |choice: &str, package: &str| {
            if !arguments.contestants.iter().any(|contestant| contestant == choice) {
                return None;
            }
            let program = match (&arguments.programs, arguments.device.as_str()) {
                (None, "cpu") => cargo_build(&own, &["--package", package]),
                (None, _) => Err(anyhow::anyhow!("it takes part on the CPU alone")),
                (Some(_), _) => Err(anyhow::anyhow!("it is built by this program alone, without --programs")),
            };
            program.map_err(|error| results.leave_out("everything", choice, &error.to_string())).ok()
        };
        let (candle, burn) = (built("candle", "versus-candle"), built("burn", "versus-burn"));
        let wants_python = arguments.contestants.iter().any(|contestant| ["torch", "compile"].contains(&&**contestant));
        let python = if wants_python { python(arguments, results)? } else { None };
        let start = out.join("start");
        fs::create_dir_all(&start)?;
        let device = arguments.device.clone();
        let programs = Self { rekindle, train, candle, burn, python, script, start, out: out.to_owned(), device };
        programs.write_start(&arguments.workloads)?;
        Ok(programs)
    }

    /// Writes the start of workloads, and the data of a run to resume; returns the files of the workloads.
    pub fn write_start(&self, workloads: &[String]) -> Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = Vec::new();
        let mut write = Command::new(&self.rekindle);
        write.arg("write").arg(&self.start);
        for workload in workloads {
            let file = self.start_of(workload)?;
            // The same for all types of numbers.
            if !files.contains(&file) {
                files.push(file);
                write.arg(workload);
            }
        }
        let written = write.status().with_context(|| format!("{write:?} does not start"))?;
        if !written.success() {
            bail!("the start of the workloads is not written: {written}");
        }
        Ok(files)
    }

    fn start_of(&self, workload: &str) -> Result<PathBuf> {
        let base = Workload::named(workload).map_err(anyhow::Error::msg)?.base;
        Ok(self.start.join(format!("{base}.safetensors")))
    }

    /// Starts a measurement of how fast the device multiplies matrices of this size and type.
    pub fn product(&self, size: usize, dtype: &str) -> Result<Contestant> {
        let command = self.with(&self.rekindle, &["product", &size.to_string(), dtype, &self.device]);
        self.start(command, "product", 2)
    }

    /// Starts a contestant on a workload, which tells the losses of its first steps; `None` if it is missing, which was
    /// already reported.
    pub fn steps(
        &self,
        contestant: &str,
        workload: &str,
        threads: usize,
        told: Option<usize>,
    ) -> Result<Option<Contestant>> {
        let start = self.start_of(workload)?;
        let mut command = match (contestant, &self.python, &self.candle, &self.burn) {
            ("rekindle", ..) => self.with(&self.rekindle, &["steps", workload, &self.device]),
            ("candle", _, Some(candle), _) => self.with(candle, &["steps", workload, &start.to_string_lossy()]),
            ("burn", _, _, Some(burn)) => self.with(burn, &["steps", workload, &start.to_string_lossy()]),
            ("torch" | "compile", Some(python), ..) => {
                let variant = if contestant == "torch" { "eager" } else { "compile" };
                let (start, threads) = (start.to_string_lossy(), threads.to_string());
                self.script(python, &["steps", workload, &start, &threads, variant, &self.device])
            }
            _ => return Ok(None),
        };
        if let Some(told) = told {
            command.env("VERSUS_TOLD", told.to_string());
        }
        self.start(command, contestant, threads).map(Some)
    }

    /// Starts the contestants of saving and loading: Rekindle, and PyTorch if available.
    pub fn storage(&self, megabytes: usize) -> Result<(Contestant, Option<Contestant>)> {
        let (megabytes, threads) = (megabytes.to_string(), 2);
        let rekindle = self.with(&self.rekindle, &["storage", &megabytes]);
        let torch = self.python.as_ref().map(|python| self.script(python, &["storage", &megabytes]));
        let torch = torch.map(|command| self.start(command, "torch", threads)).transpose()?;
        Ok((self.start(rekindle, "rekindle", threads)?, torch))
    }

    /// A command for the PyTorch script.
    pub fn script(&self, python: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(python);
        command.arg(&self.script).args(arguments);
        command
    }

    /// Returns an empty folder for saved files.
    pub fn empty_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.out.join("saved").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn with(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }

    fn start(&self, mut command: Command, name: &str, threads: usize) -> Result<Contestant> {
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        Contestant::start(command, self.out.join(format!("{name}.stderr")))
    }
}

/// Builds a program of the crate or workspace in `folder`, and returns where it is.
fn cargo_build(folder: &Path, what: &[&str]) -> Result<PathBuf> {
    eprintln!("building {} …", what[1]);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).args(["build", "--release", "--locked", "--message-format=json"]).args(what);
    // Incremental builds are partitioned differently, and inline less.
    command.env("CARGO_INCREMENTAL", "0");
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("it does not build: {command:?}");
    }
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executables = messages.filter(|message| message["target"]["name"] == what[1]);
    let path = executables.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).last();
    path.with_context(|| format!("cargo has built no {}", what[1]))
}

/// Returns the given Python, or the one in the cache.
fn python(arguments: &Arguments, results: &mut Results) -> Result<Option<PathBuf>> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home).unwrap_or_else(env::temp_dir);
    let folder = cache.join("rekindle-versus");
    let made = folder.join("bin/python");
    if arguments.make_python {
        run(Command::new("python3").arg("-m").arg("venv").arg(&folder))?;
        run(Command::new(&made).args(["-m", "pip", "install", "--upgrade", "torch", "numpy", "safetensors"]))?;
    }
    let python = arguments.python.clone().unwrap_or(made);
    let works = Command::new(&python).args(["-c", "import torch, safetensors.torch, numpy"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return Ok(Some(python));
    }
    let why = format!(
        "{} has no torch, safetensors and numpy; name one that has with --python or VERSUS_PYTHON, or give \
         --make-python",
        python.display()
    );
    results.leave_out("everything", "PyTorch eager and torch.compile", &why);
    Ok(None)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not start"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} failed: {status}") }
}
