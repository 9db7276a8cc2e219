//! Adam's update with a first moment in bf16, as optax computes it with `mu_dtype`.

use candle_core::Result;
use half::bf16;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{OptimError, Update};
use super::moments::Moments;
use super::variants::{AdamVariant, MeanDtype};

/// An update whose first moment is rounded to bf16 after it. The step is by the moment before that. As in optax, the share
/// of the moment that is kept is rounded too, but not that of a new gradient, so that the shares are not quite one in all.
#[derive(Clone, Copy)]
struct InBf16(Moments);

impl Formula<3> for InBf16 {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], gradient: X) -> [X; 3] {
        let Self(moments) = self;
        let [beta1, beta2] = moments.betas;
        let g = gradient + weight.clone().times(moments.decay);
        let mean = mean.times(in_bf16(beta1)) + g.clone().times(1.0 - beta1);
        let square = square.decayed_with(beta2, g.square());
        [moments.moved(weight, mean.clone(), square.clone()), mean.to_bf16(), square]
    }
}

fn in_bf16(number: f64) -> f64 {
    bf16::from_f64(number).to_f64()
}

/// Updates a parameter.
pub(super) fn update(moments: Moments, tensors: &Update<'_>) -> Result<()> {
    InBf16(moments).update(tensors)
}

/// Checks that the rule has this type of the first moment.
pub(super) fn check(
    dtype: MeanDtype,
    beta1: f64,
    variant: AdamVariant,
    amsgrad: bool,
) -> std::result::Result<(), OptimError> {
    if dtype == MeanDtype::F32 {
        return Ok(());
    }
    let is_simple = variant == AdamVariant::Optax && !amsgrad;
    OptimError::require("mu_dtype", dtype, is_simple, "needs `variant = \"optax\"`, without `amsgrad`")?;
    let rule = "optax has the first beta in bf16 with `mu_dtype`, where it must be below 1";
    OptimError::require("betas", beta1, in_bf16(beta1) < 1.0, rule)
}
