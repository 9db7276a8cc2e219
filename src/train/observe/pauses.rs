//! The time for which this process was stopped, by Ctrl-Z or SIGSTOP, which is no time that it trained.
//!
//! Nothing tells a process that it was stopped. A thread that wakes several times a second finds that much more time
//! has passed than it slept.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::threads;

/// How long the thread sleeps.
const TICK: Duration = Duration::from_millis(200);

/// A thread that wakes later than this was stopped; one that waits for a busy processor wakes sooner.
const LATE: Duration = Duration::from_secs(2);

/// Watches for pauses until it is dropped. Where there is no thread to be had, it finds none.
#[derive(Debug)]
pub(super) struct Pauses {
    found: Arc<Mutex<Found>>,
    /// Ends the thread when it is dropped.
    _end: Sender<()>,
}

#[derive(Debug)]
struct Found {
    /// When the thread was last awake; none where there is no thread.
    awake: Option<Instant>,
    paused: Duration,
}

impl Found {
    /// The pause that ends at `now`, if there is one.
    fn pause_at(&self, now: Instant) -> Duration {
        let slept = self.awake.map_or(Duration::ZERO, |awake| now.saturating_duration_since(awake));
        if slept > LATE { slept.saturating_sub(TICK) } else { Duration::ZERO }
    }

    /// Notes that the thread is awake, and says whether it was stopped before.
    fn wake(&mut self, now: Instant) -> bool {
        let pause = self.pause_at(now);
        self.paused += pause;
        self.awake = Some(now);
        pause > Duration::ZERO
    }
}

impl Pauses {
    /// Watches from now on, and calls `after` after each pause.
    pub fn watch(after: impl Fn() + Send + 'static) -> Self {
        let found = Arc::new(Mutex::new(Found { awake: None, paused: Duration::ZERO }));
        let (end, ended) = mpsc::channel::<()>();
        let shared = found.clone();
        let work = move || {
            let wake = || shared.lock().unwrap_or_else(PoisonError::into_inner).wake(Instant::now());
            wake();
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
                if wake() {
                    after();
                }
            }
        };
        // Without a thread there are no pauses, and nothing else is missing.
        let _ = threads::builder("pauses").spawn(work);
        Self { found, _end: end }
    }

    /// All pauses so far, with one that has just ended and of which the thread does not know yet.
    pub fn total(&self) -> Duration {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.paused + found.pause_at(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_thread_did_not_wake_is_a_pause_once() {
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut found = Found { awake: None, paused: Duration::ZERO };
        assert_eq!(found.pause_at(at(9000)), Duration::ZERO);
        assert!(!found.wake(at(0)) && !found.wake(at(200)) && !found.wake(at(1500)));
        assert_eq!(found.paused + found.pause_at(at(61_700)), Duration::from_secs(60));
        assert!(found.wake(at(61_700)) && !found.wake(at(61_900)));
        assert_eq!(found.paused, Duration::from_secs(60));
    }
}
