//! Muon: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), in the forms of
//! `torch.optim.Muon` and of Keller Jordan's package `muon-optimizer`.

use candle_core::{DType, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::basis::product_operations;
use super::moments::{self, STATES};
use super::muon_vectors;
use super::newton_schulz::{NewtonSchulz, rounded};
use super::variants::{Decoupled, is_default};

/// Momentum whose step for a matrix is made nearly orthogonal, by products in bf16: Jordan et al., 2024. Parameters of
/// other than two dimensions have AdamW, and so should embeddings and the last layer: give them a group with
/// `kind = "adamw"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Muon {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the mean gradient that is kept, in `[0, 1)`.
    #[serde(default = "default_momentum")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Whether a step looks ahead: Nesterov momentum.
    #[serde(default = "yes")]
    pub nesterov: bool,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default = "default_weight_decay")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// By what the rate of a matrix is multiplied, by default as `original`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub adjust_lr: AdjustLr,
    /// Number of iterations towards an orthogonal step.
    #[serde(default = "default_ns_steps")]
    #[schemars(range(min = 1, max = 99))]
    pub ns_steps: u32,
    /// Coefficients of an iteration: of the matrix, of its third power and of its fifth.
    #[serde(default = "default_ns_coefficients")]
    pub ns_coefficients: [f64; 3],
    /// The smallest norm that a step is divided by.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the rate for parameters that are no matrices.
    #[serde(default = "default_adamw_lr_ratio")]
    #[schemars(range(min = 0.0))]
    pub adamw_lr_ratio: f64,
    /// Betas of AdamW, for parameters that are no matrices.
    #[serde(default = "default_adamw_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub adamw_betas: [f64; 2],
    /// Added to the root in AdamW.
    #[serde(default = "default_adamw_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub adamw_eps: f64,
    /// Whose form is computed, by default PyTorch's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: MuonVariant,
}

/// The form of Muon that is computed. They differ in what is rounded to bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MuonVariant {
    /// That of `torch.optim.Muon`, which rounds a product and the sum with it once.
    #[default]
    Pytorch,
    /// Keller Jordan's, which rounds every product, every sum and the scaled step; `eps` is added to the norm.
    KellerJordan,
    /// That of `timm`, which rounds like PyTorch's: each iteration has other coefficients, in place of `ns_coefficients`, and
    /// matrices with a side below 4 are updated by AdamW. Its defaults are `nesterov = false`,
    /// `adjust_lr = "match_rms_adamw"` and `adamw_eps = 1e-7`.
    Timm,
    /// That of Keras, which rounds nothing and adds `eps` to the norm: the momentum is a sum of gradients, and other parameters
    /// have Adam in Keras' form. Its defaults are `adjust_lr = "match_rms_adamw"`, `weight_decay = 0.004`,
    /// `adamw_betas = [0.9, 0.999]` and `adamw_eps = 1e-7`.
    Keras,
    /// That of `optax`, which rounds nothing and adds `eps` to the norm: the momentum is corrected as the first moment of
    /// Adam is, and with `nesterov` AdamW looks ahead as well. Its defaults are `weight_decay = 0.0`,
    /// `decay = "matrices"`, `eps = 1e-8`, `adamw_betas = [0.9, 0.999]` and `adamw_eps = 1e-8`. Its matrices have a row for
    /// each input, and ours a column.
    Optax,
}

impl MuonVariant {
    /// Whether products and sums are rounded to bf16.
    pub(super) fn rounds(self) -> bool {
        !matches!(self, Self::Keras | Self::Optax)
    }
}

/// By what the rate of a matrix is multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdjustLr {
    /// By `sqrt(max(1, rows / columns))`.
    #[default]
    Original,
    /// By `0.2 * sqrt(max(rows, columns))`, so that steps are as large as those of AdamW: Liu et al., "Muon is Scalable
    /// for LLM Training" (2025).
    MatchRmsAdamw,
    /// By `sqrt(rows / columns)`.
    SpectralUnclamped,
}

/// The coefficients of the iterations in `timm`, `"quintic"`; those after the last have its.
const QUINTIC: [[f64; 3]; 5] = [
    [4.0848, -6.8946, 2.927],
    [3.9505, -6.3029, 2.6377],
    [3.7418, -5.5913, 2.3037],
    [2.8769, -3.1427, 1.2046],
    [2.8366, -3.0525, 1.2012],
];

/// The smallest side of a matrix that `timm` makes orthogonal.
const TIMM_SIDE: usize = 4;

impl AdjustLr {
    fn factor(self, rows: f64, columns: f64) -> f64 {
        match self {
            Self::Original => (rows / columns).max(1.0).sqrt(),
            Self::MatchRmsAdamw => 0.2 * rows.max(columns).sqrt(),
            Self::SpectralUnclamped => (rows / columns).sqrt(),
        }
    }
}

fn default_momentum() -> f64 {
    0.95
}

fn yes() -> bool {
    true
}

fn default_weight_decay() -> f64 {
    0.1
}

fn default_ns_steps() -> u32 {
    5
}

fn default_ns_coefficients() -> [f64; 3] {
    [3.4445, -4.775, 2.0315]
}

fn default_eps() -> f64 {
    1e-7
}

fn default_adamw_lr_ratio() -> f64 {
    1.0
}

fn default_adamw_betas() -> [f64; 2] {
    [0.9, 0.95]
}

fn default_adamw_eps() -> f64 {
    1e-10
}

impl Default for Muon {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            momentum: default_momentum(),
            nesterov: true,
            weight_decay: default_weight_decay(),
            adjust_lr: AdjustLr::default(),
            ns_steps: default_ns_steps(),
            ns_coefficients: default_ns_coefficients(),
            eps: default_eps(),
            adamw_lr_ratio: default_adamw_lr_ratio(),
            adamw_betas: default_adamw_betas(),
            adamw_eps: default_adamw_eps(),
            variant: MuonVariant::default(),
        }
    }
}

impl UpdateRule for Muon {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Momentum(self.momentum));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require("ns_steps", self.ns_steps, (1..100).contains(&self.ns_steps), "must be from 1 to 99")?;
        let finite = self.ns_coefficients.iter().all(|coefficient| coefficient.is_finite());
        let coefficients = format!("{:?}", self.ns_coefficients);
        OptimError::require("ns_coefficients", coefficients, finite, "must be finite numbers")?;
        moments::check_eps(self.eps)?;
        OptimError::require_at_least_0("adamw_lr_ratio", self.adamw_lr_ratio)?;
        moments::check(self.adamw_betas, self.adamw_eps).map_err(|error| error.inside("adamw_"))
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["momentum_buffer"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        let names = if self.sides(shape).is_some() { &["momentum_buffer"] } else { STATES };
        names.iter().map(|name| StateForm::new(name, shape.clone())).collect()
    }

    /// Three products in each iteration.
    fn operations(&self, shape: &Shape) -> u64 {
        let Some((rows, columns)) = self.sides(shape) else { return 0 };
        let (short, long) = (rows.min(columns) as u64, rows.max(columns) as u64);
        let products = [[short, short, long], [short; 3], [short, short, long]].map(product_operations);
        products.into_iter().fold(0, u64::saturating_add).saturating_mul(self.ns_steps.into())
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        match self.sides(tensors.shape()) {
            Some((rows, columns)) if rows > 0 && columns > 0 => self.update_matrix(tensors, step, rows, columns),
            Some(_) => Ok(()),
            None => muon_vectors::update(self, tensors, step),
        }
    }
}

impl Muon {
    /// Returns rows and columns of a parameter that is made orthogonal.
    fn sides(&self, shape: &Shape) -> Option<(usize, usize)> {
        let least = if self.variant == MuonVariant::Timm { TIMM_SIDE } else { 0 };
        shape.dims2().ok().filter(|(rows, columns)| (*rows).min(*columns) >= least)
    }

    /// Returns the direction of a matrix before it is made orthogonal, by the momentum with this gradient in it.
    fn towards(&self, gradient: &Tensor, momentum: Tensor, step: &Step) -> Result<Tensor> {
        let kept = step.momentum;
        match (self.variant, self.nesterov) {
            (MuonVariant::Optax, nesterov) => {
                let correction = |after: u64| 1.0 - kept.powf((step.updates_before + after) as f64);
                match nesterov {
                    false => momentum / correction(1),
                    true => (momentum * (kept / correction(2)))? + (gradient * ((1.0 - kept) / correction(1)))?,
                }
            }
            (_, false) => Ok(momentum),
            (MuonVariant::Keras, true) => gradient + (momentum * kept)?,
            (_, true) => gradient + ((momentum - gradient)? * kept)?,
        }
    }

    fn update_matrix(&self, tensors: &Update<'_>, step: &Step, rows: usize, columns: usize) -> Result<()> {
        match self.variant {
            MuonVariant::Keras => Sum { kept: step.momentum }.update(tensors)?,
            _ => Mean { taken: 1.0 - step.momentum }.update(tensors)?,
        }
        let gradient = tensors.gradient()?;
        let towards = self.towards(&gradient, tensors.state(0)?, step)?;
        let iteration = NewtonSchulz {
            coefficients: match self.variant {
                MuonVariant::Timm => &QUINTIC[..],
                _ => std::slice::from_ref(&self.ns_coefficients),
            },
            steps: self.ns_steps,
            eps: self.eps,
            variant: self.variant,
        };
        let orthogonal = iteration.orthogonal(&towards.to_dtype(DType::F32)?, rows > columns)?;
        let factor = self.adjust_lr.factor(rows as f64, columns as f64);
        let (step_size, direction) = match self.variant {
            MuonVariant::KellerJordan => (step.lr, rounded(&(orthogonal * factor)?)?),
            _ => (step.lr * factor, orthogonal),
        };
        let direction = direction.to_dtype(gradient.dtype())?;
        let by_direction = Update { gradient: &direction, gradient_scale: 1.0, ..*tensors };
        Move { step_size, shrink: Decoupled::Rate.shrink(step) }.update(&by_direction)
    }
}

/// The update of the mean gradient.
#[derive(Clone, Copy)]
struct Mean {
    taken: f64,
}

impl Formula<2> for Mean {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean]: [X; 2], gradient: X) -> [X; 2] {
        [weight, mean.mean_with(gradient, self.taken)]
    }
}

/// The update of a sum of gradients.
#[derive(Clone, Copy)]
struct Sum {
    kept: f64,
}

impl Formula<2> for Sum {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, sum]: [X; 2], gradient: X) -> [X; 2] {
        [weight, sum.times(self.kept) + gradient]
    }
}

/// A movement against a direction, which takes the place of the gradient.
#[derive(Clone, Copy)]
struct Move {
    step_size: f64,
    shrink: f64,
}

impl Formula<1> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight]: [X; 1], direction: X) -> [X; 1] {
        [weight.times(self.shrink) - direction.times(self.step_size)]
    }
}
