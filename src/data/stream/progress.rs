//! How far a long count is, said from time to time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The time between two messages.
const PAUSE: Duration = Duration::from_secs(10);

/// The progress of work that has parts of about the same size.
pub(super) struct Progress {
    parts: usize,
    done: AtomicUsize,
    said: Mutex<Instant>,
}

impl Progress {
    /// Begins work that has this many parts.
    pub fn new(parts: usize) -> Self {
        Self { parts, done: AtomicUsize::new(0), said: Mutex::new(Instant::now()) }
    }

    /// Counts a part that is done. `say` gets the percentage if the last message is long ago.
    pub fn step(&self, say: impl Fn(usize)) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        // Another thread that has the lock says it.
        let Ok(mut said) = self.said.try_lock() else { return };
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            say(100 * done / self.parts.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_long_count_is_told_in_percent_and_a_short_one_not_at_all() {
        let told = RefCell::new(Vec::new());
        let say = |percent| told.borrow_mut().push(percent);
        let progress = Progress::new(8);
        progress.step(say);
        assert!(told.borrow().is_empty());
        if let Some(earlier) = Instant::now().checked_sub(PAUSE) {
            *progress.said.lock().unwrap() = earlier;
            progress.step(say);
            progress.step(say);
            assert_eq!(*told.borrow(), [25]);
        }
    }
}
