//! A wait for other processes: it looks again and again, and is given up when one is lost.

use std::time::{Duration, Instant};

use crate::distributed::CommunicatorError;

/// How often a process looks before it leaves its core to others between two looks.
const AT_ONCE: u32 = 64;

/// How long a process looks without sleeping.
const EAGER: Duration = Duration::from_millis(20);

/// The pause between two looks after that.
const PAUSE: Duration = Duration::from_micros(100);

/// The pauses of a wait.
pub(super) struct Wait<'a> {
    /// Returns why to give up, if there is a reason.
    give_up: &'a dyn Fn() -> Option<CommunicatorError>,
    looks: u32,
    began: Option<Instant>,
}

impl<'a> Wait<'a> {
    pub fn new(give_up: &'a dyn Fn() -> Option<CommunicatorError>) -> Self {
        Self { give_up, looks: 0, began: None }
    }

    /// Pauses before the next look.
    ///
    /// # Errors
    /// Why to give up.
    pub fn pause(&mut self) -> Result<(), CommunicatorError> {
        self.looks = self.looks.wrapping_add(1);
        if self.looks <= AT_ONCE && self.began.is_none() {
            std::hint::spin_loop();
            return Ok(());
        }
        if self.looks.is_multiple_of(64)
            && let Some(error) = (self.give_up)()
        {
            return Err(error);
        }
        match self.began.get_or_insert_with(Instant::now).elapsed() < EAGER {
            true => std::thread::yield_now(),
            false => std::thread::sleep(PAUSE),
        }
        Ok(())
    }
}
