//! Measured results, as stored in `results.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::conditions::Told;

/// All results of one run.
#[derive(Default, Serialize, Deserialize)]
pub struct Results {
    pub conditions: Told,
    /// The device that trained.
    #[serde(default = "cpu")]
    pub device: String,
    /// Floating-point operations per second of a product of matrices, by type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, f64>,
    /// Versions, by contestant.
    pub versions: BTreeMap<String, String>,
    /// Contestants that did not take part in a measurement, and why.
    pub absent: Vec<Absent>,
    pub steps: Vec<Steps>,
    /// The steps of the table of sizes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<Steps>,
    pub figures: Vec<Figure>,
}

fn cpu() -> String {
    "cpu".to_owned()
}

/// A contestant that did not take part.
#[derive(Serialize, Deserialize)]
pub struct Absent {
    pub what: String,
    pub contestant: String,
    pub why: String,
}

/// The steps of one contestant on one workload.
#[derive(Serialize, Deserialize)]
pub struct Steps {
    pub workload: String,
    pub threads: usize,
    pub contestant: String,
    /// The median of the rounds' medians.
    pub microseconds: f64,
    /// The median of each round.
    pub rounds: Vec<f64>,
    pub peak_megabytes: f64,
    /// Kernels that a step puts on a GPU, as far as the contestant can count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launches: Option<f64>,
    /// The losses of the first steps, to check that all contestants train the same.
    pub losses: Vec<f64>,
}

/// Another result: the median of several turns.
#[derive(Serialize, Deserialize)]
pub struct Figure {
    pub what: String,
    pub contestant: String,
    pub value: f64,
    pub unit: String,
    pub turns: Vec<f64>,
}

impl Results {
    /// Records and prints that a contestant does not take part.
    pub fn leave_out(&mut self, what: &str, contestant: &str, why: &str) {
        eprintln!("LEFT OUT of {what}: {contestant}: {why}");
        self.absent.push(Absent { what: what.to_owned(), contestant: contestant.to_owned(), why: why.to_owned() });
    }

    /// Adds a result from its turns.
    pub fn add(&mut self, what: &str, contestant: &str, unit: &str, turns: Vec<f64>) {
        let (value, unit) = (median(&turns), unit.to_owned());
        eprintln!("{what}: {contestant}: {value:.4} {unit}");
        self.figures.push(Figure { what: what.to_owned(), contestant: contestant.to_owned(), value, unit, turns });
    }

    /// The steps of a contestant.
    pub fn of(&self, workload: &str, threads: usize, contestant: &str) -> Option<&Steps> {
        self.steps
            .iter()
            .find(|steps| steps.workload == workload && steps.threads == threads && steps.contestant == contestant)
    }
}

/// Returns the median; for an even number of values the mean of the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get((sorted.len().max(1) - 1) / 2), sorted.get(sorted.len() / 2));
    low.zip(high).map_or(f64::NAN, |(low, high)| (low + high) / 2.0)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Steps of this time with two threads.
    pub fn steps(workload: &str, contestant: &str, microseconds: f64) -> Steps {
        Steps {
            workload: workload.to_owned(),
            threads: 2,
            contestant: contestant.to_owned(),
            microseconds,
            rounds: vec![microseconds],
            peak_megabytes: 1.0,
            launches: None,
            losses: vec![1.0],
        }
    }
}
