//! A configuration as a run would interpret it, with a forecast of its memory and its time.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Check, pictures, terminal};
use crate::memory::{self, Size};
use crate::schedule::Trajectory;
use crate::train::{Control, Forecast, Session, Setting, TrainError, from_file};

/// Height of the picture of the schedule, in rows.
const ROWS: usize = 10;

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
    #[serde(skip)]
    picture: String,
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
        let forecast = Forecast::of(session, out, control)?;
        let best_interval_seconds = forecast.best_interval(failures).map(|interval| interval.as_secs_f64());
        Ok(Self { check, forecast, failure_seconds: failures.as_secs_f64(), best_interval_seconds, picture })
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
        let Self { check, forecast, picture, .. } = self;
        write!(f, "{check}{picture}")?;
        let of = forecast.available.map(|bytes| format!("; {} are available", Size(bytes))).unwrap_or_default();
        writeln!(f, "memory      at least {}{of}", Size(memory::total(&forecast.memory)))?;
        for need in forecast.memory.iter().filter(|need| need.bytes > 0) {
            let detail = if need.detail.is_empty() { String::new() } else { format!(" ({})", need.detail) };
            writeln!(f, "            {}: {}{detail}", need.what, Size(need.bytes))?;
        }
        write!(f, "checkpoint  {}", Size(forecast.checkpoint_bytes))?;
        match forecast.save_seconds {
            Some(save) => writeln!(f, ", saved in {}", span(save))?,
            None => writeln!(f, "; a save was not timed, because nothing could be written to the disk of the run")?,
        }
        if let Some(step) = forecast.step_seconds {
            let steps = check.length.steps;
            let whole = span(step * steps as f64);
            writeln!(f, "time        {} a step, {whole} for all, without validations and saves", span(step))?;
        }
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
}

/// Formats seconds in the unit that fits, with two digits or more.
fn span(seconds: f64) -> String {
    const UNITS: [(f64, &str); 6] =
        [(86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")];
    let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1e-6, "µs"));
    let amount = seconds / size;
    let decimals = usize::from(amount < 9.95);
    let text = format!("{amount:.decimals$}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    let unit = if unit == "days" && text == "1" { "day" } else { unit };
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_is_in_the_unit_that_fits() {
        let spans =
            [(86_400.0, "1 day"), (200_000.0, "2.3 days"), (5400.0, "1.5 h"), (61.0, "1 min"), (0.25, "250 ms")];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
        assert_eq!((span(2e-5), span(0.0)), ("20 µs".to_owned(), "0 µs".to_owned()));
    }

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
