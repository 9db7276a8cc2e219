//! RMSprop: Hinton, "Neural Networks for Machine Learning", lecture 6e (2012), in the form of `torch.optim.RMSprop`;
//! centered as in Graves, "Generating Sequences With Recurrent Neural Networks" (2013), equations 38 to 45.

use candle_core::{DType, Result, WithDType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, default_eps};
use super::variants::{Variant, is_default};
use crate::cpu::Element;

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
        match tensors.slice_dtype() {
            Some(DType::F32) => self.numbers::<f32>(tensors, step).fused(tensors, self.centered),
            Some(DType::F64) => self.numbers::<f64>(tensors, step).fused(tensors, self.centered),
            _ => self.reference(tensors, step),
        }
    }
}

impl RmsProp {
    fn numbers<T: Element>(&self, tensors: &Update<'_>, step: &Step) -> Numbers<T> {
        let of = <T as WithDType>::from_f64;
        let [shrink, decay] = self.variant.of_decay().decay(step).map(of);
        let [inner, outer] = self.variant.of_eps().eps(self.eps).map(of);
        let [into_buffer, from_buffer] = self.rates(step).map(of);
        Numbers {
            lr: of(step.lr),
            alpha: of(self.alpha),
            take: of(1.0 - self.alpha),
            inner,
            outer,
            into_buffer,
            from_buffer,
            momentum: of(step.momentum),
            shrink,
            decay,
            scale: of(tensors.gradient_scale),
        }
    }

    /// Returns the factors of what enters the momentum, and of what leaves it.
    fn rates(&self, step: &Step) -> [f64; 2] {
        match self.variant {
            RmsPropVariant::Pytorch => [1.0, step.lr],
            RmsPropVariant::Keras | RmsPropVariant::Timm => [step.lr, 1.0],
        }
    }

    /// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
    fn reference(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let ([shrink, decay], [inner, outer]) = (self.variant.of_decay().decay(step), self.variant.of_eps().eps(self.eps));
        let p = tensors.weights()?;
        let g = (tensors.gradient()? + (&p * decay)?)?;
        let square = ((tensors.state(0)? * self.alpha)? + (g.sqr()? * (1.0 - self.alpha))?)?;
        tensors.set_state(0, &square)?;
        let mut spread = square;
        if self.centered {
            let mean = tensors.state(1)?;
            let mean = (&mean + ((&g - &mean)? * (1.0 - self.alpha))?)?;
            tensors.set_state(1, &mean)?;
            spread = (spread - mean.sqr()?)?;
        }
        let direction = (g / ((spread + inner)?.maximum(0.0)?.sqrt()? + outer)?)?;
        let buffer = 1 + usize::from(self.centered);
        let moved = if tensors.states.len() > buffer {
            let [into_buffer, from_buffer] = self.rates(step);
            let kept = ((tensors.state(buffer)? * step.momentum)? + (direction * into_buffer)?)?;
            tensors.set_state(buffer, &kept)?;
            (kept * from_buffer)?
        } else {
            (direction * step.lr)?
        };
        tensors.set_weights(&((p * shrink)? - moved)?)
    }
}

/// The numbers of a pass, in the type of the elements.
struct Numbers<T> {
    lr: T,
    alpha: T,
    take: T,
    inner: T,
    outer: T,
    into_buffer: T,
    from_buffer: T,
    momentum: T,
    shrink: T,
    decay: T,
    scale: T,
}

impl<T: Element> Numbers<T> {
    /// Makes one pass over the slices of the parameter, with the states that it has.
    fn fused(&self, tensors: &Update<'_>, centered: bool) -> Result<()> {
        match (centered, tensors.states.len()) {
            (false, 1) => tensors.in_place(|[p, v]: [&mut [T]; 2], g| {
                for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
                    let g = self.gradient(*p, *g);
                    *p = *p * self.shrink - self.lr * (g / self.root(self.square(v, g)));
                }
            }),
            (false, _) => tensors.in_place(|[p, v, b]: [&mut [T]; 3], g| {
                for (((p, v), b), g) in p.iter_mut().zip(v).zip(b).zip(g) {
                    let g = self.gradient(*p, *g);
                    *b = *b * self.momentum + self.into_buffer * (g / self.root(self.square(v, g)));
                    *p = *p * self.shrink - self.from_buffer * *b;
                }
            }),
            (true, 2) => tensors.in_place(|[p, v, m]: [&mut [T]; 3], g| {
                for (((p, v), m), g) in p.iter_mut().zip(v).zip(m).zip(g) {
                    let g = self.gradient(*p, *g);
                    *p = *p * self.shrink - self.lr * (g / self.root(self.spread(v, m, g)));
                }
            }),
            (true, _) => tensors.in_place(|[p, v, m, b]: [&mut [T]; 4], g| {
                for ((((p, v), m), b), g) in p.iter_mut().zip(v).zip(m).zip(b).zip(g) {
                    let g = self.gradient(*p, *g);
                    *b = *b * self.momentum + self.into_buffer * (g / self.root(self.spread(v, m, g)));
                    *p = *p * self.shrink - self.from_buffer * *b;
                }
            }),
        }
    }

    /// Returns the clipped gradient with its decay.
    fn gradient(&self, weight: T, g: T) -> T {
        g * self.scale + self.decay * weight
    }

    /// Updates the mean of squares, and returns it.
    fn square(&self, square: &mut T, g: T) -> T {
        *square = *square * self.alpha + self.take * g * g;
        *square
    }

    /// Updates both means, and returns the variance.
    fn spread(&self, square: &mut T, mean: &mut T, g: T) -> T {
        *mean = *mean + self.take * (g - *mean);
        self.square(square, g) - *mean * *mean
    }

    /// Returns the root; that of a variance which has rounded below zero is zero, and NaN stays.
    fn root(&self, square: T) -> T {
        let square = square + self.inner;
        (if square < T::zero() { T::zero() } else { square }).sqrt() + self.outer
    }
}
