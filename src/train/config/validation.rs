//! `[validation]`: when a run validates, and what it measures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::every::{self, Interval};
use super::figure::{Metric, word};
use crate::metric::MetricConfig;
use crate::train::TrainError;

/// Time of validations. Without validation rows there are no validations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ValidationConfig {
    /// `"1 epoch"`, `"500 steps"`, or `"auto"`, the default: after each epoch, but at most 100 times in the run; if the
    /// run is shorter than an epoch, or its epochs are few and long, at least 5 times over the run. The interval
    /// depends only on the length of the run and the number of rows, and the result is written down.
    #[serde(default, deserialize_with = "every::of_validations")]
    pub every: Interval,
    /// Whether to validate also after the last step, whatever its number; true if `every` is `"auto"`, otherwise false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_end: Option<bool>,
    /// Metrics in addition to the loss and the accuracy: names of metrics, or tables with a `kind` and settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricConfig>,
}

impl ValidationConfig {
    /// Refuses a duplicate metric, an invalid setting, or a use of a metric that is not listed.
    pub(super) fn check(&self, figures: [(&str, Option<Metric>); 3]) -> Result<(), TrainError> {
        let wrong = |field: &str, value: &str, rule: String| {
            Err(TrainError::Field { field: field.to_owned(), value: value.to_owned(), rule })
        };
        let names: Vec<&str> = self.metrics.iter().map(MetricConfig::name).collect();
        for (index, metric) in self.metrics.iter().enumerate() {
            if names[..index].contains(&metric.name()) {
                return wrong("validation.metrics", metric.name(), "is listed twice; list it once".to_owned());
            }
            if let Err(rule) = metric.metric().validate() {
                return wrong("validation.metrics", metric.name(), rule);
            }
        }
        for (field, metric) in figures {
            if let Some(Metric::Own(name)) = metric.filter(|metric| !metric.is_computed(&names)) {
                let rule = format!("is not computed; add \"{name}\" to `validation.metrics`");
                return wrong(field, &word(&metric), rule);
            }
        }
        Ok(())
    }
}
