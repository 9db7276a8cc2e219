//! LAMB: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes" (ICLR 2020), algorithm 2, in
//! the forms of `timm` and `pytorch-optimizer`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed, square_of_weights};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, STATES, corrections};
use super::variants::{Decoupled, is_default};

/// Adam whose step for each parameter has the size of the parameter: You et al., ICLR 2020, algorithm 2. `timm` also
/// divides all gradients by their norm where that is above 1, which is `train.clip_norm = 1.0` with
/// `train.clip_eps = 0.0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lamb {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights in the step that is fitted to their size, unless it is decoupled.
    #[serde(default = "default_weight_decay")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether each update first multiplies the weights by `1 - rate * weight_decay` instead.
    #[serde(default)]
    pub decoupled_weight_decay: bool,
    /// Whether a new gradient has the share `1 - beta1` of the first moment, and not 1.
    #[serde(default = "yes")]
    pub grad_averaging: bool,
    /// Whether steps are fitted also where the weights do not decay, as in `optax` and Keras.
    #[serde(default)]
    pub always_adapt: bool,
    /// Whether steps are fitted only to be smaller.
    #[serde(default)]
    pub trust_clip: bool,
    /// The package whose form is computed, by default `timm`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: LambVariant,
}

/// The package whose form of LAMB is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LambVariant {
    /// `timm`, and with `always_adapt` also `optax` and Keras.
    #[default]
    Timm,
    /// `pytorch-optimizer`: the second moment is not corrected, a weight's norm counts up to 10, and steps are always
    /// fitted. Its `pre_norm` is `train.clip_norm = 1.0` with `train.clip_eps = 1e-6`.
    PytorchOptimizer,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn default_eps() -> f64 {
    1e-6
}

fn default_weight_decay() -> f64 {
    0.01
}

fn yes() -> bool {
    true
}

impl Default for Lamb {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: default_weight_decay(),
            decoupled_weight_decay: false,
            grad_averaging: true,
            always_adapt: false,
            trust_clip: false,
            variant: LambVariant::default(),
        }
    }
}

impl UpdateRule for Lamb {
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

    fn remark(&self, weight_decay: f64) -> Option<String> {
        let has_no_decay = weight_decay == 0.0 || self.decoupled_weight_decay;
        let is_plain = self.variant == LambVariant::Timm && has_no_decay && !self.always_adapt;
        is_plain.then(|| {
            "`lamb` fits steps to the size of weights only where these have a decay that is not decoupled, so it is plain \
             `adam` here; set `weight_decay`, or `always_adapt = true`"
                .to_owned()
        })
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let betas = [step.momentum, self.betas[1]];
        let [first, second] = corrections(betas, step.updates_before);
        let is_timm = self.variant == LambVariant::Timm;
        let (shrink, decay) = match self.decoupled_weight_decay {
            true => (Decoupled::Rate.shrink(step), 0.0),
            false => (1.0, step.weight_decay),
        };
        let direction = Direction {
            of_mean: if is_timm { 1.0 / first } else { 1.0 },
            root_factor: if is_timm { 1.0 / second.sqrt() } else { 1.0 },
            eps: self.eps,
            // Before the weights move, they are multiplied by `shrink`.
            decay: decay * shrink,
        };
        let taken = if self.grad_averaging { 1.0 - betas[0] } else { 1.0 };
        let weight = shrink * square_of_weights(tensors)?.sqrt();
        let [square] = Means { betas, taken, direction }.update_and_sum(tensors)?;
        let trust = self.trust(weight, square.sqrt(), decay);
        let lr = if is_timm { step.lr * trust } else { step.lr / first * trust };
        Move { direction, lr, shrink }.update(tensors)
    }
}

impl Lamb {
    /// Returns the factor of a step of this norm.
    fn trust(&self, weight: f64, step: f64, decay: f64) -> f64 {
        if weight == 0.0 || step == 0.0 {
            return 1.0;
        }
        let trust = match self.variant {
            LambVariant::Timm if decay == 0.0 && !self.always_adapt => return 1.0,
            LambVariant::Timm => weight / step,
            LambVariant::PytorchOptimizer => weight.min(10.0) / (step + self.eps),
        };
        if self.trust_clip { trust.min(1.0) } else { trust }
    }
}

/// The direction of a step by the new moments.
#[derive(Clone, Copy)]
struct Direction {
    of_mean: f64,
    root_factor: f64,
    eps: f64,
    decay: f64,
}

impl Direction {
    #[inline(always)]
    fn of<X: Number>(self, weight: X, mean: X, square: X) -> X {
        let denominator = square.root().times(self.root_factor).plus(self.eps);
        mean.times(self.of_mean) / denominator + weight.times(self.decay)
    }
}

/// The update of both moments. Its terms are the squares of the direction.
#[derive(Clone, Copy)]
struct Means {
    betas: [f64; 2],
    taken: f64,
    direction: Direction,
}

impl Summed<3, 1> for Means {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> ([X; 3], [X; 1]) {
        let mean = mean.times(self.betas[0]) + g.clone().times(self.taken);
        let square = square.decayed_with(self.betas[1], g.square());
        let term = self.direction.of(weight.clone(), mean.clone(), square.clone()).square();
        ([weight, mean, square], [term])
    }
}

/// The movement of the weights by the new moments.
#[derive(Clone, Copy)]
struct Move {
    direction: Direction,
    lr: f64,
    shrink: f64,
}

impl Formula<3> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], _: X) -> [X; 3] {
        let direction = self.direction.of(weight.clone(), mean.clone(), square.clone());
        [weight.times(self.shrink) - direction.times(self.lr), mean, square]
    }
}
