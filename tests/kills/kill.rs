//! A real process, killed at any moment, loses nothing: not one bit, however often.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::LONG;
use crate::common::{ADAMW_AND_SGD, EVERY_EPOCH, Lab, assert_same_bits, checkpoint, copy_tree, small, state, steps};
use rekindle::rng::Stream;

/// Seed of the kills' times; a failure prints it.
const SEED: u64 = 2;

/// The command of a user after a crash: a run is resumed, or started again if there is none yet.
fn again(lab: &Lab, run: &'static str) -> Vec<&'static str> {
    match lab.path(run).join("config.toml").exists() {
        true => vec!["--resume", run],
        false => vec!["config.toml", "--out", run],
    }
}

/// Random shares of `total`, which they add up to.
fn delays(total: Duration, count: usize, attempt: u64) -> Vec<Duration> {
    let shares = Stream::new(SEED, "kills").uniform(attempt, count);
    let sum: f32 = shares.iter().sum();
    shares.iter().map(|share| total.mul_f32(share / sum)).collect()
}

/// Results of a run's kills.
#[derive(Debug, Default)]
struct Storm {
    /// The steps of the newest checkpoint.
    newest: BTreeSet<Option<u64>>,
    /// Number of interrupted saves.
    during_saves: usize,
}

/// Kills the run `run` after each of the `delays`; `None` if it finished before the last of them.
fn kill_again_and_again(lab: &Lab, run: &'static str, delays: &[Duration]) -> Option<Storm> {
    let mut storm = Storm::default();
    for delay in delays {
        let training = lab.spawn(&again(lab, run));
        sleep(*delay);
        if !training.kill() {
            return None;
        }
        storm.newest.insert(steps(&lab.path(run)).last().copied());
        let entries = fs::read_dir(lab.path(run).join("checkpoints")).into_iter().flatten();
        let cut_off = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".step-");
        storm.during_saves += usize::from(entries.map(Result::unwrap).any(cut_off));
    }
    Some(storm)
}

/// A run with two update rules has the same bits as one that is killed many times at random moments.
fn assert_kills_change_nothing(steps: u64, kills: usize) {
    let config = LONG.replace("{ kind = \"adamw\", lr = 1e-3 }", ADAMW_AND_SGD);
    let lab = Lab::new(&config.replace("steps = 4000", &format!("steps = {steps}")));
    let began = Instant::now();
    lab.start("whole");
    let duration = began.elapsed();
    // The kills take less time together than the run, so that all of them hit it in training. If the machine was busier
    // when the run was timed, kills must come faster.
    let attempts = ["first", "second", "third", "fourth"].into_iter().zip([0.7, 0.4, 0.2, 0.1]).zip(0..);
    let mut killed = attempts.map(|((run, share), attempt)| {
        let storm = kill_again_and_again(&lab, run, &delays(duration.mul_f64(share), kills, attempt));
        (run, storm)
    });
    let (run, storm) = killed.find_map(|(run, storm)| Some((run, storm?))).expect("the run ends before its kills");
    assert!(storm.newest.len() >= kills / 5, "seed {SEED}: the kills hit hardly any work: {storm:?}");
    assert!(storm.during_saves >= kills / 10, "seed {SEED}: hardly any save was hit: {storm:?}");
    lab.train(&["--resume", run]).well();
    println!("seed {SEED}: {kills} kills, {} of them during a save, over {duration:.1?}", storm.during_saves);
    assert_same_bits(&lab.path("whole"), &lab.path(run));
}

#[test]
fn a_run_killed_40_times_at_random_moments_has_the_same_bits() {
    assert_kills_change_nothing(4000, 40);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test kills -- --ignored"]
fn a_run_killed_500_times_at_random_moments_has_the_same_bits() {
    assert_kills_change_nothing(100_000, 500);
}

/// The first milliseconds, in which the run directory is created: after a kill at any moment the run can be resumed.
#[test]
fn a_run_killed_while_it_starts_is_started_again_or_resumed() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    lab.start("whole");
    for microseconds in (0..15_000).step_by(500) {
        let training = lab.spawn(&["config.toml", "--out", "killed"]);
        sleep(Duration::from_micros(microseconds));
        training.kill();
        lab.train(&again(&lab, "killed")).well();
        assert_same_bits(&lab.path("whole"), &lab.path("killed"));
        fs::remove_dir_all(lab.path("killed")).unwrap();
    }
}

/// A branch without its first checkpoint must not be taken for a run that has not begun.
#[test]
fn a_branch_killed_while_it_starts_does_not_begin_at_step_0() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    lab.start("whole");
    copy_tree(&checkpoint(&lab.path("whole"), 8), &lab.path("kept/step-0000000008"));
    for microseconds in (0..20_000).step_by(500) {
        let training = lab.spawn(&["--resume", "kept", "--out", "branch"]);
        sleep(Duration::from_micros(microseconds));
        training.kill();
        let (path, out) = match lab.path("branch/config.toml").exists() {
            true => ("branch", "branch"),
            false => ("kept", "another"),
        };
        lab.train(&["--resume", path, "--out", out]).well();
        let run = lab.path(out);
        assert_eq!(steps(&run), [8, 12], "killed after {microseconds} µs");
        assert!(state(&checkpoint(&run, 12)) == state(&checkpoint(&lab.path("whole"), 12)));
        for run in ["branch", "another"].map(|name| lab.path(name)).iter().filter(|run| run.exists()) {
            fs::remove_dir_all(run).unwrap();
        }
    }
}
