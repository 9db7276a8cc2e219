//! How outputs become a prediction, in words that other programs have too.

/// The function that makes a prediction of a row's outputs. [`Loss::interpret_for`](super::Loss::interpret_for) computes
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// Outputs are the predicted values.
    Identity,
    /// Outputs are the logarithms of the predicted values.
    Exp,
    /// Outputs are the logits of classes: their probabilities are the softmax.
    Softmax,
    /// The one output is the logit of class 1 of two: its probability is the logistic function of it.
    Sigmoid,
    /// Each output is the logit of a label, whose value is the logistic function of it.
    SigmoidOfEach,
}

#[cfg(test)]
mod tests {
    use super::super::{
        AbsoluteError, BinaryCrossEntropy, CrossEntropy, Focal, Huber, Loss, LossConfig, MeanSquaredError,
    };
    use super::super::{Poisson, Predicted, TargetKind};
    use super::*;

    /// The prediction of a row of outputs by its link, in f64.
    fn by_link(link: Link, row: &[f32]) -> Vec<f64> {
        let logistic = |x: &f64| 1.0 / (1.0 + (-x).exp());
        let row: Vec<f64> = row.iter().map(|&x| x.into()).collect();
        match link {
            Link::Identity => row,
            Link::Exp => row.into_iter().map(f64::exp).collect(),
            Link::Softmax => {
                let sum: f64 = row.iter().map(|x| x.exp()).sum();
                row.iter().map(|x| x.exp() / sum).collect()
            }
            Link::Sigmoid => vec![1.0 - logistic(&row[0]), logistic(&row[0])],
            Link::SigmoidOfEach => row.iter().map(logistic).collect(),
        }
    }

    #[test]
    fn a_link_is_the_function_that_a_prediction_computes() {
        let (classes, two) = (TargetKind::Classes { count: 3 }, TargetKind::Classes { count: 2 });
        let values = TargetKind::Values { width: 3 };
        let focal: Focal = serde_json::from_value(serde_json::json!({})).unwrap();
        let losses: [(&dyn Loss, TargetKind); 8] = [
            (&CrossEntropy::default(), classes),
            (&focal, classes),
            (&BinaryCrossEntropy::default(), two),
            (&BinaryCrossEntropy::default(), values),
            (&MeanSquaredError::default(), values),
            (&AbsoluteError::default(), values),
            (&Huber { delta: 1.0 }, values),
            (&Poisson::default(), values),
        ];
        let row = [0.5f32, -1.25, 2.0];
        for (loss, targets) in losses {
            let outputs = loss.outputs(targets).unwrap();
            let link = loss.link(targets).unwrap();
            let numbers = match loss.interpret_for(targets, vec![row[..outputs].to_vec()]) {
                Predicted::Classes { probabilities, .. } => probabilities,
                Predicted::Values(values) => values,
            };
            let expected = by_link(link, &row[..outputs]);
            assert_eq!(numbers[0].len(), expected.len(), "{loss:?}");
            for (number, expected) in numbers[0].iter().zip(expected) {
                assert!((f64::from(*number) - expected).abs() < 1e-6, "{loss:?}: {number} {expected}");
            }
        }
        assert!(LossConfig::default().fitted(classes).unwrap().0.link(classes).is_some());
    }
}
