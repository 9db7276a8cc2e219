//! Losses, each the mean over the rows of a batch.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor, WithDType, bail};

use super::cpu::{self, Reading, with_float, zip};
use super::math::Real;
use super::tape::apply2;

/// Mean of `(output - target)^2` over all elements, as `torch.nn.MSELoss`. Both are `[rows, width]`.
///
/// # Errors
/// When the shapes differ or the device fails.
pub fn mean_squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if cpu::is_fused(outputs) && outputs.dims() == targets.dims() && outputs.dtype() == targets.dtype() {
        return apply2(&outputs.contiguous()?, &targets.contiguous()?, SquaredError);
    }
    (outputs - targets)?.sqr()?.mean_all()
}

struct SquaredError;

impl CustomOp2 for SquaredError {
    fn name(&self) -> &'static str {
        "mean squared error"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, t: &CpuStorage, tl: &Layout) -> Result<(CpuStorage, Shape)> {
        with_float!("mean squared error", cpu::dtype(x), T => {
            let (x, targets) = (cpu::elements::<T>(x, xl)?, cpu::elements::<T>(t, tl)?);
            let sums = cpu::map_rows(x.len(), 1, |range| {
                let square = |x: T, target: T| (x - target) * (x - target);
                let sum = cpu::vectorized(#[inline(always)] || cpu::sum2(&x[range.clone()], &targets[range], square));
                WithDType::to_f64(sum)
            });
            let mean = T::of(sums.iter().sum::<f64>() / x.len() as f64);
            Ok((cpu::storage(vec![mean]), Shape::from(())))
        })
    }

    fn bwd(&self, x: &Tensor, t: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        with_float!("mean squared error", x.dtype(), T => {
            let (read_x, read_t) = (Reading::of(x), Reading::of(t));
            let (outputs, targets) = (read_x.elements::<T>()?, read_t.elements::<T>()?);
            let slope = T::of(2.0) * gradient.to_scalar::<T>()? / T::of(outputs.len() as f64);
            let of_outputs = zip(outputs, targets, |x, target| (x - target) * slope);
            let of_targets = || cpu::tensor(zip(outputs, targets, |x, target| (target - x) * slope), t);
            Ok((Some(cpu::tensor(of_outputs, x)?), t.track_op().then(of_targets).transpose()?))
        })
    }
}

/// Cross-entropy of `logits` `[…, classes]` against class numbers `targets` `[…]` (whole numbers of any type), as
/// `torch.nn.CrossEntropyLoss`: with `label_smoothing` ε the target distribution is `1 - ε` on the class and `ε`
/// spread evenly over all classes (Szegedy et al., CVPR 2016, section 7).
///
/// # Errors
/// When the targets are floats, the shapes do not fit or the device fails.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let fits = logits.dims().split_last().is_some_and(|(_, rows)| rows == targets.dims());
    if !fits {
        bail!("cross-entropy: logits {:?} and targets {:?} do not fit together", logits.dims(), targets.dims());
    }
    if cpu::is_fused(logits) {
        let targets = cpu::whole_numbers("cross-entropy: targets", targets)?.contiguous()?;
        return apply2(&logits.contiguous()?, &targets, CrossEntropy { label_smoothing });
    }
    composed_cross_entropy(logits, &cpu::whole_numbers("cross-entropy: targets", targets)?, label_smoothing)
}

fn composed_cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let log_probabilities = log_softmax(logits)?;
    let nll = log_probabilities.gather(&targets.unsqueeze(D::Minus1)?, D::Minus1)?.mean_all()?.neg()?;
    if label_smoothing == 0.0 {
        return Ok(nll);
    }
    (nll * (1.0 - label_smoothing))? - (log_probabilities.mean_all()? * label_smoothing)?
}

/// Nothing but the loss is kept: the backward pass computes the probabilities again.
struct CrossEntropy {
    label_smoothing: f64,
}

impl CrossEntropy {
    /// The loss of one row: the logarithm of the sum of the exponentials, less the target's logit, less smoothing's
    /// mean.
    #[inline(always)]
    fn of_row<T: Real>(&self, row: &[T], target: usize) -> T {
        let smoothing = T::of(self.label_smoothing);
        let largest = cpu::max(row);
        let log_sum = cpu::sum(row, |x| (x - largest).exponential()).ln();
        let of_target = (largest - row[target]) + log_sum;
        if smoothing == T::zero() {
            return of_target;
        }
        let mean = cpu::sum(row, |x| largest - x) / T::of(row.len() as f64) + log_sum;
        of_target + smoothing * (mean - of_target)
    }

    /// The gradient of one row: its probabilities less the target distribution, times `scale`.
    #[inline(always)]
    fn gradient_of_row<T: Real>(&self, row: &[T], target: usize, scale: T, result: &mut [T]) {
        let largest = cpu::max(row);
        for (result, &x) in result.iter_mut().zip(row) {
            *result = (x - largest).exponential();
        }
        let factor = scale / cpu::sum(result, |x| x);
        let uniform = scale * T::of(self.label_smoothing / row.len() as f64);
        for result in result.iter_mut() {
            *result = *result * factor - uniform;
        }
        result[target] -= scale * T::of(1.0 - self.label_smoothing);
    }
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, t: &CpuStorage, tl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, classes) = cpu::rows_and_width("cross-entropy", xl.dims())?;
        let targets = cpu::elements::<u32>(t, tl)?;
        if let Some(target) = targets.iter().find(|&&target| target as usize >= classes) {
            bail!("cross-entropy: class {target} is not below the number of classes, {classes}");
        }
        with_float!("cross-entropy", cpu::dtype(x), T => {
            let x = cpu::elements::<T>(x, xl)?;
            let sums = cpu::map_rows(rows, classes, |range| {
                cpu::vectorized(#[inline(always)] || {
                    let of_row = |row: usize| self.of_row(&x[row * classes..][..classes], targets[row] as usize);
                    range.map(|row| WithDType::to_f64(of_row(row))).sum::<f64>()
                })
            });
            let mean = T::of(sums.iter().sum::<f64>() / rows as f64);
            Ok((cpu::storage(vec![mean]), Shape::from(())))
        })
    }

    fn bwd(&self, x: &Tensor, t: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, classes) = cpu::rows_and_width("cross-entropy", x.dims())?;
        with_float!("cross-entropy", x.dtype(), T => {
            let (read_x, read_t) = (Reading::of(x), Reading::of(t));
            let (logits, targets) = (read_x.elements::<T>()?, read_t.elements::<u32>()?);
            let scale = gradient.to_scalar::<T>()? / T::of(rows as f64);
            let mut result = vec![T::of(0.0); logits.len()];
            cpu::for_rows(&mut result, classes, |first, rows| {
                cpu::vectorized(#[inline(always)] || {
                    for (row, result) in (first..).zip(rows.chunks_exact_mut(classes)) {
                        self.gradient_of_row(&logits[row * classes..][..classes], targets[row] as usize, scale, result);
                    }
                });
            });
            Ok((Some(cpu::tensor(result, x)?), None))
        })
    }
}

/// Binary cross-entropy of `logits` `[rows, 1]` against classes 0 and 1 in `targets` `[rows]`, or where these are
/// floats against probabilities of class 1, as `torch.nn.BCEWithLogitsLoss`. With `label_smoothing` ε the targets are
/// `ε/2` and `1 - ε/2`. Exact for logits of any size: `softplus(x) - x * target`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn binary_cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let targets = targets.to_dtype(logits.dtype())?.reshape(logits.shape())?;
    let targets = targets.affine(1.0 - label_smoothing, label_smoothing / 2.0)?;
    (super::softplus(logits)? - (logits * targets)?)?.mean_all()
}

/// `x - ln(sum(exp(x)))` over the last dimension. The maximum that is taken out first carries no gradient, since
/// the result does not depend on it.
fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, assert_same_numbers, numbers};

    fn logits() -> Var {
        Var::from_slice(&[1.0f64, 2.0, 0.5, -1.0, 0.0, 3.0], (2, 3), &Device::Cpu).unwrap()
    }

    fn classes(classes: &[u32]) -> Tensor {
        Tensor::new(classes, &Device::Cpu).unwrap()
    }

    /// Against the definition written out in f64; 1e-14 is a few units in the last place.
    #[test]
    fn cross_entropy_agrees_with_its_definition() {
        let rows = [[1.0f64, 2.0, 0.5], [-1.0, 0.0, 3.0]];
        let log_p = |row: &[f64; 3], i: usize| row[i] - row.iter().map(|x| x.exp()).sum::<f64>().ln();
        for smoothing in [0.0, 0.1] {
            let of_row = |row: &[f64; 3], class: usize| {
                let uniform = (0..3).map(|i| log_p(row, i)).sum::<f64>() / 3.0;
                -(1.0 - smoothing) * log_p(row, class) - smoothing * uniform
            };
            let expected = (of_row(&rows[0], 1) + of_row(&rows[1], 0)) / 2.0;
            let loss = cross_entropy(&logits(), &classes(&[1, 0]), smoothing).unwrap().to_scalar::<f64>().unwrap();
            assert!((loss - expected).abs() < 1e-14, "{loss} {expected}");
        }
    }

    /// Central differences in f64 with a step of 1e-6 are good to about 1e-10; 1e-8 leaves room.
    #[test]
    fn gradients_agree_with_finite_differences() {
        type Loss = fn(&Tensor) -> Result<Tensor>;
        let losses: [Loss; 3] = [
            |x| cross_entropy(x, &classes(&[1, 0]), 0.1),
            |x| binary_cross_entropy(&x.reshape((6, 1))?, &classes(&[1, 0, 1, 1, 0, 0]), 0.2),
            |x| mean_squared_error(x, &(x.zeros_like()? + 0.3)?),
        ];
        for loss in losses {
            let x = logits();
            let gradient = loss(&x).unwrap().backward().unwrap().get(&x).unwrap().flatten_all().unwrap();
            let gradient = gradient.to_vec1::<f64>().unwrap();
            let values = x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for i in 0..6 {
                let at = |delta: f64| {
                    let mut values = values.clone();
                    values[i] += delta;
                    let x = Tensor::from_vec(values, (2, 3), &Device::Cpu).unwrap();
                    loss(&x).unwrap().to_scalar::<f64>().unwrap()
                };
                assert!(((at(1e-6) - at(-1e-6)) / 2e-6 - gradient[i]).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn the_fused_cross_entropy_agrees_with_the_composed_one_for_a_class_at_each_position() {
        let (x, classes) = (numbers(&[40, 9, 37], 5), Tensor::from_iter((0..360u32).map(|i| i * 7 % 37), &Device::Cpu));
        let classes = classes.unwrap().reshape((40, 9)).unwrap();
        for smoothing in [0.0, 0.3] {
            let fused = cross_entropy(&x, &classes, smoothing).unwrap();
            assert_same_numbers(&fused, &composed_cross_entropy(&x, &classes, smoothing).unwrap(), 1e-13);
        }
        let (x, classes) = (x.narrow(0, 0, 2).unwrap(), classes.narrow(0, 0, 2).unwrap());
        assert_gradients(&[&x], |x| cross_entropy(&x[0], &classes, 0.1));
    }

    #[test]
    fn cross_entropy_and_its_gradient_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        let targets = reference.get("cross_entropy.targets");
        reference.assert("cross_entropy", 1e-12, |x| cross_entropy(&x[0], &targets, 0.0));
        reference.assert("cross_entropy_smooth", 1e-12, |x| cross_entropy(&x[0], &targets, 0.2));
    }

    #[test]
    fn a_class_that_there_is_not_is_refused() {
        let message = cross_entropy(&logits(), &classes(&[1, 3]), 0.0).unwrap_err().to_string();
        assert!(message.contains("class 3 is not below the number of classes, 3"), "{message}");
        let floats = classes(&[1, 0]).to_dtype(DType::F32).unwrap();
        let message = cross_entropy(&logits(), &floats, 0.0).unwrap_err().to_string();
        assert!(
            message.contains("cross-entropy: targets must be whole numbers, such as u32, and are f32"),
            "{message}"
        );
        let long = classes(&[1, 0]).to_dtype(DType::I64).unwrap();
        assert!(cross_entropy(&logits(), &long, 0.0).is_ok());
        let message = cross_entropy(&logits(), &classes(&[1]), 0.0).unwrap_err().to_string();
        assert!(message.contains("[2, 3]") && message.contains("[1]"), "{message}");
    }

    #[test]
    fn losses_stay_finite_at_saturation() {
        let huge = Tensor::new(&[[1e4f32], [-1e4]], &Device::Cpu).unwrap();
        let loss = binary_cross_entropy(&huge, &classes(&[0, 1]), 0.0).unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(loss, 1e4);
        let huge = Tensor::new(&[[1e4f32, -1e4]], &Device::Cpu).unwrap();
        assert_eq!(cross_entropy(&huge, &classes(&[1]), 0.0).unwrap().to_scalar::<f32>().unwrap(), 2e4);
    }
}
