//! Regular progress lines for a run whose output is not a terminal, so that a log file shows that it trains.

use std::time::{Duration, Instant};

/// Determines when a line is due: after 5 seconds, and then at growing intervals of up to a minute. The clock is read a
/// few times between two lines, not at each step.
#[derive(Debug)]
pub(super) struct Heartbeat {
    began: Instant,
    first: u64,
    total: u64,
    /// Time of the last line, and its number of updates.
    last: (Instant, u64),
    interval: Duration,
    /// Number of updates at which the clock is read again.
    look: u64,
}

/// Speed of a run, and its remaining time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Updates of the whole run.
    pub total: u64,
    /// Steps per second since the last line.
    pub steps_per_second: f64,
    /// Remaining time at the average pace.
    pub left: Duration,
}

impl Heartbeat {
    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(60);

    /// Creates it for a run of `total` updates, of which `done` are made.
    pub fn new(done: u64, total: u64) -> Self {
        let now = Instant::now();
        Self { began: now, first: done, total, last: (now, done), interval: Self::FIRST, look: done }
    }

    /// Returns the pace if a line is due after `done` updates; the time for which the process was `paused` since the
    /// beginning is excluded.
    pub fn pace_when_due(&mut self, done: u64, paused: impl FnOnce() -> Duration) -> Option<Pace> {
        if done < self.look {
            return None;
        }
        let now = Instant::now();
        self.pace_at(done, now.checked_sub(paused()).unwrap_or(now))
    }

    fn pace_at(&mut self, done: u64, now: Instant) -> Option<Pace> {
        let (since, made) = (now.saturating_duration_since(self.last.0), done.saturating_sub(self.last.1));
        let speed = made as f64 / since.as_secs_f64().max(1e-9);
        let is_due = since >= self.interval;
        let remaining = if is_due { (self.interval * 2).min(Self::LONGEST) } else { self.interval - since };
        self.look = done + ((speed * remaining.as_secs_f64() / 4.0) as u64).clamp(1, 1 + 2 * made);
        if !is_due {
            return None;
        }
        (self.last, self.interval) = ((now, done), remaining);
        let per_step =
            now.saturating_duration_since(self.began).as_secs_f64() / done.saturating_sub(self.first).max(1) as f64;
        let left = per_step * self.total.saturating_sub(done) as f64;
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
        Some(Pace { total: self.total, steps_per_second: speed, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds at which lines are due in a run of `steps` steps of `milliseconds` each, and the number of
    /// clock reads.
    fn beats(steps: u64, milliseconds: u64) -> (Vec<u64>, u64) {
        let mut heartbeat = Heartbeat::new(0, steps);
        let (mut beats, mut looks) = (Vec::new(), 0);
        for done in 1..=steps {
            let passed = Duration::from_millis(milliseconds * done);
            if done >= heartbeat.look {
                looks += 1;
                beats.extend(heartbeat.pace_at(done, heartbeat.began + passed).map(|_| passed.as_secs()));
            }
        }
        (beats, looks)
    }

    #[test]
    fn lines_come_at_growing_intervals_up_to_a_minute() {
        let (beats, looks) = beats(300_000, 1);
        let intervals: Vec<u64> = beats.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((5..=8).contains(&beats[0]), "{beats:?}");
        assert!(intervals[0] >= 10 && intervals.iter().all(|&interval| interval <= 75), "{beats:?}");
        assert!(looks < 1000, "the clock was read {looks} times");
    }

    #[test]
    fn slow_steps_show_too() {
        assert_eq!(beats(6, 30_000).0, [30, 60, 90, 150]);
    }

    #[test]
    fn the_pace_is_that_since_the_line_before_and_the_time_left_that_of_the_whole_run() {
        let mut heartbeat = Heartbeat::new(100, 400);
        let at = |seconds| Duration::from_secs(seconds);
        let began = heartbeat.began;
        let pace = heartbeat.pace_at(200, began + at(10));
        assert_eq!(pace, Some(Pace { total: 400, steps_per_second: 10.0, left: at(20) }));
        let pace = heartbeat.pace_at(300, began + at(40));
        assert_eq!(pace, Some(Pace { total: 400, steps_per_second: 100.0 / 30.0, left: at(20) }));
    }
}
