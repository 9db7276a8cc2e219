//! Adafactor: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (ICML 2018), algorithms 4
//! and 5, in the forms of several packages.

use candle_core::{DType, Result, Shape, Tensor, WithDType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::{Formula, Summed, square_of_weights, square_sum};
use super::super::number::{Number, Whole};
use super::super::{BaseHyperparams, OptimError, StateForm, Step, Update, UpdateRule};
use super::factored::{Factors, Means};
use super::moments::check_eps;
use super::unfactored::{Direction, Move, MoveByMean, Squares, StepMean, Steps};
use super::variants::{MeanDtype, is_default};
use crate::cpu::{self, Element};

/// Gradients by the root of their mean squares, of which matrices keep only the means of rows and columns: Shazeer and
/// Stern, ICML 2018, algorithm 4. Packages differ in the rate, the decay and `eps`; `variant` names one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adafactor {
    /// Base learning rate. With `relative_step` it multiplies the rate that the rule has itself, so that 1 is usual.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Power of the number of an update that is the share of a new square, at most 0.
    #[serde(default = "default_beta2_decay")]
    #[schemars(range(max = 0.0))]
    pub beta2_decay: f64,
    /// A small number for mean squares, and the smallest root mean square of weights that a rate is multiplied by. By
    /// default 1e-30, or 1.19e-7 in PyTorch's form, and 1e-3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<[f64; 2]>,
    /// The largest root mean square of a step before the rate.
    #[serde(default = "default_clip_threshold")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub clip_threshold: f64,
    /// Decay rate of a mean of steps, in `[0, 1)`. By default there is no such mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta1: Option<f64>,
    /// The type whose numbers the mean of steps has. Not by default `"bf16"`, as it is in AdaFactor of `pytorch-optimizer`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub momentum_dtype: MeanDtype,
    /// Decay of the weights, in the way of the package.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether the rate is multiplied by the root mean square of the weights. In PyTorch's and Keras' forms it always is;
    /// in that of `timm`, only with `relative_step`; in that of Big Vision it never is.
    #[serde(default = "yes")]
    pub scale_parameter: bool,
    /// Whether the rate is `min(0.01, 1 / sqrt(n))` in update number n, in the forms of `transformers` and `timm`.
    #[serde(default)]
    pub relative_step: bool,
    /// Whether the relative rate grows from 0, as `1e-6 * n`.
    #[serde(default)]
    pub warmup_init: bool,
    /// The smallest side of a matrix that is factored. By default all are, but from 17 on in the form of `timm`, from 16
    /// on in that of Big Vision, and from 128 on in that of `optax`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_dim_size_to_factor: Option<usize>,
    /// Whose form is computed, by default PyTorch's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: AdafactorVariant,
}

/// The package whose form of Adafactor is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdafactorVariant {
    /// `torch.optim`: the rate is at most `1 / sqrt(n)`, and weights decay by the rate that is given.
    #[default]
    Pytorch,
    /// `transformers`: weights decay by the rate that is used.
    Transformers,
    /// `timm`, class `Adafactor`: as `transformers`, but a given rate is not multiplied by the size of the weights.
    Timm,
    /// Big Vision, in `timm` the class `AdafactorBigVision`: the given rate is used as it is, and the mean is of steps before
    /// it. A new square has a share of at least 0.001. Its defaults are `beta1 = 0.9`, `momentum_dtype = "bf16"` and no
    /// limit, `clip_threshold = 1e30`.
    BigVision,
    /// `optax`: weights decay by `weight_decay` in each update, whatever the rate is.
    Optax,
    /// Keras: the rate is at most `1 / sqrt(n)`, and weights decay by the given rate before the step.
    Keras,
}

fn default_beta2_decay() -> f64 {
    -0.8
}

fn default_clip_threshold() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl Default for Adafactor {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            beta2_decay: default_beta2_decay(),
            eps: None,
            clip_threshold: default_clip_threshold(),
            beta1: None,
            momentum_dtype: MeanDtype::default(),
            weight_decay: 0.0,
            scale_parameter: true,
            relative_step: false,
            warmup_init: false,
            min_dim_size_to_factor: None,
            variant: AdafactorVariant::default(),
        }
    }
}

impl UpdateRule for Adafactor {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        let falls = self.beta2_decay <= 0.0 && self.beta2_decay.is_finite();
        OptimError::require("beta2_decay", self.beta2_decay, falls, "must be a finite number, at most 0")?;
        self.eps().into_iter().try_for_each(check_eps)?;
        let is_positive = self.clip_threshold > 0.0;
        OptimError::require("clip_threshold", self.clip_threshold, is_positive, "must be positive")?;
        self.beta1.map_or(Ok(()), |beta1| OptimError::require_share("beta1", beta1))?;
        let has_mean = self.beta1.is_some() || self.momentum_dtype == MeanDtype::F32;
        let rule = "is the type of the mean of steps; set `beta1`, which turns it on";
        OptimError::require("momentum_dtype", self.momentum_dtype, has_mean, rule)?;
        let has_relative = matches!(self.variant, AdafactorVariant::Transformers | AdafactorVariant::Timm);
        let rule = "only `variant = \"transformers\"` and `\"timm\"` have it";
        OptimError::require("relative_step", self.relative_step, has_relative || !self.relative_step, rule)?;
        let rule = "needs `relative_step = true`";
        OptimError::require("warmup_init", self.warmup_init, self.relative_step || !self.warmup_init, rule)
    }

    fn remark(&self, _: f64) -> Option<String> {
        let always = matches!(self.variant, AdafactorVariant::Pytorch | AdafactorVariant::Keras);
        (always && !self.scale_parameter).then(|| {
            "`scale_parameter = false` changes nothing in the forms of PyTorch and Keras, which always multiply the rate by \
             the size of the weights; choose another `variant`, or remove it"
                .to_owned()
        })
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        if self.beta1.is_some() { &["row_var", "col_var", "exp_avg"] } else { &["row_var", "col_var"] }
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        let mut forms = match self.factors(shape) {
            Some([rows, columns]) => vec![StateForm::new("row_var", rows), StateForm::new("col_var", columns)],
            None => vec![StateForm::new("variance", shape.clone())],
        };
        forms.extend(self.beta1.map(|_| StateForm::new("exp_avg", shape.clone())));
        forms
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        match (self.factors(tensors.shape()), tensors.slice_dtype()) {
            (None, _) => self.update_unfactored(tensors, step),
            (Some(_), Some(DType::F32)) if tensors.shape().rank() == 2 => self.update_slices::<f32>(tensors, step),
            (Some(_), Some(DType::F64)) if tensors.shape().rank() == 2 => self.update_slices::<f64>(tensors, step),
            (Some(_), _) => self.update_tensors(tensors, step),
        }
    }
}

impl Adafactor {
    fn eps(&self) -> [f64; 2] {
        let first = if self.variant == AdafactorVariant::Pytorch { f64::from(f32::EPSILON) } else { 1e-30 };
        self.eps.unwrap_or([first, 1e-3])
    }

    /// Returns the shapes of the means of rows and of columns, if a parameter of this shape is factored.
    fn factors(&self, shape: &Shape) -> Option<[Shape; 2]> {
        let [.., rows, columns] = shape.dims() else { return None };
        let smallest = self.min_dim_size_to_factor.unwrap_or(match self.variant {
            AdafactorVariant::Timm => 17,
            AdafactorVariant::BigVision => 16,
            AdafactorVariant::Optax => 128,
            _ => 1,
        });
        if (*rows).min(*columns) < smallest {
            return None;
        }
        let with = |place: usize| {
            let mut dims = shape.dims().to_vec();
            dims[place] = 1;
            Shape::from(dims)
        };
        Some([with(shape.rank() - 1), with(shape.rank() - 2)])
    }

    fn is_torch(&self) -> bool {
        self.variant == AdafactorVariant::Pytorch
    }

    /// Returns what is added to each square.
    fn added(&self) -> f64 {
        if self.is_torch() { 0.0 } else { self.eps()[0] }
    }

    /// Returns the share of a new square.
    fn share(&self, step: &Step) -> f64 {
        let share = ((step.updates_before + 1) as f64).powf(self.beta2_decay);
        if self.variant == AdafactorVariant::BigVision { share.max(1.0 - 0.999) } else { share }
    }

    /// Returns how weights move, from the sums of squares of `count` steps before the rate, and of the weights.
    fn by(&self, step: &Step, [moved, weights]: [f64; 2], count: usize) -> Steps {
        let count = count.max(1) as f64;
        let clip = ((moved / count).sqrt() / self.clip_threshold).max(1.0);
        let (rate, shrink) = self.rate(step, (weights / count).sqrt());
        let of_steps = |kept: f64| {
            let (taken, moved) = match self.variant {
                AdafactorVariant::BigVision => (1.0 / clip, rate),
                _ => (rate / clip, 1.0),
            };
            StepMean { kept, taken, moved, is_bf16: self.momentum_dtype == MeanDtype::Bf16 }
        };
        Steps { shrink, taken: rate / clip, mean: self.beta1.map(of_steps) }
    }

    /// Updates a parameter that is not factored.
    fn update_unfactored(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let [eps, _] = self.eps();
        let least = if self.is_torch() { eps * eps } else { 0.0 };
        let direction = Direction { least };
        let squares = Squares { added: self.added(), share: self.share(step), direction };
        let sums = squares.update_and_sum(tensors)?;
        let Steps { shrink, taken, mean } = self.by(step, sums, tensors.shape().elem_count());
        match mean {
            Some(mean) => MoveByMean { direction, mean, shrink }.update(tensors),
            None => Move { direction, taken, shrink }.update(tensors),
        }
    }

    /// Updates a factored matrix on the CPU.
    fn update_slices<T: Element + Number>(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let (rows, columns) = tensors.shape().dims2()?;
        if rows * columns == 0 {
            return Ok(());
        }
        let means = |gradient: &[T]| Ok(Means::of(gradient, tensors.gradient_scale, columns, self.added()));
        let means = cpu::read(tensors.gradient, means)?;
        let device = tensors.parameter.device();
        let rows = Tensor::from_vec(means.rows, (rows, 1), device)?;
        let columns = Tensor::from_vec(means.columns, (1, columns), device)?;
        let (rows, columns) = self.advanced(tensors, rows, columns, step)?;
        let factors = |of: Tensor| of.sqrt()?.recip()?.flatten_all()?.to_vec1::<T>();
        let [eps, _] = self.eps();
        let largest = if self.is_torch() { eps.recip() } else { f64::INFINITY };
        let largest = <T as WithDType>::from_f64(largest);
        let factors = Factors { rows: factors(rows)?, columns: factors(columns)?, largest };
        let sums = factors.squares(tensors)?;
        factors.update(tensors, self.by(step, sums, tensors.shape().elem_count()))
    }

    /// Makes the same update with tensor operations.
    fn update_tensors(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let (weights, gradient) = (tensors.weights()?, tensors.gradient()?);
        let square = (gradient.sqr()? + self.added())?;
        let rank = square.rank();
        let (rows, columns) = (square.mean_keepdim(rank - 1)?, square.mean_keepdim(rank - 2)?);
        let (rows, columns) = self.advanced(tensors, rows, columns, step)?;
        let mean = rows.broadcast_mul(&columns)?;
        let [eps, _] = self.eps();
        let root = if self.is_torch() { mean.maximum(eps * eps)?.sqrt()? } else { mean.sqrt()? };
        let moved = (gradient / root)?;
        let sums = [square_sum(&moved)?, square_of_weights(tensors)?];
        let Steps { shrink, taken, mean } = self.by(step, sums, tensors.shape().elem_count());
        let Some(mean) = mean else {
            return tensors.set_weights(&((weights * shrink)? - (moved * taken)?)?);
        };
        let index = tensors.states.len() - 1;
        let [before, direction] = [tensors.state(index)?, moved].map(|tensor| Whole::from(Ok(tensor)));
        let after = mean.after(before, direction).tensor()?;
        tensors.set_state(index, &after)?;
        tensors.set_weights(&((weights * shrink)? - (after * mean.moved)?)?)
    }

    /// Updates the mean squares of rows and columns by those of a gradient. Returns them, the rows divided by their mean, so
    /// that their product is the mean square of each element.
    fn advanced(&self, tensors: &Update<'_>, rows: Tensor, columns: Tensor, step: &Step) -> Result<(Tensor, Tensor)> {
        let share = self.share(step);
        let advance = |index: usize, new: Tensor| {
            let mean = tensors.state(index)?;
            let mean = (&mean + ((new - &mean)? * share)?)?;
            tensors.set_state(index, &mean)?;
            Ok::<_, candle_core::Error>(mean)
        };
        let (rows, columns) = (advance(0, rows)?, advance(1, columns)?);
        let whole = rows.mean_keepdim(rows.rank() - 2)?;
        let whole = if self.is_torch() { whole.maximum(self.eps()[0])? } else { whole };
        Ok((rows.broadcast_div(&whole)?, columns))
    }

    /// Returns the rate of an update of weights of this root mean square, and the factor of the weights.
    fn rate(&self, step: &Step, size: f64) -> (f64, f64) {
        let n = (step.updates_before + 1) as f64;
        let (lr, decay) = (step.lr, step.weight_decay);
        let scaled = |rate: f64, size: f64| rate * size.max(self.eps()[1]);
        let if_asked = |rate: f64| if self.scale_parameter { scaled(rate, size) } else { rate };
        let relative = if self.warmup_init { 1e-6 * n } else { 1e-2 }.min(1.0 / n.sqrt());
        match self.variant {
            AdafactorVariant::Pytorch => (scaled(lr.min(1.0 / n.sqrt()), size), 1.0 - lr * decay),
            AdafactorVariant::Keras => {
                let shrink = 1.0 - lr * decay;
                (scaled(lr.min(1.0 / n.sqrt()), size * shrink.abs()), shrink)
            }
            AdafactorVariant::Optax => (if_asked(lr), 1.0 - decay),
            AdafactorVariant::BigVision => (lr, 1.0 - lr * decay),
            AdafactorVariant::Transformers | AdafactorVariant::Timm => {
                let rate = match self.relative_step {
                    true => if_asked(lr * relative),
                    false if self.variant == AdafactorVariant::Timm => lr,
                    false => if_asked(lr),
                };
                (rate, 1.0 - rate * decay)
            }
        }
    }
}
