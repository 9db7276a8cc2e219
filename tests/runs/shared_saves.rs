//! Saves that all ranks of a run write together.

use std::fs;
use std::path::Path;
use std::thread;

use rekindle::checkpoint::verify_all;

use crate::common::{ADAMW, EVERY_STEP, Lab, checkpoint, log, small, steps};
use crate::ranks::{NEVER, Rank, ranks, train, train_together, well};

fn lab(distributed: &str) -> Lab {
    lab_of("[8, 5]", distributed)
}

fn lab_of(hidden: &str, distributed: &str) -> Lab {
    let average = "ema = { decay = 0.9, evaluate = false }";
    let config = small(ADAMW, "cosine(12)", &format!("{EVERY_STEP}\n{average}")).replace("[8, 5]", hidden);
    Lab::in_memory(&format!("distributed = {{ {distributed} }}\n{config}"))
}

/// The files of a checkpoint but the manifest, which names the machine and the time, by name.
fn files(checkpoint: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(checkpoint).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()));
    let mut files: Vec<_> = named.filter(|(name, _)| name != "manifest.json" && name != "state.json").collect();
    files.sort();
    files
}

/// Also with moments that only their owners have, which lend them to the first rank if they are small.
#[test]
fn they_have_the_files_of_one_process() {
    let alone = lab("share_saves = true");
    train(&alone, "4", "run", None, NEVER).unwrap();
    for distributed in ["share_saves = true", "share_saves = true, shard_optimizer = true"] {
        let lab = lab(distributed);
        for worlds in [[2, 3], [4, 1]] {
            let name = format!("{worlds:?}");
            well(train_together(&lab, worlds[0], "4", &name, 4));
            well(train_together(&lab, worlds[1], "4", &name, NEVER));
            let run = lab.path(&name);
            assert_eq!(steps(&run), steps(&alone.path("run")));
            assert!(files(&checkpoint(&run, 12)).len() >= 3);
            for step in steps(&run) {
                let (found, expected) = (files(&checkpoint(&run, step)), files(&checkpoint(&alone.path("run"), step)));
                assert!(found == expected, "{distributed}, {name}: step {step}");
            }
            let entries = fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name());
            let hidden: Vec<_> = entries.filter(|name| name.to_str().unwrap().starts_with('.')).collect();
            assert!(hidden.is_empty(), "{hidden:?}");
        }
    }
}

/// Two of its matrices have moments of several pieces.
const LARGE: &str = "[700, 800]";

#[test]
fn moments_are_written_by_the_ranks_that_have_them() {
    let (alone, lab) = (lab_of(LARGE, ""), lab_of(LARGE, "share_saves = true, shard_optimizer = true"));
    train(&alone, "4", "run", None, NEVER).unwrap();
    for world in [2, 3] {
        let name = format!("{world}");
        well(train_together(&lab, world, "4", &name, NEVER));
        for step in steps(&alone.path("run")) {
            let [found, expected] = [lab.path(&name), alone.path("run")].map(|run| files(&checkpoint(&run, step)));
            assert!(found == expected, "{world} ranks: step {step}");
        }
    }
}

/// Its last lines may be missing then, but never those of a checkpoint.
#[test]
fn a_rank_that_is_lost_with_its_moments_leaves_whole_checkpoints() {
    let lab = lab_of(LARGE, "share_saves = true, shard_optimizer = true");
    train(&lab, "2", "alone", None, NEVER).unwrap();
    for exchanges in [0, 9, 15, 17, 19, 21, 23, 25] {
        let run = format!("lost-{exchanges}");
        thread::scope(|scope| {
            let [first, second]: [Rank; 2] = ranks(2).try_into().ok().unwrap();
            second.exchanges.set(6 + exchanges);
            let (lab, run) = (&lab, &run);
            scope.spawn(move || train(lab, "2", run, Some(second), NEVER).unwrap_err());
            train(lab, "2", run, Some(first), NEVER).unwrap_err();
        });
        let run = lab.path(&run);
        let all: Vec<_> = steps(&run).into_iter().map(|step| checkpoint(&run, step)).collect();
        verify_all(&all, 1, |path, verified| assert!(verified.is_ok(), "{exchanges}, {path:?}: {verified:?}"));
        well(train_together(&lab, 2, "2", run.to_str().unwrap(), NEVER));
        assert!(files(&checkpoint(&run, 12)) == files(&checkpoint(&lab.path("alone"), 12)), "{exchanges}");
    }
}

/// At the agreement on a save, and anywhere else in a step.
#[test]
fn a_rank_that_is_lost_at_any_exchange_costs_no_update() {
    let lab = lab("share_saves = true");
    train(&lab, "2", "alone", None, NEVER).unwrap();
    for exchanges in 0..24 {
        let run = format!("lost-{exchanges}");
        thread::scope(|scope| {
            let [first, second]: [Rank; 2] = ranks(2).try_into().ok().unwrap();
            second.exchanges.set(6 + exchanges);
            let (lab, run) = (&lab, &run);
            scope.spawn(move || train(lab, "2", run, Some(second), NEVER).unwrap_err());
            train(lab, "2", run, Some(first), NEVER).unwrap_err();
        });
        let run = lab.path(&run);
        // A step whose validation is pending has no line yet.
        let unlogged = steps(&run).last().unwrap() - log(&run).len() as u64;
        assert!(unlogged <= 1, "{unlogged} after {exchanges} exchanges");
        well(train_together(&lab, 2, "2", run.to_str().unwrap(), NEVER));
        assert!(files(&checkpoint(&run, 12)) == files(&checkpoint(&lab.path("alone"), 12)), "{exchanges}");
    }
}
