//! CAME: Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization" (ACL 2023), algorithm 2, in the form
//! of the package `came-pytorch`.

use candle_core::{Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed, square_sum};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::moments;
use super::variants::Decoupled;

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
        match factors(tensors.shape()) {
            _ if tensors.shape().elem_count() == 0 => Ok(()),
            Some(_) => self.update_matrix(tensors, step, shrink),
            None => {
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

    fn update_matrix(&self, tensors: &Update<'_>, step: &Step, shrink: f64) -> Result<()> {
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

/// Updates the means of rows and of columns of squares. Returns `matrix` divided by the root of their product over the mean
/// of all.
fn over_root(matrix: &Tensor, tensors: &Update<'_>, places: [usize; 2], square: &Tensor, kept: f64) -> Result<Tensor> {
    let rank = square.rank();
    let advanced = |index: usize, new: Tensor| {
        let mean = ((tensors.state(index)? * kept)? + (new * (1.0 - kept))?)?;
        tensors.set_state(index, &mean)?;
        Ok::<_, candle_core::Error>(mean)
    };
    let rows = advanced(places[0], square.mean_keepdim(rank - 1)?)?;
    let columns = advanced(places[1], square.mean_keepdim(rank - 2)?)?;
    let rows = rows.broadcast_div(&rows.mean_keepdim(rank - 2)?)?;
    // One after the other: the product of two small roots could be zero.
    matrix.broadcast_div(&rows.sqrt()?)?.broadcast_div(&columns.sqrt()?)
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
