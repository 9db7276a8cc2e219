//! Changes of gradients before an update, and which parameters are left alone for a time.

use globset::Glob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::run_config::TrainConfig;
use crate::figures;
use crate::optim::{LEAST_LIMIT, LIMIT_RULE};
use crate::train::TrainError;

/// Noise in the gradients, which falls with the step: at step t, counted from 0, normal numbers of the variance
/// `eta / (1 + t)^gamma` (Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015,
/// equation 1). They are computed from the seed and the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GradientNoise {
    /// The variance at step 0.
    #[schemars(range(min = 0.0))]
    pub eta: f64,
    /// How fast it falls.
    #[serde(default = "usual_gamma")]
    #[schemars(range(min = 0.0))]
    pub gamma: f64,
}

fn usual_gamma() -> f64 {
    0.55
}

impl GradientNoise {
    /// Returns the standard deviation at step `t`.
    pub(in crate::train) fn deviation(&self, t: u64) -> f64 {
        (self.eta / (1.0 + t as f64).powf(self.gamma)).sqrt()
    }
}

/// Parameters that are not updated for a part of the run: neither they nor their moments change. Their gradients count
/// for no norm. The running statistics of a batch norm are no parameters, and move on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FreezeConfig {
    /// Glob patterns of parameter names, such as `"encoder.*"`.
    pub parameters: Vec<String>,
    /// When they are frozen: by default from the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// When they are trained again, as `"2 epochs"`; by default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// Checks the settings that do not depend on the model.
pub(super) fn check(train: &TrainConfig) -> Result<(), TrainError> {
    let wrong = |field: String, value: String, rule: &str| {
        Err(TrainError::Field { field: format!("train.{field}"), value, rule: rule.to_owned() })
    };
    for (field, limit) in [("clip_norm", train.clip_norm), ("clip_value", train.clip_value)] {
        if let Some(limit) = limit.filter(|limit| limit.is_nan() || *limit < LEAST_LIMIT) {
            return wrong(field.to_owned(), figures::exact(limit), LIMIT_RULE);
        }
    }
    if let Some(GradientNoise { eta, gamma }) = train.gradient_noise {
        for (field, value) in [("gradient_noise.eta", eta), ("gradient_noise.gamma", gamma)] {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(field.to_owned(), value.to_string(), "must be a finite number, at least 0");
            }
        }
    }
    for (index, freeze) in train.freeze.iter().enumerate() {
        if freeze.parameters.is_empty() {
            return wrong(format!("freeze[{index}].parameters"), "[]".to_owned(), "must have at least one pattern");
        }
        if let Some(pattern) = freeze.parameters.iter().find(|pattern| Glob::new(pattern).is_err()) {
            let rule = "is not a glob pattern, such as \"encoder.*\"";
            return wrong(format!("freeze[{index}].parameters"), format!("{pattern:?}"), rule);
        }
    }
    Ok(())
}
