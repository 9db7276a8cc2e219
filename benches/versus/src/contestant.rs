//! A contestant's process, from the bench's side: requests go in, a line of JSON comes back for each, with a time
//! limit.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A process that answers requests. It is ended when it is dropped.
pub struct Contestant {
    process: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
}

impl Contestant {
    /// Starts a contestant; its stderr goes to the file `errors`.
    pub fn start(mut command: Command, errors: PathBuf) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors)?);
        let mut process = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        let (sender, answers) = channel();
        let stdout = process.stdout.take().context("stdout is a pipe")?;
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { requests: process.stdin.take(), process, answers, errors })
    }

    /// Returns the next line, within `patience`.
    pub fn line(&mut self, patience: Duration) -> Result<String> {
        match self.answers.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("it said nothing for {} s", patience.as_secs()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait()?;
                let errors = fs::read_to_string(&self.errors).unwrap_or_default();
                let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
                bail!("{last} ({status})")
            }
        }
    }

    /// Waits for a line of the process, asks it to stop like Ctrl-C, and waits for its end.
    pub fn interrupt_after_a_line(mut self, patience: Duration) -> Result<()> {
        self.line(patience)?;
        kill_process(Pid::from_child(&self.process), Signal::INT)?;
        self.process.wait()?;
        Ok(())
    }

    /// The next line, which is JSON.
    pub fn answer(&mut self, patience: Duration) -> Result<Value> {
        let line = self.line(patience)?;
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: &str, patience: Duration) -> Result<Value> {
        if let Some(requests) = &mut self.requests {
            // If the process does not read it, the answer will be missing, and that error says more.
            let _ = writeln!(requests, "{request}");
        }
        self.answer(patience)
    }

    /// Makes a request whose answer is a time.
    pub fn seconds(&mut self, request: &str) -> Result<f64> {
        let answer = self.ask(request, Duration::from_secs(600))?;
        answer["seconds"].as_f64().with_context(|| format!("no time in {answer}"))
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
