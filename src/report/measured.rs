//! Metrics in a run's log.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use memchr::{memchr, memmem, memrchr};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::{LogError, in_blocks, open};

/// Metrics in the log of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// Number of updates in the log.
    pub steps: u64,
    /// The loss of the last update.
    pub loss: Option<f64>,
    /// The last validation.
    pub validation: Option<Validation>,
    /// The validation with the lowest loss; the first one if several are equal.
    pub best_validation: Option<Validation>,
}

/// The result of a validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Validation {
    /// Number of updates before it.
    pub step: u64,
    /// Its mean loss.
    pub loss: f64,
    /// Share of correctly classified targets, if there are classes.
    pub accuracy: Option<f64>,
    /// The metrics of `validation.metrics` by the names that the log has for them, as `validation_top_k_accuracy`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

/// The displayed fields of a line of the log.
#[derive(Deserialize)]
struct Line {
    step: u64,
    loss: f64,
    val_loss: Option<f64>,
    val_accuracy: Option<f64>,
    /// All others.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl Measured {
    /// Reads the metrics of the run at `run` after `steps` updates; empty if its log cannot be read.
    pub fn of_run(run: &Path, steps: u64) -> Self {
        open(run).and_then(|log| Self::of_log(log, steps)).unwrap_or_default()
    }

    /// Reads the metrics of a log after `steps` updates. Invalid lines are skipped, such as a last line that is being
    /// written.
    fn of_log(log: impl Read, steps: u64) -> Result<Self, LogError> {
        let mut measured = Self::default();
        let of_block = |block: &[u8]| Self::of_block(block, steps);
        in_blocks(log, of_block, |later| {
            measured.add(later);
            Ok(())
        })?;
        Ok(measured)
    }

    /// Reads a block of whole lines, of which only those with a validation and the last one are needed.
    fn of_block(block: &[u8], steps: u64) -> Self {
        let (mut measured, mut at) = (Self::default(), 0);
        let validations = memmem::Finder::new("\"val_loss\"");
        while let Some(rest) = block.get(at..)
            && let Some(found) = validations.find(rest)
        {
            let begin = memrchr(b'\n', &rest[..found]).map_or(0, |end| end + 1);
            let end = memchr(b'\n', &rest[found..]).map_or(rest.len(), |end| found + end + 1);
            measured.take(&rest[begin..end], steps);
            at += end;
        }
        let mut lines = block;
        while let [before @ .., _] = lines {
            let (earlier, last) = lines.split_at(memrchr(b'\n', before).map_or(0, |end| end + 1));
            if measured.take(last, steps) {
                break;
            }
            lines = earlier;
        }
        measured
    }

    /// Adds those of a later part of the log.
    fn add(&mut self, later: Self) {
        if later.loss.is_some() && later.steps > self.steps {
            (self.steps, self.loss) = (later.steps, later.loss);
        }
        let is_better = |new: &Validation| self.best_validation.as_ref().is_none_or(|best| new.loss < best.loss);
        if later.best_validation.as_ref().is_some_and(is_better) {
            self.best_validation = later.best_validation;
        }
        self.validation = later.validation.or(self.validation.take());
    }

    /// Adds a line if it is one of the first `steps`.
    fn take(&mut self, text: &[u8], steps: u64) -> bool {
        let Some(line) = serde_json::from_slice::<Line>(text).ok().filter(|line| line.step < steps) else {
            return false;
        };
        if line.step >= self.steps {
            (self.steps, self.loss) = (line.step + 1, Some(line.loss));
        }
        if let Some(loss) = line.val_loss {
            let metrics = line.more.into_iter().filter(|(name, _)| name.starts_with("validation_"));
            let metrics = metrics.filter_map(|(name, value)| Some((name, value.as_f64()?))).collect();
            let validation = Validation { step: line.step + 1, loss, accuracy: line.val_accuracy, metrics };
            if self.best_validation.as_ref().is_none_or(|best| loss < best.loss) {
                self.best_validation = Some(validation.clone());
            }
            self.validation = Some(validation);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "{\"step\":0,\"loss\":4.0,\"lr\":[0.1]}\n{\"step\":1,\"loss\":3.0,\"val_loss\":2.5}\n\
        {\"step\":2,\"loss\":2.0}\n{\"step\":3,\"loss\":1.5,\"val_loss\":2.0,\"val_accuracy\":0.5}\n\
        {\"step\":4,\"loss\":1.0}\n{\"step\":5,\"loss\":0.5,\"val_loss\":2.0,\"val_accuracy\":0.75}\n\
        {\"step\":6,\"loss\":0.25}\n";

    fn validation(step: u64, loss: f64, accuracy: Option<f64>) -> Option<Validation> {
        Some(Validation { step, loss, accuracy, metrics: BTreeMap::new() })
    }

    fn of_log(log: &str, steps: u64) -> Measured {
        let measured = Measured::of_log(log.as_bytes(), steps).unwrap();
        // In parts of a line each it is the same.
        let mut of_lines = Measured::default();
        log.split_inclusive('\n').for_each(|line| of_lines.add(Measured::of_block(line.as_bytes(), steps)));
        assert_eq!(of_lines, measured);
        measured
    }

    #[test]
    fn the_log_says_the_last_loss_and_the_last_and_best_validation() {
        let measured = of_log(LOG, 7);
        let best_validation = validation(4, 2.0, Some(0.5));
        let expected =
            Measured { steps: 7, loss: Some(0.25), validation: validation(6, 2.0, Some(0.75)), best_validation };
        assert_eq!(measured, expected);
    }

    #[test]
    fn what_is_behind_the_step_and_what_is_cut_does_not_count() {
        let measured = of_log(LOG, 3);
        let first = validation(2, 2.5, None);
        let expected = Measured { steps: 3, loss: Some(2.0), validation: first.clone(), best_validation: first };
        assert_eq!(measured, expected);
        let cut = format!("{LOG}{{\"step\":7,\"lo");
        assert_eq!(of_log(&cut, 100), of_log(LOG, 100));
        assert_eq!(of_log("", 100), Measured::default());
        assert_eq!(Measured::of_run(Path::new("nowhere"), 3), Measured::default());
    }
}
