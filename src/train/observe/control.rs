//! Requests to a run to stop or to save: by signals, or by the program it runs in.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests to a running loop, which checks them after each step, during validations and while waiting for data. Clones
/// share the requests.
#[derive(Clone, Debug, Default)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// When the control was made, from which the time of the process counts.
    began: Instant,
    /// The time that the process may take, in milliseconds; 0 without a limit.
    limit: AtomicU64,
    /// The part of it that a save at the end needs, in milliseconds.
    reserve: AtomicU64,
    /// Number of the signal that asked the run to stop; 0 without a request.
    stop: AtomicUsize,
    save: AtomicBool,
    /// Whether this process cannot go on without the others of a run.
    needs_others: AtomicBool,
    /// Time of the last request.
    asked: Mutex<Option<Instant>>,
    /// When the last save that was requested began.
    granted: Mutex<Option<Instant>>,
    stake: Mutex<Option<Stake>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            limit: AtomicU64::default(),
            reserve: AtomicU64::default(),
            stop: AtomicUsize::default(),
            save: AtomicBool::default(),
            needs_others: AtomicBool::default(),
            asked: Mutex::default(),
            granted: Mutex::default(),
            stake: Mutex::default(),
        }
    }
}

/// Signals within this time of the first are the same request: `timeout` sends one to its child and another to the
/// group, a user presses Ctrl-C twice, and a launcher passes one on to process after process.
pub(super) const SAME: Duration = Duration::from_secs(1);

/// In place of the number of a signal: the time of the process is up.
pub(in crate::train) const TIME_IS_UP: usize = usize::MAX;

/// Work that a signal ends cleanly, described for the person who sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    /// The effect of the first signal, such as `saving and stopping after this step`.
    pub in_order: String,
    /// The loss if a second signal ends the process at once, and the remedy.
    pub at_once: String,
    /// The effect of SIGUSR1 and SIGUSR2, such as `saving after this step`; empty if there is nothing to save.
    pub save: String,
}

/// A line that answers a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The work ends cleanly, or continues after a save.
    InOrder(&'a str),
    /// The process ends right after this line.
    Last(&'a str),
}

/// Requests on which the processes of a run agree in each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::train) struct Requests {
    /// The signal that asked one of them to stop.
    pub stop: Option<usize>,
    /// When the last of them that was asked to save was asked.
    pub save: Option<Instant>,
}

impl Control {
    /// Creates a control that only the program uses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes signals end the work cleanly from now on. Call it before a loop that checks [`Control::stop_requested`],
    /// and again when the loss by a second signal changes.
    pub fn put_at_stake(&self, stake: Stake) {
        *self.stake() = Some(stake);
    }

    /// Makes signals end the process at once, because nothing would be lost.
    pub fn nothing_at_stake(&self) {
        *self.stake() = None;
    }

    /// Returns the work at stake, which cannot change while the guard is held.
    pub(super) fn stake(&self) -> MutexGuard<'_, Option<Stake>> {
        self.shared.stake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the run to save and stop after the current step; `signal` is returned in its outcome.
    pub fn stop(&self, signal: usize) {
        *self.asked() = Some(Instant::now());
        self.shared.stop.store(signal, Ordering::Release);
    }

    /// Asks the run to save after the current step, and continue.
    pub fn save(&self) {
        *self.asked() = Some(Instant::now());
        self.shared.save.store(true, Ordering::Release);
    }

    /// Asks the run to save because one of its processes was `asked` to, unless a save that was requested has just begun: all
    /// processes hear a signal to the launcher, but perhaps not before the same step.
    pub(in crate::train) fn save_for(&self, asked: Instant) {
        let is_same = self.granted().is_some_and(|granted| asked < granted + SAME);
        if !is_same {
            self.save();
        }
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn granted(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shared.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has waited for its maximal time: until then a validation may finish.
    pub(crate) fn is_pressing(&self) -> bool {
        const PATIENCE: Duration = Duration::from_millis(200);
        let is_asked = self.stop_requested().is_some() || self.shared.save.load(Ordering::Acquire);
        let asked = self.asked().map(|asked| asked.elapsed()).or_else(|| self.overdue());
        is_asked && asked.is_some_and(|waited| waited >= PATIENCE)
    }

    /// Whether a request to stop has waited for so long that a process no longer waits for others.
    #[doc(hidden)]
    pub fn must_stop_now(&self) -> bool {
        let may_leave = !self.shared.needs_others.load(Ordering::Acquire);
        may_leave && self.signal().is_some() && self.is_pressing()
    }

    /// Says whether this process must wait for the others of a run, also when it is asked to stop: alone it could not
    /// save, or all have stopped already.
    pub(in crate::train) fn needs_others(&self, needs: bool) {
        self.shared.needs_others.store(needs, Ordering::Release);
    }

    /// Limits the time of the process, counted from the making of this control: the run then saves and stops before its
    /// end. A limit that was set before stays.
    pub fn limit_time(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        // Only the first one is taken; the value that is there is of no interest.
        let _ = self.shared.limit.compare_exchange(0, millis, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Reserves a part of the limited time, at most half of it, for the last step and the save after it.
    pub(in crate::train) fn reserve(&self, time: Duration) {
        self.shared.reserve.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Returns for how long the time of the process has been up.
    fn overdue(&self) -> Option<Duration> {
        let limit = Some(self.shared.limit.load(Ordering::Acquire)).filter(|&limit| limit > 0)?;
        let reserve = self.shared.reserve.load(Ordering::Acquire).min(limit / 2);
        self.shared.began.elapsed().checked_sub(Duration::from_millis(limit - reserve))
    }

    fn signal(&self) -> Option<usize> {
        Some(self.shared.stop.load(Ordering::Acquire)).filter(|&signal| signal != 0)
    }

    /// Returns the signal that asked the run to stop. If its time is up, a number that no signal has.
    pub fn stop_requested(&self) -> Option<usize> {
        self.signal().or_else(|| self.overdue().map(|_| TIME_IS_UP))
    }

    /// Returns the requests to this process; one to save counts once.
    pub(in crate::train) fn take_requests(&self) -> Requests {
        let is_asked = self.shared.save.swap(false, Ordering::Relaxed);
        Requests { stop: self.stop_requested(), save: self.asked().filter(|_| is_asked) }
    }

    /// Whether a save was requested since the last call, and so begins now.
    pub(crate) fn take_save_request(&self) -> bool {
        let is_asked = self.shared.save.swap(false, Ordering::Relaxed);
        if is_asked {
            *self.granted() = Some(Instant::now());
        }
        is_asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_a_launcher_passes_on_to_all_processes_saves_once() {
        let (first, second) = (Control::new(), Control::new());
        first.save();
        first.save_for(first.take_requests().save.unwrap());
        second.save();
        assert!(first.take_save_request());
        // The other process has heard it only in this step.
        first.save_for(second.take_requests().save.unwrap());
        assert!(!first.take_save_request());
        assert_eq!(second.take_requests(), Requests::default(), "it counts once");
        first.save_for(Instant::now() + SAME);
        assert!(first.take_save_request(), "a later one is another request");
    }
}
