//! Metrics of the order of scores: they keep every score of a validation, and sort them at its end.

use candle_core::{Result, Tensor};

use super::Tally;
use super::scored::{Scored, Truth, probabilities};

/// Classes with which scores are kept at most.
pub(super) const MOST: usize = 1000;

/// Computes a figure from the scores of the rows that have a class and of those that do not, in descending order of
/// scores, equal scores together; `None` where it is not defined.
pub(super) type OfRanks = fn(&[Tied]) -> Option<f64>;

/// Rows with equal scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tied {
    /// Those that have the class.
    pub positive: u64,
    /// Those that do not.
    pub negative: u64,
}

/// The scores of all rows: of class 1 if there are two, otherwise of each class, or of each label. They take 4 bytes
/// each, and the targets 4 bytes a row, or a label.
#[derive(Debug)]
pub(super) struct RankedScores {
    figure: OfRanks,
    width: usize,
    are_labels: bool,
    scores: Vec<f32>,
    /// The class of each row, or each label as 0 or 1.
    truth: Vec<u32>,
}

impl RankedScores {
    /// Creates an empty tally of a figure.
    pub fn new(figure: OfRanks) -> Self {
        Self { figure, width: 0, are_labels: false, scores: Vec::new(), truth: Vec::new() }
    }

    /// The scores of a class or label in descending order, equal ones together; `None` if one is no number.
    fn tied(&self, column: usize) -> Option<Vec<Tied>> {
        let is_of = |row: usize| match (self.are_labels, self.width) {
            (true, width) => self.truth.get(row * width + column) == Some(&1),
            (false, 1) => self.truth.get(row) == Some(&1),
            (false, _) => self.truth.get(row) == Some(&(column as u32)),
        };
        let scores = self.scores.iter().skip(column).step_by(self.width).enumerate();
        let mut ranked: Vec<(f32, bool)> = scores.map(|(row, &score)| (score, is_of(row))).collect();
        if ranked.iter().any(|(score, _)| score.is_nan()) {
            return None;
        }
        ranked.sort_unstable_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut groups = Vec::new();
        for group in ranked.chunk_by(|(one, _), (other, _)| one == other) {
            let positive = group.iter().filter(|(_, is_of)| *is_of).count() as u64;
            groups.push(Tied { positive, negative: group.len() as u64 - positive });
        }
        Some(groups)
    }
}

impl Tally for RankedScores {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let scored = Scored::of(outputs, targets)?;
        match &scored.truth {
            Truth::Labels(labels) => {
                (self.width, self.are_labels) = (scored.width, true);
                self.scores.extend(&scored.logits);
                self.truth.extend(labels.iter().map(|&label| u32::from(label)));
            }
            Truth::Classes(classes) => {
                self.truth.extend(classes);
                // Of two classes, the difference of the logits has the order of the probability, and no rounding to 1.
                self.width = if scored.classes() == 2 { 1 } else { scored.width };
                match scored.width {
                    1 => self.scores.extend(&scored.logits),
                    2 => self.scores.extend(scored.rows().map(difference)),
                    _ => scored.rows().for_each(|row| {
                        self.scores.extend(probabilities(row).into_iter().map(|p| p as f32));
                    }),
                }
            }
        }
        Ok(())
    }

    /// The mean over the classes or labels for which it is defined.
    fn value(&self) -> f64 {
        let figures = (0..self.width).map(|column| match self.tied(column) {
            Some(tied) => (self.figure)(&tied),
            None => Some(f64::NAN),
        });
        let figures: Vec<f64> = figures.flatten().collect();
        figures.iter().sum::<f64>() / figures.len() as f64
    }

    fn sums(&self) -> Option<Vec<f64>> {
        let head = [self.width as f64, f64::from(u8::from(self.are_labels)), self.scores.len() as f64];
        let scores = self.scores.iter().map(|&score| f64::from(score));
        Some(head.into_iter().chain(scores).chain(self.truth.iter().map(|&class| f64::from(class))).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        let [width, are_labels, count, rest @ ..] = sums else { return };
        (self.width, self.are_labels) = (self.width.max(*width as usize), *are_labels == 1.0);
        let (scores, truth) = rest.split_at((*count as usize).min(rest.len()));
        self.scores.extend(scores.iter().map(|&score| score as f32));
        self.truth.extend(truth.iter().map(|&class| class as u32));
    }
}

/// The logit of class 1 minus that of class 0. Two infinite ones that are equal differ by nothing.
fn difference(row: &[f32]) -> f32 {
    match row {
        [zero, one] if zero == one => 0.0,
        [zero, one] => one - zero,
        _ => f32::NAN,
    }
}
