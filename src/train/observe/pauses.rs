//! The time for which this process was suspended, by Ctrl-Z or SIGSTOP, which does not count as training time.
//!
//! A process is not notified of a suspension. A thread that wakes several times a second detects it by comparing the
//! elapsed time with its sleep time.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::threads;

/// Sleep time of the thread.
const TICK: Duration = Duration::from_millis(200);

/// A thread that wakes later than this was suspended; one that waits for a busy processor wakes sooner.
const LATE: Duration = Duration::from_secs(2);

/// Watches for pauses until it is dropped. If the system refuses a thread, it finds none.
#[derive(Debug)]
pub(super) struct Pauses {
    found: Arc<Mutex<Found>>,
    /// Ends the thread when it is dropped.
    _end: Sender<()>,
}

#[derive(Debug)]
struct Found {
    /// When the thread was last awake; `None` without a thread.
    awake: Option<Instant>,
    paused: Duration,
}

impl Found {
    /// Returns the pause that ends at `now`, if there is one.
    fn pause_at(&self, now: Instant) -> Duration {
        let slept = self.awake.map_or(Duration::ZERO, |awake| now.saturating_duration_since(awake));
        if slept > LATE { slept.saturating_sub(TICK) } else { Duration::ZERO }
    }

    /// Notes that the thread is awake.
    fn wake(&mut self, now: Instant) {
        self.paused += self.pause_at(now);
        self.awake = Some(now);
    }
}

impl Pauses {
    /// Starts watching.
    pub fn watch() -> Self {
        let found = Arc::new(Mutex::new(Found { awake: None, paused: Duration::ZERO }));
        let (end, ended) = mpsc::channel::<()>();
        let shared = found.clone();
        let work = move || {
            let wake = || shared.lock().unwrap_or_else(PoisonError::into_inner).wake(Instant::now());
            wake();
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
                wake();
            }
        };
        // Without a thread no pauses are found, which is harmless.
        let _ = threads::builder("pauses").spawn(work);
        Self { found, _end: end }
    }

    /// Returns all pauses so far, including one that has just ended and that the thread has not noticed yet.
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
        [0, 200, 1500].into_iter().for_each(|awake| found.wake(at(awake)));
        assert_eq!(found.paused, Duration::ZERO);
        assert_eq!(found.paused + found.pause_at(at(61_700)), Duration::from_secs(60));
        found.wake(at(61_700));
        found.wake(at(61_900));
        assert_eq!(found.paused, Duration::from_secs(60));
    }
}
