//! Predictions of a model for rows of its run, beside the targets: which classes it mistakes, how far values are off, and
//! single rows to look at.

use std::time::Instant;

use candle_core::{DType, Tensor};
use serde::Serialize;

use super::{EvaluationRows, SampleOptions, Trained, TrainedError};
use crate::data::{Batch, DataError, Input};
use crate::loss::Predicted;
use crate::train::{Example, Image};

/// Rows kept to look at: the first ones, and as many of the worst.
const SHOWN: usize = 12;

/// Pairs of values kept.
const PAIRS: usize = 2000;

/// Most outputs of a row of which values are kept.
const OUTPUTS: usize = 4;

/// Longest side of an image that is kept.
const SIDE: usize = 48;

/// Tokens of a prompt, and of its continuation.
const TOKENS: (usize, usize) = (48, 120);

/// Predictions beside targets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Review {
    /// Number of updates that trained the model.
    pub step: u64,
    /// The rows: `validation`, or `training` if there are no validation rows.
    pub rows: String,
    /// Number of rows that were predicted.
    pub seen: usize,
    /// Number of all such rows.
    pub all: usize,
    /// The predictions.
    #[serde(flatten)]
    pub found: Found,
}

/// The predictions of a review.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Found {
    /// Of classes.
    Classes {
        /// The names of the classes.
        names: Vec<String>,
        /// A true class, a predicted one, and the number of rows with them.
        counts: Vec<(u32, u32, u64)>,
        /// The first rows, and those whose wrong class was the most probable.
        examples: Vec<Example>,
    },
    /// Of values: the output, the true value and the predicted one.
    Values {
        /// The number of the output, the target and the prediction.
        pairs: Vec<(usize, f32, f32)>,
    },
    /// Of text.
    Text {
        /// Continued beginnings of rows.
        texts: Vec<Continued>,
    },
}

/// The beginning of a row of text, continued.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Continued {
    /// The beginning.
    pub prompt: String,
    /// How the row continues.
    pub target: String,
    /// How the model continues it.
    pub predicted: String,
}

impl Trained {
    /// Predicts validation rows of the run, or training rows if it has none, and compares them with their targets. Ends
    /// with the batch, or the token, that is in work at the time `until`.
    ///
    /// # Errors
    /// The data is missing, has changed or has no rows, or an output is not finite.
    pub fn review(&self, until: Instant) -> Result<Review, TrainedError> {
        let data = self.data_in_its_state()?;
        let validation = data.validation_rows().clone();
        let (rows, word) = match validation.is_empty() {
            true => (data.train_rows().clone(), EvaluationRows::Train),
            false => (validation, EvaluationRows::Validation),
        };
        let all = rows.len();
        if all == 0 {
            return Err(TrainedError::NoRows { rows: word.to_string() });
        }
        let (mut seen, mut found) = (0, Gathered::default());
        let is_text = matches!(self.schema.input, Input::Tokens { .. });
        for batch in data.evaluation_batches(rows) {
            let batch = batch?;
            if is_text {
                found.texts = self.continued(&batch, until)?;
                seen = found.texts.len();
                break;
            }
            let predicted = self.interpret(&self.outputs(&batch.inputs)?, seen)?;
            let batch = match &self.scale {
                Some(scale) => scale.invert_batch(&batch)?,
                None => batch,
            };
            found.take(&batch, &predicted, seen, all)?;
            seen += batch.rows();
            if Instant::now() >= until {
                break;
            }
        }
        let found = match () {
            () if is_text => Found::Text { texts: found.texts },
            () if found.pairs.is_empty() => found.classes(self.class_names()),
            () => Found::Values { pairs: found.pairs },
        };
        Ok(Review { step: self.step, rows: word.to_string(), seen, all, found })
    }

    /// Continues the beginnings of the first and the middle row of a batch of tokens. After `until` continuations end,
    /// and no further row is continued.
    fn continued(&self, batch: &Batch, until: Instant) -> Result<Vec<Continued>, TrainedError> {
        let vocabulary = self.vocabulary()?;
        let rows = batch.inputs.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        let mut texts = Vec::new();
        for tokens in [rows.first(), rows.get(rows.len() / 2)].into_iter().flatten() {
            if !texts.is_empty() && Instant::now() >= until {
                break;
            }
            // Of a row with several documents, the first is shown, without the separators around it.
            let mut documents = tokens.split(|token| Some(*token) == vocabulary.separator());
            let tokens = documents.find(|document| !document.is_empty()).unwrap_or(tokens);
            let (begin, rest) = tokens.split_at(TOKENS.0.min(tokens.len().div_ceil(2)));
            let rest = rest.get(..TOKENS.1).unwrap_or(rest);
            let text = |tokens: &[u32]| vocabulary.decode(tokens).map_err(DataError::from);
            let prompt = text(begin)?;
            let options = SampleOptions { tokens: TOKENS.1, temperature: 0.8, ..SampleOptions::default() };
            let pieces = self.sample(&prompt, &options)?.take_while(|_| Instant::now() < until);
            let predicted = pieces.collect::<Result<String, _>>()?;
            texts.push(Continued { prompt, target: text(rest)?, predicted });
        }
        texts.dedup();
        Ok(texts)
    }
}

/// The kept parts of the batches.
#[derive(Default)]
struct Gathered {
    counts: std::collections::BTreeMap<(u32, u32), u64>,
    first: Vec<Example>,
    /// The wrong ones with the highest probability, falling.
    worst: Vec<Example>,
    pairs: Vec<(usize, f32, f32)>,
    texts: Vec<Continued>,
}

impl Gathered {
    /// Adds a batch, whose first row is number `before` of `all`.
    fn take(&mut self, batch: &Batch, predicted: &Predicted, before: usize, all: usize) -> Result<(), TrainedError> {
        match predicted {
            Predicted::Classes { classes, probabilities } => {
                let targets = batch.targets.flatten_all()?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
                // Rows with several classes at once have no pair of a true and a predicted one.
                if targets.len() != classes.len() {
                    return Ok(());
                }
                for (place, ((target, predicted), row)) in
                    targets.into_iter().zip(classes).zip(probabilities).enumerate()
                {
                    let (row_number, predicted) = (before + place, *predicted);
                    *self.counts.entry((target, predicted)).or_default() += 1;
                    let probability = row.get(predicted as usize).copied().unwrap_or_default();
                    let example = Example { row: row_number, target, predicted, probability, image: None };
                    self.show(example, &batch.inputs, place)?;
                }
            }
            Predicted::Values(values) => {
                let targets = batch.targets.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
                let stride = all.div_ceil(PAIRS).max(1);
                let rows =
                    targets.iter().zip(values).enumerate().filter(|(place, _)| (before + place).is_multiple_of(stride));
                for (_, (targets, values)) in rows {
                    let pairs = targets.iter().zip(values).enumerate().take(OUTPUTS);
                    self.pairs.extend(pairs.map(|(output, (target, value))| (output, *target, *value)));
                }
            }
        }
        Ok(())
    }

    /// Keeps a row to look at if it is one of the first or of the worst.
    fn show(&mut self, example: Example, inputs: &Tensor, place: usize) -> Result<(), TrainedError> {
        let image = || Image::of_input(&inputs.get(place)?, SIDE);
        if self.first.len() < SHOWN {
            self.first.push(Example { image: image()?, ..example });
        } else if example.target != example.predicted {
            let rank = self.worst.partition_point(|other| other.probability >= example.probability);
            if rank < SHOWN {
                self.worst.insert(rank, Example { image: image()?, ..example });
                self.worst.truncate(SHOWN);
            }
        }
        Ok(())
    }

    fn classes(self, names: Option<Vec<String>>) -> Found {
        let count = self.counts.keys().map(|(target, predicted)| 1 + target.max(predicted)).max().unwrap_or(0);
        let names = names.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect());
        let counts = self.counts.into_iter().map(|((target, predicted), count)| (target, predicted, count)).collect();
        Found::Classes { names, counts, examples: self.first.into_iter().chain(self.worst).collect() }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn mistakes_are_counted_and_the_surest_ones_are_kept() {
        let batch = Batch {
            inputs: Tensor::zeros((40, 5), DType::F32, &Device::Cpu).unwrap(),
            targets: Tensor::zeros(40, DType::U32, &Device::Cpu).unwrap(),
        };
        let classes = (0..40).map(|row| u32::from(row >= 20)).collect();
        let probabilities = (0..40).map(|row| vec![1.0 - row as f32 / 40.0, row as f32 / 40.0]).collect();
        let mut found = Gathered::default();
        found.take(&batch, &Predicted::Classes { classes, probabilities }, 100, 1000).unwrap();
        let Found::Classes { counts, examples, names } = found.classes(None) else { panic!("they are classes") };
        assert_eq!((counts, names), (vec![(0, 0, 20), (0, 1, 20)], vec!["0".to_owned(), "1".to_owned()]));
        let rows: Vec<usize> = examples.iter().map(|example| example.row).collect();
        assert_eq!(rows, [(100..112).collect::<Vec<_>>(), (128..140).rev().collect()].concat());
    }

    #[test]
    fn values_are_paired_with_their_targets_evenly_spread() {
        let batch = Batch {
            inputs: Tensor::zeros((10, 5), DType::F32, &Device::Cpu).unwrap(),
            targets: Tensor::ones((10, 1), DType::F32, &Device::Cpu).unwrap(),
        };
        let mut found = Gathered::default();
        let values = (0..10).map(|row| vec![row as f32]).collect();
        found.take(&batch, &Predicted::Values(values), 1, 3 * PAIRS).unwrap();
        assert_eq!(found.pairs, [(0, 1.0, 2.0), (0, 1.0, 5.0), (0, 1.0, 8.0)]);
    }
}
