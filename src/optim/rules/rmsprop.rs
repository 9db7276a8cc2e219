//! RMSprop: Hinton, "Neural Networks for Machine Learning", lecture 6e (2012), in the form of `torch.optim.RMSprop`;
//! centered as in Graves, "Generating Sequences With Recurrent Neural Networks" (2013), equations 38 to 45.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, default_eps};
use super::variants::{Variant, is_default};

/// Gradient descent by the root of a running mean of squared gradients, like `torch.optim.RMSprop`: Hinton, 2012.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RmsProp {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rate of the mean of squares, in `[0, 1)`.
    #[serde(default = "default_alpha")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub alpha: f64,
    /// Added to the root, unless `variant` says otherwise.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient, unless `variant` says otherwise.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Share of the last update's direction that is kept, in `[0, 1)`.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Whether the square of the mean gradient is subtracted below the root: Graves, 2013. A difference that rounds below
    /// zero, where a gradient hardly changes, counts as zero; in PyTorch the weight is then not a number.
    #[serde(default)]
    pub centered: bool,
    /// Whose form is computed, by default PyTorch's. With the rate in the momentum, a changed rate acts on new gradients only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: RmsPropVariant,
}

/// The package whose form of RMSprop is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RmsPropVariant {
    /// `torch.optim`.
    #[default]
    Pytorch,
    /// Keras: `eps` is below the root, the rate is in the momentum, and weights are multiplied by
    /// `1 - lr * weight_decay`.
    Keras,
    /// `timm`, class `RMSpropTF`: `eps` is below the root, the rate is in the momentum, and the mean of squares begins as 1.
    Timm,
}

impl RmsPropVariant {
    /// Returns the form whose decay this one has.
    fn of_decay(self) -> Variant {
        if self == Self::Keras { Variant::Keras } else { Variant::Pytorch }
    }

    /// Returns the form whose `eps` this one has.
    fn of_eps(self) -> Variant {
        if self == Self::Pytorch { Variant::Pytorch } else { Variant::Keras }
    }
}

fn default_alpha() -> f64 {
    0.99
}

impl Default for RmsProp {
    fn default() -> Self {
        let (alpha, eps) = (default_alpha(), default_eps());
        let variant = RmsPropVariant::default();
        Self { lr: 1e-2, alpha, eps, weight_decay: 0.0, momentum: 0.0, centered: false, variant }
    }
}

impl UpdateRule for RmsProp {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Momentum(self.momentum));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_share("alpha", self.alpha)?;
        moments::check_eps(self.eps)
    }

    fn states(&self, momentum: f64) -> &'static [&'static str] {
        match (self.centered, momentum > 0.0) {
            (false, false) => &["square_avg"],
            (false, true) => &["square_avg", "momentum_buffer"],
            (true, false) => &["square_avg", "grad_avg"],
            (true, true) => &["square_avg", "grad_avg", "momentum_buffer"],
        }
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        if self.variant == RmsPropVariant::Timm && step.updates_before == 0 {
            tensors.set_state(0, &tensors.state(0)?.ones_like()?)?;
        }
        let numbers = self.numbers(step);
        match (self.centered, tensors.states.len()) {
            (false, 1) => Plain(numbers).update(tensors),
            (false, _) => Heavy(numbers).update(tensors),
            (true, 2) => Centered(numbers).update(tensors),
            (true, _) => CenteredHeavy(numbers).update(tensors),
        }
    }
}

impl RmsProp {
    fn numbers(&self, step: &Step) -> Numbers {
        let [shrink, decay] = self.variant.of_decay().decay(step);
        let [inner, outer] = self.variant.of_eps().eps(self.eps);
        let [into_buffer, from_buffer] = self.rates(step);
        let (lr, momentum) = (step.lr, step.momentum);
        Numbers { lr, alpha: self.alpha, inner, outer, into_buffer, from_buffer, momentum, shrink, decay }
    }

    /// Returns the factors of what enters the momentum, and of what leaves it.
    fn rates(&self, step: &Step) -> [f64; 2] {
        match self.variant {
            RmsPropVariant::Pytorch => [1.0, step.lr],
            RmsPropVariant::Keras | RmsPropVariant::Timm => [step.lr, 1.0],
        }
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    lr: f64,
    alpha: f64,
    inner: f64,
    outer: f64,
    into_buffer: f64,
    from_buffer: f64,
    momentum: f64,
    shrink: f64,
    decay: f64,
}

impl Numbers {
    /// Returns the gradient with its decay.
    #[inline(always)]
    fn gradient<X: Number>(self, weight: X, gradient: X) -> X {
        gradient + weight.times(self.decay)
    }

    /// Returns the mean of squares after a gradient.
    #[inline(always)]
    fn square<X: Number>(self, square: X, g: X) -> X {
        square.times(self.alpha) + g.clone().times(1.0 - self.alpha) * g
    }

    /// Returns the mean of gradients after one.
    #[inline(always)]
    fn mean<X: Number>(self, mean: X, g: X) -> X {
        mean.mean_with(g, 1.0 - self.alpha)
    }

    /// Returns the direction of a step; the root of a variance which has rounded below zero is zero, and NaN stays.
    #[inline(always)]
    fn direction<X: Number>(self, g: X, variance: X) -> X {
        g / variance.plus(self.inner).within(0.0, f64::INFINITY).root().plus(self.outer)
    }

    /// Returns a weight that moves by a direction.
    #[inline(always)]
    fn moved<X: Number>(self, weight: X, direction: X) -> X {
        weight.times(self.shrink) - direction.times(self.lr)
    }

    /// Returns a weight that moves by the momentum, and the momentum.
    #[inline(always)]
    fn rolled<X: Number>(self, weight: X, buffer: X, direction: X) -> [X; 2] {
        let buffer = buffer.times(self.momentum) + direction.times(self.into_buffer);
        [weight.times(self.shrink) - buffer.clone().times(self.from_buffer), buffer]
    }
}

/// Without momentum.
#[derive(Clone, Copy)]
struct Plain(Numbers);

impl Formula<2> for Plain {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square]: [X; 2], gradient: X) -> [X; 2] {
        let g = self.0.gradient(weight.clone(), gradient);
        let square = self.0.square(square, g.clone());
        [self.0.moved(weight, self.0.direction(g, square.clone())), square]
    }
}

/// With momentum.
#[derive(Clone, Copy)]
struct Heavy(Numbers);

impl Formula<3> for Heavy {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square, buffer]: [X; 3], gradient: X) -> [X; 3] {
        let g = self.0.gradient(weight.clone(), gradient);
        let square = self.0.square(square, g.clone());
        let [weight, buffer] = self.0.rolled(weight, buffer, self.0.direction(g, square.clone()));
        [weight, square, buffer]
    }
}

/// Centered, without momentum.
#[derive(Clone, Copy)]
struct Centered(Numbers);

impl Formula<3> for Centered {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square, mean]: [X; 3], gradient: X) -> [X; 3] {
        let g = self.0.gradient(weight.clone(), gradient);
        let (square, mean) = (self.0.square(square, g.clone()), self.0.mean(mean, g.clone()));
        let variance = square.clone() - mean.clone().square();
        [self.0.moved(weight, self.0.direction(g, variance)), square, mean]
    }
}

/// Centered, with momentum.
#[derive(Clone, Copy)]
struct CenteredHeavy(Numbers);

impl Formula<4> for CenteredHeavy {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square, mean, buffer]: [X; 4], gradient: X) -> [X; 4] {
        let g = self.0.gradient(weight.clone(), gradient);
        let (square, mean) = (self.0.square(square, g.clone()), self.0.mean(mean, g.clone()));
        let variance = square.clone() - mean.clone().square();
        let [weight, buffer] = self.0.rolled(weight, buffer, self.0.direction(g, variance));
        [weight, square, mean, buffer]
    }
}
