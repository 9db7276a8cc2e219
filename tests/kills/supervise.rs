//! `train supervise` starts a run again when it is killed or fails, and only then.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::LONG;
use crate::common::training::{Training, wait_until};
use crate::common::{EVERY_EPOCH, Ended, Lab, assert_same_bits, checkpoint, log, small, state, steps};
use rekindle::rng::Stream;
use rekindle::train::{Ending, RunDirectory, RunEnd};
use serde_json::Value;

pub const TRAIN: &str = env!("CARGO_BIN_EXE_train");

/// Seed of the kills' times.
const SEED: u64 = 5;

/// A launcher that exits with 0 however `train` ends.
const LAUNCHER: [&str; 3] = ["sh", "-c", "\"$0\" \"$@\"; exit 0"];

/// A run of a second or two, and one that diverges.
pub fn long() -> Lab {
    Lab::new(&LONG.replace("steps = 4000", "steps = 10000").replace("20 steps", "500 steps"))
}

pub fn supervised<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["supervise", "--pause", "10ms"], options, &["--"], command].concat()
}

/// The process that trains in `run`, once the run has made a step.
pub fn trainer(training: &mut Training, run: &Path) -> String {
    training.wait_until(|| log_length(run) > 0 && RunDirectory::holder(run).is_some());
    holder(run).unwrap()
}

/// The process that holds the lock of a run.
fn holder(run: &Path) -> Option<String> {
    RunDirectory::holder(run)?.strip_prefix("process ").map(str::to_owned)
}

/// The number of complete lines in the log, which grows.
fn log_length(run: &Path) -> u64 {
    fs::read(run.join("log.jsonl")).unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count() as u64
}

pub fn send(signal: &str, process: &str) {
    assert!(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, process]).status().unwrap().success());
}

pub fn restarts(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("restarts.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Kills the process that trains twice at random moments after step `begun`, and returns what `supervise` said.
fn killed_twice(lab: &Lab, run: &str, begun: u64, command: &[&str]) -> Ended {
    let mut training = lab.spawn(&supervised(&[], command));
    let path = lab.path(run);
    let mut last = None;
    for delay in Stream::new(SEED, "kills").uniform(0, 2) {
        training
            .wait_until(|| log_length(&path) > begun && holder(&path).is_some_and(|one| last.as_ref() != Some(&one)));
        sleep(Duration::from_secs_f32(delay * 0.2));
        last = holder(&path);
        send("KILL", last.as_ref().expect("the run ends before its kills"));
    }
    training.ended()
}

#[test]
fn a_run_that_is_killed_twice_ends_with_the_bits_of_an_uninterrupted_one() {
    let lab = long();
    lab.start("whole");
    let ended =
        killed_twice(&lab, "killed", 0, &[TRAIN, "config.toml", "--out", "killed", "--set", "data.batch_size=13"]);
    assert_eq!(ended.code, Some(0), "seed {SEED}: {}", ended.stderr);
    assert_same_bits(&lab.path("whole"), &lab.path("killed"));
    let restarts = restarts(&lab.path("killed"));
    assert_eq!(restarts.len(), 2, "{}", ended.stderr);
    for (line, attempt) in restarts.iter().zip(1_u64..) {
        assert_eq!((&line["attempt"], &line["ended"]), (&attempt.into(), &"was killed by SIGKILL".into()));
        assert!([0.01, 0.02].map(Some).contains(&line["pause_seconds"].as_f64()), "{line}");
        assert!(line["unix_time"].as_f64() > Some(1.7e9) && line["step"].as_u64() >= line["saved_step"].as_u64());
        let told = format!("supervise: attempt {attempt} was killed by SIGKILL at step ");
        assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    }
    let again = format!("0ms: {TRAIN} --resume killed\n");
    assert_eq!(ended.stderr.matches(&again).count(), 2, "{}", ended.stderr);
    let end = RunEnd::read(&lab.path("killed")).unwrap();
    assert_eq!((end.outcome, end.step, end.exit_code), (Ending::Finished, 10000, 0));
}

#[test]
fn a_launcher_that_hides_the_kill_is_started_again_too() {
    let lab = long();
    lab.start("whole");
    let command = [&LAUNCHER[..], &[TRAIN, "config.toml", "--out", "killed"]].concat();
    let ended = killed_twice(&lab, "killed", 0, &command);
    assert_eq!(ended.code, Some(0), "seed {SEED}: {}", ended.stderr);
    assert_same_bits(&lab.path("whole"), &lab.path("killed"));
    assert_eq!(restarts(&lab.path("killed"))[1]["ended"], "ended with exit code 0 and an unfinished run");
}

/// A branch is continued in its own directory, whose name `train` would have chosen.
#[test]
fn a_run_that_branches_off_is_continued_where_it_is() {
    let lab = long();
    lab.start("whole");
    let from = "whole/checkpoints/step-0000001000";
    let ended = killed_twice(&lab, "runs/whole-from-step-1000", 1000, &[TRAIN, "--resume", from]);
    assert_eq!(ended.code, Some(0), "seed {SEED}: {}", ended.stderr);
    let again = format!("{TRAIN} --resume runs/whole-from-step-1000\n");
    assert_eq!(ended.stderr.matches(&again).count(), 2, "{}", ended.stderr);
    let last = |run: &str| fs::read(checkpoint(&lab.path(run), 10000).join("model.safetensors")).unwrap();
    assert!(last("runs/whole-from-step-1000") == last("whole"));
}

/// The files of a process that was killed before its branch was complete are not in the way of the next one.
#[test]
fn a_branch_that_is_killed_while_it_starts_is_started_again() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    lab.start("whole");
    let half =
        "mkdir -p branch/checkpoints/.step-0000000008.tmp-1-1; cd branch; echo process 1 > lock; echo > log.jsonl";
    let script = format!("[ -e branch ] && exec \"$0\" \"$@\"; {half}; kill -KILL $$");
    let command = ["sh", "-c", &script, TRAIN, "--resume", "whole/checkpoints/step-0000000008", "--out", "branch"];
    lab.train(&supervised(&[], &command)).well();
    assert_eq!(log(&lab.path("branch")), log(&lab.path("whole")));
    // Files that were there before are not touched.
    fs::create_dir(lab.path("mine")).unwrap();
    fs::write(lab.path("mine/log.jsonl"), "mine").unwrap();
    let command = ["sh", "-c", "kill -KILL $$", TRAIN, "--resume", command[5], "--out", "mine"];
    assert_eq!(lab.train(&supervised(&[], &command)).code, Some(1));
    assert_eq!(fs::read_to_string(lab.path("mine/log.jsonl")).unwrap(), "mine");
}

/// A repeated `--set` of a resume changes nothing.
#[test]
fn a_resume_keeps_its_settings() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "constant", EVERY_EPOCH));
    lab.start("run");
    let settings = ["--set", "train.epochs=3000", "--set", "train.clip_norm=", "--set", "checkpoint.every=100 epochs"];
    let ended = killed_twice(&lab, "run", 12, &[&[TRAIN, "--resume", "run"], &settings[..]].concat());
    assert_eq!(ended.code, Some(0), "seed {SEED}: {}", ended.stderr);
    assert_eq!((restarts(&lab.path("run")).len(), log(&lab.path("run")).len()), (2, 12000));
    let history = state(&checkpoint(&lab.path("run"), 12000))["history"].clone();
    assert_eq!(history.as_array().unwrap().len(), 1, "{history}");
}

#[test]
fn a_loss_that_is_not_finite_twice_at_the_same_step_is_not_tried_again() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 1e30 }", "constant", EVERY_EPOCH).replace(", clip_norm = 1.0", ""));
    let ended = lab.train(&supervised(&[], &[TRAIN, "config.toml", "--out", "run"]));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let end = RunEnd::read(&lab.path("run")).unwrap();
    let (step, error) = (end.step, end.error.unwrap());
    assert_eq!((end.outcome, end.exit_code), (Ending::Failed, 1));
    assert!(error.contains(&format!("is not finite at step {step}")), "{error}");
    let restarts = restarts(&lab.path("run"));
    assert_eq!((restarts.len(), &restarts[0]["error"]), (1, &error.as_str().into()), "{}", ended.stderr);
    let told = format!("error: supervise gives up: the run has failed twice at step {step}; the last attempt failed");
    assert!(ended.stderr.contains(&told) && ended.stderr.contains("to continue, once the cause"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error: the ").count(), 2, "it was tried twice: {}", ended.stderr);
}

#[test]
fn a_wrong_request_is_not_tried_again() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    for words in [&["config.toml", "--set", "optimizer.lr=-1"][..], &["missing.toml"]] {
        let command = [&[TRAIN], words].concat();
        let told = lab.train(&supervised(&[], &command)).refusal();
        assert!(told.matches("error: ").count() == 1 && !told.contains("supervise"), "{told}");
        let launched = [&LAUNCHER[..2], &["\"$0\" \"$@\""], &command[..]].concat();
        assert_eq!(lab.train(&supervised(&[], &launched)).refusal(), told);
    }
    lab.start("run");
    let told = lab.train(&supervised(&[], &[TRAIN, "config.toml", "--out", "run"])).refusal();
    assert!(told.contains("run already holds a run: continue it with `train --resume run`"), "{told}");
}

#[test]
fn a_command_that_is_not_a_run_is_refused() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    for (command, part) in [
        (&["echo", "config.toml"][..], "`echo config.toml` has no word `train`"),
        (&["missing-launcher", "train", "config.toml"], "cannot start `missing-launcher`"),
        (&["./config.toml", "train", "config.toml"], "cannot start `./config.toml`"),
        (&["train", "eval", "runs/a"], "`train eval` is not a run"),
        (&[], "give the command to supervise: `train supervise -- train CONFIG.toml`"),
    ] {
        let told = lab.train(&supervised(&[], command)).refusal();
        assert!(told.contains(part) && told.matches("error: ").count() == 1, "{told}");
    }
    let told = lab.train(&["supervise", "--pause", "5", "--", "train", "config.toml"]).refusal();
    assert!(told.contains("such as `500ms`, `1s`, `2m` or `1d`"), "{told}");
}

/// `train` need not be installed.
#[test]
fn the_word_train_is_this_program_if_no_other_is_found() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    let ended = lab.command(&supervised(&[], &["train", "config.toml"])).env("PATH", "/usr/bin:/bin").output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(log(&lab.path("runs/config")).len(), 12);
}

#[test]
fn a_signal_stops_the_run_in_order_and_it_is_not_started_again() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let lab = long();
        let run = lab.path("run");
        let mut training = lab.spawn(&supervised(&[], &[TRAIN, "config.toml", "--out", "run"]));
        trainer(&mut training, &run);
        training.signal(signal);
        let ended = training.ended();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        let last = *steps(&run).last().unwrap();
        assert!(ended.stderr.contains(&format!("stopped after step {last} of 10000")), "{}", ended.stderr);
        assert_eq!(log(&run).len() as u64, last, "every update made is saved");
        assert!(!ended.stderr.contains("supervise:") && restarts(&run).is_empty(), "{}", ended.stderr);
        let end = RunEnd::read(&run).unwrap();
        assert_eq!((end.outcome, end.step, end.exit_code), (Ending::Stopped, last, code as u8));
    }
}

/// The run itself is stopped, or a launcher hides the signal in its exit code.
#[test]
fn a_run_that_was_stopped_is_not_started_again() {
    let lab = long();
    for command in [&[][..], &LAUNCHER] {
        let run = lab.path("run");
        let mut training = lab.spawn(&supervised(&[], &[command, &[TRAIN, "config.toml", "--out", "run"]].concat()));
        let process = trainer(&mut training, &run);
        send("TERM", &process);
        let ended = training.ended();
        assert_eq!(ended.code, Some(143), "{}", ended.stderr);
        assert!(restarts(&run).is_empty(), "{}", ended.stderr);
        fs::remove_dir_all(run).unwrap();
    }
}

#[test]
fn sigusr1_saves_and_the_run_goes_on() {
    let lab = long();
    let run = lab.path("run");
    let mut training = lab.spawn(&supervised(&[], &[TRAIN, "config.toml", "--out", "run"]));
    trainer(&mut training, &run);
    training.signal("USR1");
    let ended = training.ended().well();
    assert!(ended.stderr.contains("SIGUSR1: saving after this step\n"), "{}", ended.stderr);
}

#[test]
fn a_pause_ends_at_once_by_a_signal() {
    let lab = long();
    let run = lab.path("run");
    let mut training = lab.spawn(&["supervise", "--pause", "10m", "--", TRAIN, "config.toml", "--out", "run"]);
    let process = trainer(&mut training, &run);
    send("KILL", &process);
    training.wait_until(|| run.join("restarts.jsonl").is_file());
    training.signal("USR1");
    training.signal("TERM");
    let ended = training.ended();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("supervise: SIGTERM: the run is not started again\n"), "{}", ended.stderr);
    assert_eq!(restarts(&run)[0]["pause_seconds"], 600.0);
}

#[test]
fn the_number_of_restarts_is_limited() {
    let lab = long();
    let run = lab.path("run");
    let mut training = lab.spawn(&supervised(&["--restarts", "0"], &[TRAIN, "config.toml", "--out", "run"]));
    let process = trainer(&mut training, &run);
    send("KILL", &process);
    let ended = training.ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told =
        "error: supervise gives up: --restarts allows 0 restarts; the last attempt was killed by SIGKILL at step ";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let remedy = format!("to continue, once the cause is removed: train supervise -- {TRAIN} --resume run\n");
    assert!(ended.stderr.ends_with(&remedy), "{}", ended.stderr);
    assert!(restarts(&run).is_empty());
    lab.train(&supervised(&["--restarts", "0"], &[TRAIN, "--resume", "run"])).well();
}

/// Kills before the first checkpoint, and a program that always crashes.
#[test]
fn a_command_that_never_trains_is_given_up() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    let command = ["sh", "-c", "echo once >> made; kill -SEGV $$", TRAIN, "config.toml", "--out", "run"];
    let ended = lab.train(&supervised(&[], &command));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told = "supervise gives up: two attempts in a row have not got further than step 0; the last attempt was \
                killed by SIGSEGV before its first step";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(lab.path("made")).unwrap(), "once\nonce\n");
    assert!(!lab.path("run").exists());
}

/// `outcome.json` of an earlier process says nothing about this one.
#[test]
fn an_old_outcome_does_not_count() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    lab.start("run");
    let ended = lab.train(&supervised(&[], &["sh", "-c", "kill -KILL $$", TRAIN, "--resume", "run"]));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(restarts(&lab.path("run")).len(), 1, "{}", ended.stderr);
}

/// Not started again beside it.
#[test]
fn a_process_that_its_launcher_leaves_is_waited_for() {
    let lab = long();
    let script = "\"$0\" \"$@\" & until [ -s run/log.jsonl ]; do sleep 0.01; done; kill -KILL $$";
    let ended = lab.train(&supervised(&[], &["sh", "-c", script, TRAIN, "config.toml", "--out", "run"]));
    assert!(restarts(&lab.path("run")).is_empty(), "{}", ended.stderr);
    assert_eq!((ended.code, log(&lab.path("run")).len()), (Some(0), 10000), "{}", ended.stderr);
}

/// On Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_supervisor_is_killed_saves_and_stops() {
    let lab = long();
    let run = lab.path("run");
    let mut training = lab.spawn(&supervised(&[], &[TRAIN, "config.toml", "--out", "run"]));
    trainer(&mut training, &run);
    assert!(training.kill());
    wait_until(|| RunEnd::read(&run).is_some(), "the run continues");
    assert_eq!(RunEnd::read(&run).unwrap().outcome, Ending::Stopped);
}

/// The threads that `supervise` would use itself are not those of the run.
#[test]
fn the_environment_of_the_command_is_that_of_the_user() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    let script = "echo ${RAYON_NUM_THREADS-none} ${CANDLE_NUM_THREADS-none} > threads; exec \"$0\" \"$@\"";
    let command = supervised(&[], &["sh", "-c", script, TRAIN, "config.toml", "--out", "run"]);
    let ended = lab.command(&command).env_remove("RAYON_NUM_THREADS").output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(fs::read_to_string(lab.path("threads")).unwrap(), "none none\n");
}
