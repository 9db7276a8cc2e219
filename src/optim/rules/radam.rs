//! RAdam: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (ICLR 2020), algorithm 2, in the form
//! of `torch.optim.RAdam`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, Moments, STATES, corrections, default_betas, default_eps};
use super::variants::{AdamVariant, Decoupled, is_default};

/// Adam whose first updates are those of momentum alone, like `torch.optim.RAdam`: Liu et al., ICLR 2020, algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RAdam {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the uncorrected square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient, unless it is decoupled.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether each update multiplies the weights by `1 - rate * weight_decay` instead.
    #[serde(default)]
    pub decoupled_weight_decay: bool,
    /// Whose form is computed, by default PyTorch's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: RAdamVariant,
}

/// The package whose form of RAdam is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RAdamVariant {
    /// `torch.optim`: the first updates move the weights by momentum alone.
    #[default]
    Pytorch,
    /// `pytorch-optimizer`: the first updates leave the weights as they are.
    PytorchOptimizer,
}

impl Default for RAdam {
    fn default() -> Self {
        let (betas, eps) = (default_betas(), default_eps());
        let variant = RAdamVariant::default();
        Self { lr: 1e-3, betas, eps, weight_decay: 0.0, decoupled_weight_decay: false, variant }
    }
}

impl UpdateRule for RAdam {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        STATES
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        match self.rectification(step.updates_before) {
            Some(factor) => self.moments(step, factor).update(tensors),
            None => {
                let moments = self.moments(step, 1.0);
                let lr = if self.variant == RAdamVariant::Pytorch { step.lr } else { 0.0 };
                let [first_correction, _] = corrections(moments.betas, step.updates_before);
                ByMean(Moments { step_size: lr / first_correction, ..moments }).update(tensors)
            }
        }
    }

    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        // Parameters that were frozen for a while have had fewer updates.
        let factor = |step: &Step| self.rectification(step.updates_before);
        if group.iter().all(|(_, step)| factor(step).is_some()) {
            return moments::update_group(group, |step| self.moments(step, factor(step).unwrap_or(1.0)));
        }
        group.iter().try_for_each(|(tensors, step)| self.update(tensors, step))
    }
}

/// Returns the length of the average of squares, and the factor by which it rectifies the variance of a step. The factor means
/// something for a length above 4.
pub(super) fn rectification(beta2: f64, updates_before: u64) -> (f64, f64) {
    let [correction] = corrections([beta2], updates_before);
    let n = (updates_before + 1) as f64;
    let longest = 2.0 / (1.0 - beta2) - 1.0;
    let length = longest - 2.0 * n * beta2.powf(n) / correction;
    let share = |length: f64| (length - 4.0) * (length - 2.0) / length;
    (length, (share(length) / share(longest)).sqrt())
}

impl RAdam {
    /// Returns the factor by which the variance of the step is rectified, or `None` while too few gradients were seen:
    /// up to the fifth update with a second beta of 0.999.
    fn rectification(&self, updates_before: u64) -> Option<f64> {
        let (length, factor) = rectification(self.betas[1], updates_before);
        let is_long = match self.variant {
            RAdamVariant::Pytorch => length > 5.0,
            RAdamVariant::PytorchOptimizer => length >= 5.0,
        };
        is_long.then_some(factor)
    }

    /// Returns the rectified update. PyTorch corrects the root with `eps` in it, as Keras does in Adam.
    fn moments(&self, step: &Step, factor: f64) -> Moments {
        let moments = Moments::new(step, self.betas[1], self.eps, false, AdamVariant::Keras);
        let step_size = moments.step_size * factor;
        match self.decoupled_weight_decay {
            true => Moments { step_size, shrink: Decoupled::Rate.shrink(step), ..moments },
            false => Moments { step_size, decay: step.weight_decay, ..moments },
        }
    }
}

/// An update of both moments that moves the weights by the mean alone.
#[derive(Clone, Copy)]
struct ByMean(Moments);

impl Formula<3> for ByMean {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], gradient: X) -> [X; 3] {
        let Self(Moments { step_size, betas, shrink, decay, .. }) = self;
        let g = gradient + weight.clone().times(decay);
        let [mean, square] = moments::advanced(betas, mean, square, g);
        [weight.times(shrink) - mean.clone().times(step_size), mean, square]
    }
}
