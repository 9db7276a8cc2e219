//! Calibration error.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::scored::{Scored, Truth, probabilities};
use super::{Metric, Tally, Task, task};

/// Distance between predicted probabilities and observed shares, in bins of equal width (Guo and others, ICML 2017), as
/// torchmetrics' `CalibrationError`. For two classes it compares the probability of class 1 with the share of class 1;
/// for more, that of the most probable class with the accuracy. A probability of exactly 1 has a separate bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationError {
    /// Number of bins.
    #[serde(default = "fifteen")]
    #[schemars(range(min = 1, max = 10_000))]
    pub bins: usize,
    /// How the distances of the bins become one.
    #[serde(default)]
    pub norm: CalibrationNorm,
}

/// How the distances of bins become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CalibrationNorm {
    /// Their mean, weighted by the rows in each bin: the expected calibration error.
    #[default]
    L1,
    /// The root of the mean of their squares, weighted likewise.
    L2,
    /// The largest.
    Max,
}

fn fifteen() -> usize {
    15
}

impl Metric for CalibrationError {
    fn more_is_better() -> bool {
        false
    }

    fn validate(&self) -> std::result::Result<(), String> {
        let rule = || format!("bins = {}: must be from 1 to 10000", self.bins);
        if (1..=10_000).contains(&self.bins) { Ok(()) } else { Err(rule()) }
    }

    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        task::classes(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        let bins = (0..=self.bins).map(|_| Bin::default()).collect();
        Box::new(Bins { norm: self.norm, bins })
    }
}

/// One bin for each interval `[i/n, (i+1)/n)`, and one for 1; 568 bytes for each.
#[derive(Debug)]
struct Bins {
    norm: CalibrationNorm,
    bins: Vec<Bin>,
}

#[derive(Debug, Default)]
struct Bin {
    rows: u64,
    /// Rows of the predicted class.
    right: u64,
    confidence: ExactSum,
}

impl Bin {
    fn add(&mut self, confidence: f32, is_right: bool) {
        self.rows += 1;
        self.right += u64::from(is_right);
        self.confidence.add(f64::from(confidence));
    }

    /// The distance between the mean probability and the share, times the rows.
    fn distance(&self) -> f64 {
        (self.right as f64 - self.confidence.value()).abs()
    }
}

impl Tally for Bins {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let scored = Scored::of(outputs, targets)?;
        let Truth::Classes(classes) = &scored.truth else { return Ok(()) };
        let intervals = (self.bins.len() - 1) as f64;
        for (row, &class) in scored.rows().zip(classes) {
            let (predicted, confidence) = confidence(&probabilities(row));
            if let Some(bin) = self.bins.get_mut(interval_of(f64::from(confidence), intervals)) {
                bin.add(confidence, predicted == class);
            }
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        let rows: u64 = self.bins.iter().map(|bin| bin.rows).sum();
        let filled = self.bins.iter().filter(|bin| bin.rows > 0);
        match self.norm {
            CalibrationNorm::L1 => filled.map(Bin::distance).sum::<f64>() / rows as f64,
            CalibrationNorm::L2 => {
                let squares = filled.map(|bin| bin.distance() * bin.distance() / bin.rows as f64);
                (squares.sum::<f64>() / rows as f64).sqrt()
            }
            CalibrationNorm::Max => filled.map(|bin| bin.distance() / bin.rows as f64).fold(0.0, f64::max),
        }
    }

    fn sums(&self) -> Option<Vec<f64>> {
        let parts = |bin: &Bin| {
            [bin.rows as f64, bin.right as f64].into_iter().chain(bin.confidence.parts()).collect::<Vec<_>>()
        };
        Some(self.bins.iter().flat_map(parts).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        for (bin, parts) in self.bins.iter_mut().zip(sums.chunks_exact(2 + ExactSum::PARTS)) {
            if let [rows, right, confidence @ ..] = parts {
                bin.rows += *rows as u64;
                bin.right += *right as u64;
                bin.confidence.add_parts(confidence);
            }
        }
    }
}

/// The number of the interval with a probability. The product may be rounded across a bound, which decides.
fn interval_of(p: f64, intervals: f64) -> usize {
    let place = (p * intervals).floor();
    let place = if p < place / intervals { place - 1.0 } else { place };
    (if p >= (place + 1.0) / intervals { place + 1.0 } else { place }) as usize
}

/// The class whose probability is compared, and that probability, rounded as torchmetrics has it.
fn confidence(probabilities: &[f64]) -> (u32, f32) {
    match probabilities {
        [_, p] => (1, *p as f32),
        all => {
            let most = all.iter().copied().fold(0.0, f64::max);
            (all.iter().position(|p| *p == most).unwrap_or(0) as u32, most as f32)
        }
    }
}
