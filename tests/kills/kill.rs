//! A real process, stopped at any moment in any way, loses no bit, any number of times.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{
    ADAMW_AND_SGD, ADAMW_IN_TWO_GROUPS, EVERY_EPOCH, Ended, Lab, assert_same_bits, checkpoint, copy_tree, log, small,
    state, steps,
};
use rekindle::rng::Stream;
use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Control, Outcome, Phase, Progress, Run, Sink, from_file};

/// Long enough for 40 kills: thousands of updates, and hundreds of saves for the kills to hit.
const LONG: &str = r#"
    seed = 3
    optimizer = { kind = "adamw", lr = 1e-3 }
    schedule = "warmup(10%) -> cosine(90%)"
    train = { steps = 4000, clip_norm = 1.0 }
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

const ADAMW: &str = "{ kind = 'adamw', lr = 1e-3 }";

/// Seed of the kills' times; a failure prints it.
const SEED: u64 = 2;

/// A training process, killed with the test if that fails first. Its output goes to files, which never block like
/// pipes.
struct Training {
    process: Child,
    said: [PathBuf; 2],
}

impl Training {
    fn spawn(lab: &Lab, arguments: &[&str]) -> Self {
        let said = [lab.path("stdout"), lab.path("stderr")];
        let [stdout, stderr] = said.each_ref().map(|path| File::create(path).unwrap());
        Self { process: lab.command(arguments).stdout(stdout).stderr(stderr).spawn().unwrap(), said }
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().unwrap();
        assert!(sent.success(), "SIG{name} cannot be sent");
    }

    /// Like `signal`, for a process that may have ended already.
    fn signal_if_it_runs(&self, name: &str) {
        let id = self.process.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\" 2>/dev/null", name, &id]).status().unwrap();
    }

    /// Kills it, and returns whether it was still running.
    fn kill(mut self) -> bool {
        self.process.kill().unwrap();
        self.process.wait().unwrap().signal() == Some(9)
    }

    /// Waits for `condition`, which is always reached in a correct run.
    #[track_caller]
    fn wait_until(&mut self, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < Duration::from_secs(60), "the run takes too long");
            assert_eq!(self.process.try_wait().unwrap(), None, "the run has ended too soon");
            sleep(Duration::from_millis(1));
        }
    }

    fn ended(mut self) -> Ended {
        let code = self.process.wait().unwrap().code();
        let [stdout, stderr] = self.said.each_ref().map(|path| fs::read_to_string(path).unwrap());
        Ended { code, stdout, stderr }
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        // Usually it has ended; the assertion is about one that has not.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
        let training = Training::spawn(lab, &again(lab, run));
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

/// A run of this many steps has the same bits as one that is killed this often at random moments.
fn assert_kills_change_nothing(optimizer: &str, steps: u64, kills: usize) {
    let config = LONG.replace("{ kind = \"adamw\", lr = 1e-3 }", optimizer);
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
    assert_kills_change_nothing(ADAMW, 4000, 40);
}

#[test]
fn a_run_with_two_rules_killed_10_times_at_random_moments_has_the_same_bits() {
    assert_kills_change_nothing(ADAMW_AND_SGD, 1000, 10);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test kills -- --ignored"]
fn a_run_killed_500_times_at_random_moments_has_the_same_bits() {
    assert_kills_change_nothing(ADAMW, 100_000, 500);
}

/// The first milliseconds, in which the run directory is created: after a kill at any moment the run can be resumed.
#[test]
fn a_run_killed_while_it_starts_is_started_again_or_resumed() {
    let lab = Lab::new(&small("{ kind = 'sgd', lr = 0.1 }", "cosine(12)", EVERY_EPOCH));
    lab.start("whole");
    for microseconds in (0..15_000).step_by(500) {
        let training = Training::spawn(&lab, &["config.toml", "--out", "killed"]);
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
        let training = Training::spawn(&lab, &["--resume", "kept", "--out", "branch"]);
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

/// Saves rarely, so that saves on signals are visible, and takes longer than a signal needs to arrive.
fn rarely_saved() -> Lab {
    Lab::new(&LONG.replace("20 steps", "1000 steps").replace("steps = 4000", "steps = 20000"))
}

/// A run that a signal stops and that is then resumed.
#[track_caller]
fn assert_a_signal_loses_nothing(signal: &str, code: i32) {
    let lab = rarely_saved();
    let whole = lab.start("whole");
    let mut training = Training::spawn(&lab, &["config.toml", "--out", "stopped"]);
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
fn ctrl_c_saves_the_last_step_and_exits_with_130() {
    assert_a_signal_loses_nothing("INT", 130);
}

#[test]
fn sigterm_saves_the_last_step_and_exits_with_143() {
    assert_a_signal_loses_nothing("TERM", 143);
}

/// A closed laptop sends a hang-up, the others come from keyboards, timers and batch systems.
#[test]
fn every_signal_that_would_end_a_run_saves_and_stops_it() {
    let lab = rarely_saved();
    for (signal, code) in [("HUP", 129), ("QUIT", 131), ("ALRM", 142), ("XCPU", 152), ("VTALRM", 154), ("PROF", 155)] {
        let mut training = Training::spawn(&lab, &["config.toml", "--out", signal]);
        let run = lab.path(signal);
        training.wait_until(|| steps(&run).contains(&1000));
        training.signal(signal);
        let ended = training.ended();
        assert_eq!(ended.code, Some(code), "SIG{signal}: {}", ended.stderr);
        let answer = format!("SIG{signal}: stopping after this step; a second one stops at once without saving");
        assert!(ended.stderr.contains(&answer), "{}", ended.stderr);
        assert_eq!(log(&run).len() as u64, *steps(&run).last().unwrap(), "every update made is saved");
    }
}

#[test]
fn a_signal_that_is_ignored_at_the_start_stays_ignored() {
    let lab = rarely_saved();
    let script = format!("trap '' HUP USR1; exec {} config.toml --out run", env!("CARGO_BIN_EXE_train"));
    let said = [lab.path("stdout"), lab.path("stderr")];
    let [stdout, stderr] = said.each_ref().map(|path| File::create(path).unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(lab.path("")).env("RAYON_NUM_THREADS", "1");
    let mut training = Training { process: command.stdout(stdout).stderr(stderr).spawn().unwrap(), said };
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
    let mut training = Training::spawn(&lab, &["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| steps(&run).contains(&1000));
    (0..3).for_each(|_| training.signal_if_it_runs("TERM"));
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
    while fs::read(run.join("lock")).map_or(true, |lock| lock.is_empty()) {
        sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(process.wait().unwrap().code(), Some(143));
    assert_eq!(log(&run).len(), 8, "what the newest checkpoint that is whole has");
}

/// A full pipe.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
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
    let mut training = Training::spawn(&lab, &["config.toml", "--out", "run"]);
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
fn sigusr1_saves_and_training_continues() {
    assert_a_signal_saves("USR1");
}

#[test]
fn sigusr2_saves_and_training_continues() {
    assert_a_signal_saves("USR2");
}

#[track_caller]
fn assert_a_signal_saves(signal: &str) {
    let lab = rarely_saved();
    lab.start("whole");
    let mut training = Training::spawn(&lab, &["config.toml", "--out", "asked"]);
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
    let answered = || fs::read_to_string(&stderr).unwrap().contains("SIGTERM: stopping after this step");
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
