//! The lines of epochs and validations: aligned over a run, with a mark at each best figure.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::figures;
use crate::metric::more_is_better;
use crate::store;
use crate::train::Agenda;
use crate::train::metrics::{Evaluation, TestFigures};
use crate::train::record::StepRecord;

/// Columns of a rate and of a loss; few numbers need more.
const NUMBER: usize = 8;

/// The mark of a figure that is better than all before it.
const BEST: char = '*';

/// A log of at most this many bytes is read for the best figures before a resume: it takes some milliseconds.
const LOG: u64 = 16 << 20;

/// Formats the lines of a run.
#[derive(Debug)]
pub(super) struct Lines {
    /// Digits of the number of an epoch.
    epoch: usize,
    /// Columns of the place of a line.
    place: usize,
    best: Best,
}

impl Lines {
    /// Creates them for the run at `run`, which has `recorded` updates in its log.
    pub fn new(agenda: &Agenda, run: &Path, recorded: u64) -> Self {
        let digits = |number: u64| number.checked_ilog10().unwrap_or_default() as usize + 1;
        let epoch = digits(agenda.total_steps().div_ceil(agenda.steps_per_epoch().max(1))).max(2);
        let step = if agenda.validates_within_epochs() { "step ".len() + digits(agenda.total_steps()) } else { 0 };
        Self { epoch, place: step.max("epoch ".len() + epoch), best: Best::before(run, recorded) }
    }

    /// Whether a record has a line.
    pub fn shows(record: &StepRecord) -> bool {
        record.epoch_loss.is_some() || record.validation.is_some()
    }

    /// Returns the line for the end of an epoch or a validation, in the notebook's format: with the rates of the next
    /// update. In a terminal of this many `columns`, figures that do not fit continue in the next line, under the rate.
    pub fn of(&mut self, record: &StepRecord, columns: Option<usize>) -> Option<String> {
        let (place, loss) = match (record.epoch_loss, &record.validation) {
            (Some(mean), _) => (format!("epoch {:0width$}", record.epoch, width = self.epoch), mean),
            (None, None) if record.test.is_none() => return None,
            (None, _) => (format!("step {}", record.done()), record.loss),
        };
        let next: Vec<f64> = record.next.iter().map(|rates| rates.lr).collect();
        let room = columns.map(|columns| columns.saturating_sub(self.place + NUMBER + 3));
        let rates = Some(rates(&next)).filter(|rates| room.is_none_or(|room| rates.len() <= room));
        let (place_width, rates) = (self.place, rates.unwrap_or_else(|| some_rates(&next)));
        let loss = figures::loss(loss);
        let mut parts = vec![format!("{place:place_width$} | lr={rates:NUMBER$}"), format!(" | loss={loss:NUMBER$}")];
        parts.extend(record.validation.as_ref().map(|found| self.found(found)).unwrap_or_default());
        parts.extend(record.test.iter().flat_map(of_test));
        Some(fitted(&parts, columns.unwrap_or(usize::MAX), self.place + 3))
    }

    /// Formats the figures of a validation, each with the gap before it.
    fn found(&mut self, validation: &Evaluation) -> Vec<String> {
        let best = self.best.take(validation);
        let figure = |(place, ((name, value, more), is_best)): (usize, ((&str, f64, bool), bool))| {
            let (shown, width) = match name {
                "val_loss" => (figures::loss(value), NUMBER + 1),
                // Shares are at most 1; errors and perplexities are of any size.
                _ if more => (format!("{value:.4}"), 0),
                _ => (figures::loss(value), 0),
            };
            let shown = format!("{shown}{}", if is_best { BEST } else { ' ' });
            // The column of a mark is also the first one of the gap behind it.
            format!("{}{name}={shown:width$}", if place == 0 { "  " } else { " " })
        };
        figures_of(validation).into_iter().zip(best).enumerate().map(figure).collect()
    }
}

/// Formats the figures of the test rows, each with the gap before it.
fn of_test(test: &TestFigures) -> Vec<String> {
    let gaps = std::iter::once("  ").chain(std::iter::repeat(" "));
    gaps.zip(test.named()).map(|(gap, (name, value))| format!("{gap}{name}={}", figures::loss(value))).collect()
}

/// Joins the parts of a line. Before one that does not fit into `columns` a new line begins, after `indent` blanks.
fn fitted(parts: &[String], columns: usize, indent: usize) -> String {
    let (mut text, mut width) = (String::new(), 0);
    for part in parts {
        if width > indent && width + part.trim_end().chars().count() > columns {
            text.truncate(text.trim_end().len());
            let next = part.trim_start_matches([' ', '|']);
            text += &format!("\n{:indent$}{next}", "");
            width = indent + next.chars().count();
        } else {
            text += part;
            width += part.chars().count();
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The best value of each figure so far.
#[derive(Debug, Default)]
struct Best {
    values: BTreeMap<String, f64>,
    /// Whether there may be better ones that are not known.
    is_open: bool,
}

impl Best {
    /// Reads the best figures of the run at `run` from the first `recorded` lines of its log, if that takes little time.
    fn before(run: &Path, recorded: u64) -> Self {
        let mut best = Self { is_open: recorded > 0, ..Self::default() };
        let file = run.join("log.jsonl");
        if recorded == 0 || store::is_url(run) || !file.metadata().is_ok_and(|file| file.len() <= LOG) {
            return best;
        }
        let Ok(log) = fs::read_to_string(file) else { return best };
        // The lines of other steps need not be parsed.
        for line in log.lines().filter(|line| line.contains("\"val_loss\"")) {
            let record = serde_json::from_str::<StepRecord>(line).ok().filter(|record| record.step < recorded);
            record.and_then(|record| record.validation).iter().for_each(|found| drop(best.take(found)));
        }
        best.is_open = false;
        best
    }

    /// Takes the figures of a validation, and returns for each whether it is better than all before it.
    fn take(&mut self, validation: &Evaluation) -> Vec<bool> {
        let is_open = std::mem::take(&mut self.is_open);
        let mut take = |(name, value, more_is_better): (&str, f64, bool)| {
            let is_better = |&best: &f64| if more_is_better { value > best } else { value < best };
            let is_best = !value.is_nan() && self.values.get(name).is_none_or(is_better);
            if is_best {
                self.values.insert(name.to_owned(), value);
            }
            is_best && !is_open
        };
        figures_of(validation).into_iter().map(&mut take).collect()
    }
}

/// Returns the figures of a validation by their names in the log, and whether more is better.
fn figures_of(validation: &Evaluation) -> Vec<(&str, f64, bool)> {
    let accuracy = validation.accuracy.map(|accuracy| ("val_accuracy", accuracy, true));
    let own = validation.metrics.iter().map(|(name, &value)| {
        let more = name.strip_prefix("validation_").is_some_and(more_is_better);
        (name.as_str(), value, more)
    });
    [("val_loss", validation.loss, false)].into_iter().chain(accuracy).chain(own).collect()
}

/// Formats the rates of two groups, or only the first of several, because a line has no space for more.
pub(super) fn some_rates(all: &[f64]) -> String {
    if all.len() <= 2 { rates(all) } else { format!("{} and {} more", rates(&all[..1]), all.len() - 1) }
}

/// Formats rates like the notebook, one per group.
fn rates(rates: &[f64]) -> String {
    rates.iter().map(|&rate| figures::rate(rate)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Epochs;
    use crate::optim::StepHyperparams;
    use crate::train::config::every::Interval;
    use crate::train::config::{CheckpointConfig, ValidationConfig};
    use crate::train::intervals::{Lengths, Saves, Validations};

    #[test]
    fn the_rates_of_many_groups_leave_room_in_a_line() {
        let all: Vec<f64> = (1..=12).map(|n| 0.01 * f64::from(n)).collect();
        assert_eq!(some_rates(&all[..2]), "0.010000,0.020000");
        assert_eq!(some_rates(&all), "0.010000 and 11 more");
    }

    fn agenda(total: u64, epoch: u64, validate_every: u64) -> Agenda {
        let (lengths, epochs) = (Lengths { total, epoch }, Epochs::of_length(epoch));
        let mut config = ValidationConfig { every: Interval::Steps(validate_every), ..Default::default() };
        Agenda {
            lengths,
            validations: Some(Validations::settle(&mut config, (total, &epochs), 1.0)),
            validation_cost: 1.0,
            saves: Saves::new(&CheckpointConfig::default(), None, None, &epochs),
            save_wait: Default::default(),
        }
    }

    fn record(step: u64, epoch_loss: Option<f64>, lr: f64, found: Option<(f64, f64)>) -> StepRecord {
        let next = StepHyperparams::from(lr);
        let metrics = |share| [("validation_top_k_accuracy".to_owned(), share)].into();
        let validation = found.map(|(loss, share)| Evaluation {
            loss,
            accuracy: Some(share),
            metrics: metrics(share),
            lists: BTreeMap::new(),
        });
        let record = StepRecord::new(step, step / 10 + 1, &[next], 2.0, 1.0);
        StepRecord { epoch_loss, validation, next: vec![next], ..record }
    }

    #[test]
    fn columns_stay_where_they_are_and_the_best_figures_are_marked() {
        let mut lines = Lines::new(&agenda(1000, 10, 25), Path::new("nowhere"), 0);
        let mut shown = |record| lines.of(&record, None).unwrap_or_default();
        assert_eq!(shown(record(8, None, 0.1, None)), "");
        assert_eq!(shown(record(9, Some(0.5), 2e-7, None)), "epoch 001 | lr=2.000e-7 | loss=0.5000");
        let expected = [
            "step 25   | lr=0.010000 | loss=2.0000    val_loss=1.5000*   val_accuracy=0.5000* validation_top_k_accuracy=0.5000*",
            "epoch 005 | lr=0        | loss=0.012346  val_loss=0.012346* val_accuracy=0.2500  validation_top_k_accuracy=0.2500",
            "step 75   | lr=0.010000 | loss=2.0000    val_loss=0.5000    val_accuracy=0.7500* validation_top_k_accuracy=0.7500*",
        ];
        let records = [
            record(24, None, 0.01, Some((1.5, 0.5))),
            record(49, Some(0.0123456), 0.0, Some((0.0123456, 0.25))),
            record(74, None, 0.01, Some((0.5, 0.75))),
        ];
        assert_eq!(records.map(shown), expected);
    }

    #[test]
    fn in_a_narrow_terminal_figures_continue_under_the_rate() {
        let shown = |columns| {
            let mut lines = Lines::new(&agenda(1000, 10, 25), Path::new("nowhere"), 0);
            lines.of(&record(24, None, 0.01, Some((1.5, 0.5))), columns).unwrap()
        };
        let narrow = "step 25   | lr=0.010000 | loss=2.0000    val_loss=1.5000*   val_accuracy=0.5000*\n            validation_top_k_accuracy=0.5000*";
        assert_eq!(shown(Some(80)), narrow);
        assert_eq!(shown(Some(114)), shown(None));
        let narrower = "step 25   | lr=0.010000\n            loss=2.0000\n            val_loss=1.5000*\n            val_accuracy=0.5000*\n            validation_top_k_accuracy=0.5000*";
        assert_eq!([shown(Some(30)), shown(Some(0))], [narrower; 2]);
        // The rates of many groups are shortened only where they do not fit.
        let many = StepRecord { next: vec![StepHyperparams::from(0.01); 9], ..record(9, Some(0.5), 0.1, None) };
        let mut lines = Lines::new(&agenda(1000, 10, 25), Path::new("nowhere"), 0);
        assert!(lines.of(&many, Some(80)).unwrap().contains("lr=0.010000 and 8 more | loss="));
        assert!(lines.of(&many, None).unwrap().contains("lr=0.010000,0.010000,"));
    }

    /// A mark after a resume is the one that the uninterrupted run would show.
    #[test]
    fn the_best_figures_before_a_resume_count() {
        let folder = tempfile::tempdir().unwrap();
        let log: String = [(24, 0.5), (49, 0.25), (74, 0.125)]
            .map(|(step, loss)| serde_json::to_string(&record(step, None, 0.1, Some((loss, 0.5)))).unwrap() + "\n")
            .concat();
        fs::write(folder.path().join("log.jsonl"), log).unwrap();
        let mut lines = Lines::new(&agenda(1000, 10, 25), folder.path(), 50);
        let line = lines.of(&record(74, None, 0.1, Some((0.3, 0.5))), None).unwrap();
        assert!(!line.contains('*'), "{line}");
        let line = lines.of(&record(99, None, 0.1, Some((0.2, 0.5))), None).unwrap();
        assert!(line.contains("val_loss=0.2000* "), "{line}");
        // Without the log, nothing is known of the first one.
        let mut lines = Lines::new(&agenda(1000, 10, 25), Path::new("nowhere"), 50);
        let marks =
            [0.3, 0.2].map(|loss| lines.of(&record(74, None, 0.1, Some((loss, 0.5))), None).unwrap().contains('*'));
        assert_eq!(marks, [false, true]);
    }
}
