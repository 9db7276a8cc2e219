//! Regular progress lines for a run whose output is not a terminal, so that a log file shows that it trains.

use std::time::Duration;

/// Determines when a line is due: after 5 seconds, and then at growing intervals of up to a minute. All times are those
/// since the beginning, without pauses of the process.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// Time of the last line, and its number of updates.
    last: (Duration, u64),
    interval: Duration,
}

impl Heartbeat {
    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(60);

    /// Creates it for a run that has made `done` updates.
    pub fn new(done: u64) -> Self {
        Self { last: (Duration::ZERO, done), interval: Self::FIRST }
    }

    /// Returns the steps per second since the last line, if a line is due after `done` updates.
    pub fn speed_when_due(&mut self, done: u64, now: Duration) -> Option<f64> {
        let since = now.saturating_sub(self.last.0);
        if since < self.interval {
            return None;
        }
        let made = done.saturating_sub(self.last.1);
        (self.last, self.interval) = ((now, done), (self.interval * 2).min(Self::LONGEST));
        Some(made as f64 / since.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds at which lines are due in a run of `steps` steps of `milliseconds` each.
    fn beats(steps: u64, milliseconds: u64) -> Vec<u64> {
        let mut heartbeat = Heartbeat::new(0);
        let at = |done| Duration::from_millis(milliseconds * done);
        let due = (1..=steps).filter(|&done| heartbeat.speed_when_due(done, at(done)).is_some());
        due.map(|done| at(done).as_secs()).collect()
    }

    #[test]
    fn lines_come_at_growing_intervals_up_to_a_minute() {
        assert_eq!(beats(300_000, 1), [5, 15, 35, 75, 135, 195, 255]);
    }

    #[test]
    fn slow_steps_show_too() {
        assert_eq!(beats(6, 30_000), [30, 60, 90, 150]);
    }

    #[test]
    fn the_speed_is_that_since_the_line_before() {
        let mut heartbeat = Heartbeat::new(100);
        let mut speed = |done, seconds| heartbeat.speed_when_due(done, Duration::from_secs(seconds));
        assert_eq!([speed(200, 10), speed(250, 11), speed(300, 40)], [Some(10.0), None, Some(100.0 / 30.0)]);
    }
}
