//! The values of the metric in the run of a trial, as its log and its newest checkpoint say.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::error::SweepError;
use crate::checkpoint::Folder;
use crate::report::{LogError, open_log};
use crate::train::{Metric, TrainError};

/// The run of a trial, as far as it is saved and logged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Number of updates.
    pub steps: u64,
    /// Number of updates in the whole run.
    pub total: u64,
    pub steps_per_epoch: u64,
    /// The values of the metric, each after the number of updates.
    values: Vec<(u64, f64)>,
}

#[derive(Deserialize)]
struct Line {
    step: u64,
    #[serde(default)]
    loss: Option<f64>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl Measured {
    /// Reads the run in the directory, or at the URL, `run`; `None` if there is no run yet.
    pub fn of(run: &Path, metric: Metric) -> Result<Option<Self>, SweepError> {
        let folder = Folder::new(run.join("checkpoints"));
        // A store that does not answer is no missing run.
        let is_begun = !folder.list().map_err(TrainError::from)?.is_empty();
        let Some(newest) = is_begun.then(|| folder.newest_outline().ok()).flatten() else { return Ok(None) };
        let field = |name: &str| newest.checkpoint.field(name).and_then(Value::as_u64).unwrap_or_default();
        let (total, steps_per_epoch) = (field("total_steps"), field("steps_per_epoch").max(1));
        let (logged, mut values) = match open_log(run) {
            Ok(log) => read(BufReader::new(log), metric, steps_per_epoch)
                .map_err(|source| LogError::Unread { path: run.to_owned(), source })?,
            Err(LogError::NoLog { .. }) => (0, Vec::new()),
            Err(error) => return Err(error.into()),
        };
        // A validation after the last saved update may be pending: its line is then not in the log yet.
        let steps = newest.checkpoint.step().min(logged);
        values.retain(|(done, _)| *done <= steps);
        Ok(Some(Self { steps, total, steps_per_epoch, values }))
    }

    /// Returns the best value in the first `steps` updates, and after how many it was measured; of equal ones the first.
    pub fn best(&self, steps: u64, more_is_better: bool) -> Option<(u64, f64)> {
        let is_better = |new: f64, old: f64| if more_is_better { new > old } else { new < old };
        self.values.iter().filter(|(step, _)| *step <= steps).fold(None, |best, &(step, value)| match best {
            Some((_, old)) if !is_better(value, old) => best,
            _ => Some((step, value)),
        })
    }
}

/// The key of a metric in a log; `None` for one that is computed from the losses.
fn key(metric: Metric) -> Option<String> {
    match metric {
        Metric::TrainingLoss => None,
        Metric::ValidationLoss => Some("val_loss".to_owned()),
        Metric::ValidationAccuracy => Some("val_accuracy".to_owned()),
        Metric::Own(name) => Some(format!("validation_{name}")),
    }
}

/// Reads the number of updates in a log, and the values, each after the number of updates. A line that is no line of a log is
/// skipped.
fn read(mut log: impl BufRead, metric: Metric, steps_per_epoch: u64) -> Result<(u64, Vec<(u64, f64)>), std::io::Error> {
    let key = key(metric);
    let quoted = key.as_ref().map(|key| format!("\"{key}\":"));
    let (mut logged, mut values, mut text, mut epoch) = (0, Vec::new(), Vec::new(), (0.0, 0_u64));
    loop {
        text.clear();
        if log.read_until(b'\n', &mut text)? == 0 {
            return Ok((logged, values));
        }
        logged = updates(&text).unwrap_or(logged);
        // Most lines have no validation.
        if quoted.as_ref().is_some_and(|quoted| memchr::memmem::find(&text, quoted.as_bytes()).is_none()) {
            continue;
        }
        let Ok(line) = serde_json::from_slice::<Line>(&text) else { continue };
        let done = line.step.saturating_add(1);
        let value = match &key {
            Some(key) => line.more.get(key).and_then(Value::as_f64),
            None => {
                epoch = (epoch.0 + line.loss.unwrap_or(f64::NAN), epoch.1 + 1);
                let is_end = done % steps_per_epoch == 0;
                is_end.then(|| std::mem::take(&mut epoch)).map(|(sum, count)| sum / count as f64)
            }
        };
        values.extend(value.filter(|value| value.is_finite()).map(|value| (done, value)));
    }
}

/// Returns the number of updates up to a line of a log, which begins with the step; `None` if the line is torn.
fn updates(line: &[u8]) -> Option<u64> {
    let rest = line.strip_suffix(b"\n")?.strip_prefix(b"{\"step\":")?;
    let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "{\"step\":0,\"loss\":4.0}\n{\"step\":1,\"loss\":3.0,\"val_loss\":2.5,\"val_accuracy\":0.5}\n\
        {\"step\":2,\"loss\":2.0}\n{\"step\":3,\"loss\":1.0,\"val_loss\":2.75,\"val_accuracy\":0.5,\
        \"validation_f1\":0.25}\n{\"step\":4,\"lo";

    fn measured(metric: Metric, steps: u64) -> Measured {
        let (logged, mut values) = read(LOG.as_bytes(), metric, 2).unwrap();
        assert_eq!(logged, 4, "the last line is torn");
        values.retain(|(done, _)| *done <= steps);
        Measured { steps, total: 10, steps_per_epoch: 2, values }
    }

    #[test]
    fn the_best_value_up_to_a_step_is_the_first_of_the_best() {
        let loss = measured(Metric::ValidationLoss, 4);
        assert_eq!([1, 2, 4].map(|steps| loss.best(steps, false)), [None, Some((2, 2.5)), Some((2, 2.5))]);
        assert_eq!(loss.best(4, true), Some((4, 2.75)));
        assert_eq!(measured(Metric::ValidationAccuracy, 4).best(4, true), Some((2, 0.5)));
        assert_eq!(measured(Metric::Own("f1"), 4).values, [(4, 0.25)]);
        assert_eq!(measured(Metric::ValidationLoss, 3).best(9, true), Some((2, 2.5)), "step 4 is not saved");
    }

    #[test]
    fn the_training_loss_is_the_mean_of_each_epoch() {
        assert_eq!(measured(Metric::TrainingLoss, 4).values, [(2, 3.5), (4, 1.5)]);
    }
}
