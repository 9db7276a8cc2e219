//! How often a change is made, and the random numbers that it is made with.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::rng::{StepRng, Stream};

/// The probability of a change: a number, or one for each epoch, of which the last is that of all later ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a probability from 0 to 1, or a list with one for each epoch")]
pub enum Probability {
    /// The same in every epoch.
    Every(f64),
    /// One for each epoch from the first on.
    OfEpochs(Vec<f64>),
}

impl Default for Probability {
    fn default() -> Self {
        Self::Every(1.0)
    }
}

impl Probability {
    /// Returns the probability in an epoch, counted from 0.
    pub fn at(&self, epoch: u64) -> f64 {
        match self {
            Self::Every(probability) => *probability,
            Self::OfEpochs(each) => {
                let place = usize::try_from(epoch).unwrap_or(usize::MAX).min(each.len().saturating_sub(1));
                each.get(place).copied().unwrap_or(0.0)
            }
        }
    }

    /// Whether all are from 0 to 1, and there is one.
    pub(super) fn is_valid(&self) -> bool {
        match self {
            Self::Every(probability) => (0.0..=1.0).contains(probability),
            Self::OfEpochs(each) => {
                !each.is_empty() && each.iter().all(|probability| (0.0..=1.0).contains(probability))
            }
        }
    }
}

impl JsonSchema for Probability {
    fn schema_name() -> Cow<'static, str> {
        "Probability".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = serde_json::json!({"type": "number", "minimum": 0, "maximum": 1});
        json_schema!({"anyOf": [number, {"type": "array", "items": number, "minItems": 1}]})
    }
}

/// The random numbers of one change in a step, for each place of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    stream: Stream,
    step: u64,
    probability: f64,
}

impl Draws {
    /// Creates the numbers of `purpose` in an epoch.
    pub fn new(rng: &StepRng, purpose: &str, epoch: u64, probability: &Probability) -> Self {
        Self { stream: rng.stream(purpose), step: rng.step, probability: probability.at(epoch) }
    }

    /// Whether the change is made at a place.
    pub fn happens(&self, place: usize) -> bool {
        let [first, ..] = self.uniform(place, 0);
        first < self.probability
    }

    /// Returns four numbers uniform in `[0, 1)`; every attempt, from 1 on, has others.
    pub fn uniform(&self, place: usize, attempt: u64) -> [f64; 4] {
        let words = self.stream.block(self.step, place as u64 | (attempt << 48));
        words.map(|word| f64::from(word) / (1u64 << 32) as f64)
    }
}

/// The number at `share` of the way from `low` to `high`.
pub(super) fn between([low, high]: [f64; 2], share: f64) -> f64 {
    low + (high - low) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_of_each_epoch_ends_with_the_last_one() {
        let list: Probability = serde_json::from_str("[0, 0.5, 1]").unwrap();
        assert_eq!([0, 1, 2, 3, u64::MAX].map(|epoch| list.at(epoch)), [0.0, 0.5, 1.0, 1.0, 1.0]);
        assert!(list.is_valid() && !Probability::OfEpochs(vec![]).is_valid() && !Probability::Every(1.5).is_valid());
        let message = serde_json::from_str::<Probability>("\"often\"").unwrap_err().to_string();
        assert!(message.contains("a probability from 0 to 1"), "{message}");
    }

    /// 100,000 draws with a standard error of 0.0014.
    #[test]
    fn a_change_happens_as_often_as_its_probability_says() {
        let draws = Draws::new(&StepRng::at(1, 2), "augment/test", 0, &Probability::Every(0.3));
        let share = (0..100_000).filter(|place| draws.happens(*place)).count() as f64 / 1e5;
        assert!((share - 0.3).abs() < 0.007, "{share}");
    }
}
