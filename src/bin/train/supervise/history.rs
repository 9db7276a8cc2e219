//! The attempts of a supervised run: pauses between them, and when another one is of no use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rekindle::figures::counted;
use rekindle::train::Traces;
use serde::Serialize;

use super::verdict::Failure;

/// The longest pause, unless a longer one is asked for.
const LONGEST: Duration = Duration::from_secs(300);

/// Work of this duration resets the pauses.
const LONG_WORK: Duration = Duration::from_secs(3600);

/// Attempts in a row without progress, after which another one is of no use.
const FUTILE: u32 = 2;

/// The step after a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Another one after a pause.
    Restart { pause: Duration },
    /// None.
    End { why: String },
}

/// A line of `restarts.jsonl`.
#[derive(Serialize)]
pub struct Restart<'a> {
    unix_time: f64,
    /// The attempt that has ended, from 1.
    attempt: u32,
    ended: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// The last known step, saved or not.
    step: u64,
    saved_step: Option<u64>,
    pause_seconds: f64,
}

/// The attempts so far.
pub struct History {
    pause: Duration,
    /// The maximal number of restarts.
    most: Option<u32>,
    /// Number of attempts.
    attempt: u32,
    /// The newest checkpoint, and the longest log, that the run ever had.
    best: (Option<u64>, u64),
    /// Attempts in a row that got no further.
    futile: u32,
    /// How often the pause has been doubled.
    doubled: u32,
    /// The step at which the last attempt failed, if the run reported it.
    failed_at: Option<u64>,
}

impl History {
    /// Begins with the run as it is before the first attempt.
    pub fn new(pause: Duration, most: Option<u32>, before: &Traces) -> Self {
        let best = (before.saved, before.logged);
        Self { pause, most, attempt: 0, best, futile: 0, doubled: 0, failed_at: None }
    }

    /// Returns the number of the last attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Decides what follows an attempt that took the time `took` and left these traces.
    pub fn after(&mut self, failure: &Failure, traces: &Traces, took: Duration) -> Next {
        self.attempt += 1;
        let is_saved = traces.saved > self.best.0;
        let is_further = is_saved || traces.logged > self.best.1;
        self.best = (self.best.0.max(traces.saved), self.best.1.max(traces.logged));
        self.futile = if is_further { 0 } else { self.futile + 1 };
        // A run may notice a failure some steps later.
        let is_same = !is_saved && failure.step.is_some() && failure.step == self.failed_at;
        self.failed_at = failure.step;
        if let Some(step) = failure.step.filter(|_| is_same) {
            return Next::End { why: format!("the run has failed twice at step {step}") };
        }
        if self.futile >= FUTILE {
            let step = self.best.0.unwrap_or(0).max(self.best.1);
            return Next::End { why: format!("two attempts in a row have not got further than step {step}") };
        }
        if let Some(most) = self.most.filter(|&most| self.attempt > most) {
            return Next::End { why: format!("--restarts allows {}", counted(most, "restart")) };
        }
        if is_further || took >= LONG_WORK {
            self.doubled = 0;
        }
        let longest = LONGEST.max(self.pause);
        let pause = self.pause.saturating_mul(2_u32.saturating_pow(self.doubled)).min(longest);
        self.doubled += 1;
        Next::Restart { pause }
    }

    /// Returns the line of `restarts.jsonl` for the restart after the last attempt.
    pub fn restart<'a>(&self, failure: &'a Failure, traces: &Traces, pause: Duration) -> Restart<'a> {
        Restart {
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            attempt: self.attempt,
            ended: &failure.how,
            error: failure.error.as_deref(),
            step: traces.step(),
            saved_step: traces.saved,
            pause_seconds: pause.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn killed() -> Failure {
        Failure { how: "was killed by SIGKILL".to_owned(), step: None, error: None }
    }

    fn failed(step: u64) -> Failure {
        Failure { how: "failed".to_owned(), step: Some(step), error: None }
    }

    fn at(saved: u64, logged: u64) -> Traces {
        let mut traces = Traces::default();
        (traces.saved, traces.logged) = (Some(saved), logged);
        traces
    }

    fn pause(seconds: u64) -> Next {
        Next::Restart { pause: Duration::from_secs(seconds) }
    }

    fn ends(next: &Next, part: &str) -> bool {
        matches!(next, Next::End { why } if why.contains(part))
    }

    const QUICK: Duration = Duration::from_secs(5);

    #[test]
    fn a_run_that_gets_further_is_started_again_after_the_first_pause() {
        let mut history = History::new(Duration::from_secs(1), None, &Traces::default());
        for step in 1..100 {
            assert_eq!(history.after(&killed(), &at(0, step), QUICK), pause(1));
        }
        assert_eq!(history.after(&killed(), &at(0, 50), QUICK), pause(2));
        assert_eq!(history.after(&killed(), &at(1, 50), QUICK), pause(1));
        assert_eq!(history.after(&killed(), &at(1, 50), LONG_WORK), pause(1));
        assert!(ends(&history.after(&killed(), &at(1, 99), QUICK), "further than step 99"));
    }

    #[test]
    fn the_same_step_does_not_fail_more_than_twice() {
        let mut history = History::new(Duration::from_secs(1), None, &Traces::default());
        assert_eq!(history.after(&failed(7), &at(4, 7), QUICK), pause(1));
        assert!(ends(&history.after(&failed(7), &at(4, 7), QUICK), "twice at step 7"));
        let mut history = History::new(Duration::from_secs(1), None, &Traces::default());
        assert_eq!(history.after(&failed(7), &at(4, 7), QUICK), pause(1));
        assert_eq!(history.after(&failed(9), &at(8, 9), QUICK), pause(1));
        assert_eq!(history.after(&killed(), &at(8, 9), QUICK), pause(2));
        assert!(ends(&history.after(&killed(), &at(8, 9), QUICK), "further than step 9"));
    }

    #[test]
    fn a_program_that_never_begins_is_started_twice() {
        let mut history = History::new(Duration::from_secs(200), None, &Traces::default());
        assert_eq!(history.after(&killed(), &Traces::default(), QUICK), pause(200));
        assert!(ends(&history.after(&killed(), &Traces::default(), QUICK), "further than step 0"));
    }

    #[test]
    fn restarts_are_counted_and_pauses_have_an_end() {
        let mut history = History::new(Duration::from_secs(200), Some(2), &Traces::default());
        assert_eq!(history.after(&killed(), &at(1, 1), QUICK), pause(200));
        assert_eq!(history.after(&killed(), &at(1, 1), QUICK), pause(300));
        assert!(ends(&history.after(&killed(), &at(2, 2), QUICK), "allows 2 restarts"));
        let mut none = History::new(QUICK, Some(0), &Traces::default());
        assert!(ends(&none.after(&killed(), &at(1, 1), QUICK), "allows 0 restarts"));
    }
}
