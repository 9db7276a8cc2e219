//! The bits of a run do not depend on the number of its processes.

use crate::common::data::{mnist, write};
use crate::common::{Lab, assert_same_bits, checkpoint, steps};
use crate::{SHARED, TRAIN, is_open_mpi, launch, train};

#[test]
fn one_to_four_processes_have_the_same_bits() {
    let lab = Lab::in_memory(SHARED);
    lab.start("alone");
    for processes in [2, 3, 4] {
        let name = format!("{processes}");
        let ended = train(&lab, processes, &["config.toml", "--out", &name]).well();
        assert_same_bits(&lab.path("alone"), &lab.path(&name));
        // Only one of them prints.
        assert_eq!(ended.stderr.matches("done: 60 steps").count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{processes} processes, each with 1 thread")), "{}", ended.stderr);
    }
}

/// Saved by one number of processes, continued by another.
#[test]
fn a_resume_may_have_any_number_of_processes() {
    let lab = Lab::in_memory(SHARED);
    lab.start("alone");
    train(&lab, 2, &["config.toml", "--out", "whole"]).well();
    for (processes, step) in [(1, 20), (4, 20), (3, 40)] {
        let name = format!("resumed-{processes}");
        let run = lab.interrupted_copy("whole", &name, step);
        train(&lab, processes, &["--resume", &name]).well();
        assert_same_bits(&lab.path("alone"), &run);
        assert_eq!(steps(&run), [0, 20, 40, 60]);
    }
}

/// Moves and normalization of images go by the place of an image in the batch of all processes.
#[test]
fn augmented_images_are_the_same_ones() {
    let images = "path = \"mnist\"\n    format = \"idx\"\n    augment = { flip = true, shift = 1 }";
    let config = SHARED.replace("path = \"data.csv\"\n    validation = 0.2", images);
    let lab = Lab::in_memory(&config);
    write(&lab.path("mnist"), &mnist());
    lab.start("alone");
    train(&lab, 3, &["config.toml", "--out", "shared"]).well();
    assert_same_bits(&lab.path("alone"), &lab.path("shared"));
}

/// Running statistics move as in one process, micro-batch after micro-batch.
#[test]
fn batch_norm_has_the_same_statistics() {
    assert_same_with_batch_norms(&SHARED.replace("accumulate = 7", "accumulate = 5"));
}

/// Each micro-batch is normalized by the statistics of all, which its processes exchange in both passes.
#[test]
fn synchronized_batch_norms_have_the_same_bits() {
    assert_same_with_batch_norms(&SHARED.replace("accumulate = 7", "accumulate = 5, sync_batch_norm = true"));
}

#[track_caller]
fn assert_same_with_batch_norms(config: &str) {
    let config = config
        .replace(
            "kind = \"mlp\"\n    hidden = [32, 32]\n    dropout = 0.3",
            "kind = \"resnet\"\n    widths = [4, 6]\n    depths = [1, 1]",
        )
        .replace("path = \"data.csv\"\n    validation = 0.2", "path = \"mnist\"\n    format = \"idx\"")
        .replace("batch_size = 13", "batch_size = 20");
    let lab = Lab::in_memory(&config);
    write(&lab.path("mnist"), &mnist());
    lab.start("alone");
    for processes in [2, 4] {
        let name = format!("{processes}");
        train(&lab, processes, &["config.toml", "--out", &name]).well();
        assert_same_bits(&lab.path("alone"), &lab.path(&name));
    }
}

/// As on several hosts: gradients go by messages, and their sums have the same order.
#[test]
fn processes_that_share_no_memory_have_the_same_bits() {
    let lab = Lab::in_memory(SHARED);
    lab.start("alone");
    for processes in [2, 3] {
        let name = format!("{processes}");
        let mut command = launch(&lab, processes, TRAIN, &["config.toml", "--out", &name]);
        // Open MPI without its part for memory that is shared; MPICH as if each process had a host for itself.
        command.env("OMPI_MCA_osc", "^sm").env("MPIR_CVAR_NOLOCAL", "1");
        let ended = crate::common::Ended::from(command.output().unwrap()).well();
        assert_same_bits(&lab.path("alone"), &lab.path(&name));
        let note = "note: the processes share no memory, so gradients go by messages, which is slower: ";
        assert_eq!(ended.stderr.contains(note), is_open_mpi(), "{}", ended.stderr);
    }
}

#[test]
fn a_shared_optimizer_is_saved_like_that_of_one_process() {
    let lab = Lab::in_memory(SHARED);
    lab.start("alone");
    let sharded = ["--set", "distributed.shard_optimizer=true"];
    for processes in [2, 3] {
        let name = format!("{processes}");
        train(&lab, processes, &[&["config.toml", "--out", &name][..], &sharded].concat()).well();
        for file in ["checkpoints/step-0000000060/optimizer.safetensors", "log.jsonl"] {
            let bytes = |run: &str| std::fs::read(lab.path(run).join(file)).unwrap();
            assert!(bytes(&name) == bytes("alone"), "{file} of {processes} processes");
        }
    }
}

/// Every process writes a share of each checkpoint.
#[test]
fn shared_saves_have_the_files_of_one_process() {
    let lab = Lab::in_memory(SHARED);
    lab.start("alone");
    for processes in [2, 4] {
        let name = format!("{processes}");
        train(&lab, processes, &["config.toml", "--out", &name, "--set", "distributed.share_saves=true"]).well();
        for step in [20, 40, 60] {
            for file in ["model.safetensors", "optimizer.safetensors"] {
                let bytes = |run: &str| std::fs::read(checkpoint(&lab.path(run), step).join(file)).unwrap();
                assert!(bytes(&name) == bytes("alone"), "{file} of step {step}, {processes} processes");
            }
        }
    }
}
