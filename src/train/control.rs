//! How a run is asked to stop or to save from outside: by signals, or by the program it runs in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Requests to a running loop, which looks at them after each step. Clones share the requests.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Number of the signal that asked the run to stop; 0 for none.
    stop: Arc<AtomicUsize>,
    save: Arc<AtomicBool>,
}

impl Control {
    /// A control that nothing but the program uses.
    pub fn new() -> Self {
        Self::default()
    }

    /// A control that SIGINT and SIGTERM stop and SIGUSR1 makes save. A second SIGINT or SIGTERM ends the process at
    /// once, with 130 or 143.
    ///
    /// # Errors
    /// When a signal handler cannot be installed.
    pub fn from_signals() -> io::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let control = Self::new();
        let stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in this order: the first signal only arms the shutdown for the second.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?;
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&control.stop), number)?;
        }
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stopping))?;
        }
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&control.save))?;
        Ok(control)
    }

    /// Asks the run to save and stop after the step it is at; `signal` is told back in its outcome.
    pub fn stop(&self, signal: usize) {
        self.stop.store(signal, Ordering::Relaxed);
    }

    /// Asks the run to save after the step it is at, and go on.
    pub fn save(&self) {
        self.save.store(true, Ordering::Relaxed);
    }

    /// The signal that asked the run to stop.
    pub fn stop_requested(&self) -> Option<usize> {
        Some(self.stop.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
    }

    /// Whether a save was asked for since the last call.
    pub(super) fn take_save_request(&self) -> bool {
        self.save.swap(false, Ordering::Relaxed)
    }
}
