//! The machine and its other load, without which results mean nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::processor;
use crate::results::median;

/// Conditions while they are being watched.
pub struct Conditions {
    load_before: String,
    /// A folder with programs that were built before, if they are not built here.
    programs: Option<PathBuf>,
    /// The share of all processors used by others while the bench was idle.
    busy: Vec<f64>,
}

/// Conditions as they are told.
#[derive(Default, Serialize, Deserialize)]
pub struct Told {
    pub date: String,
    pub processor: String,
    /// The instruction sets of the processor that matter for products of matrices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<String>,
    /// Name, driver and memory of the GPUs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gpu: String,
    pub cores: usize,
    pub memory_gigabytes: f64,
    pub system: String,
    pub rustc: String,
    pub commit: String,
    pub load_before: String,
    pub load_after: String,
    /// Share of the processors used by others, in percent: median and largest.
    pub busy_percent: f64,
    pub most_busy_percent: f64,
}

impl Conditions {
    /// The conditions before anything runs.
    pub fn before(programs: Option<&Path>) -> Self {
        let programs = programs.map(Path::to_owned);
        let mut conditions = Self { load_before: load(), programs, busy: Vec::new() };
        conditions.sample(Duration::from_secs(2));
        conditions
    }

    /// Measures the load of the machine while the bench is idle for this time.
    pub fn sample(&mut self, pause: Duration) {
        let before = cpu_times();
        sleep(pause);
        if let (Some((busy_before, all_before)), Some((busy, all))) = (before, cpu_times()) {
            self.busy.push((busy - busy_before) / (all - all_before).max(1.0));
        }
    }

    /// Everything known about the workloads that have run so far.
    pub fn so_far(&self) -> Told {
        let cpuinfo = read("/proc/cpuinfo");
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let kilobytes = memory.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok());
        // Programs that were built elsewhere have a note about it.
        let note = |name: &str, here: &dyn Fn() -> String| match &self.programs {
            Some(folder) => fs::read_to_string(folder.join(name)).unwrap_or_default().trim().to_owned(),
            None => here(),
        };
        Told {
            gpu: output("nvidia-smi", &["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]),
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            instructions: processor::instructions(&cpuinfo),
            processor: processor.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gigabytes: (kilobytes.unwrap_or_default() / 1e5).round() / 10.0,
            system: output("uname", &["-srm"]),
            rustc: note("rustc", &|| output("rustc", &["--version"])),
            commit: note("commit", &|| {
                output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
            }),
            load_before: self.load_before.clone(),
            load_after: load(),
            busy_percent: (1000.0 * median(&self.busy)).round() / 10.0,
            most_busy_percent: (1000.0 * self.busy.iter().copied().fold(0.0, f64::max)).round() / 10.0,
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The load averages of the last 1, 5 and 15 minutes.
fn load() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Time that processors were busy, and all time, in ticks since the system's start.
fn cpu_times() -> Option<(f64, f64)> {
    let stat = read("/proc/stat");
    let ticks: Vec<f64> = stat.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: f64 = ticks.iter().take(8).sum();
    Some((all - idle, all))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
