//! The learning-rate range test: trains for some steps at increasing rates, and finds where the loss falls fastest.
//!
//! Smith, "Cyclical Learning Rates for Training Neural Networks" (WACV 2017, arXiv 2015), section 3.3, with the
//! exponential sweep, the smoothed loss and the stop on divergence of Gugger, "How Do You Find A Good Learning Rate"
//! (2018).

use super::TrainError;
use super::checks::memory::Purpose;
use super::config::Config;
use super::observe::control::{Control, Stake};
use super::session::Session;
use crate::optim::StepHyperparams;

/// Options of a range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeTestOptions {
    /// Rate of the first step.
    pub start: f64,
    /// Rate of the last step.
    pub end: f64,
    /// Number of steps.
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
    /// The mean of the losses around it, with symmetrically decreasing weights, so that it does not lag behind.
    pub smoothed: f64,
}

/// Result of a range test.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTest {
    /// The steps, up to divergence.
    pub points: Vec<RangePoint>,
    /// Whether the sweep ended early because the loss diverged.
    pub diverged: bool,
    /// The signal that ended the sweep early.
    pub stopped: Option<usize>,
    /// The rate at which the smoothed loss falls fastest; `None` if it falls by less than a twentieth.
    pub suggestion: Option<f64>,
}

/// Share of the running average that is kept from step to step.
const SMOOTHING: f64 = 0.9;

/// The sweep ends when the running average of the loss is this many times its best.
const DIVERGED: f64 = 4.0;

/// The share of the sweep over which losses are smoothed on each side.
const SMOOTHED_OVER: f64 = 0.06;

/// The share of the first loss by which the smoothed loss must fall for a suggestion.
const LEAST_FALL: f64 = 0.05;

/// Runs a range test of `config` from its initial weights, in memory; no run is changed. `control` can stop it, and the
/// results so far are returned; `watch` is called with the number of steps made, and the rate and loss of the last.
///
/// # Errors
/// The options are invalid, the session cannot be created, or the device fails. A loss that is not finite is not an
/// error: it ends the sweep.
pub fn find_lr(
    config: Config,
    options: RangeTestOptions,
    control: &Control,
    watch: &mut dyn FnMut(u32, f64, f64),
) -> Result<RangeTest, TrainError> {
    options.validate()?;
    let mut session = Session::made_for(Purpose::RangeTest, config)?;
    control.put_at_stake(Stake {
        in_order: "stopping after this step; the results are kept".to_owned(),
        at_once: "no results of the range test are written".to_owned(),
        save: String::new(),
    });
    let stop = || control.stop_requested().is_some();
    let bases = session.base_lrs();
    let first = bases.first().copied().unwrap_or_default();
    let ratio = |base: f64| if first > 0.0 { base / first } else { 1.0 };
    let mut average = Average::default();
    let (mut rates, mut losses, mut best, mut diverged) = (Vec::new(), Vec::new(), f64::INFINITY, false);
    for step in 0..options.steps {
        let lr = options.rate(step);
        let Some(batch) = session.batch(&stop)?.filter(|_| !stop()) else { break };
        let (loss, gradients, _) = session.gradients(&batch, control).map_err(|error| session.explained(error))?;
        let running = average.add(loss);
        if !loss.is_finite() || running > DIVERGED * best {
            diverged = true;
            break;
        }
        best = best.min(running);
        rates.push(lr);
        losses.push(loss);
        watch(step + 1, lr, loss);
        if !session.overflows(&gradients) && gradients.check_finite().is_err() {
            diverged = true;
            break;
        }
        let of_groups: Vec<StepHyperparams> = bases.iter().map(|&base| (lr * ratio(base)).into()).collect();
        session.update(&gradients, &of_groups, loss).map_err(|error| session.explained(error))?;
    }
    let smoothed = smooth(&losses, (SMOOTHED_OVER * f64::from(options.steps)).ceil() as usize);
    let point = |((lr, loss), smoothed)| RangePoint { lr, loss, smoothed };
    let points: Vec<_> = rates.into_iter().zip(losses).zip(smoothed).map(point).collect();
    let suggestion = steepest(&points);
    let stopped = control.stop_requested().filter(|_| !diverged && points.len() < options.steps as usize);
    Ok(RangeTest { points, diverged, stopped, suggestion })
}

/// Averages each of `values` with those less than `width` steps away, with weights that decrease with the distance.
fn smooth(values: &[f64], width: usize) -> Vec<f64> {
    let mean = |at: usize| {
        let (from, to) = ((at + 1).saturating_sub(width), values.len().min(at + width));
        let weights = (from..to).map(|other| (width - at.abs_diff(other)) as f64);
        let weighted: f64 = weights.clone().zip(&values[from..to]).map(|(weight, value)| weight * value).sum();
        weighted / weights.sum::<f64>()
    };
    (0..values.len()).map(mean).collect()
}

impl RangeTestOptions {
    /// Checks the options.
    ///
    /// # Errors
    /// The option and its value.
    pub fn validate(&self) -> Result<(), TrainError> {
        let wrong =
            |field: &str, value: String, rule: String| Err(TrainError::Field { field: field.to_owned(), value, rule });
        if !(self.start > 0.0 && self.start.is_finite()) {
            return wrong("start", self.start.to_string(), "must be a finite rate above 0".to_owned());
        }
        if !(self.end > self.start && self.end.is_finite()) {
            let rule = format!("must be a finite rate above the rate of the first step, {}", self.start);
            return wrong("end", self.end.to_string(), rule);
        }
        if self.steps < 2 {
            return wrong("steps", self.steps.to_string(), "a sweep needs at least 2".to_owned());
        }
        Ok(())
    }

    /// Returns the rate of a step: equal ratios from `start` to `end`.
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

/// Returns the rate at which the smoothed loss falls fastest per factor of the rate, before its minimum; `None` if it
/// hardly falls, because then this would be noise.
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

    /// A running average would suggest a rate that is twice as high.
    #[test]
    fn the_suggestion_does_not_lag_behind_the_curve() {
        let options = RangeTestOptions::default();
        // Falls fastest at step 100, and diverges from step 170.
        let fall = |step: u32| 0.2 + 2.0 / (1.0 + ((f64::from(step) - 100.0) / 8.0).exp());
        let loss = |step: u32| fall(step) + (f64::from(step) - 170.0).exp().min(1e6);
        let losses: Vec<f64> = (0..180).map(loss).collect();
        let smoothed = smooth(&losses, 12).into_iter();
        let points: Vec<_> = (0..180).zip(smoothed).map(|(step, loss)| point(options.rate(step), loss)).collect();
        let suggested = steepest(&points).unwrap();
        assert!((suggested / options.rate(100)).ln().abs() < 0.2, "{suggested} and not {}", options.rate(100));
    }

    #[test]
    fn what_is_smoothed_keeps_its_place_and_its_mean() {
        let peak: Vec<f64> = (0..21).map(|i| f64::from(i == 10)).collect();
        let smoothed = smooth(&peak, 3);
        let expected = [1.0, 2.0, 3.0, 2.0, 1.0].map(|weight| weight / 9.0);
        assert!(smoothed[8..13].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{smoothed:?}");
        assert_eq!(smoothed[7], 0.0);
        assert_eq!((smooth(&[2.0], 5), smooth(&[2.0; 4], 3), smooth(&[], 3)), (vec![2.0], vec![2.0; 4], vec![]));
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
