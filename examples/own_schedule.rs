//! A user-defined schedule: a Rust type that is named, composed, saved and resumed like those of the catalogue.
//!
//! Run it: `cargo run --release --example own_schedule`.

use anyhow::{Result, ensure};
use rekindle::schedule::{CustomSchedule, RunLength, Schedule, Scheduler, register};
use rekindle::state::{State, Stateful};
use serde::{Deserialize, Serialize};

/// Falls from the base rate towards `1 - depth` of it, and starts again every `period` updates.
#[derive(Debug, Serialize, Deserialize)]
struct Sawtooth {
    period: u64,
    #[serde(default = "half")]
    depth: f64,
}

fn half() -> f64 {
    0.5
}

impl CustomSchedule for Sawtooth {
    fn rate(&self, t: u64, base: f64, _group: usize) -> f64 {
        base * (1.0 - self.depth * (t % self.period) as f64 / self.period as f64)
    }

    fn check(&self) -> Result<(), String> {
        if self.period == 0 {
            return Err("period is 0; it must be at least 1".to_owned());
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    // From here on configurations, checkpoints and the text form can use the name.
    register::<Sawtooth>("sawtooth")?;
    let schedule: Schedule = "warmup(4) -> sawtooth(8, depth=0.75)".parse()?;
    let run = RunLength { total_steps: Some(24), steps_per_epoch: 1 };
    let mut scheduler = Scheduler::new(schedule.clone(), vec![0.1], run)?;
    for _ in 0..12 {
        println!("{:>2}  {:.5}", scheduler.t(), scheduler.rates()[0]);
        scheduler.advance();
    }

    // A saved state is enough to continue, also in another process that has registered the name.
    let saved: String = serde_json::to_string(&scheduler.save()?.json)?;
    let mut resumed = Scheduler::new(schedule, vec![0.1], run)?;
    resumed.load(&State::from_json(serde_json::from_str(&saved)?))?;
    for _ in 12..24 {
        ensure!(resumed.rates() == scheduler.rates(), "the resumed schedule has other rates");
        println!("{:>2}  {:.5}", resumed.t(), resumed.rates()[0]);
        resumed.advance();
        scheduler.advance();
    }
    Ok(())
}
