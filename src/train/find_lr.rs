//! The learning-rate range test: train for a few steps at ever larger rates, and see where the loss falls fastest.
//!
//! Smith, "Cyclical Learning Rates for Training Neural Networks" (WACV 2017, arXiv 2015), section 3.3, with the
//! exponential sweep, the smoothed loss and the stop on divergence of Gugger, "How Do You Find A Good Learning Rate"
//! (2018).

use super::TrainError;
use super::config::Config;
use super::session::Session;
use crate::optim::Rates;

/// How a range test sweeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeTestOptions {
    /// Rate of the first step.
    pub start: f64,
    /// Rate of the last step.
    pub end: f64,
    /// How many steps the sweep takes.
    pub steps: u32,
}

impl Default for RangeTestOptions {
    fn default() -> Self {
        Self { start: 1e-6, end: 10.0, steps: 200 }
    }
}

/// One step of a range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangePoint {
    /// The rate of the first parameter group; the others keep their ratio to it.
    pub lr: f64,
    /// The loss of the step's batch.
    pub loss: f64,
    /// The exponential moving average of the losses so far, corrected for its start.
    pub smoothed: f64,
}

/// What a range test found.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTest {
    /// The steps, up to divergence.
    pub points: Vec<RangePoint>,
    /// Whether the sweep ended early because the loss diverged.
    pub diverged: bool,
    /// The rate at which the smoothed loss falls fastest; `None` where it does not fall by a twentieth.
    pub suggestion: Option<f64>,
}

/// Share of the average that is kept from step to step.
const SMOOTHING: f64 = 0.9;

/// The sweep ends when the smoothed loss is this many times its best.
const DIVERGED: f64 = 4.0;

/// The share of the first loss by which the smoothed one has to fall before anything is suggested.
const LEAST_FALL: f64 = 0.05;

/// Runs a range test of `config` from its initial weights. Everything happens in memory; no run is touched.
///
/// # Errors
/// When the sweep is not one, the session cannot be made, or the device fails. A loss that is not finite is no error:
/// it ends the sweep.
pub fn find_lr(config: Config, options: RangeTestOptions) -> Result<RangeTest, TrainError> {
    options.validate()?;
    let mut session = Session::new(config)?;
    let bases = session.base_lrs();
    let first = bases.first().copied().unwrap_or_default();
    let ratio = |base: f64| if first > 0.0 { base / first } else { 1.0 };
    let mut average = Average::default();
    let (mut points, mut best, mut diverged) = (Vec::new(), f64::INFINITY, false);
    for step in 0..options.steps {
        let lr = options.rate(step);
        let (loss, gradients) = session.gradients(&session.batch()?)?;
        let smoothed = average.add(loss);
        if !loss.is_finite() || smoothed > DIVERGED * best {
            diverged = true;
            break;
        }
        best = best.min(smoothed);
        points.push(RangePoint { lr, loss, smoothed });
        if gradients.check_finite().is_err() {
            diverged = true;
            break;
        }
        let rates: Vec<Rates> = bases.iter().map(|&base| (lr * ratio(base)).into()).collect();
        session.update(&gradients, &rates, loss)?;
    }
    let suggestion = steepest(&points);
    Ok(RangeTest { points, diverged, suggestion })
}

impl RangeTestOptions {
    /// Checks that it is a sweep.
    ///
    /// # Errors
    /// Names the option and its value.
    pub fn validate(&self) -> Result<(), TrainError> {
        let wrong =
            |field: &str, value: String, rule: String| Err(TrainError::Field { field: field.to_owned(), value, rule });
        if !(self.start > 0.0 && self.start.is_finite()) {
            return wrong("start", self.start.to_string(), "must be a finite rate above 0".to_owned());
        }
        if !(self.end > self.start && self.end.is_finite()) {
            let rule = format!("must be a finite rate above that of the first step, {}", self.start);
            return wrong("end", self.end.to_string(), rule);
        }
        if self.steps < 2 {
            return wrong("steps", self.steps.to_string(), "a sweep needs at least 2".to_owned());
        }
        Ok(())
    }

    /// The rate of a step: equal ratios from `start` to `end`.
    fn rate(&self, step: u32) -> f64 {
        let share = f64::from(step) / f64::from(self.steps - 1);
        self.start * (self.end / self.start).powf(share)
    }
}

#[derive(Default)]
struct Average {
    sum: f64,
    weight: f64,
}

impl Average {
    fn add(&mut self, value: f64) -> f64 {
        self.sum = SMOOTHING * self.sum + (1.0 - SMOOTHING) * value;
        self.weight = SMOOTHING * self.weight + (1.0 - SMOOTHING);
        self.sum / self.weight
    }
}

/// The rate at which the smoothed loss falls fastest per factor of the rate, before its lowest point; none where it
/// hardly falls at all, for what falls fastest then is noise.
fn steepest(points: &[RangePoint]) -> Option<f64> {
    let lowest = (0..points.len()).min_by(|&a, &b| points[a].smoothed.total_cmp(&points[b].smoothed))?;
    if points[lowest].smoothed > (1.0 - LEAST_FALL) * points[0].smoothed {
        return None;
    }
    let slope =
        |i: usize| (points[i + 1].smoothed - points[i - 1].smoothed) / (points[i + 1].lr.ln() - points[i - 1].lr.ln());
    let candidates = (1..points.len().saturating_sub(1)).filter(|&i| i < lowest).map(|i| (slope(i), points[i].lr));
    candidates.filter(|(slope, _)| *slope < 0.0).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, lr)| lr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(lr: f64, smoothed: f64) -> RangePoint {
        RangePoint { lr, loss: smoothed, smoothed }
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_fastest() {
        let losses = [2.0, 1.99, 1.9, 1.2, 0.5, 0.4, 0.9, 3.0];
        let points: Vec<_> =
            losses.iter().enumerate().map(|(i, &loss)| point(10f64.powi(i as i32 - 6), loss)).collect();
        assert_eq!(steepest(&points), Some(1e-3));
        let rising: Vec<_> = (0..5).map(|i| point(10f64.powi(i), f64::from(i))).collect();
        assert_eq!(steepest(&rising), None);
        assert_eq!(steepest(&[]), None);
        let noise: Vec<_> = (0..9).map(|i| point(10f64.powi(i), 2.0 - 0.01 * f64::from(i % 3))).collect();
        assert_eq!(steepest(&noise), None);
    }

    #[test]
    fn the_sweep_has_equal_ratios_and_ends_where_it_should() {
        let options = RangeTestOptions { start: 1e-4, end: 1.0, steps: 5 };
        assert_eq!(options.rate(0), 1e-4);
        assert!((options.rate(2) - 1e-2).abs() < 1e-15 && (options.rate(4) - 1.0).abs() < 1e-12);
        assert!(RangeTestOptions { start: 1.0, end: 0.1, steps: 5 }.validate().is_err());
        assert!(RangeTestOptions { steps: 1, ..options }.validate().is_err());
    }
}
