//! Runs in several processes that `mpirun` starts: they have the bits of one process, and lose nothing when one ends.
//!
//! `mpirun` must be that of the MPI with which the program was built; the environment variable REKINDLE_MPIRUN names
//! another one.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod bits;
mod hooks;
mod launchers;
mod lost;
mod prove;
mod signals;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::Lab;
use common::training::Training;

/// A run with dropout and clipping, in seven micro-batches: for two to four processes, and in unequal shares.
const SHARED: &str = r#"
    seed = 3
    optimizer = { kind = "adamw", lr = 1e-3 }
    schedule = "warmup(10%) -> cosine(90%)"
    train = { steps = 60, clip_norm = 1.0, accumulate = 7 }
    checkpoint = { every = "20 steps" }
    [data]
    path = "data.csv"
    validation = 0.2
    batch_size = 13
    [model]
    kind = "mlp"
    hidden = [32, 32]
    dropout = 0.3
"#;

/// The same, long enough for signals in the middle, with few saves, so that others are seen.
fn long() -> String {
    SHARED.replace("steps = 60", "steps = 100000").replace("20 steps", "50000 steps")
}

fn mpirun() -> String {
    std::env::var("REKINDLE_MPIRUN").unwrap_or_else(|_| "mpirun".to_owned())
}

/// Whether `mpirun` is that of Open MPI.
fn is_open_mpi() -> bool {
    let version = Command::new(mpirun()).arg("--version").output();
    let version = version.expect("mpirun is missing: install Open MPI or MPICH, or set REKINDLE_MPIRUN");
    let version = String::from_utf8_lossy(&version.stdout);
    version.contains("Open MPI") || version.contains("OpenRTE")
}

/// Returns `mpirun` with this number of processes of `program`.
fn launch(lab: &Lab, processes: usize, program: &str, arguments: &[&str]) -> Command {
    let train = lab.command(&[]);
    let mut command = Command::new(mpirun());
    if is_open_mpi() {
        command.args(["--oversubscribe", "--allow-run-as-root"]);
    }
    command.args(["-n", &processes.to_string(), program]).args(arguments);
    command.current_dir(lab.path("")).env_remove("RUST_LOG").env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
    drop(train);
    common::signals::by_default(&mut command);
    command
}

const TRAIN: &str = env!("CARGO_BIN_EXE_train");

/// Trains in this number of processes, or without a launcher in one.
fn train(lab: &Lab, processes: usize, arguments: &[&str]) -> common::Ended {
    match processes {
        1 => lab.train(arguments),
        _ => launch(lab, processes, TRAIN, arguments).output().unwrap().into(),
    }
}

/// Trains beside the test.
fn spawn(lab: &Lab, processes: usize, arguments: &[&str]) -> Training {
    Training::spawn(&mut launch(lab, processes, TRAIN, arguments), &lab.path(""))
}

/// Returns the process that is this rank in the runs of a lab.
fn process(lab: &Lab, rank: usize) -> Option<i32> {
    let folder = fs::canonicalize(lab.path("")).unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_rank = |process: &i32| {
        let of_process = |name: &str| PathBuf::from(format!("/proc/{process}/{name}"));
        let is_here = fs::read_link(of_process("cwd")).is_ok_and(|cwd| cwd == folder);
        let is_train = fs::read_link(of_process("exe")).is_ok_and(|exe| exe.ends_with("train"));
        let names = [format!("OMPI_COMM_WORLD_RANK={rank}"), format!("PMI_RANK={rank}")];
        let variables = fs::read(of_process("environ")).unwrap_or_default();
        is_here
            && is_train
            && variables.split(|byte| *byte == 0).any(|line| names.iter().any(|name| line == name.as_bytes()))
    };
    processes.into_iter().find(is_rank)
}

fn send(process: i32, signal: i32) {
    // SAFETY: the call only sends a signal, to a process of this test.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}
