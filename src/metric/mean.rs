//! The mean of numbers that are computed for each batch.

use candle_core::{DType, Result, Tensor};

use super::Tally;
use super::exact_sum::ExactSum;

/// The mean of the elements of a tensor that is computed for each batch. The sum has no rounding, so the mean depends
/// neither on the batch size nor on the order of the rows.
pub struct Mean<F> {
    numbers: F,
    sum: ExactSum,
    count: usize,
    finish: fn(f64) -> f64,
}

impl<F: Fn(&Tensor, &Tensor) -> Result<Tensor>> Mean<F> {
    /// Creates the mean of `numbers`, a function of the outputs and targets of each batch.
    pub fn of(numbers: F) -> Self {
        Self { numbers, sum: ExactSum::default(), count: 0, finish: |mean| mean }
    }

    /// Returns the tally whose value is a function of the mean, such as its root.
    #[must_use]
    pub fn then(self, finish: fn(f64) -> f64) -> Self {
        Self { finish, ..self }
    }
}

impl<F: Fn(&Tensor, &Tensor) -> Result<Tensor>> Tally for Mean<F> {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        let numbers = (self.numbers)(outputs, targets)?.to_dtype(DType::F64)?.flatten_all()?;
        let numbers = numbers.to_vec1::<f64>()?;
        numbers.iter().for_each(|number| self.sum.add(*number));
        self.count += numbers.len();
        Ok(())
    }

    fn value(&self) -> f64 {
        (self.finish)(self.sum.value() / self.count as f64)
    }

    fn sums(&self) -> Option<Vec<f64>> {
        Some([self.count as f64].into_iter().chain(self.sum.parts()).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        if let [count, sum @ ..] = sums {
            self.count += *count as usize;
            self.sum.add_parts(sum);
        }
    }
}
