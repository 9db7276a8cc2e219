//! Kill test for runs of a program: runs it once, runs it again while killing it with SIGKILL at random moments, and
//! compares every bit.
//!
//! It works on processes from outside, with their files on disk, so it tests a user's own program in the same way as
//! `train`. The checkpoints of such a program may be of another trainer: they are compared through [`crate::peers`].
//! Everything except the machine's speed is determined by a seed.

mod error;
mod files;
mod kill_runner;
mod kill_target;
mod lines;
mod others;
mod program;
mod run_backup;
mod text;
mod workspace;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use globset::{Glob, GlobSet, GlobSetBuilder};

pub use error::ProofError;
pub use files::FileDigests;
pub use kill_runner::Kill;
use kill_runner::KillRunner;
pub use lines::LineDifference;
pub use others::OtherCheckpoint;
pub use program::Program;
use workspace::{Workspace, checkpoints_of};

use crate::checkpoint::Folder;
use crate::report::diff::Difference;

/// Plan of a kill test.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program to test.
    pub program: Program,
    /// Number of kills.
    pub kills: u32,
    /// Seed of the times of the kills.
    pub seed: u64,
    /// Numbers of threads, used in turn for each start of a process; empty for the setting of the environment.
    pub threads: Vec<NonZeroUsize>,
    /// Launchers with their arguments, such as `mpirun -n 2`, used in turn for each start; an empty one starts the
    /// program by itself. All processes that a launcher has started are killed at once.
    pub launchers: Vec<String>,
    /// The working directory. It must be empty or not exist.
    pub out: PathBuf,
    /// Patterns of files of a run that may differ, such as `events.*`.
    pub ignore: Vec<String>,
    /// Whether the program saves by the clock. Then only checkpoints that both runs have are compared.
    pub saves_by_the_clock: bool,
}

/// Progress of a kill test.
#[derive(Debug)]
pub enum Event<'a> {
    /// The uninterrupted run begins.
    Uninterrupted,
    /// The uninterrupted run has ended.
    Measured {
        /// The step of its last checkpoint.
        steps: u64,
        /// Its duration in seconds.
        seconds: f64,
    },
    /// A kill was executed.
    Killed(&'a Kill),
    /// A kill found no process to hit, however early it came.
    Missed,
    /// The killed run is continued to its end.
    Finishing,
    /// The two runs are compared.
    Comparing,
}

/// Result of a kill test.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The executed kills.
    pub kills: Vec<Kill>,
    /// Number of kills asked for.
    pub asked: u32,
    /// The seed of their times.
    pub seed: u64,
    /// The numbers of threads that were used in turn.
    pub threads: Vec<NonZeroUsize>,
    /// The launchers that were used in turn.
    pub launchers: Vec<String>,
    /// The step of the last checkpoint.
    pub steps: u64,
    /// The uninterrupted run.
    pub whole: PathBuf,
    /// The run with kills.
    pub killed: PathBuf,
    /// How the program failed in the run with kills, if it did; then nothing was compared.
    pub broken: Option<String>,
    /// Every file of either run, with its digests.
    pub files: Vec<FileDigests>,
    /// The differences between the two runs, in checkpoints and logs of Rekindle.
    pub difference: Difference,
    /// The checkpoints of another trainer that differ, in the order in which they were written.
    pub others: Vec<OtherCheckpoint>,
    /// The first line that differs in each text file that does.
    pub lines: Vec<LineDifference>,
}

impl Proof {
    /// Whether the run with kills has the same bits.
    pub fn is_identical(&self) -> bool {
        let enough = self.asked == 0 || !self.kills.is_empty();
        enough
            && self.broken.is_none()
            && self.difference.is_identical()
            && self.others.is_empty()
            && self.files.iter().all(FileDigests::are_same)
    }
}

/// Executes `plan`. `stop` is polled for early termination; it returns the number of the signal that asked for it.
///
/// The two runs stay, in `whole` and `killed` of the plan's directory. After an error the created files are removed,
/// unless the runs were complete.
///
/// # Errors
/// The directory is not empty, the uninterrupted run fails or leaves no checkpoint, a file cannot be read or written,
/// or a signal asked to stop. A program that fails only in the run with kills is not an error, but a result.
pub fn prove(
    plan: &Plan,
    stop: &dyn Fn() -> Option<i32>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Proof, ProofError> {
    plan.program.check()?;
    let ignored = ignored(&plan.ignore)?;
    let place = Workspace::create(&plan.out)?;
    let proof = carry_out(plan, &ignored, &place, stop, tell);
    match &proof {
        Err(error) if !error.is_about_comparing() => place.remove(),
        _ => place.tidy(),
    }
    proof
}

fn carry_out(
    plan: &Plan,
    ignored: &GlobSet,
    place: &Workspace,
    stop: &dyn Fn() -> Option<i32>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Proof, ProofError> {
    let mut hunter = KillRunner::new(plan, place, stop);
    tell(Event::Uninterrupted);
    let pace = hunter.measure()?;
    tell(Event::Measured { steps: pace.steps, seconds: pace.whole.as_secs_f64() });
    let (kills, broken) = hunter.kill_again_and_again(pace, tell)?;
    let mut proof = Proof {
        kills,
        asked: plan.kills,
        seed: plan.seed,
        threads: plan.threads.clone(),
        launchers: plan.launchers.clone(),
        steps: pace.steps,
        whole: place.whole(),
        killed: place.killed(),
        broken,
        files: Vec::new(),
        difference: Difference::default(),
        others: Vec::new(),
        lines: Vec::new(),
    };
    if proof.broken.is_none() {
        tell(Event::Comparing);
        proof.compare(plan, ignored)?;
    }
    Ok(proof)
}

impl Proof {
    fn compare(&mut self, plan: &Plan, ignored: &GlobSet) -> Result<(), ProofError> {
        let folders = [&self.whole, &self.killed].map(|run| Folder::new(checkpoints_of(run)));
        let steps = |folder: &Folder| Ok::<_, ProofError>(folder.list()?.into_iter().map(|(step, _)| step).collect());
        let [in_whole, in_killed]: [Vec<u64>; 2] = [steps(&folders[0])?, steps(&folders[1])?];
        if in_whole.is_empty() {
            return self.compare_others(ignored);
        }
        if in_killed.is_empty() {
            self.broken = Some("it has succeeded without a checkpoint".to_owned());
            return Ok(());
        }
        let sides = [&self.whole, &self.killed].map(|run| match run.join("config.toml").exists() {
            true => run.clone(),
            false => checkpoints_of(run),
        });
        self.difference = Difference::between(&sides[0], &sides[1])?;
        self.files = files::compare(&self.whole, &self.killed, ignored)?;
        if plan.saves_by_the_clock {
            let is_shared = |step| in_whole.contains(&step) && in_killed.contains(&step);
            self.files.retain(|file| file.step().is_none_or(is_shared));
            let is_checkpoint = |name: &String| name.starts_with("step-");
            self.difference.only_in_a.retain(|name| !is_checkpoint(name));
            self.difference.only_in_b.retain(|name| !is_checkpoint(name));
        }
        Ok(())
    }

    /// Compares runs of a program that writes checkpoints of another trainer.
    fn compare_others(&mut self, ignored: &GlobSet) -> Result<(), ProofError> {
        if others::list(&self.killed).is_empty() {
            self.broken = Some("it has succeeded without a checkpoint".to_owned());
            return Ok(());
        }
        self.files = files::compare(&self.whole, &self.killed, ignored)?;
        self.others = others::compare(&self.whole, &self.killed, ignored);
        self.lines = lines::compare(&self.whole, &self.killed, &self.files);
        Ok(())
    }
}

fn ignored(patterns: &[String]) -> Result<GlobSet, ProofError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let wrong = |error: globset::Error| ProofError::Pattern { pattern: pattern.clone(), reason: error.to_string() };
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map_err(|error| ProofError::Pattern { pattern: patterns.join(" "), reason: error.to_string() })
}
