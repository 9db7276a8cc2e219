//! A command, run within its limits: of time, and of memory for what it says.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::low_level::signal_name;

use crate::train::observe::progress::Progress;

/// The end of what a command writes to stderr, in bytes, of which the last line is shown if it fails.
const SAID: usize = 1 << 10;

/// Runs the command `words` with `input` on its standard input. It is killed with its process group after `limit`, and as
/// soon as `give_up` is set. What it writes to stdout is thrown away. It has no open file of this process.
///
/// # Errors
/// Why it failed, in words.
pub(super) fn run(words: &[String], input: String, limit: Duration, give_up: &AtomicBool) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // In a group of its processes alone: a signal from the terminal is for the training, and a kill of its group is not.
    command.process_group(0).env_remove(Progress::VARIABLE);
    let mut child = command.spawn().map_err(|error| cannot_start(&error))?;
    let mut input = Input { pipe: child.stdin.take(), rest: input.into_bytes() };
    let mut said = Said { pipe: child.stderr.take(), end: VecDeque::new() };
    do_not_block(&input, &said);
    let (began, mut pause) = (Instant::now(), Duration::ZERO);
    loop {
        // In this order: what it has said before its end is read.
        let status = child.try_wait().map_err(|error| format!("cannot be waited for: {error}"))?;
        let has_moved = input.feed() | said.read();
        if let Some(status) = status {
            return verdict(status, &said);
        }
        if began.elapsed() >= limit || give_up.load(Ordering::Relaxed) {
            kill(&mut child);
            return Err(format!("was killed after {:.1} s{}", began.elapsed().as_secs_f64(), said.last_line()));
        }
        pause = if has_moved { Duration::ZERO } else { next_pause(pause) };
        thread::sleep(pause);
    }
}

/// A command of a millisecond is noticed soon, and one of a minute costs no time of the processor.
fn next_pause(pause: Duration) -> Duration {
    (2 * pause).clamp(Duration::from_millis(1), Duration::from_millis(50))
}

/// The command has not been waited for, so its number, and that of its group, are still its own.
fn kill(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    // A process that changed its group is killed too.
    let _ = child.kill();
    let _ = child.wait();
}

fn cannot_start(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "; check its name and PATH, or give its whole path",
        io::ErrorKind::PermissionDenied => "; check that it is a program",
        _ => "",
    };
    format!("cannot be started: {error}{remedy}")
}

fn verdict(status: ExitStatus, said: &Said) -> Result<(), String> {
    let ended = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            format!("was ended by {}", signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned))
        }
        (None, None) => "ended in an unknown way".to_owned(),
    };
    Err(ended + &said.last_line())
}

/// Without this, a command that does not read, or does not end, would block the thread.
fn do_not_block(input: &Input, said: &Said) {
    let pipes = [input.pipe.as_ref().map(AsFd::as_fd), said.pipe.as_ref().map(AsFd::as_fd)];
    for pipe in pipes.into_iter().flatten() {
        let _ = rustix::io::ioctl_fionbio(pipe, true);
    }
}

/// The text that a command has not read yet.
struct Input {
    pipe: Option<ChildStdin>,
    rest: Vec<u8>,
}

impl Input {
    /// Writes as much as the command takes, and returns whether it took anything. The pipe is closed at the end, and if
    /// the command does not want it.
    fn feed(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.write(&self.rest) {
            Ok(written) if written < self.rest.len() => {
                self.rest.drain(..written);
                written > 0
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => false,
            Ok(_) | Err(_) => {
                self.pipe = None;
                true
            }
        }
    }
}

/// The text of a command on stderr.
struct Said {
    pipe: Option<ChildStderr>,
    end: VecDeque<u8>,
}

impl Said {
    /// Reads what is there, at most a piece, and returns whether there was anything.
    fn read(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut piece = vec![0; 1 << 16];
        match pipe.read(&mut piece) {
            Ok(0) => self.pipe = None,
            Ok(read) => {
                self.end.extend(&piece[..read]);
                self.end.drain(..self.end.len().saturating_sub(SAID));
                return true;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
        false
    }

    /// Returns the last line with a character in it, for the end of a message.
    fn last_line(&self) -> String {
        let bytes: Vec<u8> = self.end.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().rev().find(|line| !line.trim().is_empty());
        line.map(|line| format!(": {}", line.trim().replace(char::is_control, "?"))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sh(script: &str, limit: Duration) -> Result<(), String> {
        let words = ["sh", "-c", script].map(str::to_owned);
        run(&words, "{\"event\":\"end\"}\n".to_owned(), limit, &AtomicBool::new(false))
    }

    #[test]
    fn a_command_gets_the_event_and_no_file_of_this_process() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        let _open = std::fs::File::create(&open).unwrap();
        let file = folder.path().join("got");
        // Its stdout is noted by the shell before it goes to the file.
        let script = "(readlink /proc/$$/fd/1; cat; readlink /proc/$$/fd/*)";
        sh(&format!("{script} >'{}'", file.display()), LONG).unwrap();
        let got = std::fs::read_to_string(file).unwrap();
        assert!(got.starts_with("/dev/null\n{\"event\":\"end\"}\n"), "{got}");
        assert!(!got.contains(&*open.to_string_lossy()), "{got}");
    }

    #[test]
    fn how_a_command_fails_is_said_with_its_last_words() {
        assert_eq!(
            sh("echo no; echo one >&2; echo 'two \u{7}' >&2; echo >&2; exit 3", LONG).unwrap_err(),
            "ended with exit code 3: two ?"
        );
        assert_eq!(sh("kill -9 $$", LONG).unwrap_err(), "was ended by SIGKILL");
        let missing = run(&["./no-such".to_owned()], String::new(), LONG, &AtomicBool::new(false)).unwrap_err();
        assert!(missing.starts_with("cannot be started: ") && missing.ends_with("give its whole path"), "{missing}");
    }

    /// Its group is another one than that of this test, which would otherwise end.
    #[test]
    fn a_command_that_kills_its_group_kills_itself() {
        assert_eq!(sh("kill -9 0; sleep 60", LONG).unwrap_err(), "was ended by SIGKILL");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process");
        let script = format!("trap '' TERM; sleep 300 & echo $! >'{}'; wait", file.display());
        let began = Instant::now();
        let error = sh(&script, Duration::from_millis(500)).unwrap_err();
        assert!(error.starts_with("was killed after "), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30), "it was waited for");
        let process = std::fs::read_to_string(file).unwrap();
        let stat = format!("/proc/{}/stat", process.trim());
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        while !is_gone() {
            assert!(began.elapsed() < Duration::from_secs(30), "what it started still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_command_may_leave_its_input_and_write_much() {
        sh("exec 0<&-; head -c 100000000 /dev/zero; head -c 3000000 /dev/zero >&2", LONG).unwrap();
        // A process that it leaves behind may hold its output open.
        sh("sleep 5 & exit 0", LONG).unwrap();
        let long = "x".repeat(1 << 20);
        let words = ["sh", "-c", "sleep 0.1; test $(wc -c) = 1048576"].map(str::to_owned);
        run(&words, long, LONG, &AtomicBool::new(false)).unwrap();
    }
}
