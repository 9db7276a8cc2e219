//! The processes of a sweep: one for each trial that trains, as many at once as there is room for.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rekindle::figures;
use rekindle::figures::counted;
use rekindle::memory::OomKills;
use rekindle::sweep::{Directory, End, Next, Progress};
use rekindle::train::{Console, Interval, RunDirectory, Sink, Traces};

use crate::supervise::history::{self, History};
use crate::supervise::process::{Process, Signals, name};
use crate::supervise::verdict::{self, Failure, Verdict};

/// The pause before a killed trial is started again; it doubles while the trial makes no steps.
const PAUSE: Duration = Duration::from_secs(1);

/// How many trials run at once, and the threads of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    parallel: usize,
    threads: usize,
}

impl Room {
    /// Divides the threads of this process among the `wanted` trials at once, of `trials` in all; no trial has less than
    /// one. Also returns a note if there is no room for them.
    pub fn of(wanted: usize, trials: usize) -> (Self, Option<String>) {
        let cores = env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&cores| cores > 0);
        Self::among(cores.unwrap_or(1), wanted, trials)
    }

    fn among(cores: usize, wanted: usize, trials: usize) -> (Self, Option<String>) {
        let wanted = wanted.min(trials).max(1);
        let parallel = wanted.min(cores);
        let note = format!(
            "note: {parallel} instead of {wanted} trials at once, one for each of the {cores} threads here \
             (RAYON_NUM_THREADS); the outcome is the same"
        );
        (Self { parallel, threads: cores / parallel }, (parallel < wanted).then_some(note))
    }
}

/// A process that trains a trial.
struct Child {
    process: Process,
    until: Option<Interval>,
    began: Instant,
    /// The traces of the run before it.
    before: Traces,
    /// The processes that the system had killed for lack of memory before it.
    kills: OomKills,
}

/// The attempts at a trial whose process was killed.
struct Attempts {
    history: History,
    not_before: Instant,
}

/// Starts the processes, and takes in what they have done.
pub struct Runner<'a> {
    directory: &'a Directory,
    progress: Progress,
    settled: &'a [&'a str],
    room: Room,
    children: BTreeMap<usize, Child>,
    attempts: BTreeMap<usize, Attempts>,
    /// Whether a trial waits for a pause, or for an earlier process in its run directory.
    is_delayed: bool,
    /// The trials that have been said to wait for such a process.
    waits_for: Vec<usize>,
}

impl<'a> Runner<'a> {
    pub fn new(directory: &'a Directory, progress: Progress, settled: &'a [&'a str], room: Room) -> Self {
        let (children, attempts) = Default::default();
        Self { directory, progress, settled, room, children, attempts, is_delayed: false, waits_for: Vec::new() }
    }

    /// Returns the number of trials that have ended.
    pub fn ended(&self) -> usize {
        self.progress.ended()
    }

    /// Makes all trials, or those until a signal asks to stop. After an error the processes save and stop too.
    pub fn run(&mut self, signals: &mut Signals, console: &mut Console) -> Result<()> {
        self.progress.save(self.directory)?;
        let ended = self.trials(signals, console);
        if ended.is_err() {
            self.children.values().for_each(|child| child.process.stop());
            while !self.children.is_empty() {
                if let Some(heard) = signals.hear(Duration::from_millis(100)) {
                    self.children.values().for_each(|child| child.process.pass_on(&heard));
                }
                // One that cannot be waited for is no longer there.
                self.children.retain(|_, child| matches!(child.process.ended(), Ok(None)));
            }
        }
        ended
    }

    fn trials(&mut self, signals: &mut Signals, console: &mut Console) -> Result<()> {
        /// A SIGCHLD tells of an end at once. This is how long it takes if that is lost.
        const LOOK: Duration = Duration::from_secs(10);
        const SOON: Duration = Duration::from_millis(50);
        let mut is_told = false;
        loop {
            if signals.asked().is_none() {
                self.advance(console)?;
            }
            let is_done = signals.asked().is_some() || !self.is_delayed;
            if self.children.is_empty() && is_done {
                return Ok(());
            }
            if let Some(heard) = signals.hear(if self.is_delayed { SOON } else { LOOK }) {
                self.children.values().for_each(|child| child.process.pass_on(&heard));
            }
            if let Some(signal) = signals.asked().filter(|_| !is_told) {
                is_told = true;
                let running = counted(self.children.len() as u64, "trial");
                let verbs = if self.children.len() == 1 { "saves and stops" } else { "save and stop" };
                console.message(&format!(
                    "{}: {running} {verbs}; once more to stop at once, without saving",
                    name(signal)
                ));
            }
            self.take_in(signals.asked(), console)?;
        }
    }

    /// Decides on trials at their rungs, and starts those that there is room for, in the order of their numbers.
    fn advance(&mut self, console: &mut Console) -> Result<()> {
        self.is_delayed = false;
        for number in 0..self.progress.plan().trials() {
            if self.children.contains_key(&number) {
                continue;
            }
            if self.progress.judge(number) {
                self.tell_end(number, console)?;
            }
            if self.children.len() >= self.room.parallel {
                continue;
            }
            if let Next::Trains { until } = self.progress.next(number) {
                let is_paused = self.attempts.get(&number).is_some_and(|of| of.not_before > Instant::now());
                let holder = RunDirectory::holder(&self.directory.run(number));
                if let Some(holder) = holder.as_ref().filter(|_| !self.waits_for.contains(&number)) {
                    self.waits_for.push(number);
                    console.message(&format!("trial {number} waits for {holder}, which still trains in its directory"));
                }
                if is_paused || holder.is_some() {
                    self.is_delayed = true;
                } else {
                    self.start(number, until)?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, number: usize, until: Option<Interval>) -> Result<()> {
        let run = self.directory.run(number);
        let before = Traces::of(&run);
        let mut words: Vec<OsString> =
            vec![env::current_exe().context("this program's file cannot be found to start it again")?.into()];
        if before.is_run {
            words.extend(["--resume".into(), run.into()]);
        } else {
            if run.exists() {
                // A killed process may have left files that are in the way.
                Traces::clear_unbegun(&run).with_context(|| format!("{}: cannot be emptied", run.display()))?;
            }
            words.extend([self.directory.config(number).into(), "--out".into(), run.into()]);
        }
        words.extend(until.iter().flat_map(|until| [OsString::from("--until"), until.to_string().into()]));
        self.directory.fetch_output(number);
        let output = self.directory.output(number);
        let opened = OpenOptions::new().create(true).append(true).open(&output);
        let streams = opened.and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = streams.with_context(|| format!("{}: cannot be written", output.display()))?;
        let kills = OomKills::so_far();
        let process = Process::start_with(&words, self.settled, |command| {
            command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
            command.env("RAYON_NUM_THREADS", self.room.threads.to_string());
        })?;
        self.children.insert(number, Child { process, until, began: Instant::now(), before, kills });
        Ok(())
    }

    /// Takes in the processes that have ended.
    fn take_in(&mut self, asked: Option<i32>, console: &mut Console) -> Result<()> {
        let numbers: Vec<usize> = self.children.keys().copied().collect();
        for number in numbers {
            let Some(child) = self.children.get_mut(&number) else { continue };
            if let Some(status) = child.process.ended()?
                && let Some(child) = self.children.remove(&number)
            {
                self.directory.keep_output(number);
                self.take_in_one(number, &child, status, asked, console)?;
            }
        }
        Ok(())
    }

    fn take_in_one(
        &mut self,
        number: usize,
        child: &Child,
        status: ExitStatus,
        asked: Option<i32>,
        console: &mut Console,
    ) -> Result<()> {
        const REFUSED: [u8; 3] = [2, 126, 127];
        let after = Traces::of(&self.directory.run(number));
        let end = after.end.as_ref().filter(|end| child.before.end.as_ref() != Some(end));
        let unknown = |how: String| Failure { how, step: None, error: None };
        let failure = match verdict::of(status, end, asked, true) {
            Verdict::Over(0) => {
                if self.progress.look(self.directory, number)? {
                    return self.tell_end(number, console);
                }
                let is_further = after.step() > child.before.step();
                if is_further || self.progress.next(number) != (Next::Trains { until: child.until }) {
                    return Ok(());
                }
                unknown("ended with exit code 0 and an unfinished run".to_owned())
            }
            // It continues when the sweep does.
            Verdict::Over(_) if asked.is_some() => return Ok(()),
            Verdict::Over(code) if REFUSED.contains(&code) => {
                let error = self.last_words(number).unwrap_or_else(|| format!("ended with exit code {code}"));
                // An earlier process of the trial, perhaps on another machine, is about to end.
                if error.contains(" is in use by ") {
                    self.wait_for_another(number, child, &error, console);
                    return Ok(());
                }
                self.progress.fail(number, (End::Failed, None), error);
                return self.tell_end(number, console);
            }
            Verdict::Over(code) => unknown(format!("was stopped by {}", name(i32::from(code) - 128))),
            Verdict::Failed(failure) => failure.with(child.kills.since()),
        };
        if let (Some(_), Some(end)) = (failure.step, end) {
            let error = end.error.clone().unwrap_or_default();
            let error = error.split("; ").next().unwrap_or_default().to_owned();
            self.progress.look(self.directory, number)?;
            let kind = if end.is_diverged() { End::Diverged } else { End::Failed };
            self.progress.fail(number, (kind, Some(end.step)), error);
            return self.tell_end(number, console);
        }
        self.after_a_kill(number, child, &failure, &after, console)
    }

    /// Tries a trial again after a pause, because another process trains it.
    fn wait_for_another(&mut self, number: usize, child: &Child, error: &str, console: &mut Console) {
        if !self.waits_for.contains(&number) {
            self.waits_for.push(number);
            console.message(&format!("trial {number} waits: {error}"));
        }
        self.attempts_at(number, &child.before).not_before = Instant::now() + PAUSE;
        self.is_delayed = true;
    }

    /// Returns the attempts at a trial, whose run had the traces `before` the first of them.
    fn attempts_at(&mut self, number: usize, before: &Traces) -> &mut Attempts {
        let first = || Attempts { history: History::new(PAUSE, None, before), not_before: Instant::now() };
        self.attempts.entry(number).or_insert_with(first)
    }

    /// Starts a trial again whose process was killed, unless it gets no further.
    fn after_a_kill(
        &mut self,
        number: usize,
        child: &Child,
        failure: &Failure,
        after: &Traces,
        console: &mut Console,
    ) -> Result<()> {
        let attempts = self.attempts_at(number, &child.before);
        let cause = failure.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
        let how = format!("{}{cause}", failure.how);
        match attempts.history.after(failure, after, child.began.elapsed()) {
            history::Next::Restart { pause } => {
                attempts.not_before = Instant::now() + pause;
                self.is_delayed = true;
                console.message(&format!(
                    "trial {number} {how} at step {}; it continues in {pause:?} from its newest checkpoint",
                    after.step()
                ));
                Ok(())
            }
            history::Next::End { why } => {
                let said = self.last_words(number).map(|said| format!(": {said}")).unwrap_or_default();
                self.progress.fail(number, (End::Failed, None), format!("{how}, and {why}{said}"));
                self.tell_end(number, console)
            }
        }
    }

    /// Returns the last error that the processes of a trial have printed.
    fn last_words(&self, number: usize) -> Option<String> {
        let bytes = fs::read(self.directory.output(number)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().rev().find_map(|line| line.strip_prefix("error: ").map(str::to_owned))
    }

    /// Records the end of a trial, and tells of it.
    fn tell_end(&mut self, number: usize, console: &mut Console) -> Result<()> {
        self.progress.save(self.directory)?;
        let Some(ended) = self.progress.end_of(number) else { return Ok(()) };
        let value = ended.value.map(figures::loss);
        let line = match (ended.end, value, &ended.error) {
            (End::Finished, Some(value), _) => format!("trial {number}: {value}"),
            (End::EndedEarly, Some(value), _) => {
                format!("trial {number}: {value} after step {}; ended early", ended.steps)
            }
            (end, _, error) => format!("trial {number} {}: {}", end.word(), error.as_deref().unwrap_or_default()),
        };
        console.message(&line);
        console.at(self.progress.ended() as u64, "");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_are_divided_among_the_trials_at_once() {
        let room = |cores, wanted, trials| Room::among(cores, wanted, trials);
        assert_eq!(room(8, 2, 10), (Room { parallel: 2, threads: 4 }, None));
        assert_eq!(room(7, 3, 10).0, Room { parallel: 3, threads: 2 });
        assert_eq!(room(8, 4, 2), (Room { parallel: 2, threads: 4 }, None), "there are only two trials");
        let (of_two, note) = room(2, 6, 10);
        assert_eq!(of_two, Room { parallel: 2, threads: 1 });
        assert!(note.unwrap().contains("2 instead of 6 trials at once"));
    }
}
