//! Settings of averages of the weights: `[ema]` and `[swa]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::every::Interval;
use super::moment::Moment;
use super::run_config::Config;
use crate::train::TrainError;

/// An exponential moving average of the weights: each update of it keeps the share `decay` of the average, and takes the
/// rest from the trained weights (Polyak and Juditsky 1992; the EMA of timm and diffusers). It is saved with the run,
/// and training does not see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EmaConfig {
    /// The share of the average that each of its updates keeps. `ema_decay_schedule` changes it with the step.
    #[serde(default = "default_decay")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub decay: f64,
    /// Whether the decay begins small, so that the initial weights are soon forgotten: update number t of the average,
    /// counted from 0, keeps at most `(1 + t) / (10 + t)`.
    #[serde(default)]
    pub warmup: bool,
    /// When the average begins, with the weights that the run then has: `"500 steps"`, `"10 epochs"` or `"50%"`.
    #[serde(default = "at_once")]
    pub start: Moment,
    /// How often the average is updated: `"1 step"` or `"1 epoch"`, or another number of them.
    #[serde(default = "each_step")]
    pub every: Interval,
    /// The running statistics of batch norms that go with the average.
    #[serde(default)]
    pub batch_norm: BatchNormStatistics,
    /// Whether validations use the average, and with them the choice of the best checkpoint, and predictions, once it
    /// has begun.
    #[serde(default = "yes")]
    pub evaluate: bool,
}

/// Stochastic weight averaging: the equal mean of the weights at several points of a run, usually with a constant or
/// cyclic rate (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018;
/// `torch.optim.swa_utils`). The rate is an ordinary `schedule`. It is saved with the run, and training does not see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SwaConfig {
    /// When the first weights are taken: `"500 steps"`, `"10 epochs"` or `"75%"`.
    #[serde(default = "late")]
    pub start: Moment,
    /// How often further ones are taken: `"1 epoch"` or `"100 steps"`, or another number of them.
    #[serde(default = "each_epoch")]
    pub every: Interval,
    /// The running statistics of batch norms that go with the average.
    #[serde(default = "recomputed")]
    pub batch_norm: BatchNormStatistics,
    /// Whether validations use the average, and with them the choice of the best checkpoint, and predictions, once it
    /// has begun.
    #[serde(default = "yes")]
    pub evaluate: bool,
}

/// The running statistics of batch norms that go with averaged weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BatchNormStatistics {
    /// They are averaged like the weights.
    #[default]
    Average,
    /// Before each validation, and at the end of the run, a pass over the training rows computes them for the averaged
    /// weights, as `torch.optim.swa_utils.update_bn` does.
    Recompute,
    /// Those of the trained weights are used.
    Trained,
}

fn default_decay() -> f64 {
    0.999
}

fn at_once() -> Moment {
    Moment::Steps(0)
}

fn late() -> Moment {
    Moment::Percent(75.0)
}

fn each_step() -> Interval {
    Interval::Steps(1)
}

fn each_epoch() -> Interval {
    Interval::Epochs(1)
}

fn recomputed() -> BatchNormStatistics {
    BatchNormStatistics::Recompute
}

fn yes() -> bool {
    true
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self {
            decay: default_decay(),
            warmup: false,
            start: at_once(),
            every: each_step(),
            batch_norm: BatchNormStatistics::default(),
            evaluate: true,
        }
    }
}

impl Default for SwaConfig {
    fn default() -> Self {
        Self { start: late(), every: each_epoch(), batch_norm: recomputed(), evaluate: true }
    }
}

/// Checks both averages of a configuration.
pub(super) fn check(config: &Config) -> Result<(), TrainError> {
    let (ema, swa) = (config.ema.as_ref(), config.swa.as_ref());
    let wrong = |field: &str, value: String, rule: &str| {
        Err(TrainError::Field { field: field.to_owned(), value, rule: rule.to_owned() })
    };
    if let Some(decay) = ema.map(|ema| ema.decay).filter(|decay| !(0.0..1.0).contains(decay)) {
        return wrong("ema.decay", decay.to_string(), "must be at least 0 and below 1");
    }
    let intervals = [("ema.every", ema.map(|ema| ema.every)), ("swa.every", swa.map(|swa| swa.every))];
    for (field, every) in intervals {
        if let Some(every @ (Interval::Minutes(_) | Interval::Auto)) = every {
            let rule = "an average by the clock would not be the same again; give steps or epochs";
            return wrong(field, every.to_string(), rule);
        }
    }
    if let (None, Some(schedule)) = (ema, &config.ema_decay_schedule) {
        return wrong("ema_decay_schedule", schedule.to_string(), "there is no average; add the table `[ema]`");
    }
    if ema.is_some_and(|ema| ema.evaluate) && swa.is_some_and(|swa| swa.evaluate) {
        let rule = "validations use one average; set `ema.evaluate = false` or `swa.evaluate = false`";
        return wrong("swa.evaluate", "true".to_owned(), rule);
    }
    let evaluated = [("ema.evaluate", ema.map(|ema| ema.evaluate)), ("swa.evaluate", swa.map(|swa| swa.evaluate))];
    let evaluated = evaluated.into_iter().find(|(_, evaluated)| *evaluated == Some(true));
    if let (Some((field, _)), Some(kind)) = (evaluated, config.optimizer.has_evaluation_weights()) {
        let rule = format!(
            "validations use the average that `{kind}` has by itself; set `{field} = false`, or remove the table"
        );
        return wrong(field, "true".to_owned(), &rule);
    }
    Ok(())
}
