//! Precision, recall and F1, which are all functions of three counts for each class.

use candle_core::{D, DType, Result, Tensor};

use super::Tally;
use super::scored::{Scored, Truth};

/// The figure of one class.
#[derive(Clone, Copy, Debug)]
pub(super) enum Figure {
    /// The share of the rows predicted as the class that have it.
    Precision,
    /// The share of the rows of the class that are predicted as it.
    Recall,
    /// The harmonic mean of both.
    F1,
}

/// How the figures of the classes become one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Average {
    /// That of class 1.
    Positive,
    /// The mean over the classes that occur among targets or predictions, or over all labels.
    Macro,
    /// That of all decisions together.
    Micro,
    /// The lowest one, beside the list of all.
    PerClass,
    /// The mean over the classes that occur among targets.
    Present,
}

/// Counts of targets, predictions, and rows where both agree, for each class or label: 24 bytes for each.
#[derive(Debug)]
pub(super) struct ClassCounts {
    figure: Figure,
    average: Average,
    /// The name of the list of all classes' figures.
    list: &'static str,
    are_labels: bool,
    counts: Vec<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    right: u64,
    predicted: u64,
    actual: u64,
}

impl Counts {
    /// The figure; 0 where there is nothing to divide by, as in scikit-learn.
    fn figure(self, figure: Figure) -> f64 {
        let (part, whole) = match figure {
            Figure::Precision => (self.right, self.predicted),
            Figure::Recall => (self.right, self.actual),
            Figure::F1 => (2 * self.right, self.predicted + self.actual),
        };
        if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
    }

    fn and(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            predicted: self.predicted + other.predicted,
            actual: self.actual + other.actual,
        }
    }

    fn occurs(self) -> bool {
        self.predicted + self.actual > 0
    }
}

impl ClassCounts {
    /// Creates a tally of `figure`; `list` is the name of the list with the figures of all classes.
    pub fn new(figure: Figure, average: Average, list: &'static str) -> Self {
        Self { figure, average, list, are_labels: false, counts: Vec::new() }
    }

    fn count(&mut self, class: usize, counts: Counts) {
        if let Some(sum) = self.counts.get_mut(class) {
            *sum = sum.and(counts);
        }
    }

    fn add_classes(&mut self, predicted: &[u32], actual: &[u32]) {
        for (&predicted, &actual) in predicted.iter().zip(actual) {
            let right = u64::from(predicted == actual);
            self.count(predicted as usize, Counts { right, predicted: 1, actual: 0 });
            self.count(actual as usize, Counts { right: 0, predicted: 0, actual: 1 });
        }
    }

    fn add_labels(&mut self, scored: &Scored, labels: &[bool]) {
        let width = scored.width;
        for (place, (&logit, &label)) in scored.logits.iter().zip(labels).enumerate() {
            let predicted = logit > 0.0;
            let [right, predicted, actual] = [predicted && label, predicted, label].map(u64::from);
            self.count(place % width, Counts { right, predicted, actual });
        }
    }

    fn mean(&self, counts: impl Iterator<Item = Counts>) -> f64 {
        let figures: Vec<f64> = counts.map(|counts| counts.figure(self.figure)).collect();
        figures.iter().sum::<f64>() / figures.len() as f64
    }

    /// The classes that occur; all labels, because each is a task by itself.
    fn occurring(&self) -> impl Iterator<Item = Counts> {
        self.counts.iter().copied().filter(|counts| self.are_labels || counts.occurs())
    }
}

/// The most probable class of each row, the same as for the accuracy: the first of equal ones.
pub(super) fn predicted_classes(outputs: &Tensor) -> Result<Vec<u32>> {
    let classes = match outputs.dims().last() {
        Some(1) => outputs.gt(0f64)?.to_dtype(DType::U32)?,
        _ => outputs.argmax(D::Minus1)?,
    };
    classes.flatten_all()?.to_vec1()
}

/// The true class of each row.
pub(super) fn true_classes(targets: &Tensor) -> Result<Vec<u32>> {
    targets.to_dtype(DType::U32)?.flatten_all()?.to_vec1()
}

impl Tally for ClassCounts {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let width = outputs.dims().last().copied().unwrap_or(1);
        self.are_labels = !targets.dtype().is_int();
        let classes = if self.are_labels { width } else { width.max(2) };
        self.counts.resize(classes.max(self.counts.len()), Counts::default());
        if !self.are_labels {
            self.add_classes(&predicted_classes(outputs)?, &true_classes(targets)?);
            return Ok(());
        }
        let scored = Scored::of(outputs, targets)?;
        if let Truth::Labels(labels) = &scored.truth {
            self.add_labels(&scored, labels);
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        let all = || self.counts.iter().copied();
        match self.average {
            Average::Positive => all().nth(1).unwrap_or_default().figure(self.figure),
            Average::Macro => self.mean(self.occurring()),
            Average::Micro => all().fold(Counts::default(), Counts::and).figure(self.figure),
            Average::PerClass => {
                self.occurring().map(|counts| counts.figure(self.figure)).min_by(f64::total_cmp).unwrap_or(f64::NAN)
            }
            Average::Present => self.mean(all().filter(|counts| counts.actual > 0)),
        }
    }

    fn lists(&self) -> Vec<(&'static str, Vec<f64>)> {
        match self.average {
            Average::PerClass => {
                vec![(self.list, self.counts.iter().map(|counts| counts.figure(self.figure)).collect())]
            }
            _ => Vec::new(),
        }
    }

    fn sums(&self) -> Option<Vec<f64>> {
        let counts = self.counts.iter().flat_map(|counts| [counts.right, counts.predicted, counts.actual]);
        Some([u64::from(self.are_labels)].into_iter().chain(counts).map(|count| count as f64).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        let Some((are_labels, counts)) = sums.split_first() else { return };
        self.are_labels = *are_labels == 1.0;
        self.counts.resize(self.counts.len().max(counts.len() / 3), Counts::default());
        for (class, counts) in counts.chunks_exact(3).enumerate() {
            if let [right, predicted, actual] = *counts {
                let [right, predicted, actual] = [right, predicted, actual].map(|count| count as u64);
                self.count(class, Counts { right, predicted, actual });
            }
        }
    }
}
