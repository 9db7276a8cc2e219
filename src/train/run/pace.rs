//! How often the time of a step is recorded: often enough for a curve of the speed, and not for a large file.

use std::time::{Duration, Instant};

/// The shortest time between two records.
const SHORTEST: Duration = Duration::from_secs(5);

/// Records that the time since the beginning is divided into, so that a run of a week has a few thousand.
const SHARE: u32 = 200;

/// The times of a process's records.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    last: Instant,
}

impl Pace {
    /// Creates it for a process that begins `now`.
    pub fn from(now: Instant) -> Self {
        Self { began: now, last: now }
    }

    /// Returns the seconds since the process began, if a record is due `now`.
    pub fn due(&mut self, now: Instant) -> Option<f64> {
        let (age, since) = (now.duration_since(self.began), now.duration_since(self.last));
        if since < SHORTEST.max(age / SHARE) {
            return None;
        }
        self.last = now;
        Some(age.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_has_no_record_and_a_long_one_few() {
        let began = Instant::now();
        let records = |seconds: u64| {
            let mut pace = Pace::from(began);
            (1..=seconds).filter(|second| pace.due(began + Duration::from_secs(*second)).is_some()).count()
        };
        assert_eq!((records(4), records(5), records(60)), (0, 1, 12));
        let of_a_week = records(7 * 86_400);
        assert!((1000..2000).contains(&of_a_week), "{of_a_week}");
    }
}
