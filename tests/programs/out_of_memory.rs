//! A run whose memory is used up while it trains.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::common::programs::{TRAIN, Told, Workplace};

/// A validation has more rows than a batch, so the first one needs memory that the process has not had before.
#[test]
#[cfg(target_os = "linux")]
fn a_run_without_memory_names_the_operation_its_weights_and_what_would_help() {
    let place = Workplace::new();
    let rows: String = (0..1200u32).map(|i| format!("{},{},{}\n", i * 7 % 10, i * 3 % 8, i % 2)).collect();
    fs::write(place.path("rows.csv"), format!("width,height,label\n{rows}")).unwrap();
    let settings = ["model.hidden=[16384]", "validation.every=300 steps", "checkpoint.every=100 steps"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = ["config.toml", "--out", "run", "--json"].into_iter().chain(settings).collect();
    let mut process = place.command(TRAIN, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    let id = process.id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let used = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB")).unwrap();
    let limit = (used.parse::<u64>().unwrap() << 10) + (4 << 20);
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    prlimit(Pid::from_raw(id as i32), Resource::As, limit).unwrap();
    lines.read_to_string(&mut String::new()).unwrap();
    let told = Told::from(process.wait_with_output().unwrap());
    let parts = ["of memory were requested by the forward pass of `linear", "with the weights `0.bias`, `0.weight`"];
    told.says(1, &parts);
    told.says(1, &["(ulimit -v); raise it", ". To need less: ", "`train --resume` continues from the last checkpoint"]);
}
