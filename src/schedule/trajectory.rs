//! The rates of a schedule over a number of steps, as a table, CSV, or JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::{RunLength, Schedule, ScheduleError, Scheduler};

/// Rates, and momentum if the schedule drives it, of updates 0, 1, 2, … for each group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trajectory {
    /// `lrs[t][group]`.
    pub lrs: Vec<Vec<f64>>,
    /// `momentum[t][group]`; `None` if nothing in the schedule ever drives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Vec<Vec<Option<f64>>>>,
}

impl Trajectory {
    /// Evaluates `schedule` for `steps` updates. `metrics[t]`, if present, is reported after update `t`.
    ///
    /// # Errors
    /// As [`Scheduler::new`].
    pub fn new(
        schedule: &Schedule,
        base_lrs: &[f64],
        run: RunLength,
        steps: u64,
        metrics: &[f64],
    ) -> Result<Self, ScheduleError> {
        let mut scheduler = Scheduler::new(schedule.clone(), base_lrs.to_vec(), run)?;
        let (mut lrs, mut momentum) = (Vec::new(), Vec::new());
        let mut metrics = metrics.iter();
        for t in 0..steps {
            lrs.push(scheduler.rates());
            momentum.push((0..base_lrs.len()).map(|group| scheduler.momentum_at(t, group)).collect::<Vec<_>>());
            scheduler.advance();
            if let Some(&metric) = metrics.next() {
                scheduler.report(metric);
            }
        }
        let driven = momentum.iter().flatten().any(Option::is_some);
        Ok(Self { lrs, momentum: driven.then_some(momentum) })
    }

    /// Joins the groups of `self` and `other`, over the steps that both have.
    pub fn beside(&self, other: &Self) -> Self {
        let lrs = self.lrs.iter().zip(&other.lrs).map(|(a, b)| [a.as_slice(), b].concat()).collect::<Vec<_>>();
        let undriven = |trajectory: &Self| trajectory.lrs.iter().map(|lrs| vec![None; lrs.len()]).collect();
        let momentum = (self.momentum.is_some() || other.momentum.is_some()).then(|| {
            let [a, b]: [Vec<_>; 2] = [self, other].map(|t| t.momentum.clone().unwrap_or_else(|| undriven(t)));
            a.into_iter().zip(b).map(|(a, b)| [a, b].concat()).collect()
        });
        Self { lrs, momentum }
    }

    /// Returns one line of JSON: `{"lrs": [[rate of group 0, rate of group 1], …]}`, with `"momentum"` if it is driven.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// Returns comma-separated values under a header, with all digits.
    pub fn to_csv(&self) -> String {
        self.rows(|rate| format!("{rate}")).iter().fold(String::new(), |csv, row| csv + &row.join(",") + "\n")
    }

    /// Returns right-aligned columns with eight digits per number.
    pub fn to_table(&self) -> String {
        let rows = self.rows(eight_digits);
        let columns = rows.first().map_or(0, Vec::len);
        let width = |column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut table = String::new();
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
            let _ = writeln!(table, "{}", cells.join("  "));
        }
        table
    }

    /// Returns the header and one row per step.
    fn rows(&self, print: impl Fn(f64) -> String) -> Vec<Vec<String>> {
        let groups = self.lrs.first().map_or(0, Vec::len);
        let name = |column: &str, group| if groups == 1 { column.to_owned() } else { format!("{column}.{group}") };
        let columns = ["lr", "momentum"].into_iter().take(if self.momentum.is_some() { 2 } else { 1 });
        let names = columns.flat_map(|column| (0..groups).map(move |group| name(column, group)));
        let mut rows = vec![std::iter::once("t".to_owned()).chain(names).collect::<Vec<_>>()];
        for (t, lrs) in self.lrs.iter().enumerate() {
            let momentum = self.momentum.iter().filter_map(|rows| rows.get(t)).flatten();
            let momentum = momentum.map(|momentum| momentum.map(&print).unwrap_or_default());
            rows.push(std::iter::once(t.to_string()).chain(lrs.iter().copied().map(&print)).chain(momentum).collect());
        }
        rows
    }
}

/// Formats a number for people: eight significant digits, in decimal notation unless it is tiny or huge.
fn eight_digits(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let magnitude = x.abs().log10().floor();
    if (-5.0..8.0).contains(&magnitude) { format!("{x:.*}", (7.0 - magnitude) as usize) } else { format!("{x:.7e}") }
}
