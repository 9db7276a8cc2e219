//! Whether a command that has ended is started again.

use std::fmt::Display;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rekindle::memory::OomKills;
use rekindle::train::{Ending, RunEnd};

use super::process::name;

/// The decision.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The command is not started again; the exit code.
    Over(u8),
    /// It may be.
    Failed(Failure),
}

/// The failure of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How it ended, such as `was killed by SIGKILL`.
    pub how: String,
    /// The step at which the run itself reported an error.
    pub step: Option<u64>,
    /// That error; of a process that was killed, what the system says of it.
    pub error: Option<String>,
}

impl Failure {
    /// Adds that the system has `killed` a process for lack of memory, if this one was killed as it kills.
    pub fn with(self, killed: Option<impl Display>) -> Self {
        let is_like_it = self.error.is_none() && self.how == killed_by(libc::SIGKILL);
        match killed.filter(|_| is_like_it) {
            Some(killed) => Self { error: Some(format!("{killed}; {}", OomKills::REMEDY)), ..self },
            None => self,
        }
    }

    /// Returns the error of a process that could not report one itself.
    pub fn cause(&self) -> Option<&str> {
        self.error.as_deref().filter(|_| self.step.is_none())
    }
}

fn killed_by(signal: i32) -> String {
    format!("was killed by {}", name(signal))
}

/// Signals by which a fault, the system or a person ends a process that had no chance to save.
const KILLING: [i32; 10] = [
    libc::SIGKILL,
    libc::SIGSEGV,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGPIPE,
    libc::SIGXFSZ,
];

/// Decides by the status of the command, by the `end` that the run has written in this attempt, and by the signal that
/// `asked` the supervisor to stop. The status of a command that is not `is_direct` is that of a launcher, which may be
/// 0 after a kill.
pub fn of(status: ExitStatus, end: Option<&RunEnd>, asked: Option<i32>, is_direct: bool) -> Verdict {
    let signal = status.signal().or_else(|| status.code().map(|code| code - 128).filter(|&signal| is_signal(signal)));
    let code = u8::try_from(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))).unwrap_or(1);
    match end {
        // The command may do more than train, and fail there.
        Some(RunEnd { outcome: Ending::Finished, .. }) => return Verdict::Over(status.code().map_or(0, |_| code)),
        Some(RunEnd { outcome: Ending::Stopped, exit_code, .. }) => return Verdict::Over(*exit_code),
        Some(end) if asked.is_some() => return Verdict::Over(end.exit_code),
        Some(end) => {
            let (step, error) = (Some(end.step), end.error.clone());
            return Verdict::Failed(Failure { how: "failed".to_owned(), step, error });
        }
        None => {}
    }
    // A request that is wrong; a program that a launcher or shell cannot start.
    const REFUSED: [u8; 3] = [2, 126, 127];
    let failed = |how: String| Verdict::Failed(Failure { how, step: None, error: None });
    match (asked, signal) {
        (Some(asked), _) => Verdict::Over(if code == 0 { u8::try_from(128 + asked).unwrap_or(1) } else { code }),
        (None, Some(signal)) if KILLING.contains(&signal) => failed(killed_by(signal)),
        // Stopped before the first step.
        (None, Some(_)) => Verdict::Over(code),
        (None, None) if REFUSED.contains(&code) || code == 0 && is_direct => Verdict::Over(code),
        (None, None) if code == 0 => failed("ended with exit code 0 and an unfinished run".to_owned()),
        (None, None) => failed(format!("ended with exit code {code}")),
    }
}

/// Whether it is the number of a signal that ends a process.
fn is_signal(number: i32) -> bool {
    (1..=31).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn end(outcome: Ending, exit_code: u8) -> RunEnd {
        RunEnd { outcome, step: 7, signal: None, reason: None, error: None, exit_code, unix_time: 0.0 }
    }

    fn is_started_again(status: ExitStatus, end: Option<&RunEnd>) -> bool {
        matches!(of(status, end, None, false), Verdict::Failed(_))
    }

    #[test]
    fn the_outcome_of_the_run_counts_more_than_the_code_of_a_launcher() {
        let stopped = end(Ending::Stopped, 143);
        assert_eq!(of(exited(1), Some(&stopped), Some(15), false), Verdict::Over(143));
        assert_eq!(of(exited(0), Some(&stopped), None, false), Verdict::Over(143));
        assert_eq!(of(exited(0), Some(&end(Ending::Finished, 0)), None, false), Verdict::Over(0));
        assert_eq!(of(exited(3), Some(&end(Ending::Finished, 0)), None, false), Verdict::Over(3));
        assert_eq!(of(ExitStatus::from_raw(9), Some(&end(Ending::Finished, 0)), None, false), Verdict::Over(0));
        assert!(is_started_again(exited(0), Some(&end(Ending::Failed, 1))));
        assert_eq!(of(exited(0), Some(&end(Ending::Failed, 1)), Some(15), false), Verdict::Over(1));
    }

    #[test]
    fn a_kill_is_explained_by_what_the_system_says_and_another_failure_is_not() {
        let of = |status, end| match of(status, end, None, true) {
            Verdict::Failed(failure) => failure.with(Some("the system has killed a process")),
            over => panic!("{over:?}"),
        };
        let cause = of(ExitStatus::from_raw(9), None).cause().unwrap_or_default().to_owned();
        assert!(cause.starts_with("the system has killed a process; to need less"), "{cause}");
        assert!(of(exited(137), None).cause().is_some(), "the code of a launcher");
        assert_eq!(of(ExitStatus::from_raw(11), None).cause(), None);
        let failed = RunEnd { error: Some("a nan".to_owned()), ..end(Ending::Failed, 1) };
        assert_eq!(
            (of(exited(1), Some(&failed)).cause(), of(exited(1), Some(&failed)).error.as_deref()),
            (None, Some("a nan"))
        );
    }

    #[test]
    fn without_an_outcome_a_run_was_killed_or_stopped_or_refused() {
        let killed = [exited(0), exited(1), exited(101), exited(137), exited(139), exited(134), exited(255)];
        assert!(killed.into_iter().all(|status| is_started_again(status, None)));
        assert!([9, 11, 6].map(ExitStatus::from_raw).into_iter().all(|status| is_started_again(status, None)));
        for code in [2, 126, 127, 130, 143, 129] {
            assert_eq!(of(exited(code), None, None, false), Verdict::Over(code as u8));
        }
        assert_eq!(of(ExitStatus::from_raw(15), None, None, true), Verdict::Over(143));
        assert_eq!(of(exited(0), None, None, true), Verdict::Over(0), "train itself knows");
        assert_eq!(of(exited(0), None, Some(15), false), Verdict::Over(143));
        assert_eq!(of(exited(1), None, Some(2), true), Verdict::Over(1), "the second Ctrl-C");
    }
}
