//! How a run is asked to stop or to save from outside: by signals, or by the program it runs in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests to a running loop, which looks at them after each step, and while it validates or waits for data. Clones
/// share the requests.
#[derive(Clone, Debug, Default)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Number of the signal that asked the run to stop; 0 for none.
    stop: AtomicUsize,
    save: AtomicBool,
    /// When one of them was asked for last.
    asked: Mutex<Option<Instant>>,
    stake: Mutex<Option<Stake>>,
}

/// Work that a signal ends in order, in words for the person who sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// The effect of the first signal, such as `stopping after this step`.
    pub in_order: String,
    /// The loss where a second one ends the process at once, and the remedy.
    pub at_once: String,
    /// The effect of SIGUSR1 and SIGUSR2, such as `saving after this step`; empty where there is nothing to save.
    pub save: String,
}

/// A line that answers a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The work ends in order, or continues after a save.
    InOrder(&'a str),
    /// The process ends right after this line.
    Last(&'a str),
}

impl Control {
    /// A control that nothing but the program uses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that from now on a signal is to end the work in order. Call it before a loop that looks at
    /// [`Control::stop_requested`], and again when something else would be lost.
    pub fn put_at_stake(&self, stake: Stake) {
        *self.stake() = Some(stake);
    }

    /// Says that nothing is lost any more if the process ends at once.
    pub fn nothing_at_stake(&self) {
        *self.stake() = None;
    }

    /// The work at stake. It does not change while the guard is held.
    pub(super) fn stake(&self) -> MutexGuard<'_, Option<Stake>> {
        self.shared.stake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the run to save and stop after the step it is at; `signal` is told back in its outcome.
    pub fn stop(&self, signal: usize) {
        *self.asked() = Some(Instant::now());
        self.shared.stop.store(signal, Ordering::Release);
    }

    /// Asks the run to save after the step it is at, and go on.
    pub fn save(&self) {
        *self.asked() = Some(Instant::now());
        self.shared.save.store(true, Ordering::Release);
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was asked for has waited as long as it should: a validation that takes no longer comes to its end.
    pub(crate) fn is_pressing(&self) -> bool {
        const PATIENCE: Duration = Duration::from_millis(200);
        let is_asked = self.stop_requested().is_some() || self.shared.save.load(Ordering::Acquire);
        is_asked && self.asked().is_some_and(|asked| asked.elapsed() >= PATIENCE)
    }

    /// The signal that asked the run to stop.
    pub fn stop_requested(&self) -> Option<usize> {
        Some(self.shared.stop.load(Ordering::Acquire)).filter(|&signal| signal != 0)
    }

    /// Whether a save was asked for since the last call.
    pub(crate) fn take_save_request(&self) -> bool {
        self.shared.save.swap(false, Ordering::Relaxed)
    }
}
