//! CAME: Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization" (ACL 2023), algorithm 2, in the form
//! of the package `came-pytorch`.

use candle_core::{DType, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed, square_sum};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::confident::{Mean, Scales};
use super::factored::Means;
use super::moments;
use super::variants::Decoupled;
use crate::cpu::{self, Element};

/// Adafactor with momentum, whose steps are smaller where they differ from their mean: Luo et al., ACL 2023, algorithm 2.
/// Matrices keep the means of rows and columns alone, of squares and of differences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Came {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the mean step, of squared gradients and of squared differences, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 3],
    /// Added to each squared gradient, and to each squared difference.
    #[serde(default = "default_eps")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": f32::MIN_POSITIVE})))]
    pub eps: [f64; 2],
    /// The largest root mean square of a step before the rate.
    #[serde(default = "default_clip_threshold")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub clip_threshold: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_betas() -> [f64; 3] {
    [0.9, 0.999, 0.9999]
}

fn default_eps() -> [f64; 2] {
    [1e-30, 1e-16]
}

fn default_clip_threshold() -> f64 {
    1.0
}

impl Default for Came {
    fn default() -> Self {
        Self {
            lr: 2e-4,
            betas: default_betas(),
            eps: default_eps(),
            clip_threshold: default_clip_threshold(),
            weight_decay: 0.0,
        }
    }
}

/// Places of the states of a matrix: the mean step, and the means of rows and columns of squares and of differences.
const MEAN: usize = 0;
const SQUARES: [usize; 2] = [1, 2];
const DIFFERENCES: [usize; 2] = [3, 4];

impl UpdateRule for Came {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check_betas(self.betas)?;
        self.eps.into_iter().try_for_each(moments::check_eps)?;
        let clip = self.clip_threshold;
        OptimError::require("clip_threshold", clip, clip > 0.0, "must be positive")
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_res_row", "exp_avg_res_col"]
    }

    fn state_forms(&self, beta1: f64, shape: &Shape) -> Vec<StateForm> {
        let Some([rows, columns]) = factors(shape) else {
            return ["exp_avg", "exp_avg_sq"].map(|name| StateForm::new(name, shape.clone())).into();
        };
        let shapes = [shape, &rows, &columns, &rows, &columns];
        let named = self.states(beta1).iter().zip(shapes);
        named.map(|(name, shape)| StateForm::new(name, shape.clone())).collect()
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let shrink = Decoupled::Rate.shrink(step);
        let is_matrix = tensors.shape().rank() == 2;
        match (factors(tensors.shape()), tensors.slice_dtype()) {
            _ if tensors.shape().elem_count() == 0 => Ok(()),
            (Some(_), Some(DType::F32)) if is_matrix => self.update_slices::<f32>(tensors, step, shrink),
            (Some(_), Some(DType::F64)) if is_matrix => self.update_slices::<f64>(tensors, step, shrink),
            (Some(_), _) => self.update_tensors(tensors, step, shrink),
            (None, _) => {
                let squares = Squares { beta2: self.betas[1], added: self.eps[0] };
                let [sum] = squares.update_and_sum(tensors)?;
                let (kept, clip) = (step.momentum, self.clip(sum, tensors.shape()));
                Move { kept, taken: (1.0 - kept) / clip, lr: step.lr, shrink }.update(tensors)
            }
        }
    }
}

/// Returns the shapes of the means of rows and of columns, if a parameter of this shape is a matrix, or several.
fn factors(shape: &Shape) -> Option<[Shape; 2]> {
    let rank = shape.rank();
    let without = |place: usize| {
        let mut dims = shape.dims().to_vec();
        dims[place] = 1;
        Shape::from(dims)
    };
    (rank >= 2).then(|| [without(rank - 1), without(rank - 2)])
}

impl Came {
    /// Returns by what a step is divided whose squares have this sum.
    fn clip(&self, squares: f64, shape: &Shape) -> f64 {
        ((squares / shape.elem_count().max(1) as f64).sqrt() / self.clip_threshold).max(1.0)
    }

    /// Updates a matrix on the CPU.
    fn update_slices<T: Element>(&self, tensors: &Update<'_>, step: &Step, shrink: f64) -> Result<()> {
        let (_, columns) = tensors.shape().dims2()?;
        let of = |gradient: &[T]| Ok(Means::of(gradient, tensors.gradient_scale, columns, self.eps[0]));
        let squares = cpu::read(tensors.gradient, of)?;
        let scales = scales(tensors, SQUARES, squares, self.betas[1])?;
        let cut = 1.0 / self.clip(scales.sum_of_squares(tensors)?, tensors.shape());
        let mean = Mean { index: MEAN, kept: step.momentum, cut };
        scales.update_mean(tensors, &mean)?;
        let differences = scales.differences(tensors, &mean, self.eps[1])?;
        let scales = self::scales(tensors, DIFFERENCES, differences, self.betas[2])?;
        scales.move_weights(tensors, MEAN, step.lr, shrink)
    }

    /// Makes the same update with tensor operations.
    fn update_tensors(&self, tensors: &Update<'_>, step: &Step, shrink: f64) -> Result<()> {
        let gradient = tensors.gradient()?;
        let square = (gradient.sqr()? + self.eps[0])?;
        let moved = over_root(&gradient, tensors, SQUARES, &square, self.betas[1])?;
        let moved = (&moved / self.clip(square_sum(&moved)?, tensors.shape()))?;
        let mean = ((tensors.state(MEAN)? * step.momentum)? + (&moved * (1.0 - step.momentum))?)?;
        tensors.set_state(MEAN, &mean)?;
        let difference = ((moved - &mean)?.sqr()? + self.eps[1])?;
        let moved = over_root(&mean, tensors, DIFFERENCES, &difference, self.betas[2])?;
        tensors.set_weights(&((tensors.weights()? * shrink)? - (moved * step.lr)?)?)
    }
}

/// Returns `matrix` divided by the root of its mean squares, of which `square` has the new ones.
fn over_root(matrix: &Tensor, tensors: &Update<'_>, places: [usize; 2], square: &Tensor, kept: f64) -> Result<Tensor> {
    let rank = square.rank();
    let means = [square.mean_keepdim(rank - 1)?, square.mean_keepdim(rank - 2)?];
    let [rows, columns] = advanced(tensors, places, means, kept)?;
    // One after the other: the product of two small roots could be zero.
    matrix.broadcast_div(&rows.sqrt()?)?.broadcast_div(&columns.sqrt()?)
}

/// Updates the means of rows and of columns. Returns them, the rows divided by their mean, so that their product is the mean
/// square of each element.
fn advanced(tensors: &Update<'_>, places: [usize; 2], new: [Tensor; 2], kept: f64) -> Result<[Tensor; 2]> {
    let advanced = |index: usize, new: Tensor| {
        let mean = ((tensors.state(index)? * kept)? + (new * (1.0 - kept))?)?;
        tensors.set_state(index, &mean)?;
        Ok::<_, candle_core::Error>(mean)
    };
    let [rows, columns] = new;
    let (rows, columns) = (advanced(places[0], rows)?, advanced(places[1], columns)?);
    Ok([rows.broadcast_div(&rows.mean_keepdim(rows.rank() - 2)?)?, columns])
}

/// Updates the means of rows and of columns, and returns the factors of a matrix by its roots.
fn scales<T: Element>(tensors: &Update<'_>, places: [usize; 2], new: Means<T>, kept: f64) -> Result<Scales<T>> {
    let device = tensors.parameter.device();
    let (rows, columns) = (new.rows.len(), new.columns.len());
    let new = [Tensor::from_vec(new.rows, (rows, 1), device)?, Tensor::from_vec(new.columns, (1, columns), device)?];
    let [rows, columns] = advanced(tensors, places, new, kept)?;
    let factors = |of: Tensor| of.sqrt()?.recip()?.flatten_all()?.to_vec1::<T>();
    Ok(Scales { rows: factors(rows)?, columns: factors(columns)? })
}

/// The update of the mean squares of a parameter that is no matrix. Its terms are the squares of its step.
#[derive(Clone, Copy)]
struct Squares {
    beta2: f64,
    added: f64,
}

impl Summed<3, 1> for Squares {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> ([X; 3], [X; 1]) {
        let square = square.decayed_with(self.beta2, g.clone().square().plus(self.added));
        let term = (g / square.clone().root()).square();
        ([weight, mean, square], [term])
    }
}

/// The mean of such steps, and the movement of the weights by it.
#[derive(Clone, Copy)]
struct Move {
    kept: f64,
    taken: f64,
    lr: f64,
    shrink: f64,
}

impl Formula<3> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> [X; 3] {
        let mean = mean.times(self.kept) + (g / square.clone().root()).times(self.taken);
        [weight.times(self.shrink) - mean.clone().times(self.lr), mean, square]
    }
}
