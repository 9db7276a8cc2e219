//! Metrics that a schedule can follow, and that can select the best checkpoints.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::metric;
use crate::registry::Named;

/// A metric that a schedule can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// The mean loss over an epoch's updates, reported at the end of each epoch.
    TrainingLoss,
    /// The loss over the validation rows, reported after each validation.
    ValidationLoss,
    /// The share of correctly classified validation rows, reported after each validation.
    ValidationAccuracy,
    /// The metric of this name in `validation.metrics`, reported after each validation.
    Own(&'static str),
}

/// The metrics that every run can have, with their descriptions.
const USUAL: [(Metric, &str, &str); 3] = [
    (
        Metric::TrainingLoss,
        "training_loss",
        "The mean loss over an epoch's updates, reported at the end of each epoch.",
    ),
    (Metric::ValidationLoss, "validation_loss", "The loss over the validation rows, reported after each validation."),
    (
        Metric::ValidationAccuracy,
        "validation_accuracy",
        "The share of correctly classified validation rows, reported after each validation.",
    ),
];

/// Returns the full name of a metric in `validation.metrics`.
pub(crate) fn figure_of(metric: &str) -> String {
    format!("validation_{metric}")
}

impl Metric {
    /// Returns the metric of this name, including metrics of the catalogue and registered ones.
    pub fn named(name: &str) -> Option<Self> {
        let usual = USUAL.iter().find(|(_, usual, _)| *usual == name).map(|(metric, ..)| *metric);
        let own = || {
            let kind = <dyn metric::Metric>::registry().find(name.strip_prefix("validation_")?)?;
            Some(Self::Own(kind.name))
        };
        usual.or_else(own)
    }

    /// Returns all names.
    pub fn names() -> Vec<String> {
        let usual = USUAL.iter().map(|(_, name, _)| (*name).to_owned());
        let own = <dyn metric::Metric>::registry().all().into_iter().filter(|kind| kind.name != metric::ACCURACY);
        usual.chain(own.map(|kind| figure_of(kind.name))).collect()
    }

    /// Whether larger values are better.
    pub fn more_is_better(self) -> bool {
        match self {
            Self::TrainingLoss | Self::ValidationLoss => false,
            Self::ValidationAccuracy => true,
            Self::Own(name) => metric::more_is_better(name),
        }
    }

    /// Whether it is known only after a validation.
    pub(crate) fn is_of_validation(self) -> bool {
        self != Self::TrainingLoss
    }

    /// Whether it is computed with these `validation.metrics`.
    pub(super) fn is_computed(self, metrics: &[&str]) -> bool {
        !matches!(self, Self::Own(name) if !metrics.contains(&name))
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, USUAL.iter().find(|(metric, ..)| metric == self)) {
            (Self::Own(name), _) => serializer.serialize_str(&figure_of(name)),
            (_, usual) => serializer.serialize_str(usual.map_or("", |(_, name, _)| name)),
        }
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::named(&word).ok_or_else(|| {
            let (known, register) = (Self::names().join("`, `"), "rekindle::metric::register");
            D::Error::custom(format!(
                "unknown variant `{word}`, expected one of `{known}`; a user-defined one must be registered first, \
                 with {register}"
            ))
        })
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let word = |name: &str, meaning: &str| json!({"type": "string", "const": name, "description": meaning});
        let own = <dyn metric::Metric>::registry().catalogue().filter(|kind| kind.name != metric::ACCURACY);
        let own = own.map(|kind| {
            word(&figure_of(kind.name), &format!("The metric `{}`, if it is in `validation.metrics`.", kind.name))
        });
        let words: Vec<Value> = USUAL.iter().map(|(_, name, meaning)| word(name, meaning)).chain(own).collect();
        json_schema!({"description": "A metric that a schedule can follow.", "oneOf": words})
    }
}

/// The reason why an accuracy cannot be followed.
pub(crate) const NO_ACCURACY: &str =
    "there is no accuracy with this loss: it is for values, not classes, or does not define one";

/// Returns an option's word in a configuration.
pub(crate) fn word(option: &impl Serialize) -> String {
    let word = serde_json::to_value(option).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}
