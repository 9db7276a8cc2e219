//! A signal at any process, or at the launcher, loses nothing.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Lab, assert_same_bits, checkpoint, log, steps};
use crate::{is_open_mpi, long, process, send, spawn, train};

/// Stops a run of three processes with `signal`, at a process or at the launcher.
#[track_caller]
fn assert_stopped_in_order(at: Option<usize>, signal: (&str, i32)) {
    let lab = Lab::in_memory(&long());
    let mut training = spawn(&lab, 3, &["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| run.join("log.jsonl").exists() && log_lines(&lab) > 50);
    let (name, signal) = signal;
    match at {
        Some(rank) => send(process(&lab, rank).unwrap(), signal),
        None => training.signal(name),
    }
    let ended = training.ended();
    let last = *steps(&run).last().unwrap();
    assert!(last >= 50, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("stopped after step {last} of 100000")), "{}", ended.stderr);
    assert_eq!(log(&run).len() as u64, last, "every update made is saved");
    assert!(
        !fs::read_dir(run.join("checkpoints"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with('.') })
    );
}

/// A process that has not the moments of the others waits for them, and does not give up.
#[test]
fn a_run_with_a_shared_optimizer_stops_in_order() {
    let lab = Lab::in_memory(&format!("distributed = {{ shard_optimizer = true }}\n{}", long()));
    for rank in [0, 2] {
        let name = format!("run-{rank}");
        let run = lab.path(&name);
        let mut training = spawn(&lab, 3, &["config.toml", "--out", &name]);
        training.wait_until(|| fs::metadata(run.join("log.jsonl")).is_ok_and(|log| log.len() > 10_000));
        // One of the others is slow for longer than a process waits that could save alone.
        let slow = process(&lab, 1).unwrap();
        send(slow, libc::SIGSTOP);
        send(process(&lab, rank).unwrap(), libc::SIGTERM);
        sleep(Duration::from_millis(700));
        send(slow, libc::SIGCONT);
        let ended = training.ended();
        let last = *steps(&run).last().unwrap();
        assert!(ended.stderr.contains(&format!("stopped after step {last} of 100000")), "{}", ended.stderr);
        assert_eq!(log(&run).len() as u64, last);
    }
}

fn log_lines(lab: &Lab) -> usize {
    fs::read_to_string(lab.path("run/log.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn a_signal_at_the_launcher_or_at_any_process_saves_once_and_stops_all() {
    assert_stopped_in_order(None, ("TERM", libc::SIGTERM));
    assert_stopped_in_order(Some(0), ("TERM", libc::SIGTERM));
    assert_stopped_in_order(Some(2), ("TERM", libc::SIGTERM));
    assert_stopped_in_order(Some(1), ("INT", libc::SIGINT));
}

/// SIGUSR1 saves without a deadline, under both launchers; MPICH replaces its handler when MPI begins.
#[test]
fn sigusr1_at_the_launcher_saves_once_and_trains_on() {
    let lab = Lab::in_memory(&long());
    let mut training = spawn(&lab, 2, &["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| log_lines(&lab) > 50);
    training.signal("USR1");
    training.wait_until(|| steps(&run).len() >= 2);
    let saved = steps(&run)[1];
    training.wait_until(|| log_lines(&lab) as u64 > saved + 100);
    // It may reach the processes in two steps, and is one request.
    assert_eq!(steps(&run), [0, saved]);
    let before = 2;
    // A later one is another.
    sleep(Duration::from_millis(1100));
    send(process(&lab, 1).unwrap(), libc::SIGUSR1);
    training.wait_until(|| steps(&run).len() > before);
    send(process(&lab, 0).unwrap(), libc::SIGTERM);
    let ended = training.ended();
    assert!(ended.stderr.contains(&format!("saved step {saved}")), "{}", ended.stderr);
}

/// The state of a stopped run, continued by other processes, has the bits of a run that was never stopped.
#[test]
fn a_stopped_run_goes_on_with_the_same_bits() {
    let config = crate::SHARED.replace("steps = 60", "steps = 3000").replace("20 steps", "1000 steps");
    let lab = Lab::in_memory(&config);
    lab.start("alone");
    let mut training = spawn(&lab, 2, &["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| log_lines(&lab) > 50);
    training.signal("TERM");
    let ended = training.ended();
    // Whatever the processes end with, Open MPI's launcher ends with 1; MPICH's passes 143 on, or by a race 0.
    let expected = if is_open_mpi() { [1, 1] } else { [143, 0] };
    assert!(ended.code.is_some_and(|code| expected.contains(&code)), "{:?}: {}", ended.code, ended.stderr);
    let last = *steps(&run).last().unwrap();
    train(&lab, 4, &["--resume", "run"]).well();
    if !last.is_multiple_of(1000) {
        fs::remove_dir_all(checkpoint(&run, last)).unwrap();
    }
    assert_same_bits(&lab.path("alone"), &run);
}

/// A run that mostly validates, in four batches that processes share.
fn validating() -> Lab {
    let config = crate::SHARED.replace("steps = 60", "steps = 2000").replace("20 steps", "5000 steps");
    let config = config.replace("path = \"data.csv\"", "path = \"many.csv\"").replace("0.2", "0.97");
    let lab = Lab::in_memory(&format!("validation = {{ every = \"1 step\" }}\n{config}"));
    let row = |i: u32| format!("{},{},{},{}\n", i * 37 % 61, i * i % 53, i * 11 % 17, (i * 7 + i * i / 3) % 3);
    fs::write(lab.path("many.csv"), "a,b,c,label\n".to_owned() + &(0..1000).map(row).collect::<String>()).unwrap();
    lab
}

/// The first process waits in a validation for a slower one when it is asked to save: it must not begin it again.
#[test]
fn a_save_while_others_are_slow_changes_no_bit() {
    let lab = validating();
    lab.start("alone");
    let mut training = spawn(&lab, 2, &["config.toml", "--out", "run"]);
    let run = lab.path("run");
    let mut done = 5;
    for _ in 0..3 {
        training.wait_until(|| log_lines(&lab) > done);
        let (first, second) = (process(&lab, 0).unwrap(), process(&lab, 1).unwrap());
        send(second, libc::SIGSTOP);
        sleep(Duration::from_millis(100));
        send(first, libc::SIGUSR1);
        sleep(Duration::from_millis(600));
        send(second, libc::SIGCONT);
        done = log_lines(&lab) + 10;
    }
    training.ended().well();
    for step in steps(&run).into_iter().filter(|step| ![0, 2000].contains(step)) {
        fs::remove_dir_all(checkpoint(&run, step)).unwrap();
    }
    assert_same_bits(&lab.path("alone"), &run);
}

/// The validation in which the other one is lost is pending in the checkpoint.
#[test]
fn a_process_that_is_lost_in_a_validation_costs_no_step() {
    let lab = validating();
    lab.start("alone");
    let mut training = spawn(&lab, 2, &["config.toml", "--out", "run"]);
    let run = lab.path("run");
    training.wait_until(|| log_lines(&lab) > 20);
    send(process(&lab, 1).unwrap(), libc::SIGSTOP);
    let ended = training.ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let last = *steps(&run).last().unwrap();
    assert!(last > 20 && last + 1 >= log(&run).len() as u64, "{last} of {}", log(&run).len());
    train(&lab, 2, &["--resume", "run"]).well();
    fs::remove_dir_all(checkpoint(&run, last)).unwrap();
    assert_same_bits(&lab.path("alone"), &run);
}
