//! Display of a run on a terminal: results on stdout, progress and messages on stderr.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::HumanDuration;

use super::bar::Bar;
use super::control::Answer;
use super::heartbeat::Heartbeat;
use super::pauses::Pauses;
use crate::figures;
use crate::train::TrainError;
use crate::train::metrics::Evaluation;
use crate::train::record::StepRecord;
use crate::train::sink::{Beginning, Sink};

/// Displays a run: a line per epoch and validation on stdout, and on stderr a bar if that is a terminal, otherwise a
/// line from time to time.
#[derive(Debug)]
pub struct Console {
    bar: Bar,
    /// Used if stderr is not a terminal.
    heartbeat: Option<Heartbeat>,
    /// Present while a run is displayed.
    pauses: Option<Pauses>,
    /// How long the process was suspended during earlier displays of runs.
    paused: Duration,
}

impl Console {
    /// Creates a console with a bar if stderr is a terminal.
    pub fn new() -> Self {
        Self { bar: Bar::hidden(), heartbeat: None, pauses: None, paused: Duration::ZERO }
    }

    /// Returns a function that shows answers to signals like [`Sink::message`], from any thread. The last answer
    /// removes the bar.
    pub fn voice(&self) -> impl Fn(Answer<'_>) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |answer| {
            let (Answer::InOrder(text) | Answer::Last(text)) = answer;
            if matches!(answer, Answer::Last(_)) {
                bar.clear();
            }
            bar.write(io::stderr(), text);
        }
    }

    /// Returns a function that shows lines like [`Sink::message`], from any thread.
    pub fn lines(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |text| bar.write(io::stderr(), text)
    }

    /// Starts counting to `total`, on a separate bar if stderr is a terminal.
    pub fn count(&mut self, what: &str, total: u64) {
        self.bar.show(&format!("{what} {{pos}}/{{len}} {{bar:12}} {{wide_msg}} {{elapsed_precise}}"), 0, total);
    }

    /// Returns how long the process was suspended, for example by Ctrl-Z, while it displayed runs; no training happened
    /// in this time.
    pub fn paused(&self) -> Duration {
        self.paused + self.pauses.as_ref().map_or(Duration::ZERO, Pauses::total)
    }

    /// Sets the count and its text.
    pub fn at(&mut self, done: u64, text: &str) {
        if self.bar.is_shown() {
            self.bar.at(done, text.to_owned());
        }
    }

    /// Removes the bar.
    pub fn clear(&mut self) {
        self.bar.clear();
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// The message is cut if the line is too long.
const TEMPLATE: &str = "step {pos}/{len} {bar:6} {wide_msg}{pace}";

impl Sink for Console {
    fn begin(&mut self, &Beginning { done, total, .. }: &Beginning<'_>) -> Result<(), TrainError> {
        self.bar.show(TEMPLATE, done, total);
        let bar = self.bar.clone();
        self.pauses = Some(Pauses::watch(move || bar.forget_pace()));
        self.heartbeat = (!io::stderr().is_terminal()).then(|| Heartbeat::new(done, total));
        Ok(())
    }

    fn record(&mut self, record: &StepRecord) {
        let done = record.done();
        let pauses = self.pauses.as_ref();
        let paused = || pauses.map_or(Duration::ZERO, Pauses::total);
        let heartbeat = self.heartbeat.as_mut();
        if let Some(pace) = heartbeat.and_then(|heartbeat| heartbeat.pace_when_due(done, paused)) {
            let (loss, lr) = (figures::loss(record.loss), some_rates(&record.lr));
            let (total, speed, left) = (pace.total, pace.steps_per_second, HumanDuration(pace.left));
            let speed = if speed < 10.0 { format!("{speed:.2}") } else { format!("{speed:.0}") };
            self.message(&format!("step {done}/{total} | loss={loss} | lr={lr} | {speed} steps/s | {left} left"));
        }
        if self.bar.is_shown() {
            let (loss, lr) = (figures::loss(record.loss), some_rates(&record.lr));
            self.bar.at(done, format!("loss={loss} | lr={lr}"));
        }
        if let Some(line) = line(record) {
            self.bar.write(io::stdout(), &line);
        }
    }

    fn message(&mut self, text: &str) {
        self.bar.write(io::stderr(), text);
    }

    fn end(&mut self) {
        self.heartbeat = None;
        self.paused = self.paused();
        self.pauses = None;
        self.clear();
    }
}

/// Returns the line for the end of an epoch or a validation, in the notebook's format: with the rates of the next
/// update.
fn line(record: &StepRecord) -> Option<String> {
    let (place, loss) = match (record.epoch_loss, &record.validation) {
        (Some(mean), _) => (format!("epoch {:02}", record.epoch), mean),
        (None, Some(_)) => (format!("step {}", record.done()), record.loss),
        (None, None) => return None,
    };
    let next: Vec<f64> = record.next.iter().map(|rates| rates.lr).collect();
    let found = record.validation.as_ref().map(found).unwrap_or_default();
    Some(format!("{place} | lr={} | loss={}{found}", rates(&next), figures::loss(loss)))
}

/// Formats the rates of two groups, or only the first of several, because a line has no space for more.
fn some_rates(all: &[f64]) -> String {
    if all.len() <= 2 { rates(all) } else { format!("{} and {} more", rates(&all[..1]), all.len() - 1) }
}

/// Formats the metrics of a validation, at the end of a line.
fn found(validation: &Evaluation) -> String {
    let accuracy = validation.accuracy.map(|accuracy| format!(" | val_accuracy={accuracy:.4}"));
    let metrics = validation.metrics.iter().map(|(name, value)| format!(" | {name}={value:.4}")).collect::<String>();
    format!(" | val_loss={}{}{metrics}", figures::loss(validation.loss), accuracy.unwrap_or_default())
}

/// Formats rates like the notebook, one per group.
fn rates(rates: &[f64]) -> String {
    rates.iter().map(|&rate| figures::rate(rate)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_many_groups_leave_room_in_a_line() {
        let all: Vec<f64> = (1..=12).map(|n| 0.01 * f64::from(n)).collect();
        assert_eq!(some_rates(&all[..2]), "0.010000,0.020000");
        assert_eq!(some_rates(&all), "0.010000 and 11 more");
    }
}
