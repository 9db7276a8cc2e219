//! Every signal that would end a process saves and stops a run, or saves and trains on; nothing is lost.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::LONG;
use crate::common::training::{Training, wait_until};
use crate::common::{ADAMW_IN_TWO_GROUPS, EVERY_EPOCH, Lab, assert_same_bits, checkpoint, log, small, state, steps};
use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Control, Outcome, Phase, Progress, Run, Sink, from_file};

/// Saves rarely, so that saves on signals are visible, and takes longer than a signal needs to arrive.
fn rarely_saved() -> Lab {
    Lab::new(&LONG.replace("20 steps", "1000 steps").replace("steps = 4000", "steps = 20000"))
}

/// A run that a signal stops and that is then resumed.
#[track_caller]
fn assert_a_signal_loses_nothing(signal: &str, code: i32) {
    let lab = rarely_saved();
    let whole = lab.start("whole");
    let mut training = lab.spawn(&["config.toml", "--out", "stopped"]);
    let run = lab.path("stopped");
    training.wait_until(|| steps(&run).contains(&1000));
    training.signal(signal);
    let ended = training.ended();
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    let last = *steps(&run).last().unwrap();
    assert!(ended.stderr.contains(&format!("stopped after step {last} of 20000")), "{}", ended.stderr);
    assert!(ended.stderr.contains("to continue: train --resume stopped"), "{}", ended.stderr);
    assert_eq!(log(&run).len() as u64, last, "every update made is saved");
    let rest = lab.train(&["--resume", "stopped"]).well();
    assert!(ended.stdout + &rest.stdout == whole.stdout, "the epoch lines are not those of the whole run");
    remove_unless_due(&run, last);
    assert_same_bits(&lab.path("whole"), &run);
}

/// Removes the checkpoint of a signal, which the whole run does not have.
fn remove_unless_due(run: &Path, step: u64) {
    if !step.is_multiple_of(1000) {
        fs::remove_dir_all(checkpoint(run, step)).unwrap();
    }
}

#[test]
fn ctrl_c_and_sigterm_save_the_last_step_and_have_their_exit_codes() {
    assert_a_signal_loses_nothing("INT", 130);
    assert_a_signal_loses_nothing("TERM", 143);
}

/// A closed laptop sends a hang-up, the others come from keyboards, timers and batch systems.
#[test]
fn every_signal_that_would_end_a_run_saves_and_stops_it() {
    let lab = rarely_saved();
    for (signal, code) in [("HUP", 129), ("QUIT", 131), ("ALRM", 142), ("XCPU", 152), ("VTALRM", 154), ("PROF", 155)] {
        let mut training = lab.spawn(&["config.toml", "--out", signal]);
        let run = lab.path(signal);
        training.wait_until(|| steps(&run).contains(&1000));
        training.signal(signal);
        let ended = training.ended();
        assert_eq!(ended.code, Some(code), "SIG{signal}: {}", ended.stderr);
        let answer =
            format!("SIG{signal}: saving and stopping after this step; once more to stop at once, without saving");
        assert!(ended.stderr.contains(&answer), "{}", ended.stderr);
        assert_eq!(log(&run).len() as u64, *steps(&run).last().unwrap(), "every update made is saved");
    }
}

#[test]
fn a_signal_that_is_ignored_at_the_start_stays_ignored() {
    let lab = rarely_saved();
    let script = format!("trap '' HUP USR1; exec {} config.toml --out run", env!("CARGO_BIN_EXE_train"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(lab.path("")).env("RAYON_NUM_THREADS", "1");
    let mut training = Training::spawn(&mut command, &lab.path(""));
    training.wait_until(|| steps(&lab.path("run")).contains(&1000));
    training.signal("HUP");
    training.signal("USR1");
    training.ended().well();
    assert!(steps(&lab.path("run")).iter().all(|step| step.is_multiple_of(1000)));
}

/// `timeout` signals its child and then the group, a person presses Ctrl-C twice.
#[test]
fn two_signals_within_a_second_are_one() {
    let lab = rarely_saved();
    let mut training = lab.spawn(&["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| steps(&run).contains(&1000));
    for _ in 0..3 {
        training.signal_if_it_runs("TERM");
    }
    let ended = training.ended();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert_eq!(log(&run).len() as u64, *steps(&run).last().unwrap(), "every update made is saved");
}

/// A signal before the first step may end the process at once: nothing unsaved was computed. The process is blocked
/// there by an unread message.
#[test]
fn a_signal_before_the_first_step_ends_the_process_at_once() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    let run = lab.path("run");
    lab.start("run");
    fs::write(checkpoint(&run, 12).join("model.safetensors"), "damaged").unwrap();
    fs::remove_file(run.join("lock")).unwrap();
    let (_reader, full) = full_pipe();
    let mut process = lab.command(&["--resume", "run"]).stderr(full).spawn().unwrap();
    wait_until(|| fs::read(run.join("lock")).is_ok_and(|lock| !lock.is_empty()), "the process does not begin");
    let sent = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(process.wait().unwrap().code(), Some(143));
    assert_eq!(log(&run).len(), 8, "what the newest checkpoint that is whole has");
}

/// A full pipe.
pub fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    use rustix::fs::{OFlags, fcntl_setfl};
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 512]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

/// Makes a request as soon as a validation begins.
struct InValidation<'a> {
    ask: &'a dyn Fn(),
    /// At the first validation after `updates` updates.
    at: u64,
    asked: bool,
}

impl<'a> InValidation<'a> {
    fn ask(ask: &'a dyn Fn(), at: u64) -> Self {
        Self { ask, at, asked: false }
    }
}

impl Sink for InValidation<'_> {
    fn validating(&mut self, done: u64) {
        if done == self.at && !self.asked {
            self.asked = true;
            (self.ask)();
            // A validation that takes at most this time is not interrupted.
            sleep(Duration::from_millis(250));
        }
    }
}

/// A plateau with a validation every other step, also at the ends of epochs (4, 8, 12) and of the run.
fn validating(every: &str) -> Lab {
    let schedule = "plateau(factor=0.5, patience=0, threshold=0.9)";
    Lab::in_memory(&small(ADAMW_IN_TWO_GROUPS, schedule, &format!("checkpoint = {{ every = '{every}' }}")))
}

#[test]
fn a_validation_stops_for_a_signal_and_is_repeated_with_the_same_bits() {
    for every in ["1 step", "100 steps"] {
        let lab = validating(every);
        lab.start("whole");
        let saved = steps(&lab.path("whole"));
        for at in [2, 4, 12] {
            let run = lab.path(&format!("stopped-at-{at}"));
            let control = Control::new();
            let config = from_file(&lab.path("config.toml"), &[]).unwrap();
            let mut training = Run::start(config, &run, control.clone()).unwrap();
            let outcome = training.train(&mut InValidation::ask(&|| control.stop(15), at)).unwrap();
            assert_eq!((outcome, training.session().step()), (Outcome::Stopped { signal: 15 }, at));
            drop(training);
            assert_eq!(log(&run).len() as u64, at - 1, "the line waits for what the validation finds");
            assert_eq!(state(&checkpoint(&run, at))["unvalidated"]["step"], at - 1);
            // And again, at the same place.
            let control = Control::new();
            let mut training = resume::resume(&run, ResumeOptions::default(), control.clone()).unwrap().run;
            let outcome = training.train(&mut InValidation::ask(&|| control.stop(15), at)).unwrap();
            assert_eq!((outcome, training.session().step()), (Outcome::Stopped { signal: 15 }, at));
            drop(training);
            lab.train(&["--resume", run.to_str().unwrap()]).well();
            if !saved.contains(&at) {
                fs::remove_dir_all(checkpoint(&run, at)).unwrap();
            }
            assert_same_bits(&lab.path("whole"), &run);
        }
    }
}

#[test]
fn a_save_that_is_asked_for_in_a_validation_does_not_wait_for_its_end() {
    let lab = validating("100 steps");
    lab.start("whole");
    let (run, control) = (lab.path("asked"), Control::new());
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let mut training = Run::start(config, &run, control.clone()).unwrap();
    let outcome = training.train(&mut InValidation::ask(&|| control.save(), 8)).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    drop(training);
    let path = checkpoint(&run, 8);
    assert_eq!(state(&path)["unvalidated"]["step"], 7);
    lab.train(&["--resume", path.to_str().unwrap(), "--out", "from-there"]).well();
    assert_eq!(log(&lab.path("from-there")), log(&lab.path("whole")));
    fs::remove_dir_all(path).unwrap();
    assert_same_bits(&lab.path("whole"), &run);
}

/// A run that was suspended for a while, as by Ctrl-Z, did not train in that time.
#[test]
fn time_in_which_a_run_was_stopped_is_not_counted_as_training() {
    let lab = rarely_saved();
    let began = Instant::now();
    let mut training = lab.spawn(&["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| steps(&run).contains(&1000));
    training.signal("STOP");
    sleep(Duration::from_secs(6));
    training.signal("CONT");
    let told = training.ended().well().stderr;
    let seconds = told.split("done: 20000 steps in ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let (seconds, all) = (seconds.parse::<f64>().unwrap(), began.elapsed().as_secs_f64());
    assert!(seconds < all - 5.0, "{seconds} of {all} seconds: {told}");
}

#[test]
fn sigusr1_and_sigusr2_save_and_training_continues() {
    assert_a_signal_saves("USR1");
    assert_a_signal_saves("USR2");
}

#[track_caller]
fn assert_a_signal_saves(signal: &str) {
    let lab = rarely_saved();
    lab.start("whole");
    let mut training = lab.spawn(&["config.toml", "--out", "asked"]);
    let run = lab.path("asked");
    training.wait_until(|| steps(&run).contains(&1000));
    // A request made just when a save is due cannot be distinguished from it, so it is repeated.
    let asked = || steps(&run).into_iter().find(|step| !step.is_multiple_of(1000));
    while asked().is_none() {
        training.signal(signal);
        let before = steps(&run).len();
        training.wait_until(|| steps(&run).len() > before);
    }
    let step = asked().unwrap();
    let told = training.ended().well().stderr;
    let answers = [format!("SIG{signal}: saving after this step\n"), format!("\nsaved step {step}\n")];
    assert!(answers.iter().all(|answer| told.contains(answer)), "{told}");
    let path = checkpoint(&run, step);
    lab.train(&["--resume", path.to_str().unwrap(), "--out", "from-there"]).well();
    let last = checkpoint(&lab.path("from-there"), 20000);
    assert_eq!(state(&last), state(&checkpoint(&lab.path("whole"), 20000)));
    for extra in steps(&run) {
        remove_unless_due(&run, extra);
    }
    assert_same_bits(&lab.path("whole"), &run);
}

/// The run is blocked by an unread line of output.
#[test]
fn a_later_second_signal_stops_at_once_with_another_exit_code() {
    let lab = Lab::new(&LONG.replace("20 steps", "1 step"));
    let (progress, stderr) = (lab.path("progress"), lab.path("stderr"));
    fs::write(&progress, "").unwrap();
    let (_reader, full) = full_pipe();
    let mut command = lab.command(&["config.toml", "--out", "run"]);
    command.env(Progress::VARIABLE, &progress).stdout(full).stderr(File::create(&stderr).unwrap());
    let said = [lab.path("stdout"), stderr.clone()];
    fs::write(&said[0], "").unwrap();
    let mut training = Training { process: command.spawn().unwrap(), said };
    // Update 4 ends an epoch, whose line is printed next.
    training.wait_until(|| Progress::last_told(&progress) == Some((Phase::Training, 4)));
    training.wait_until(|| steps(&lab.path("run")).contains(&3));
    training.signal("TERM");
    let answered = || fs::read_to_string(&stderr).unwrap().contains("SIGTERM: saving and stopping after this step");
    training.wait_until(answered);
    // Within a second of the first it would be the same request.
    sleep(Duration::from_millis(1200));
    training.signal("INT");
    let ended = training.ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let loss = "SIGINT, the second signal: stopped at once; nothing after step ";
    assert!(ended.stderr.contains(loss), "{}", ended.stderr);
    assert!(ended.stderr.contains("is saved; to continue from there: train --resume run\n"), "{}", ended.stderr);
    assert_eq!(steps(&lab.path("run")), [0, 1, 2, 3]);
    lab.train(&["--resume", "run", "--set", "train.steps=5"]).well();
}
