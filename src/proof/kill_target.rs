//! Kill targets: spread over the whole run, some of them aimed at start-up and at saves.

use std::time::Duration;

use super::kill_runner::Pace;
use crate::rng::Stream;

/// The target of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KillTarget {
    /// The run at a random moment.
    Moment,
    /// The process while it starts.
    Start,
    /// A save.
    Save,
}

/// A planned kill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlannedKill {
    pub aim: KillTarget,
    /// Share of the run that is done by then, in `[0, 1)`.
    pub share: f64,
    /// Position of the kill in the start-up or the save, in `[0, 1)`.
    pub within: f64,
}

/// Plans `kills` kills. The run is divided into parts of equal length, and kill `n` comes at a random point of part
/// `n`; of five in a row one targets start-up and one a save.
pub(super) fn targets(seed: u64, kills: u32) -> Vec<PlannedKill> {
    let stream = Stream::new(seed, "kills");
    let target = |number: u32| {
        let random = stream.uniform(number.into(), 2);
        let aim = match number % 5 {
            1 => KillTarget::Start,
            3 => KillTarget::Save,
            _ => KillTarget::Moment,
        };
        let share = (f64::from(number) + f64::from(random[0])) / f64::from(kills);
        PlannedKill { aim, share, within: random[1].into() }
    };
    (0..kills).map(target).collect()
}

impl PlannedKill {
    /// Returns the delay of the kill after the start of a process that continues at step `from`; for a save, the delay
    /// until waiting for a save begins.
    pub fn delay(&self, pace: &Pace, from: u64) -> Duration {
        if self.aim == KillTarget::Start {
            return pace.ready.mul_f64(self.within);
        }
        let done = from as f64 / pace.steps.max(1) as f64;
        let work = pace.whole.saturating_sub(pace.startup);
        pace.ready + work.mul_f64((self.share - done).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_spread_over_the_run_and_repeat_for_a_seed() {
        let all = targets(3, 20);
        assert_eq!(all, targets(3, 20));
        assert_ne!(all, targets(4, 20));
        for (number, target) in all.iter().enumerate() {
            let part = number as f64 / 20.0..(number + 1) as f64 / 20.0;
            assert!(part.contains(&target.share), "{target:?} is not in {part:?}");
        }
        let count = |aim| all.iter().filter(|target| target.aim == aim).count();
        assert_eq!([KillTarget::Moment, KillTarget::Start, KillTarget::Save].map(count), [12, 4, 4]);
        assert!(targets(0, 0).is_empty());
    }

    #[test]
    fn a_kill_comes_when_the_process_has_caught_up_with_its_target() {
        let second = Duration::from_secs(1);
        let pace = Pace { whole: 11 * second, startup: second, ready: second / 2, save: Duration::ZERO, steps: 100 };
        let target = PlannedKill { aim: KillTarget::Moment, share: 0.5, within: 0.25 };
        assert_eq!(target.delay(&pace, 0), second / 2 + 5 * second);
        assert_eq!(target.delay(&pace, 30), second / 2 + 2 * second);
        assert_eq!(target.delay(&pace, 80), second / 2, "it is beyond the target once it has started");
        assert_eq!(PlannedKill { aim: KillTarget::Start, ..target }.delay(&pace, 30), second / 8);
    }
}
