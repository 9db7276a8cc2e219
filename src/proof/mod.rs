//! Proof that the runs of a program survive being killed: run it, run it again under SIGKILL at random moments, compare
//! every bit.
//!
//! It works on processes from outside, with what they leave on the disk, so it proves of a user's own program what it
//! proves of `train`. Everything it does is decided by a seed, but for how fast the machine is.

mod aim;
mod before;
mod error;
mod files;
mod hunt;
mod place;
mod program;
mod text;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use globset::{Glob, GlobSet, GlobSetBuilder};

pub use error::ProofError;
pub use files::FileDigests;
use hunt::Hunter;
pub use hunt::Kill;
use place::{Place, checkpoints_of};
pub use program::Program;

use crate::checkpoint::Folder;
use crate::report::diff::Difference;

/// What is to be proved, and how hard.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program.
    pub program: Program,
    /// How many kills there are to be.
    pub kills: u32,
    /// Decides when they come.
    pub seed: u64,
    /// Numbers of threads, which each process after the other is started with; none leaves it to the environment.
    pub threads: Vec<NonZeroUsize>,
    /// The directory to work in. It must be empty, or not be there.
    pub out: PathBuf,
    /// Patterns of files of a run that need not be the same, such as `events.*`.
    pub ignore: Vec<String>,
    /// Whether the program saves by the clock. Then only checkpoints that both runs have are compared.
    pub saves_by_the_clock: bool,
}

/// What a proof is doing, for whoever watches it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The uninterrupted run begins.
    Uninterrupted,
    /// It has ended, after so many steps and seconds.
    Measured {
        /// The step of its last checkpoint.
        steps: u64,
        /// How long it took.
        seconds: f64,
    },
    /// A kill was made.
    Killed(&'a Kill),
    /// A kill found no process to hit, however early it came.
    Missed,
    /// The killed run is brought to its end.
    Finishing,
    /// The two runs are compared.
    Comparing,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The kills that were made.
    pub kills: Vec<Kill>,
    /// How many were asked for.
    pub asked: u32,
    /// What decided when they came.
    pub seed: u64,
    /// The numbers of threads that were used in turn.
    pub threads: Vec<NonZeroUsize>,
    /// The step of the last checkpoint.
    pub steps: u64,
    /// The uninterrupted run.
    pub whole: PathBuf,
    /// The run under kills.
    pub killed: PathBuf,
    /// How the program failed under kills, where it did; then nothing was compared.
    pub broken: Option<String>,
    /// Every file of either run with its digests.
    pub files: Vec<FileDigests>,
    /// Where the two differ.
    pub difference: Difference,
}

impl Proof {
    /// Whether the run under kills came to the same bits.
    pub fn is_proved(&self) -> bool {
        let enough = self.asked == 0 || !self.kills.is_empty();
        enough
            && self.broken.is_none()
            && self.difference.is_identical()
            && self.files.iter().all(FileDigests::are_same)
    }
}

/// Carries out `plan`. `stop` is asked often whether to end early, and answers with the signal that asked for it.
///
/// The two runs stay, in `whole` and `killed` of the plan's directory. After an error what was made is removed again,
/// unless the runs were complete.
///
/// # Errors
/// When the directory is not empty, the uninterrupted run fails or leaves no checkpoint, a file cannot be read or
/// written, or it was asked to stop. A program that fails only under kills is no error, but a finding.
pub fn prove(
    plan: &Plan,
    stop: &dyn Fn() -> Option<i32>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Proof, ProofError> {
    plan.program.check()?;
    let ignored = ignored(&plan.ignore)?;
    let place = Place::create(&plan.out)?;
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
    place: &Place,
    stop: &dyn Fn() -> Option<i32>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Proof, ProofError> {
    let mut hunter = Hunter::new(plan, place, stop);
    tell(Event::Uninterrupted);
    let pace = hunter.measure()?;
    tell(Event::Measured { steps: pace.steps, seconds: pace.whole.as_secs_f64() });
    let (kills, broken) = hunter.kill_again_and_again(pace, tell)?;
    let mut proof = Proof {
        kills,
        asked: plan.kills,
        seed: plan.seed,
        threads: plan.threads.clone(),
        steps: pace.steps,
        whole: place.whole(),
        killed: place.killed(),
        broken,
        files: Vec::new(),
        difference: Difference::default(),
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
        if in_killed.is_empty() {
            self.broken = Some("it has ended well and left no checkpoint".to_owned());
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
}

fn ignored(patterns: &[String]) -> Result<GlobSet, ProofError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let wrong = |error: globset::Error| ProofError::Pattern { pattern: pattern.clone(), reason: error.to_string() };
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map_err(|error| ProofError::Pattern { pattern: patterns.join(" "), reason: error.to_string() })
}
