//! A run in the processes that a launcher, such as `mpirun`, has started.
//!
//! The first one keeps the run and prints; the others only compute, and print nothing unless one of them fails.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

#[cfg(feature = "mpi")]
use rekindle::distributed::Mpi;
use rekindle::distributed::{Communicator, Launched, SingleProcess};
use rekindle::figures::counted;
use rekindle::train::{Control, Outcome, RanksError, Run, Sinks, TrainError};

use crate::{Arguments, prepare};

/// How long another process waits, after one is lost, for the first one to save.
#[cfg(feature = "mpi")]
const WHILE_SAVED: std::time::Duration = std::time::Duration::from_secs(10);

/// This process among those of a run.
pub struct Ranks {
    #[cfg(feature = "mpi")]
    mpi: Option<Mpi>,
}

/// How a process ends.
#[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "there are no others"))]
pub struct Ended {
    pub code: u8,
    /// Whether all processes end at the same step. If not, the others must be ended.
    pub together: bool,
    /// Whether another one, which may have to save, ends them.
    pub waits: bool,
}

impl Ended {
    pub fn together(code: u8) -> Self {
        Self { code, together: true, waits: false }
    }

    pub fn alone(code: u8) -> Self {
        Self { code, together: false, waits: false }
    }
}

impl Ranks {
    /// Connects this process with the others, if a launcher has started several.
    ///
    /// # Errors
    /// They cannot be connected. Each would then train the whole run.
    #[cfg(feature = "mpi")]
    pub fn join(launched: Option<Launched>) -> Result<Self, String> {
        Ok(Self { mpi: launched.map(Mpi::join).transpose()? })
    }

    /// As with the feature `mpi`, but several processes cannot be connected.
    #[cfg(not(feature = "mpi"))]
    pub fn join(launched: Option<Launched>) -> Result<Self, String> {
        match launched {
            None => Ok(Self {}),
            Some(Launched { by, world, .. }) => Err(format!(
                "{by} has started {world} processes, but this program was built without MPI, so each would train the \
                 whole run; build it with `--features mpi`, or start one process"
            )),
        }
    }

    #[cfg(feature = "mpi")]
    pub fn communicator(&self) -> Arc<dyn Communicator> {
        self.mpi.as_ref().map_or_else(|| Arc::new(SingleProcess) as _, Mpi::communicator)
    }

    #[cfg(not(feature = "mpi"))]
    pub fn communicator(&self) -> Arc<dyn Communicator> {
        Arc::new(SingleProcess)
    }

    /// Makes the first process give up its wait for the others soon after it is asked to stop: the launcher may kill it
    /// a second later, and its state is all that has to be saved.
    pub fn give_up_with(&self, control: &Control) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = self.mpi.as_ref().filter(|mpi| mpi.rank() == 0) {
            let control = control.clone();
            mpi.give_up_when(move || control.must_stop_now());
        }
        #[cfg(not(feature = "mpi"))]
        let _ = control;
    }

    /// Tells the others that this process fails.
    fn fail(&self) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.fail();
        }
    }

    /// Says how many processes there are, their threads, and why they share no memory.
    pub fn lines(&self) -> Vec<String> {
        let world = self.communicator().world();
        let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse::<u64>().ok());
        let each = threads.filter(|_| world > 1).map(|threads| counted(threads, "thread"));
        let each = each
            .map(|each| format!("note: {world} processes, each with {each}; RAYON_NUM_THREADS sets another number"));
        let without = self.without_memory().map(|reason| {
            format!("note: the processes share no memory, so gradients go by messages, which is slower: {reason}")
        });
        each.into_iter().chain(without).collect()
    }

    #[cfg(feature = "mpi")]
    fn without_memory(&self) -> Option<&str> {
        self.mpi.as_ref().and_then(Mpi::without_memory)
    }

    #[cfg(not(feature = "mpi"))]
    fn without_memory(&self) -> Option<&str> {
        None
    }

    /// Ends this process. If the others would wait for it, they are ended too.
    #[cfg(feature = "mpi")]
    pub fn leave(self, ended: Ended) -> ExitCode {
        match self.mpi {
            Some(mpi) if ended.together => mpi.leave(ended.code),
            Some(mpi) => {
                if ended.waits {
                    std::thread::sleep(WHILE_SAVED);
                }
                mpi.abort(ended.code)
            }
            None => {}
        }
        ExitCode::from(ended.code)
    }

    #[cfg(not(feature = "mpi"))]
    pub fn leave(self, ended: Ended) -> ExitCode {
        ExitCode::from(ended.code)
    }

    /// Whether this process is the one to say that another is lost: the first one, or the second if the first is lost.
    fn says(&self) -> bool {
        #[cfg(feature = "mpi")]
        return self.mpi.as_ref().is_none_or(|mpi| mpi.rank() == usize::from(mpi.lost() == Some(0)));
        #[cfg(not(feature = "mpi"))]
        true
    }
}

/// Computes the run as one of the processes that do not keep it.
pub fn follow(arguments: &Arguments, ranks: &Ranks) -> Ended {
    let rank = ranks.communicator().rank();
    let Ok(control) = Control::from_signals(|_| {}) else { return Ended::alone(1) };
    let mut run = match prepare(arguments, ranks, control) {
        Ok(resumed) => arguments.until.limit(resumed.run),
        Err(error) => {
            // The first one prints all others.
            if matches!(error, TrainError::Ranks(RanksError::Unconnected { .. })) {
                say(&error.to_string());
            }
            return Ended::together(code_of(&error));
        }
    };
    let error = match run.train(&mut Sinks(Vec::new())) {
        Ok(outcome) => return Ended { code: code_after(&outcome), together: run.has_ended_together(), waits: false },
        Err(error) => error,
    };
    let together = run.has_ended_together();
    let is_lost = matches!(error, TrainError::Ranks(RanksError::LostTouch { .. }));
    let says = !is_lost || ranks.says();
    if !together && !is_lost {
        ranks.fail();
    }
    if !together && says {
        say(&if is_lost { error.to_string() } else { format!("process {rank} (counted from 0): {error}") });
    }
    // An error of this process ends all of them, once the first one has saved.
    Ended { code: 1, together, waits: !says || !is_lost }
}

/// Prints an error in one piece, so that no line of the launcher or of another process comes in between. A reader that
/// is gone is no reason to fail.
pub fn say(error: &str) {
    let _ = std::io::stderr().write_all(format!("error: {error}\n").as_bytes());
}

/// Returns the exit code for an error before the first step.
pub fn code_of(error: &TrainError) -> u8 {
    if error.is_input_error() { 2 } else { 1 }
}

/// Returns the exit code after training.
pub fn code_after(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Finished | Outcome::EndedEarly { .. } | Outcome::TimeIsUp | Outcome::StepReached => 0,
        Outcome::Stopped { signal } => u8::try_from(128 + signal).unwrap_or(1),
    }
}

/// Whether the run has ended in all processes, or is only in this one.
pub fn is_together(run: &Run) -> bool {
    run.session().world() == 1 || run.has_ended_together()
}
