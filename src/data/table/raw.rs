//! The rows of a table before they are encoded or standardized, and the tensor that is made of them.

use std::ops::Range;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::cpu;
use crate::data::encoding::{Encoding, Precision};
use crate::data::frame::Frame;
use crate::data::standardize::BLOCK;
use crate::data::{DataError, Split, Statistics};

/// Rows before standardization.
#[derive(Debug)]
pub(super) enum Raw {
    Numbers {
        /// On the host. Where they are not standardized, and this is the device, they are the inputs.
        values: Tensor,
        shape: Vec<usize>,
        /// The names of the classes, if they have names.
        classes: Option<Vec<String>>,
    },
    Columns {
        frame: Frame,
        encoding: Encoding,
    },
}

impl Raw {
    /// Passes a function to `work` that encodes some rows, row after row.
    fn reading<R>(&self, work: impl FnOnce(&(dyn Fn(Range<usize>) -> Vec<f64> + Sync)) -> R) -> candle_core::Result<R> {
        match self {
            Self::Numbers { values, shape, .. } => {
                let width: usize = shape.iter().product();
                cpu::read(values, |values: &[f32]| {
                    let some = |rows: Range<usize>| &values[rows.start * width..rows.end * width];
                    Ok(work(&|rows| some(rows).iter().copied().map(f64::from).collect()))
                })
            }
            Self::Columns { frame, encoding } => {
                let encoder = encoding.encoder(&frame.columns);
                Ok(work(&|rows| encoder.encode(rows)))
            }
        }
    }

    /// Returns the shape of one row.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Numbers { shape, .. } => shape.clone(),
            Self::Columns { encoding, .. } => vec![encoding.width()],
        }
    }

    /// Returns which numbers of a row are standardized.
    fn measures(&self) -> Vec<bool> {
        match self {
            Self::Numbers { shape, .. } => vec![true; shape.iter().product()],
            Self::Columns { encoding, .. } => encoding.measures(),
        }
    }

    /// Returns the rows as a tensor.
    pub fn tensor(&self, rows: usize, statistics: Option<&Statistics>, device: &Device) -> Result<Tensor, DataError> {
        let shape: Vec<usize> = [rows].into_iter().chain(self.shape()).collect();
        let width = shape.iter().skip(1).product::<usize>();
        let rows = |block: usize| block * BLOCK..rows.min((block + 1) * BLOCK);
        let filled = |fill: &(dyn Fn(Range<usize>, &mut [f32]) + Sync)| {
            let mut values = vec![0.0; shape.iter().product()];
            let blocks = values.par_chunks_mut((BLOCK * width).max(1)).enumerate();
            blocks.for_each(|(block, into)| fill(rows(block), into));
            values
        };
        let values = match (statistics, self) {
            (Some(statistics), _) => {
                self.reading(|read| filled(&|rows, into| statistics.apply_to(&read(rows), into)))?
            }
            (None, Self::Numbers { values, .. }) => return Ok(values.to_device(device)?),
            (None, Self::Columns { frame, encoding }) => {
                let encoder = encoding.encoder(&frame.columns);
                filled(&|rows, into| encoder.encode_to(rows, into))
            }
        };
        Ok(Tensor::from_vec(values, shape, device)?)
    }

    /// Computes the statistics of standardization over the training rows of `split`. Categories that are yes or no keep 0
    /// and 1.
    pub fn statistics(&mut self, split: &Split) -> candle_core::Result<Statistics> {
        if let Self::Columns { encoding, .. } = self {
            encoding.precision = Precision::Double;
        }
        self.reading(|read| Statistics::of(&self.measures(), split, read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_standardized_are_in_memory_once() {
        let values = Tensor::from_vec(vec![1.0_f32, 2.0, 3.0, 4.0], (2, 2), &Device::Cpu).unwrap();
        let place = |tensor: &Tensor| cpu::read(tensor, |values: &[f32]| Ok(values.as_ptr().addr())).unwrap();
        let at = place(&values);
        let mut raw = Raw::Numbers { values, shape: vec![2], classes: None };
        assert_eq!(place(&raw.tensor(2, None, &Device::Cpu).unwrap()), at);
        let statistics = raw.statistics(&Split::new(2, 0.0, 0).unwrap()).unwrap();
        let standardized = raw.tensor(2, Some(&statistics), &Device::Cpu).unwrap();
        assert_eq!(standardized.to_vec2::<f32>().unwrap(), [[-1.0, -1.0], [1.0, 1.0]]);
        assert_eq!(raw.tensor(2, None, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
    }
}
