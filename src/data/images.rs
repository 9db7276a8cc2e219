//! Images in memory: one byte per value, converted to numbers when a batch is gathered, or numbers.

use candle_core::{Device, Tensor};

use super::rows::class_below;
use super::{Batch, DataError, Dataset, Fingerprint, Input, Names, TargetKind, integers};
use crate::Notice;
use crate::state::{State, StateError, Stateful};

/// Images of one shape, each with a class.
///
/// A gathered value is its byte divided by 255, so that black is 0 and white is 1. Values that are not bytes are
/// unchanged.
#[derive(Debug)]
pub struct Images {
    /// Row after row.
    samples: Samples,
    shape: Vec<usize>,
    labels: Vec<u32>,
    classes: usize,
    /// The names of the classes, if they have names.
    names: Option<Vec<String>>,
    fingerprint: Fingerprint,
    notices: Vec<Notice>,
}

/// The values of images.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
}

impl Samples {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// Appends others of the same kind, and returns whether they are.
    pub fn extend(&mut self, others: Self) -> bool {
        match (self, others) {
            (Self::Bytes(own), Self::Bytes(others)) => own.extend(others),
            (Self::Numbers(own), Self::Numbers(others)) => own.extend(others),
            _ => return false,
        }
        true
    }
}

impl Images {
    /// Creates images of `shape`, for example `[1, 28, 28]`, from `bytes`, one after another, with a label below
    /// `classes` for each.
    ///
    /// # Errors
    /// Bytes and labels belong to different numbers of images, or a label is not a class.
    pub fn new(
        shape: Vec<usize>,
        bytes: Vec<u8>,
        labels: Vec<u32>,
        classes: usize,
        fingerprint: Fingerprint,
    ) -> Result<Self, DataError> {
        Self::of(shape, Samples::Bytes(bytes), labels, classes, fingerprint)
    }

    /// [`Images::new`] with values of either kind.
    pub(super) fn of(
        shape: Vec<usize>,
        samples: Samples,
        labels: Vec<u32>,
        classes: usize,
        fingerprint: Fingerprint,
    ) -> Result<Self, DataError> {
        let width = shape.iter().copied().try_fold(1, usize::checked_mul).unwrap_or(0);
        if width == 0 || labels.len().checked_mul(width) != Some(samples.len()) {
            return Err(DataError::Uneven { inputs: samples.len(), input_shape: shape, targets: labels.len() });
        }
        for (row, &label) in labels.iter().enumerate() {
            class_below(label, classes).map_err(|problem| DataError::Row { row, problem })?;
        }
        Ok(Self { samples, shape, labels, classes, names: None, fingerprint, notices: Vec::new() })
    }

    /// Gives names to the classes.
    pub(super) fn with_classes(mut self, names: Option<Vec<String>>) -> Self {
        self.names = names;
        self
    }

    /// Adds notices for the user.
    pub(super) fn saying(mut self, notices: Vec<Notice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn input(&self) -> Input {
        Input::Numbers(self.shape.clone())
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: self.classes }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn names(&self) -> Names {
        Names { columns: None, classes: self.names.clone() }
    }

    fn notices(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        Some(self.labels.clone())
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let width = self.samples.len() / self.labels.len().max(1);
        let mut values = Vec::with_capacity(rows.len() * width);
        let mut labels = Vec::with_capacity(rows.len());
        for &row in rows {
            let label = *self.labels.get(row).ok_or(DataError::NoSuchRow { row, rows: self.len() })?;
            labels.push(label);
            let place = row * width..(row + 1) * width;
            match &self.samples {
                Samples::Bytes(bytes) => values.extend(bytes[place].iter().map(|&byte| UNIT[usize::from(byte)])),
                Samples::Numbers(numbers) => values.extend_from_slice(&numbers[place]),
            }
        }
        let shape: Vec<usize> = [rows.len()].into_iter().chain(self.shape.iter().copied()).collect();
        let inputs = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok(Batch { inputs, targets: Tensor::from_vec(labels, rows.len(), &Device::Cpu)? })
    }
}

/// Every byte divided by 255.
pub(super) const UNIT: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as f32 / 255.0;
        byte += 1;
    }
    table
};

/// Images have no state but the names of their classes: all other information is in the files.
impl Stateful for Images {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(integers::saved(self.names.as_deref())))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        integers::check(self.names.as_deref(), state)?;
        state.expect_tensors([])
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(labels: Vec<u32>) -> Result<Images, DataError> {
        Images::new(vec![1, 1, 2], vec![0, 255, 51, 102], labels, 2, Fingerprint::of(b""))
    }

    #[test]
    fn bytes_become_numbers_from_zero_to_one() {
        let batch = images(vec![1, 0]).unwrap().gather(&[1, 0]).unwrap();
        assert_eq!(batch.inputs.dims(), [2, 1, 1, 2]);
        assert_eq!(batch.inputs.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.2, 0.4, 0.0, 1.0]);
        assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [0, 1]);
    }

    #[test]
    fn files_that_are_not_images_are_refused() {
        assert!(images(vec![1]).unwrap_err().to_string().contains("4 inputs of shape [1, 1, 2] a row and 1 targets"));
        assert!(
            images(vec![1, 2]).unwrap_err().to_string().starts_with("row 1 (counted from 0): label 2 is not below")
        );
        let message = images(vec![1, 0]).unwrap().gather(&[2]).unwrap_err().to_string();
        assert!(message.starts_with("there is no row 2 (counted from 0) among 2"), "{message}");
    }
}
