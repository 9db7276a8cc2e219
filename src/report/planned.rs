//! A configuration as a run would interpret it, with a forecast of its memory and its time.

use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::rests::{Rest, rests};
use super::{Check, pictures, terminal};
use crate::figures::{self, counted, span};
use crate::memory::{self, Size};
use crate::schedule::Trajectory;
use crate::train::{Agenda, Control, Forecast, KeepConfig, Session, Setting, TrainError, from_file};
use crate::wrapped::wrapped_to;

/// Height of the picture of the schedule, in rows.
const ROWS: usize = 10;

/// The width of its lines, and what begins those that continue another.
const WIDTH: usize = 80;
const INDENT: &str = "            ";

/// Most steps that are drawn.
const DRAWN: u64 = 1000;

/// A plan of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The run as the configuration describes it.
    #[serde(flatten)]
    pub check: Check,
    /// Its memory and its time.
    pub forecast: Forecast,
    /// The mean time between two failures, in seconds, for the interval of saves.
    pub failure_seconds: f64,
    /// The interval of saves, in seconds, at which failures cost the least.
    pub best_interval_seconds: Option<f64>,
    /// The stretches at the rate 0.
    pub rests: Vec<Rest>,
    /// The validations of the run.
    pub validations: u64,
    /// Its checkpoints.
    pub saves: PlannedSaves,
    /// The time of the whole run in seconds, with validations and the last save; the others are made while training
    /// continues.
    pub run_seconds: Option<f64>,
    #[serde(skip)]
    picture: String,
}

/// The checkpoints of a run before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedSaves {
    /// Their number, with the first and the last.
    pub made: u64,
    /// The number of those that stay, at most.
    pub kept: u64,
    /// Whether the numbers are only estimates, because saves follow the clock.
    pub is_estimate: bool,
}

impl Planned {
    /// Plans the run of the configuration at `path` with `settings` in the run directory `out`: makes a few updates in
    /// memory and one save, and leaves no file. `failures` is the mean time between two failures.
    ///
    /// # Errors
    /// Any error that a run would be refused for, or that its first steps have.
    pub fn of_file(
        path: &Path,
        settings: &[Setting],
        out: &Path,
        failures: Duration,
        control: &Control,
    ) -> Result<Self, TrainError> {
        let session = Session::new(from_file(path, settings)?)?;
        session.require_figures()?;
        let (check, picture) = (Check::of(&session), picture(&session));
        let rests = rests(session.scheduler(), session.total_steps());
        let (agenda, keep) = (session.agenda(Duration::ZERO, Duration::ZERO), session.config().checkpoint.keep.clone());
        let forecast = Forecast::of(session, out, control)?;
        let best_interval_seconds = forecast.best_interval(failures).map(|interval| interval.as_secs_f64());
        let run_seconds = run_seconds(&agenda, &forecast);
        Ok(Self {
            check,
            failure_seconds: failures.as_secs_f64(),
            best_interval_seconds,
            rests,
            validations: agenda.validations_after(0),
            saves: PlannedSaves::of(&agenda, &keep, run_seconds, forecast.save_seconds),
            run_seconds,
            forecast,
            picture,
        })
    }
}

/// Estimates the time of a run from that of an update and that of a save.
fn run_seconds(agenda: &Agenda, forecast: &Forecast) -> Option<f64> {
    let updates = agenda.total_steps() as f64 + agenda.validations_after(0) as f64 * agenda.validation_cost();
    Some(forecast.step_seconds? * updates + forecast.save_seconds.unwrap_or_default())
}

impl PlannedSaves {
    fn of(agenda: &Agenda, keep: &KeepConfig, run_seconds: Option<f64>, save_seconds: Option<f64>) -> Self {
        let by_steps = agenda.saves_after(0);
        let by_clock = agenda.saves_by_clock(run_seconds.unwrap_or_default(), save_seconds.unwrap_or_default());
        let made = 2 + by_steps.unwrap_or_default().max(by_clock.unwrap_or_default());
        let every = keep.every.and_then(|every| every.in_steps(agenda.steps_per_epoch()));
        let rules = [keep.last, keep.best].into_iter().flatten().map(|count| count as u64);
        let kept = rules.sum::<u64>() + every.map_or(0, |every| agenda.total_steps() / every.max(1));
        let kept = if keep.is_empty() { made } else { kept.clamp(1, made) };
        Self { made, kept, is_estimate: by_clock.is_some() }
    }
}

/// Draws the rates of a run at evenly spaced steps.
fn picture(session: &Session) -> String {
    let steps = session.total_steps();
    let stride = steps.div_ceil(DRAWN).max(1);
    let lrs = (0..steps).step_by(stride as usize).map(|step| session.scheduler().rates_at(step)).collect();
    let mut chart = pictures::of_trajectory("", &Trajectory { lrs, momentum: None }, &[], false);
    for series in &mut chart.series {
        series.points.iter_mut().for_each(|point| point.0 *= stride as f64);
    }
    chart.to_braille(terminal::columns(), ROWS)
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wrapped(f, &self.check.to_string())?;
        f.write_str(&self.picture)?;
        let mut text = String::new();
        self.write_forecast(&mut text)?;
        write_wrapped(f, &text)
    }
}

/// Writes lines of which the long ones continue below their own words.
fn write_wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(f, "{}", wrapped_to(WIDTH, line, INDENT)))
}

impl Planned {
    fn write_forecast(&self, f: &mut String) -> fmt::Result {
        let forecast = &self.forecast;
        for Rest { group, steps } in &self.rests {
            let (count, total) = (steps.end - steps.start, self.check.length.steps);
            let last = steps.end - 1;
            writeln!(f, "rate 0      group {group}: steps {} to {last}, {count} of {total}", steps.start)?;
        }
        let of = forecast.available.map(|bytes| format!("; {} are available", Size(bytes))).unwrap_or_default();
        writeln!(f, "memory      at least {}{of}", Size(memory::total(&forecast.memory)))?;
        for need in forecast.memory.iter().filter(|need| need.bytes > 0) {
            let detail = if need.detail.is_empty() { String::new() } else { format!(" ({})", need.detail) };
            writeln!(f, "            {}: {}{detail}", need.what, Size(need.bytes))?;
        }
        self.write_saves(f)?;
        self.write_time(f)?;
        if let Some(interval) = self.best_interval_seconds {
            let failures = Duration::from_secs_f64(self.failure_seconds);
            let lost = forecast.lost_share(Duration::from_secs_f64(interval), failures).unwrap_or_default();
            let (interval, mean) = (span(interval), span(self.failure_seconds));
            writeln!(
                f,
                "failures    with one in {mean} on average, a save every {interval} loses the least: {:.2} % of the time",
                100.0 * lost
            )?;
        }
        Ok(())
    }

    fn write_saves(&self, f: &mut String) -> fmt::Result {
        let (forecast, PlannedSaves { made, kept, is_estimate }) = (&self.forecast, self.saves);
        write!(f, "checkpoint  {}", Size(forecast.checkpoint_bytes))?;
        match forecast.save_seconds {
            Some(save) => writeln!(f, ", saved in {}", span(save))?,
            None => writeln!(f, "; a save was not timed, because nothing could be written to the disk of the run")?,
        }
        let about = if is_estimate { "about " } else { "" };
        let disk = Size(forecast.checkpoint_bytes.saturating_mul(kept));
        let stay = if kept == made { "all stay".to_owned() } else { format!("{kept} of them stay") };
        writeln!(f, "            {about}{made} in the run; {stay}, with {disk}")
    }

    fn write_time(&self, f: &mut String) -> fmt::Result {
        let (Some(step), Some(run)) = (self.forecast.step_seconds, self.run_seconds) else { return Ok(()) };
        let flops = self.check.model.flops_per_step as f64 / step;
        let speed = if flops > 0.0 { format!(" ({}/s)", figures::flops(flops as u64)) } else { String::new() };
        let (each, whole) = (span(step), span(run));
        let validations = match self.validations {
            0 => String::new(),
            count => format!(" with {}", counted(count, "validation")),
        };
        writeln!(f, "time        {each} a step{speed}; about {whole} for all{validations}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_saves_is_that_of_young() {
        let forecast = Forecast {
            memory: Vec::new(),
            available: None,
            checkpoint_bytes: 1,
            step_seconds: Some(1.0),
            save_seconds: Some(2.0),
        };
        let mean = Duration::from_secs(10_000);
        // sqrt(2 * 2 * 10000) = 200; at that interval saves and repeated work cost the same.
        assert_eq!(forecast.best_interval(mean), Some(Duration::from_secs(200)));
        assert_eq!(forecast.lost_share(Duration::from_secs(200), mean), Some(0.02));
    }
}
