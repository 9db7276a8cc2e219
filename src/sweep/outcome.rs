//! The outcome of a sweep: its trials as a table, as CSV and as JSON, and the best of them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::directory::{self, Directory, metric_name, require_sweep, told};
use super::error::SweepError;
use super::ledger::{self, End, Ended};
use super::plan::Plan;
use crate::aligned::aligned;
use crate::figures;
use crate::figures::counted;

/// The outcome of a sweep, perhaps before its end.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The directory or URL of the sweep.
    pub path: PathBuf,
    /// The metric that judges the trials.
    pub metric: String,
    /// Whether larger values of it are better.
    pub more_is_better: bool,
    /// The number of trials of the sweep, ended or not.
    pub trials: usize,
    /// The trials that have ended, by their numbers.
    pub ended: Vec<Ended>,
    #[serde(skip)]
    pub(super) plan: Plan,
}

impl Outcome {
    /// Reads the outcome of the sweep in the directory, or at the URL, at `path`.
    ///
    /// # Errors
    /// There is no sweep, or it cannot be read.
    pub fn of(path: &Path) -> Result<Self, SweepError> {
        let plan = require_sweep(path)?;
        Ok(Self {
            path: path.to_owned(),
            metric: metric_name(&plan),
            more_is_better: plan.metric.more_is_better(),
            trials: plan.trials(),
            ended: ledger::read(path)?.into_values().collect(),
            plan,
        })
    }

    /// Returns the trials with the best first, those without a value last; of equal ones the earlier first.
    pub fn ranked(&self) -> Vec<&Ended> {
        let mut ranked: Vec<&Ended> = self.ended.iter().collect();
        let sign = if self.more_is_better { -1.0 } else { 1.0 };
        let cost = |ended: &Ended| ended.value.map_or(f64::INFINITY, |value| sign * value);
        ranked.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.trial.cmp(&b.trial)));
        ranked
    }

    /// Returns the best trial.
    pub fn best(&self) -> Option<&Ended> {
        self.ranked().first().copied().filter(|best| best.value.is_some())
    }

    /// Returns the run directory of the best trial.
    pub fn best_run(&self) -> Option<PathBuf> {
        Some(directory::run_of(&self.path, self.best()?.trial))
    }

    /// Formats the best trial: `trial 3, validation_loss 0.1234 after step 40: optimizer.lr = 0.1`.
    pub fn best_line(&self) -> Option<String> {
        let best = self.best()?;
        let value = best.value.map(figures::loss).unwrap_or_default();
        let step = best.best_step.map(|step| format!(" after step {step}")).unwrap_or_default();
        Some(format!("trial {}, {} {value}{step}: {}", best.trial, self.metric, told(&self.plan, &best.parameters)))
    }

    /// Writes the files of the outcome into the directory of the sweep: `best.toml`, `trials.csv` and, with the feature
    /// `charts`, `sweep.svg`. Returns the first of them, if there is a best trial.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn write(&self, directory: &Directory) -> Result<Option<PathBuf>, SweepError> {
        directory.put("trials.csv", &self.to_csv())?;
        #[cfg(feature = "charts")]
        directory.put("sweep.svg", &self.picture().to_svg())?;
        match (self.best(), self.best_line()) {
            (Some(best), Some(line)) => directory.write_best(best.trial, &line).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the table of the trials as CSV, with every digit, in the order of their numbers.
    pub fn to_csv(&self) -> String {
        let keys: Vec<&str> = self.plan.parameters.iter().map(|parameter| parameter.key.as_str()).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let own = ["trial", "end", self.metric.as_str(), "best_step", "steps", "error"];
        // Writing to memory does not fail.
        let _ = writer.write_record(own.iter().chain(&keys));
        for ended in &self.ended {
            let or_empty = |number: Option<String>| number.unwrap_or_default();
            let mut record = vec![
                ended.trial.to_string(),
                ended.end.word().to_owned(),
                or_empty(ended.value.map(figures::exact)),
                or_empty(ended.best_step.map(|step| step.to_string())),
                ended.steps.to_string(),
                or_empty(ended.error.clone()),
            ];
            record.extend(keys.iter().map(|key| ended.parameters.get(*key).map(plain).unwrap_or_default()));
            let _ = writer.write_record(&record);
        }
        writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Returns how many trials have ended in this way.
    fn count(&self, end: End) -> usize {
        self.ended.iter().filter(|ended| ended.end == end).count()
    }

    /// Returns the heading of each parameter: its last name, or the whole key if two have the same.
    pub(super) fn headings(&self) -> Vec<String> {
        let keys = || self.plan.parameters.iter().map(|parameter| parameter.key.as_str());
        let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        let is_alone = |key: &str| keys().filter(|other| last(other) == last(key)).count() == 1;
        keys().map(|key| if is_alone(key) { last(key) } else { key.to_owned() }).collect()
    }

    fn row(&self, ended: &Ended) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut row = vec![
            ended.trial.to_string(),
            or_dash(ended.value.map(figures::loss)),
            or_dash(ended.best_step.map(|step| step.to_string())),
            ended.steps.to_string(),
            ended.end.word().to_owned(),
        ];
        let shown = |key: &str| ended.parameters.get(key).map(short).unwrap_or_default();
        row.extend(self.plan.parameters.iter().map(|parameter| shown(&parameter.key)));
        row
    }
}

/// The table, with the best trial first.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = ["trial", self.metric.as_str(), "at step", "steps", "end"].map(str::to_owned);
        let header: Vec<String> = own.into_iter().chain(self.headings()).collect();
        let rows = std::iter::once(header).chain(self.ranked().into_iter().map(|ended| self.row(ended)));
        for line in aligned(&rows.collect::<Vec<_>>(), |column| column != 4) {
            writeln!(f, "{line}")?;
        }
        for ended in &self.ended {
            if let Some(error) = &ended.error {
                writeln!(f, "trial {}: {error}", ended.trial)?;
            }
        }
        let kinds = [End::Finished, End::EndedEarly, End::Diverged, End::Failed];
        let mut parts: Vec<String> = kinds
            .into_iter()
            .filter(|kind| self.count(*kind) > 0)
            .map(|kind| format!("{} {}", self.count(kind), kind.word()))
            .collect();
        if self.ended.len() < self.trials {
            parts.push(format!("{} to come", self.trials - self.ended.len()));
        }
        writeln!(f, "{}: {}", counted(self.trials as u64, "trial"), parts.join(", "))?;
        match self.best_line() {
            Some(line) => writeln!(f, "best: {line}"),
            None => Ok(()),
        }
    }
}

/// Formats a value for people: a number with the digits that matter.
fn short(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().map(rounded).unwrap_or_default(),
        other => plain(other),
    }
}

/// Formats a number with four digits, or fewer if it has fewer.
fn rounded(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    figures::exact(rounded)
}

/// Formats a value with every digit, and text without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map(figures::exact).unwrap_or_default(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Map, json};

    use super::super::plan::Search;
    use super::super::{Parameter, Values};
    use super::*;
    use crate::train::Metric;

    fn ended(trial: usize, end: End, value: Option<f64>, lr: f64, size: u64) -> Ended {
        let error = (end == End::Failed).then(|| "no room".to_owned());
        let parameters =
            Map::from_iter([("optimizer.lr".to_owned(), json!(lr)), ("data.batch_size".to_owned(), json!(size))]);
        let best_step = value.map(|_| 10);
        Ended { trial, parameters, end, value, best_step, steps: 20, rungs: Vec::new(), error }
    }

    pub fn outcome() -> Outcome {
        let parameter = |key: &str| Parameter { key: key.to_owned(), values: Values::List(Vec::new()) };
        let plan = Plan {
            config: PathBuf::new(),
            metric: Metric::ValidationAccuracy,
            parallel: 1,
            search: Search::Random { trials: 5, seed: 0 },
            parameters: vec![parameter("optimizer.lr"), parameter("data.batch_size")],
            early_ending: None,
        };
        Outcome {
            path: PathBuf::from("runs/sweep"),
            metric: metric_name(&plan),
            more_is_better: true,
            trials: 5,
            ended: vec![
                ended(0, End::Finished, Some(0.5), 0.012_345_678, 16),
                ended(1, End::Failed, None, 0.1, 32),
                ended(2, End::Finished, Some(0.75), 1e-5, 16),
                ended(3, End::EndedEarly, Some(0.5), 0.25, 8),
            ],
            plan,
        }
    }

    #[test]
    fn the_table_has_the_best_trial_first_and_says_what_failed() {
        let expected = "\
trial  validation_accuracy  at step  steps  end               lr  batch_size
    2               0.7500       10     20  finished        1e-5          16
    0               0.5000       10     20  finished     0.01235          16
    3               0.5000       10     20  ended early     0.25           8
    1                    -        -     20  failed           0.1          32
trial 1: no room
5 trials: 2 finished, 1 ended early, 1 failed, 1 to come
best: trial 2, validation_accuracy 0.7500 after step 10: optimizer.lr = 1e-5, data.batch_size = 16
";
        assert_eq!(outcome().to_string(), expected);
    }

    #[test]
    fn csv_has_every_digit_in_the_order_of_the_trials() {
        let csv = outcome().to_csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "trial,end,validation_accuracy,best_step,steps,error,optimizer.lr,data.batch_size");
        assert_eq!(lines[1], "0,finished,0.5,10,20,,0.012345678,16");
        assert_eq!(lines[2], "1,failed,,,20,no room,0.1,32");
    }

    #[test]
    fn without_a_value_there_is_no_best_trial() {
        let mut outcome = outcome();
        outcome.ended.retain(|ended| ended.value.is_none());
        assert_eq!((outcome.best(), outcome.best_line()), (None, None));
    }
}
