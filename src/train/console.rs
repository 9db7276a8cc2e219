//! A run as a terminal shows it: results on stdout, progress and messages on stderr.

use std::io::{self, IsTerminal};

use indicatif::HumanDuration;

use super::bar::Bar;
use super::control::Answer;
use super::heartbeat::Heartbeat;
use super::metrics::Evaluation;
use super::observer::{EpochReport, Observer, StepReport, ValidationReport};
use crate::figures;
use crate::optim::StepHyperparams;

/// Shows a run: a line for each epoch and each validation on stdout, and on stderr a bar where that is a terminal, else
/// a line every so often.
#[derive(Debug)]
pub struct Console {
    bar: Bar,
    /// Where stderr is no terminal.
    heartbeat: Option<Heartbeat>,
}

impl Console {
    /// A console that shows a bar where stderr is a terminal.
    pub fn new() -> Self {
        Self { bar: Bar::hidden(), heartbeat: None }
    }

    /// Shows answers to signals as [`Observer::message`] shows lines, from any thread. The last one takes the bar away.
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

    /// Counts to `total` from now on, on a separate bar where stderr is a terminal.
    pub fn count(&mut self, what: &str, total: u64) {
        self.bar.show(&format!("{what} {{pos}}/{{len}} {{bar:12}} {{wide_msg}} {{elapsed_precise}}"), 0, total);
    }

    /// How far the counting is, and what to say of it.
    pub fn at(&mut self, done: u64, text: &str) {
        if self.bar.is_shown() {
            self.bar.at(done, text.to_owned());
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        self.bar.clear();
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// The message is cut where the line is too long.
const TEMPLATE: &str = "step {pos}/{len} {bar:6} {wide_msg}{pace}";

impl Observer for Console {
    fn begin(&mut self, done: u64, total: u64) {
        self.bar.show(TEMPLATE, done, total);
        self.heartbeat = (!io::stderr().is_terminal()).then(|| Heartbeat::new(done, total));
    }

    fn step(&mut self, report: &StepReport<'_>) {
        if let Some(pace) = self.heartbeat.as_mut().and_then(|heartbeat| heartbeat.pace_when_due(report.done)) {
            let (done, loss, lr) = (report.done, figures::loss(report.loss), some_rates(report.rates));
            let (total, speed, left) = (pace.total, pace.steps_per_second, HumanDuration(pace.left));
            let speed = if speed < 10.0 { format!("{speed:.2}") } else { format!("{speed:.0}") };
            self.message(&format!("step {done}/{total} | loss={loss} | lr={lr} | {speed} steps/s | {left} left"));
        }
        if self.bar.is_shown() {
            let (loss, rates) = (figures::loss(report.loss), some_rates(report.rates));
            self.bar.at(report.done, format!("loss={loss} | lr={rates}"));
        }
    }

    fn epoch(&mut self, report: &EpochReport) {
        let (rates, loss) = (rates(&report.rates), figures::loss(report.loss));
        let mut line = format!("epoch {:02} | lr={rates} | loss={loss}", report.epoch);
        if let Some(validation) = &report.validation {
            line += &found(validation);
        }
        self.bar.write(io::stdout(), &line);
    }

    fn validation(&mut self, report: &ValidationReport) {
        let ValidationReport { done, rates: next, loss, validation } = report;
        let (rates, loss) = (rates(next), figures::loss(*loss));
        self.bar.write(io::stdout(), &format!("step {done} | lr={rates} | loss={loss}{}", found(validation)));
    }

    fn message(&mut self, text: &str) {
        self.bar.write(io::stderr(), text);
    }

    fn end(&mut self) {
        self.heartbeat = None;
        self.clear();
    }
}

/// The rates of two groups, or of the first of several: a line has no room for more.
fn some_rates(all: &[StepHyperparams]) -> String {
    if all.len() <= 2 { rates(all) } else { format!("{} and {} more", rates(&all[..1]), all.len() - 1) }
}

/// The figures of a validation, at the end of a line.
fn found(validation: &Evaluation) -> String {
    let accuracy = validation.accuracy.map(|accuracy| format!(" | val_accuracy={accuracy:.4}"));
    format!(" | val_loss={}{}", figures::loss(validation.loss), accuracy.unwrap_or_default())
}

/// Rates as the notebook prints them, one for each group.
fn rates(rates: &[StepHyperparams]) -> String {
    rates.iter().map(|rates| figures::rate(rates.lr)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_many_groups_leave_room_in_a_line() {
        let all: Vec<StepHyperparams> = (1..=12).map(|n| (0.01 * f64::from(n)).into()).collect();
        assert_eq!(some_rates(&all[..2]), "0.010000,0.020000");
        assert_eq!(some_rates(&all), "0.010000 and 11 more");
    }
}
