//! A run as a terminal shows it: results on stdout, progress and messages on stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::run::{EpochReport, Observer, StepReport};
use crate::figures;
use crate::optim::Rates;

/// Shows a run: a line for each epoch on stdout, and on stderr, where that is a terminal, a bar.
#[derive(Debug)]
pub struct Console {
    bar: ProgressBar,
}

impl Console {
    /// A console that shows a bar where stderr is a terminal.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden() }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

const TEMPLATE: &str = "step {pos}/{len} {bar:24} {msg} | {speed} | {eta_precise} left";

impl Observer for Console {
    fn begin(&mut self, done: u64, total: u64) {
        if !io::stderr().is_terminal() || done >= total {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        let speed = |state: &ProgressState, text: &mut dyn fmt::Write| {
            let _ = write!(text, "{:.0} steps/s", state.per_sec());
        };
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key("speed", speed);
        self.bar = bar.with_style(style).with_position(done);
        self.bar.reset_eta();
        self.bar.enable_steady_tick(Duration::from_millis(500));
    }

    fn step(&mut self, report: &StepReport<'_>) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_message(format!("loss={} | lr={}", figures::loss(report.loss), rates(report.rates)));
        self.bar.set_position(report.done);
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
        // A reader that has gone away is no reason to stop training.
        self.bar.suspend(|| drop(writeln!(io::stdout(), "{line}")));
    }

    fn message(&mut self, text: &str) {
        self.bar.suspend(|| drop(writeln!(io::stderr(), "{text}")));
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Rates as the notebook prints them, one for each group.
fn rates(rates: &[Rates]) -> String {
    rates.iter().map(|rates| figures::rate(rates.lr)).collect::<Vec<_>>().join(",")
}
