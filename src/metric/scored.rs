//! The outputs of a batch as scores of classes or labels, beside the true ones, in memory of the CPU.

use candle_core::{D, DType, Result, Tensor, bail};

/// Rows with a class each, or with labels that are each 0 or 1. A row with a class for each position is several rows.
pub(super) struct Scored {
    /// Number of logits in a row. One logit is that of class 1 against a logit of 0.
    pub width: usize,
    /// The logits, row after row.
    pub logits: Vec<f32>,
    /// The true classes or labels.
    pub truth: Truth,
}

/// The true classes or labels of rows.
pub(super) enum Truth {
    /// The class of each row.
    Classes(Vec<u32>),
    /// Each label of each row, row after row.
    Labels(Vec<bool>),
}

impl Scored {
    /// Reads the outputs and targets of a batch.
    pub fn of(outputs: &Tensor, targets: &Tensor) -> Result<Self> {
        let width = outputs.dims().last().copied().unwrap_or(1).max(1);
        let logits = outputs.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let flat = targets.flatten_all()?;
        let truth = if targets.dtype().is_int() {
            Truth::Classes(flat.to_dtype(DType::U32)?.to_vec1()?)
        } else {
            Truth::Labels(flat.to_dtype(DType::F32)?.to_vec1::<f32>()?.into_iter().map(|label| label > 0.5).collect())
        };
        let scored = Self { width, logits, truth };
        let targets_of_rows = match &scored.truth {
            Truth::Classes(classes) => classes.len(),
            Truth::Labels(labels) => labels.len() / width,
        };
        if scored.logits.len() != width * targets_of_rows {
            bail!("outputs {:?} and targets {:?} do not fit together", outputs.dims(), targets.dims());
        }
        Ok(scored)
    }

    /// Number of classes, or of labels.
    pub fn classes(&self) -> usize {
        match self.truth {
            Truth::Classes(_) => self.width.max(2),
            Truth::Labels(_) => self.width,
        }
    }

    /// Returns the logits of each row.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.width)
    }
}

/// The probability of 1 for a logit, in f64.
pub(super) fn sigmoid(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}

/// Returns the probabilities of the classes of a row, in f64: two for a single logit. Infinite logits have a
/// probability of 0 or 1.
pub(super) fn probabilities(logits: &[f32]) -> Vec<f64> {
    if let [logit] = *logits {
        let p = sigmoid(logit);
        return vec![1.0 - p, p];
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| if logit == most { 1.0 } else { (f64::from(logit) - f64::from(most)).exp() };
    let weights: Vec<f64> = logits.iter().map(|&logit| weight(logit)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Returns one logit per class: beside a single one, which is that of class 1, a logit of 0.
pub(super) fn per_class(logits: &Tensor) -> Result<Tensor> {
    match logits.dims().last() {
        Some(1) => Tensor::cat(&[&logits.zeros_like()?, logits], D::Minus1),
        _ => Ok(logits.clone()),
    }
}
