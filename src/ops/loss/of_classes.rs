//! Losses of rows of logits with a class each, where classes may have weights and some rows may not count.

use candle_core::{D, DType, Result, Shape, Tensor, WithDType, bail};

use crate::cpu::{self, Real};
use crate::ops::op::Op;
use crate::ops::operand::{Gradient, Operand, Reading, rows_and_width, whole_numbers};

/// The loss of one row, as a function of its logits and its class.
pub(super) trait RowLoss: Send + Sync + 'static {
    /// Its name in messages.
    const NAME: &'static str;

    /// Returns how much a row of this class counts in the mean.
    fn share(&self, class: usize) -> f64;

    /// Returns the class of the rows that do not count.
    fn ignored(&self) -> Option<u32>;

    /// Returns the loss of a row, which its share does not divide.
    fn value<T: Real>(&self, row: &[T], class: usize) -> T;

    /// Writes the gradient of a row's loss times `scale`.
    fn gradient<T: Real>(&self, row: &[T], class: usize, scale: T, result: &mut [T]);

    /// Returns the loss of each row, computed with Candle's operations from the logarithms of the probabilities.
    fn reference(&self, log_probabilities: &Tensor, classes: &Tensor) -> Result<Tensor>;
}

/// The losses of all rows that count, over the sum of their shares; 0 if there are none.
pub(super) struct OfClasses<L> {
    /// u32, contiguous.
    targets: Tensor,
    loss: L,
}

impl<L: RowLoss> OfClasses<L> {
    pub fn new(targets: &Tensor, loss: L) -> Result<Self> {
        Ok(Self { targets: whole_numbers(L::NAME, targets)?.contiguous()?, loss })
    }

    /// Returns the classes, or an error if there is one that is neither a class nor the ignored one.
    fn checked<'a>(&self, targets: &'a [u32], classes: usize) -> Result<&'a [u32]> {
        let ignored = self.loss.ignored();
        match targets.iter().find(|&&target| target as usize >= classes && Some(target) != ignored) {
            Some(target) => bail!("{}: class {target} is not below the number of classes, {classes}", L::NAME),
            None => Ok(targets),
        }
    }

    /// Returns the sum of the shares of all rows.
    fn total(&self, targets: &[u32]) -> f64 {
        let ignored = self.loss.ignored();
        let counted = targets.iter().filter(|target| Some(**target) != ignored);
        counted.map(|&target| self.loss.share(target as usize)).sum()
    }
}

impl<L: RowLoss> Op for OfClasses<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let (logits, targets) = (inputs[0].dims(), self.targets.dims());
        if logits.split_last().is_none_or(|(_, rows)| rows != targets) {
            bail!("{}: logits {logits:?} and targets {targets:?} do not fit together", L::NAME);
        }
        rows_and_width(L::NAME, logits)?;
        Ok(Shape::from(()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (rows, classes) = rows_and_width(L::NAME, inputs[0].dims())?;
        let (logits, read, ignored) = (inputs[0].elements, Reading::of(&self.targets), self.loss.ignored());
        let targets = self.checked(read.elements::<u32>()?, classes)?;
        let sums = cpu::map_rows(rows, classes, |range| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    let counted = range.filter(|row| Some(targets[*row]) != ignored);
                    let row = |row: usize| self.loss.value(&logits[row * classes..][..classes], targets[row] as usize);
                    counted.map(|number| WithDType::to_f64(row(number))).sum::<f64>()
                },
            )
        });
        let total = self.total(targets);
        Ok(vec![T::of(if total > 0.0 { sums.iter().sum::<f64>() / total } else { 0.0 })])
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (_, classes) = rows_and_width(L::NAME, inputs[0].dims())?;
        let (logits, read, ignored) = (inputs[0].elements, Reading::of(&self.targets), self.loss.ignored());
        let targets = self.checked(read.elements::<u32>()?, classes)?;
        let total = self.total(targets);
        let scale = if total > 0.0 { dy.elements[0] / T::of(total) } else { T::zero() };
        let mut dlogits = vec![T::zero(); logits.len()];
        cpu::for_rows(&mut dlogits, classes, |first, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (row, result) in (first..).zip(rows.chunks_exact_mut(classes)) {
                        if Some(targets[row]) != ignored {
                            let logits = &logits[row * classes..][..classes];
                            self.loss.gradient(logits, targets[row] as usize, scale, result);
                        }
                    }
                },
            );
        });
        Ok(vec![Gradient::Elements(dlogits)])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (rows, classes) = rows_and_width(L::NAME, inputs[0].dims())?;
        let (device, dtype) = (inputs[0].device(), inputs[0].dtype());
        let targets = self.targets.flatten_all()?.to_vec1::<u32>()?;
        let (targets, ignored) = (self.checked(&targets, classes)?, self.loss.ignored());
        let counts = |target: &u32| f64::from(u8::from(Some(*target) != ignored));
        let mask = Tensor::from_iter(targets.iter().map(counts), device)?.to_dtype(dtype)?;
        // An ignored class need not be one of the classes.
        let known = targets.iter().map(|&target| if Some(target) == ignored { 0 } else { target });
        let known = Tensor::from_iter(known, device)?;
        let log_probabilities = super::cross_entropy::log_softmax(&inputs[0].reshape((rows, classes))?)?;
        let losses = (self.loss.reference(&log_probabilities, &known)? * mask)?;
        let total = self.total(targets);
        losses.sum_all()? * if total > 0.0 { 1.0 / total } else { 0.0 }
    }
}

/// The logarithms of the probabilities of the classes of rows.
pub(super) fn of_targets(log_probabilities: &Tensor, classes: &Tensor) -> Result<Tensor> {
    log_probabilities.gather(&classes.unsqueeze(D::Minus1)?, D::Minus1)?.squeeze(D::Minus1)
}

/// The weight of the class of each row; 1 without weights.
pub(super) fn weights_of(weights: Option<&[f64]>, classes: &Tensor, dtype: DType) -> Result<Tensor> {
    match weights {
        Some(weights) => Tensor::new(weights, classes.device())?.to_dtype(dtype)?.index_select(classes, 0),
        None => Tensor::ones(classes.shape(), dtype, classes.device()),
    }
}

/// The largest logit of a row, and the logarithm of the sum of the exponentials of the others' distances to it.
#[inline(always)]
pub(super) fn log_sum<T: Real>(row: &[T]) -> (T, T) {
    let largest = cpu::max(row);
    (largest, cpu::sum(row, |x| (x - largest).exponential()).ln())
}

/// Writes the probabilities of a row, times `scale`.
#[inline(always)]
pub(super) fn scaled_softmax<T: Real>(row: &[T], scale: T, result: &mut [T]) {
    let largest = cpu::max(row);
    for (result, &x) in result.iter_mut().zip(row) {
        *result = (x - largest).exponential();
    }
    let factor = scale / cpu::sum(result, |x| x);
    for result in result.iter_mut() {
        *result *= factor;
    }
}
