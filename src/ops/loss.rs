//! Losses, each the mean over the rows of a batch.

use candle_core::{D, Result, Tensor};

/// Mean of `(output - target)^2` over all elements, as `torch.nn.MSELoss`. Both are `[rows, width]`.
///
/// # Errors
/// When the shapes differ or the device fails.
pub fn mean_squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    (outputs - targets)?.sqr()?.mean_all()
}

/// Cross-entropy of `logits` `[…, classes]` against class numbers `targets` `[…]` (u32), as
/// `torch.nn.CrossEntropyLoss`: with `label_smoothing` ε the target distribution is `1 - ε` on the class and `ε`
/// spread evenly over all classes (Szegedy et al., CVPR 2016, section 7).
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let log_probabilities = log_softmax(logits)?;
    let nll = log_probabilities.gather(&targets.unsqueeze(D::Minus1)?, D::Minus1)?.mean_all()?.neg()?;
    if label_smoothing == 0.0 {
        return Ok(nll);
    }
    (nll * (1.0 - label_smoothing))? - (log_probabilities.mean_all()? * label_smoothing)?
}

/// Binary cross-entropy of `logits` `[rows, 1]` against classes 0 and 1 in `targets` `[rows]` (u32), as
/// `torch.nn.BCEWithLogitsLoss`. With `label_smoothing` ε the targets are `ε/2` and `1 - ε/2`. Exact for logits of
/// any size: `softplus(x) - x * target`.
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
    use candle_core::{Device, Var};

    use super::*;

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
    fn losses_stay_finite_at_saturation() {
        let huge = Tensor::new(&[[1e4f32], [-1e4]], &Device::Cpu).unwrap();
        let loss = binary_cross_entropy(&huge, &classes(&[0, 1]), 0.0).unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(loss, 1e4);
        let huge = Tensor::new(&[[1e4f32, -1e4]], &Device::Cpu).unwrap();
        assert_eq!(cross_entropy(&huge, &classes(&[1]), 0.0).unwrap().to_scalar::<f32>().unwrap(), 2e4);
    }
}
