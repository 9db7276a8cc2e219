//! A run as a terminal shows it: results on stdout, progress and messages on stderr.

use std::io;

use super::bar::Bar;
use super::run::{EpochReport, Observer, StepReport};
use crate::figures;
use crate::optim::Rates;

/// Shows a run: a line for each epoch on stdout, and on stderr, where that is a terminal, a bar.
#[derive(Debug)]
pub struct Console {
    bar: Bar,
}

impl Console {
    /// A console that shows a bar where stderr is a terminal.
    pub fn new() -> Self {
        Self { bar: Bar::hidden() }
    }

    /// Shows lines as [`Observer::message`] does, from any thread.
    pub fn voice(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |text| bar.write(io::stderr(), text)
    }

    /// Counts to `total` from now on, on a bar of its own where stderr is a terminal.
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

/// What does not fit into the line is cut off the message.
const TEMPLATE: &str = "step {pos}/{len} {bar:6} {wide_msg} | {speed} | {eta} left";

impl Observer for Console {
    fn begin(&mut self, done: u64, total: u64) {
        self.bar.show(TEMPLATE, done, total);
    }

    fn step(&mut self, report: &StepReport<'_>) {
        if self.bar.is_shown() {
            let (loss, rates) = (figures::loss(report.loss), some_rates(report.rates));
            self.bar.at(report.done, format!("loss={loss} | lr={rates}"));
        }
    }

    fn epoch(&mut self, report: &EpochReport) {
        let (rates, loss) = (rates(&report.rates), figures::loss(report.loss));
        let mut line = format!("epoch {:02} | lr={rates} | loss={loss}", report.epoch);
        if let Some(validation) = report.validation {
            line += &format!(" | val_loss={}", figures::loss(validation.loss));
            if let Some(accuracy) = validation.accuracy {
                line += &format!(" | val_accuracy={accuracy:.4}");
            }
        }
        self.bar.write(io::stdout(), &line);
    }

    fn message(&mut self, text: &str) {
        self.bar.write(io::stderr(), text);
    }

    fn end(&mut self) {
        self.clear();
    }
}

/// The rates of as many groups as a line has room for.
fn some_rates(all: &[Rates]) -> String {
    const MOST: usize = 2;
    match all.len().checked_sub(MOST) {
        None | Some(0) => rates(all),
        Some(more) => format!("{} and {more} more", rates(&all[..MOST])),
    }
}

/// Rates as the notebook prints them, one for each group.
fn rates(rates: &[Rates]) -> String {
    rates.iter().map(|rates| figures::rate(rates.lr)).collect::<Vec<_>>().join(",")
}
