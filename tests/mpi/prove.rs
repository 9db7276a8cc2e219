//! `train prove` with launchers: killed under one number of processes, continued by another.

use crate::common::Lab;
use crate::{SHARED, is_open_mpi, mpirun};

#[test]
fn a_run_that_is_killed_under_changing_numbers_of_processes_has_the_same_bits() {
    let lab = Lab::in_memory(&SHARED.replace("steps = 60", "steps = 1500").replace("20 steps", "50 steps"));
    let options = if is_open_mpi() { "--oversubscribe --allow-run-as-root " } else { "" };
    let launchers = [2, 3, 4].map(|processes| format!("{} {options}-n {processes}", mpirun()));
    let mut arguments = vec!["prove", "config.toml", "--kills", "5", "--out", "proof", "--launch", ""];
    launchers.iter().for_each(|launcher| arguments.extend(["--launch", launcher]));
    let ended = lab.train(&arguments).well();
    assert!(ended.stdout.contains("5 kills"), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("started by one process, `{}`", launchers[0])), "{}", ended.stdout);
}
