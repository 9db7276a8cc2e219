#!/usr/bin/env bash
# argmin resumes with the limits of the run that was killed, whatever the new one asks for, and counts from zero.
#
# Packages: argmin 0.11.0, argmin-checkpointing-file 0.2.0, argmin-math 0.5.1 (stable Rust).
# Expected: a run that finds a checkpoint of iteration 10 "will resume from the checkpoint" and end at the `max_iters`
#           and the `target_cost` of its `configure`; the counts of evaluations are those of all iterations.
# Seen:     a run that resumes with the settings of the killed one ends with the same bits as one without a break. Other
#           settings are passed over: the state of the file takes the place of the configured one, limits and all. Asked
#           for 30 iterations it ends at the old 20, asked for 12 at 20 as well, and a target that is reached on the way
#           does not stop it. What was counted up to the checkpoint is in the file, and is overwritten by the counts of
#           the new process: 19 in place of 40. No error or warning.
# Why it matters: "it has not converged, 10 more" is what a checkpoint is loaded for; the result comes at once and looks
#           like one of 30 iterations. Comparisons of solvers are by counts of evaluations.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
argmin = { version = "=0.11.0", features = ["serde1"] }
argmin-checkpointing-file = "=0.2.0"
argmin-math = { version = "=0.5.1", features = ["vec"] }
TOML
cat > "$work/src/main.rs" <<'RUST'
use std::cell::Cell;

use argmin::core::checkpointing::CheckpointingFrequency;
use argmin::core::{CostFunction, Error, Executor, State};
use argmin::solver::neldermead::NelderMead;
use argmin_checkpointing_file::FileCheckpoint;

/// Rosenbrock's function, which fails once it was evaluated so often, as a process that is killed.
struct Valley {
    left: Cell<u64>,
}

impl CostFunction for Valley {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| Error::msg("killed"))?;
        self.left.set(left);
        Ok((1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2))
    }
}

/// Runs to `max_iters` or `target`, with a checkpoint in every fifth iteration if there is a folder for it.
fn run(folder: Option<&str>, max_iters: u64, target: f64, evaluations: u64) -> Result<String, Error> {
    let corners = vec![vec![-1.2, 1.0], vec![0.0, 2.0], vec![-2.0, 0.0]];
    let valley = Valley { left: Cell::new(evaluations) };
    let mut executor = Executor::new(valley, NelderMead::new(corners))
        .configure(|state| state.max_iters(max_iters).target_cost(target).counting(true));
    if let Some(folder) = folder {
        let every = CheckpointingFrequency::Every(5);
        executor = executor.checkpointing(FileCheckpoint::new(folder, "run", every));
    }
    let state = executor.run()?.state;
    let count = state.get_func_counts()["cost_count"];
    Ok(format!("iteration {}, cost {:e}, evaluations {count}", state.get_iter(), state.get_best_cost()))
}

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::msg("no folder"))?;
    let none = f64::NEG_INFINITY;
    println!("20 without a break: {}", run(None, 20, none, u64::MAX)?);
    println!("30 without a break: {}", run(None, 30, none, u64::MAX)?);
    println!("target of 3.5 without a break: {}", run(None, 20, 3.5, u64::MAX)?);
    let asked = [("20", 20, none), ("30", 30, none), ("12", 12, none), ("target of 3.5", 20, 3.5)];
    for (name, max_iters, target) in asked {
        let folder = format!("{folder}/{max_iters}-{target}");
        let killed = run(Some(&folder), 20, none, 30).is_err();
        println!("killed {killed}, resumed and asked for {name}: {}", run(Some(&folder), max_iters, target, u64::MAX)?);
    }
    Ok(())
}
RUST
cat > "$work/expected" <<'TEXT'
20 without a break: iteration 20, cost 3.074701872559498e0, evaluations 40
30 without a break: iteration 30, cost 1.4697337627601834e0, evaluations 60
target of 3.5 without a break: iteration 17, cost 3.074701872559498e0, evaluations 35
killed true, resumed and asked for 20: iteration 20, cost 3.074701872559498e0, evaluations 19
killed true, resumed and asked for 30: iteration 20, cost 3.074701872559498e0, evaluations 19
killed true, resumed and asked for 12: iteration 20, cost 3.074701872559498e0, evaluations 19
killed true, resumed and asked for target of 3.5: iteration 20, cost 3.074701872559498e0, evaluations 19
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" -- "$work" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
