//! Rows drawn at random with replacement, by the weights of their classes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, RowSet, TargetKind};
use crate::figures;
use crate::rng::Stream;

/// How often rows of each class are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "must be \"balanced\", or a list with a weight for each class")]
pub enum Sampling {
    /// Each class as often as any other.
    Balanced,
    /// Each row by the weight of its class, one for each class: with `[1, 2]` a row of class 1 is drawn twice as often as
    /// one of class 0.
    #[serde(untagged)]
    Weights(Vec<f64>),
}

/// As in a configuration; of many weights the first few.
impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let Self::Weights(weights) = self else { return f.write_str("\"balanced\"") };
        let shown: Vec<String> = weights.iter().take(SHOWN).map(|weight| figures::exact(*weight)).collect();
        write!(f, "[{}{}]", shown.join(", "), if weights.len() > SHOWN { ", …" } else { "" })
    }
}

impl JsonSchema for Sampling {
    fn schema_name() -> Cow<'static, str> {
        "Sampling".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "array", "items": {"type": "number", "minimum": 0}}, {"const": "balanced"}]})
    }
}

/// Draws training rows. The row at a position of an epoch is a function of the seed, the epoch and the position, so that
/// there is nothing to save.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    stream: Stream,
    /// The positions of the training rows, class by class.
    rows: Arc<[usize]>,
    /// Of each class that is drawn: the probability of it and all classes before it, and the end of its rows.
    classes: Vec<(f64, usize)>,
}

impl Sampler {
    /// Creates the sampler of the training rows of a data set.
    pub fn new(sampling: &Sampling, dataset: &dyn Dataset, rows: &RowSet, seed: u64) -> Result<Self, DataError> {
        let wrong = |rule: String| DataError::Sampling { reason: format!("= {sampling}: {rule}") };
        let TargetKind::Classes { count } = dataset.targets() else {
            let rule = "rows are drawn by their classes, and the targets are values; remove it";
            return Err(wrong(rule.to_owned()));
        };
        let labels = dataset.labels().filter(|labels| labels.len() == dataset.len());
        let rule = "the classes of the rows are not known before they are read; remove it";
        let labels = labels.ok_or_else(|| wrong(rule.to_owned()))?;
        let mut by_class = vec![Vec::new(); count];
        for (position, row) in rows.iter().enumerate() {
            let class = labels.get(row).and_then(|class| by_class.get_mut(*class as usize));
            class.into_iter().for_each(|rows| rows.push(position));
        }
        let weights = sampling.of_classes(&by_class).map_err(wrong)?;
        let total: f64 = weights.iter().sum();
        let (mut rows, mut classes, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for (of_class, weight) in by_class.into_iter().zip(weights).filter(|(_, weight)| *weight > 0.0) {
            rows.extend(of_class);
            sum += weight;
            classes.push((sum / total, rows.len()));
        }
        Ok(Self { stream: Stream::new(seed, "sampling"), rows: rows.into(), classes })
    }

    /// Returns the position of a training row, at a position of an epoch.
    pub fn at(&self, epoch: u64, position: usize) -> Option<usize> {
        let [a, b, c, d] = self.stream.block(epoch, position as u64);
        let share = f64::from(a) / (1u64 << 32) as f64 + f64::from(b >> 11) / (1u64 << 53) as f64;
        let last = self.classes.len().checked_sub(1)?;
        let class = self.classes.partition_point(|(until, _)| *until <= share).min(last);
        let end = self.classes.get(class)?.1;
        let start = class.checked_sub(1).and_then(|before| self.classes.get(before)).map_or(0, |(_, end)| *end);
        let drawn = u128::from(u64::from(c) | u64::from(d) << 32) * (end - start) as u128;
        self.rows.get(start + (drawn >> 64) as usize).copied()
    }
}

impl Sampling {
    /// The weight of all rows of each class together.
    fn of_classes(&self, by_class: &[Vec<usize>]) -> Result<Vec<f64>, String> {
        match self {
            Self::Balanced => match by_class.iter().position(Vec::is_empty) {
                Some(class) => Err(format!("class {class} has no training rows; give weights, 0 for it")),
                None => Ok(vec![1.0; by_class.len()]),
            },
            Self::Weights(weights) if weights.len() != by_class.len() => {
                Err(format!("there are {} classes; give a weight for each, not {}", by_class.len(), weights.len()))
            }
            Self::Weights(weights) => {
                if !weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) {
                    return Err("each weight must be a finite number, at least 0".to_owned());
                }
                let of_rows = |(weight, rows): (&f64, &Vec<usize>)| weight * rows.len() as f64;
                let weights: Vec<f64> = weights.iter().zip(by_class).map(of_rows).collect();
                let total: f64 = weights.iter().sum();
                if total > 0.0 && total.is_finite() {
                    return Ok(weights);
                }
                Err("no class with training rows has a weight above 0; give one of them such a weight".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::{Fingerprint, Rows, Split, Table, Targets};

    fn sampler(sampling: &Sampling, labels: &[u32], count: usize) -> Result<Sampler, DataError> {
        let targets = Targets::Classes { labels: labels.to_vec(), count };
        let rows = Rows::new(vec![1], vec![0.0; labels.len()], targets)?;
        let table = Table::new(rows, Fingerprint::of(b"rows"), &Device::Cpu)?;
        let split = Split::new(labels.len(), 0.0, 0)?;
        Sampler::new(sampling, &table, split.train(), 7)
    }

    /// Of 30,000 draws, the number of each row; a standard error is at most 100.
    fn counts(sampling: &Sampling, labels: &[u32], count: usize) -> Vec<usize> {
        let sampler = sampler(sampling, labels, count).unwrap();
        let mut counts = vec![0; labels.len()];
        (0..30_000).for_each(|position| counts[sampler.at(3, position).unwrap()] += 1);
        counts
    }

    #[test]
    fn balanced_rows_are_of_each_class_as_often_and_rows_of_a_class_alike() {
        let counts = counts(&Sampling::Balanced, &[0, 1, 0, 0, 2, 0, 2], 3);
        let expected = [2500, 10_000, 2500, 2500, 5000, 2500, 5000];
        assert!(counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) < 500), "{counts:?}");
    }

    #[test]
    fn a_row_is_drawn_as_often_as_the_weight_of_its_class_says() {
        let counts = counts(&Sampling::Weights(vec![1.0, 2.0, 0.0]), &[0, 1, 0, 0, 2, 0, 2], 3);
        let expected = [5000, 10_000, 5000, 5000, 0, 5000, 0];
        assert!(counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) < 500), "{counts:?}");
        assert_eq!((counts[4], counts[6]), (0, 0));
    }

    #[test]
    fn a_draw_is_a_function_of_epoch_and_position() {
        let sampler = sampler(&Sampling::Balanced, &[0, 1, 0, 0, 1, 1, 0, 1], 2).unwrap();
        let epoch = |epoch| (0..64).map(|position| sampler.at(epoch, position).unwrap()).collect::<Vec<_>>();
        assert_eq!(epoch(1), epoch(1));
        assert_ne!(epoch(1), epoch(2));
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        let message = |sampling| sampler(&sampling, &[0, 0, 1], 3).unwrap_err().to_string();
        assert!(message(Sampling::Balanced).contains("= \"balanced\": class 2 has no training rows"));
        assert!(
            message(Sampling::Weights(vec![1.0]))
                .contains("`data.sampling` = [1]: there are 3 classes; give a weight for each, not 1")
        );
        assert!(
            message(Sampling::Weights(vec![0.0, 0.0, 1.0]))
                .contains("= [0, 0, 1]: no class with training rows has a weight above 0")
        );
        assert!(
            message(Sampling::Weights(vec![-1.0, 0.0, 1.0]))
                .contains("= [-1, 0, 1]: each weight must be a finite number, at least 0")
        );
    }
}
