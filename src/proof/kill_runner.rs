//! Kills: each aimed, executed, and described by what it hit.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::error::ProofError;
use super::kill_target::{KillTarget, PlannedKill, targets};
use super::others;
use super::program::{Program, Running, describe};
use super::run_backup::RunBackup;
use super::workspace::{Workspace, checkpoints_of, last_lines, without_place};
use super::{Event, Plan};
use crate::checkpoint::{Checkpoint, Folder, is_temporary};
use crate::memory::OomKills;
use crate::train::{Phase, Progress};

/// An executed kill.
#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    /// The step of the checkpoint that the process continued from; `None` if it had started from the beginning.
    pub from: Option<u64>,
    /// Number of updates made: as reported by the process, otherwise from its log and its checkpoints.
    pub step: u64,
    /// Phase of the process. A save is recognized by its files on disk, other phases by the process's reports; `None`
    /// without a report.
    pub phase: Option<Phase>,
    /// Number of threads it was started with, if the plan sets it.
    pub threads: Option<NonZeroUsize>,
    /// How long it had been running.
    pub after: Duration,
}

/// Measured durations of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Duration of the whole run.
    pub whole: Duration,
    /// Duration until its first checkpoint existed.
    pub startup: Duration,
    /// Duration until the last process reported its first update; `startup` if none has reported.
    pub ready: Duration,
    /// Duration of one save.
    pub save: Duration,
    /// The step of its last checkpoint.
    pub steps: u64,
}

/// Result of a process that was to be killed.
enum Outcome {
    Killed(Kill),
    /// It finished before the kill.
    Finished,
    /// It failed by itself.
    Failed(ExitStatus),
}

impl Outcome {
    fn by_itself(status: ExitStatus) -> Self {
        if status.success() { Self::Finished } else { Self::Failed(status) }
    }
}

/// Starts the program and kills it.
pub(super) struct KillRunner<'a> {
    plan: &'a Plan,
    place: &'a Workspace,
    stop: &'a dyn Fn() -> Option<i32>,
    launches: usize,
    /// The processes that the system had killed for lack of memory before.
    oom_kills: OomKills,
}

impl<'a> KillRunner<'a> {
    pub fn new(plan: &'a Plan, place: &'a Workspace, stop: &'a dyn Fn() -> Option<i32>) -> Self {
        Self { plan, place, stop, launches: 0, oom_kills: OomKills::so_far() }
    }

    /// Makes the uninterrupted run.
    pub fn measure(&mut self) -> Result<Pace, ProofError> {
        let run = self.place.whole();
        let mut process = self.start(&run, false)?;
        let mut startup = None;
        let status = loop {
            if let Some(status) = process.ended()? {
                break status;
            }
            if startup.is_none() && has_checkpoint(&run) {
                startup = Some(process.elapsed());
            }
            self.heed_stop()?;
            sleep(Duration::from_millis(if startup.is_some() { 5 } else { 1 }));
        };
        let whole = process.elapsed();
        if !status.success() {
            let (how, said) = self.last_words(&run, status);
            return Err(ProofError::Fails { how, said: without_place(&said, &run) });
        }
        let last = Folder::new(checkpoints_of(&run)).list()?.into_iter().next_back();
        let steps = match last {
            Some((steps, _)) => steps,
            None if others::list(&run).is_empty() => return Err(ProofError::NoCheckpoint { path: run }),
            None => others::newest(&run).unwrap_or(0),
        };
        let save = usual_save(&run.join("timing.jsonl")).unwrap_or(Duration::from_millis(2));
        let startup = startup.unwrap_or(whole);
        Ok(Pace { whole, startup, ready: startup, save, steps })
    }

    /// Kills a run as often as planned, and then lets it finish. Returns how the program failed, if it did.
    pub fn kill_again_and_again(
        &mut self,
        mut pace: Pace,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Vec<Kill>, Option<String>), ProofError> {
        let run = self.place.killed();
        let mut kills = Vec::new();
        for target in targets(self.plan.seed, self.plan.kills) {
            match self.kill(target, &mut pace)? {
                Outcome::Killed(kill) => {
                    tell(Event::Killed(&kill));
                    kills.push(kill);
                }
                Outcome::Finished => tell(Event::Missed),
                Outcome::Failed(status) => {
                    let broken = self.broken(&run, status, kills.len());
                    return Ok((kills, Some(broken)));
                }
            }
        }
        tell(Event::Finishing);
        let mut process = self.start(&run, true)?;
        let status = loop {
            if let Some(status) = process.ended()? {
                break status;
            }
            self.heed_stop()?;
            sleep(Duration::from_millis(2));
        };
        let broken = (!status.success()).then(|| self.broken(&run, status, kills.len()));
        Ok((kills, broken))
    }

    /// Executes one kill. If the process ends before the kill, or has saved its last step so that later kills have no
    /// target, the run is restored and the next attempt kills earlier; returns `Finished` if that does not help.
    fn kill(&mut self, mut target: PlannedKill, pace: &mut Pace) -> Result<Outcome, ProofError> {
        const ATTEMPTS: u32 = 12;
        let (run, copy) = (self.place.killed(), self.place.before());
        for attempt in 0..ATTEMPTS {
            let before = RunBackup::take(&run, &copy).map_err(ProofError::io("copy to", &copy))?;
            let from = newest(&run);
            let delay = target.delay(pace, from.unwrap_or(0)).mul_f64(0.5_f64.powi(attempt as i32));
            match self.run_and_kill(&run, target, delay, pace, from)? {
                Outcome::Failed(status) => return Ok(Outcome::Failed(status)),
                Outcome::Killed(kill) if newest(&run) != Some(pace.steps) => return Ok(Outcome::Killed(kill)),
                Outcome::Killed(_) | Outcome::Finished => {
                    before.restore().map_err(ProofError::io("put back", &run))?;
                }
            }
            // There may be no further save to hit.
            target.aim = if target.aim == KillTarget::Save { KillTarget::Moment } else { target.aim };
        }
        Ok(Outcome::Finished)
    }

    fn run_and_kill(
        &mut self,
        run: &Path,
        target: PlannedKill,
        delay: Duration,
        pace: &mut Pace,
        from: Option<u64>,
    ) -> Result<Outcome, ProofError> {
        let (saves_before, logged_before) = (unfinished_saves(run), last_logged(&run.join("log.jsonl")));
        let mut process = self.start(run, true)?;
        let mut due = delay;
        let mut waits_for_save = target.aim == KillTarget::Save;
        let mut has_told = false;
        loop {
            if !has_told && Progress::last_told(&self.place.progress()).is_some() {
                has_told = true;
                pace.ready = process.elapsed();
            }
            if let Some(status) = process.ended()? {
                return Ok(Outcome::by_itself(status));
            }
            self.heed_stop()?;
            let left = due.saturating_sub(process.elapsed());
            if !left.is_zero() {
                doze(left, if has_told { 5 } else { 1 });
            } else if !waits_for_save {
                break;
            } else if unfinished_saves(run).is_subset(&saves_before) {
                sleep(Duration::from_micros(100));
            } else {
                waits_for_save = false;
                due = process.elapsed() + pace.save.mul_f64(target.within);
            }
        }
        let (after, threads) = (process.elapsed(), process.threads);
        if let Some(status) = process.kill()? {
            return Ok(Outcome::by_itself(status));
        }
        let told = Progress::last_told(&self.place.progress());
        let was_saving = !unfinished_saves(run).is_subset(&saves_before);
        let phase = match told {
            _ if was_saving => Some(Phase::Saving),
            Some((phase, _)) => Some(phase),
            None if matches!(self.plan.program, Program::Train { .. }) => Some(Phase::Starting),
            None => None,
        };
        let step = match (told, phase) {
            (Some((_, step)), _) => step,
            (None, Some(Phase::Starting)) => from.unwrap_or(0),
            (None, _) => {
                // Unchanged log content is from an earlier process.
                let logged = Some(last_logged(&run.join("log.jsonl"))).filter(|logged| *logged != logged_before);
                logged.flatten().max(newest(run)).unwrap_or(0)
            }
        };
        Ok(Outcome::Killed(Kill { from, step, phase, threads, after }))
    }

    /// Starts the program, each time with the next number of threads.
    fn start(&mut self, run: &Path, is_watched: bool) -> Result<Running, ProofError> {
        let threads = &self.plan.threads;
        let threads = self.launches.checked_rem(threads.len()).and_then(|number| threads.get(number)).copied();
        let launchers = &self.plan.launchers;
        let launcher = self.launches.checked_rem(launchers.len()).and_then(|number| launchers.get(number));
        let launcher = launcher.map_or("", String::as_str);
        self.launches += 1;
        let progress = self.place.progress();
        self.plan.program.start(
            run,
            &self.place.said(run),
            is_watched.then_some(progress.as_path()),
            (threads, launcher),
        )
    }

    fn heed_stop(&self) -> Result<(), ProofError> {
        (self.stop)().map_or(Ok(()), |signal| Err(ProofError::Stopped { signal }))
    }

    fn last_words(&self, run: &Path, status: ExitStatus) -> (String, String) {
        let said = last_lines(&self.place.said(run)).unwrap_or_default();
        let killed = self.oom_kills.since().filter(|_| status.signal() == Some(Signal::KILL.as_raw()));
        let cause = killed.map(|killed| format!(": {killed}; {}", OomKills::REMEDY)).unwrap_or_default();
        (
            format!("{}{cause}", describe(status)),
            if said.is_empty() { "; it printed nothing".to_owned() } else { format!("; it printed{said}") },
        )
    }

    fn broken(&self, run: &Path, status: ExitStatus, kills: usize) -> String {
        let (how, said) = self.last_words(run, status);
        format!("started again after kill {kills}, the program failed with {how}{said}")
    }
}

/// Sleeps most of the remaining time, in short intervals, so that an end or a signal is noticed soon.
fn doze(left: Duration, most_milliseconds: u64) {
    let slack = Duration::from_micros(300);
    sleep(left.saturating_sub(slack).clamp(Duration::from_micros(20), Duration::from_millis(most_milliseconds)));
}

fn has_checkpoint(run: &Path) -> bool {
    Folder::new(checkpoints_of(run)).list().is_ok_and(|found| !found.is_empty()) || !others::list(run).is_empty()
}

/// Returns the step of the newest valid checkpoint, from which a run continues.
fn newest(run: &Path) -> Option<u64> {
    let all = Folder::new(checkpoints_of(run)).list().ok()?;
    if all.is_empty() {
        return others::newest(run);
    }
    all.into_iter().rev().find(|(_, path)| Checkpoint::verify(path).is_ok()).map(|(step, _)| step)
}

/// Returns the directories of saves in progress, or interrupted by a kill.
fn unfinished_saves(run: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(checkpoints_of(run)).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_temporary)).collect()
}

/// Returns the number of updates in a log: one more than the step of its last complete line.
fn last_logged(path: &Path) -> Option<u64> {
    const TAIL: u64 = 1 << 16;
    let read = || {
        let mut file = File::open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.take(TAIL).read_to_end(&mut tail)?;
        Ok::<_, io::Error>(tail)
    };
    let tail = read().ok()?;
    let step = |line: &[u8]| serde_json::from_slice::<Value>(line).ok()?["step"].as_u64();
    tail.rsplit(|&byte| byte == b'\n').find_map(step).map(|step| step.saturating_add(1))
}

/// Returns the duration of a save: the median in `timing.jsonl`.
fn usual_save(path: &Path) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut seconds: Vec<f64> =
        lines.filter(|line| line["event"] == "saved").filter_map(|line| line["seconds"].as_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    Duration::try_from_secs_f64(*seconds.get(seconds.len() / 2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_of_a_log_tells_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        assert_eq!(last_logged(&path), None);
        fs::write(&path, "{\"step\":6}\n{\"step\":7}\n{\"ste").unwrap();
        assert_eq!(last_logged(&path), Some(8));
        fs::write(&path, format!("{}\n{{\"step\":9}}\n", "x".repeat(1 << 17))).unwrap();
        assert_eq!(last_logged(&path), Some(10));
    }
}
