//! Ctrl-C in a terminal under `train supervise`: both processes get it, and the run gets it once, because a launcher
//! may take a second one for an order to kill.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::LONG;
use crate::common::training::{Training, wait_until};
use crate::common::{Lab, steps};
use crate::signals::full_pipe;
use crate::supervise::{TRAIN, restarts, send, supervised, trainer};

/// Makes the command the foreground of a new terminal, and returns the keyboard.
fn in_terminal(command: &mut Command) -> File {
    let (mut keyboard, mut terminal) = (0, 0);
    // SAFETY: the two numbers have room for what is written to them, and nothing else is asked for.
    let opened = unsafe {
        libc::openpty(&mut keyboard, &mut terminal, std::ptr::null_mut(), std::ptr::null(), std::ptr::null())
    };
    assert_eq!(opened, 0, "no terminal is to be had");
    // SAFETY: both were just opened, and nothing else owns them.
    let (keyboard, terminal) = unsafe { (File::from_raw_fd(keyboard), OwnedFd::from_raw_fd(terminal)) };
    command.stdin(Stdio::from(terminal));
    // SAFETY: between fork and exec only two system calls are made.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        })
    };
    keyboard
}

/// A launcher that counts the signals that it gets.
const COUNTING: &str = "trap 'echo INT >> heard' INT; \"$0\" \"$@\" & wait; wait; wait $!";

#[test]
fn ctrl_c_is_not_sent_twice() {
    // Far longer than the test.
    let lab = Lab::new(&LONG.replace("steps = 4000", "steps = 10000000").replace("20 steps", "1000000 steps"));
    let run = lab.path("run");
    let command = supervised(&[], &["sh", "-c", COUNTING, TRAIN, "config.toml", "--out", "run"]);
    let mut command = lab.command(&command);
    let mut keyboard = in_terminal(&mut command);
    let mut training = Training::spawn(&mut command, &lab.path(""));
    let process = trainer(&mut training, &run);
    keyboard.write_all(b"\x03").unwrap();
    wait_until(|| lab.path("heard").is_file(), "the launcher hears no signal");
    sleep(Duration::from_millis(300));
    assert_eq!(fs::read_to_string(lab.path("heard")).unwrap(), "INT\n");
    // A shell without job control makes its background processes ignore Ctrl-C.
    send("TERM", &process);
    let ended = training.ended();
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
}

/// The run is blocked by an unread line of output.
#[test]
fn a_second_ctrl_c_stops_at_once() {
    let lab = Lab::new(&LONG.replace("20 steps", "1 step"));
    let (run, said) = (lab.path("run"), [lab.path("stdout"), lab.path("stderr")]);
    fs::write(&said[0], "").unwrap();
    let (_reader, full) = full_pipe();
    let mut command = lab.command(&supervised(&[], &[TRAIN, "config.toml", "--out", "run"]));
    command.stdout(full).stderr(File::create(&said[1]).unwrap());
    let mut keyboard = in_terminal(&mut command);
    let mut training = Training { process: command.spawn().unwrap(), said };
    // Update 4 ends an epoch, whose line is printed next.
    training.wait_until(|| steps(&run).contains(&3));
    keyboard.write_all(b"\x03").unwrap();
    let answered = "SIGINT: saving and stopping after this step";
    training.wait_until(|| fs::read_to_string(lab.path("stderr")).unwrap().contains(answered));
    // Within a second of the first it would be the same request.
    sleep(Duration::from_millis(1200));
    keyboard.write_all(b"\x03").unwrap();
    let ended = training.ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("SIGINT, the second signal: stopped at once"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("supervise") && restarts(&run).is_empty(), "{}", ended.stderr);
}
