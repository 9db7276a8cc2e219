//! SGD as `keras.optimizers.SGD` computes it: the rate is inside of the momentum.

use candle_core::Result;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{Step, Update};
use super::variants::Decoupled;

/// Updates a parameter: `v = momentum * v - lr * g`, and the weights, which decay before, move by `v`, or by
/// `momentum * v - lr * g` with Nesterov momentum. Without a state they move by `-lr * g`.
pub(super) fn update(tensors: &Update<'_>, step: &Step, nesterov: bool) -> Result<()> {
    let (lr, shrink) = (step.lr, Decoupled::Rate.shrink(step));
    match tensors.states.is_empty() {
        true => Plain { lr, shrink }.update(tensors),
        false => Rolling { lr, shrink, kept: step.momentum, nesterov }.update(tensors),
    }
}

/// An update without momentum.
#[derive(Clone, Copy)]
struct Plain {
    lr: f64,
    shrink: f64,
}

impl Formula<1> for Plain {
    #[inline(always)]
    fn apply<X: Number>(self, [weight]: [X; 1], g: X) -> [X; 1] {
        [weight.times(self.shrink) - g.times(self.lr)]
    }
}

/// An update with momentum.
#[derive(Clone, Copy)]
struct Rolling {
    lr: f64,
    shrink: f64,
    kept: f64,
    nesterov: bool,
}

impl Formula<2> for Rolling {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, velocity]: [X; 2], g: X) -> [X; 2] {
        let pull = g.times(self.lr);
        let velocity = velocity.times(self.kept) - pull.clone();
        let movement = if self.nesterov { velocity.clone().times(self.kept) - pull } else { velocity.clone() };
        [weight.times(self.shrink) + movement, velocity]
    }
}
