//! Launchers as they are: what is refused before a step, in one message.

use std::process::Command;

use crate::common::{Ended, Lab};
use crate::{SHARED, TRAIN, is_open_mpi, launch, train};

/// A program with other arguments in one of the processes.
fn with_other_arguments(lab: &Lab, rank: usize, other: &str) -> Ended {
    let script = format!(
        "if [ \"${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}\" = {rank} ]; then set -- \"$@\" --set {other}; fi; exec {TRAIN} \"$@\""
    );
    let arguments = ["-c", &script, "train", "config.toml", "--out", "run"];
    launch(lab, 3, "sh", &arguments).output().unwrap().into()
}

#[test]
fn a_process_with_another_configuration_is_named_before_the_first_step() {
    let lab = Lab::in_memory(SHARED);
    for (rank, first, own) in [(2, "3", "4"), (0, "4", "3")] {
        let ended = with_other_arguments(&lab, rank, "seed=4");
        let named = if rank == 0 { 1 } else { rank };
        let message =
            format!("error: process {named} of 3 (counted from 0) has seed = {own}, and process 0 has {first}");
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(&message), "{}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(!lab.path("run").exists());
    }
}

#[test]
fn an_error_of_one_process_is_that_of_all() {
    let lab = Lab::in_memory(SHARED);
    let ended = with_other_arguments(&lab, 1, "data.path=elsewhere.csv");
    assert!(ended.stderr.contains("error: process 1 of 3 (counted from 0) has data.path"), "{}", ended.stderr);
    assert!(ended.stderr.contains("elsewhere.csv"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
    let ended = train(&lab, 3, &["missing.toml"]);
    assert_eq!(ended.stderr.matches("cannot read the configuration missing.toml").count(), 1, "{}", ended.stderr);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn more_processes_than_micro_batches_are_refused_once() {
    let lab = Lab::in_memory(SHARED);
    let ended = train(&lab, 3, &["config.toml", "--set", "train.accumulate=2"]);
    let message =
        "error: train.accumulate = 2: each of the 3 processes computes a piece of every batch; must be at least 3";
    assert_eq!(ended.stderr.matches(message).count(), 1, "{}", ended.stderr);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
}

#[test]
fn other_commands_are_not_run_several_times() {
    let lab = Lab::in_memory(SHARED);
    let ended = train(&lab, 2, &["check", "config.toml"]);
    let message = "error: several processes compute only a run; start this command without a launcher";
    assert_eq!(ended.stderr.matches(message).count(), 1, "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

/// Under the launcher of another MPI each process would be the only one, and train the whole run in the same directory.
#[test]
fn the_launcher_of_another_mpi_is_refused() {
    let lab = Lab::in_memory(SHARED);
    let variables = match is_open_mpi() {
        true => [("PMI_RANK", "0"), ("PMI_SIZE", "2")],
        false => [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2")],
    };
    // As such a launcher would start it; MPI itself finds no other process.
    let mut alone: Command = lab.command(&["config.toml", "--out", "run"]);
    let ended: Ended = alone.envs(variables).output().unwrap().into();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("has started 2 processes, and MPI connects 1: "), "{}", ended.stderr);
    assert!(!lab.path("run").exists());
}
