//! The cautious update of AdamW: Liang et al., "Cautious Optimizers: Improving Training with One Line of Code" (2024).
//! Means of gradients that contradict the gradient are left out, and the others grow.

use candle_core::Result;

use super::super::Update;
use super::super::formula::{Direction, Formula, aligned};
use super::super::number::Number;
use super::moments::Moments;
use super::variants::Cautious;

/// Makes the update of `moments` in the cautious form of `timm`.
pub(super) fn update(moments: Moments, tensors: &Update<'_>) -> Result<()> {
    let numbers = Numbers { moments, kept: 1.0 };
    let kept = Cautious::Timm.factor(aligned(numbers, tensors)?, tensors.shape().elem_count());
    Numbers { kept, ..numbers }.update(tensors)
}

/// An update; `kept` is the factor of means that do not contradict the gradient.
#[derive(Clone, Copy)]
struct Numbers {
    moments: Moments,
    kept: f64,
}

impl Direction<3> for Numbers {
    #[inline(always)]
    fn direction<X: Number>(self, [_, mean, _]: &[X; 3], gradient: &X) -> X {
        mean.clone().mean_with(gradient.clone(), 1.0 - self.moments.betas[0])
    }
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; 3], gradient: X) -> [X; 3] {
        let Moments { step_size, root_correction, betas, eps, shrink, .. } = self.moments;
        let mean = self.direction(&numbers, &gradient);
        let [weight, _, square] = numbers;
        let square = square.decayed_with(betas[1], gradient.clone().square());
        let taken = (mean.clone() * gradient).positive().times(self.kept) * mean.clone();
        let denominator = square.clone().root().times(1.0 / root_correction).plus(eps);
        [weight.times(shrink) - (taken / denominator).times(step_size), mean, square]
    }
}
