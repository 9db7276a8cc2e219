//! Weights of classes in a loss.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{LossError, TargetKind};

/// The weight of each class in a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "must be a list with a number for each class, or \"balanced\"")]
pub enum ClassWeights {
    /// The number of training rows, over the number of classes and over the rows of the class, as scikit-learn's
    /// `class_weight="balanced"`. A run replaces it by the numbers when it begins.
    Balanced,
    /// These, one for each class.
    #[serde(untagged)]
    Given(Vec<f64>),
}

impl ClassWeights {
    /// Returns the numbers, if they are known.
    pub fn numbers(&self) -> Option<&[f64]> {
        match self {
            Self::Balanced => None,
            Self::Given(numbers) => Some(numbers),
        }
    }

    /// Checks what can be checked without the data.
    pub(super) fn validate(field: &'static str, weights: Option<&Self>) -> Result<(), LossError> {
        let numbers = weights.and_then(Self::numbers).unwrap_or_default();
        let is_weight = |number: &&f64| number.is_finite() && **number >= 0.0;
        match numbers.iter().find(|number| !is_weight(number)) {
            Some(number) => Err(LossError::field(field, number, "each must be a finite number, at least 0")),
            None if weights.is_some_and(|weights| weights.numbers().is_some()) && !numbers.iter().any(|w| *w > 0.0) => {
                Err(LossError::field(field, "[0, …]", "at least one must be above 0"))
            }
            None => Ok(()),
        }
    }

    /// Checks that there is one for each of `count` classes.
    pub(super) fn check_count(
        field: &'static str,
        weights: Option<&Self>,
        count: usize,
        targets: TargetKind,
    ) -> Result<(), LossError> {
        match weights.and_then(Self::numbers) {
            Some(numbers) if numbers.len() != count => {
                let rule = format!("give {count} numbers, because the targets are {targets}");
                Err(LossError::field(field, format!("a list of {}", numbers.len()), rule))
            }
            _ => Ok(()),
        }
    }

    /// Returns the balanced weights of classes with these numbers of training rows.
    pub(super) fn balanced(field: &'static str, counts: &[usize]) -> Result<Self, LossError> {
        if let Some(class) = counts.iter().position(|count| *count == 0) {
            let rule = format!("class {class} has no training rows; give the numbers");
            return Err(LossError::field(field, "balanced", rule));
        }
        let rows: usize = counts.iter().sum();
        let weight = |count: &usize| rows as f64 / (counts.len() as f64 * *count as f64);
        Ok(Self::Given(counts.iter().map(weight).collect()))
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "array", "items": {"type": "number", "minimum": 0}}, {"const": "balanced"}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_give_each_class_the_same_sum() {
        let weights = ClassWeights::balanced("class_weights", &[10, 30, 20]).unwrap();
        assert_eq!(weights, ClassWeights::Given(vec![2.0, 60.0 / 90.0, 1.0]));
        let message = ClassWeights::balanced("class_weights", &[10, 0]).unwrap_err().to_string();
        assert_eq!(message, "class_weights = balanced: class 1 has no training rows; give the numbers");
    }

    #[test]
    fn weights_are_a_word_or_a_list() {
        assert_eq!(serde_json::from_str::<ClassWeights>("\"balanced\"").unwrap(), ClassWeights::Balanced);
        assert_eq!(serde_json::from_str::<ClassWeights>("[1, 2.5]").unwrap(), ClassWeights::Given(vec![1.0, 2.5]));
        let message = serde_json::from_str::<ClassWeights>("\"equal\"").unwrap_err().to_string();
        assert!(message.contains("a list with a number for each class, or \"balanced\""), "{message}");
        let bad = |numbers: &[f64]| {
            ClassWeights::validate("class_weights", Some(&ClassWeights::Given(numbers.to_vec()))).is_err()
        };
        assert!(bad(&[1.0, -1.0]) && bad(&[f64::NAN]) && bad(&[0.0, 0.0]) && !bad(&[0.0, 1.0]));
    }
}
