//! A process that trains beside a test, and is killed with it.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Ended;

/// Longer than anything takes that goes well, also on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process, killed with the test should that fail first.
pub struct Training {
    pub process: Child,
    /// The files that its two streams go to. They never fill up as pipes do.
    pub said: [PathBuf; 2],
}

impl Training {
    /// Starts `command`; the files of its streams are made in `folder`.
    pub fn spawn(command: &mut Command, folder: &Path) -> Self {
        let said = [folder.join("stdout"), folder.join("stderr")];
        let [stdout, stderr] = said.each_ref().map(|path| File::create(path).unwrap());
        Self { process: command.stdout(stdout).stderr(stderr).spawn().unwrap(), said }
    }

    pub fn signal(&self, name: &str) {
        assert!(self.signal_if_it_runs(name), "SIG{name} cannot be sent");
    }

    /// As `signal`, where it may have ended already; says whether it was sent.
    pub fn signal_if_it_runs(&self, name: &str) -> bool {
        let id = self.process.id().to_string();
        Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\" 2>/dev/null", name, &id]).status().unwrap().success()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Kills it, and returns whether it was still running.
    pub fn kill(mut self) -> bool {
        self.process.kill().unwrap();
        self.process.wait().unwrap().signal() == Some(9)
    }

    /// Waits for `condition`, which a run that goes well fulfils before it ends.
    #[track_caller]
    pub fn wait_until(&mut self, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < PATIENCE, "the run takes too long");
            let ended = self.process.try_wait().unwrap();
            assert_eq!(ended, None, "the run has ended too soon: {}", fs::read_to_string(&self.said[1]).unwrap());
            sleep(Duration::from_millis(1));
        }
    }

    pub fn ended(mut self) -> Ended {
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

/// Waits until `is_so`; `otherwise` says what is wrong where it never is.
#[track_caller]
pub fn wait_until(is_so: impl Fn() -> bool, otherwise: &str) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{otherwise}");
        sleep(Duration::from_millis(2));
    }
}
