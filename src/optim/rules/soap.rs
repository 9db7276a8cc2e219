//! SOAP: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (ICLR 2025), algorithm 3, in the form of
//! `pytorch-optimizer`.

use candle_core::{DType, Device, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::basis::{Vectors, eigenvectors, orthonormal_operations, orthonormalize, product_operations};
use super::moments::{self, STATES, corrections, default_eps};
use super::paired::{Pair, paired};
use super::variants::at_least_1;
use crate::ops::{matmul, product_with_transpose};

/// Adam in the axes of the mean products of gradients, like `SOAP` of `pytorch-optimizer`: Vyas et al., ICLR 2025,
/// algorithm 3. Its first update only measures gradients. The axes are a part of the saved state. Parameters of more
/// than two dimensions are matrices of their first dimension and the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soap {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Decay rate of the mean products of gradients, in `[0, 1)`. By default the second beta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub shampoo_beta: Option<f64>,
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update multiplies the new weights by `1 - rate * weight_decay`.
    #[serde(default = "default_weight_decay")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Number of updates from one correction of the axes to the next.
    #[serde(default = "default_precondition_frequency", deserialize_with = "at_least_1")]
    #[schemars(range(min = 1))]
    pub precondition_frequency: u64,
    /// The largest side that has axes; a larger one keeps the axes of its weights.
    #[serde(default = "default_max_precondition_dim")]
    pub max_precondition_dim: usize,
    /// Whether vectors have axes too.
    #[serde(default)]
    pub precondition_1d: bool,
    /// Whether the moments are corrected as those of Adam.
    #[serde(default = "yes")]
    pub correct_bias: bool,
}

fn default_betas() -> [f64; 2] {
    [0.95, 0.95]
}

fn default_weight_decay() -> f64 {
    0.01
}

fn default_precondition_frequency() -> u64 {
    10
}

fn default_max_precondition_dim() -> usize {
    10_000
}

fn yes() -> bool {
    true
}

impl Default for Soap {
    fn default() -> Self {
        Self {
            lr: 3e-3,
            betas: default_betas(),
            shampoo_beta: None,
            eps: default_eps(),
            weight_decay: default_weight_decay(),
            precondition_frequency: default_precondition_frequency(),
            max_precondition_dim: default_max_precondition_dim(),
            precondition_1d: false,
            correct_bias: true,
        }
    }
}

/// The mean product of gradients of a side, its axes, and the name of each.
const SIDES: [[&str; 2]; 2] = [["gg_0", "q_0"], ["gg_1", "q_1"]];

impl UpdateRule for Soap {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        self.shampoo_beta.map_or(Ok(()), |beta| OptimError::require_share("shampoo_beta", beta))?;
        let frequency = self.precondition_frequency;
        OptimError::require("precondition_frequency", frequency, frequency > 0, "must be at least 1")
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "gg_0", "q_0", "gg_1", "q_1"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        let mut forms: Vec<StateForm> = STATES.iter().map(|name| StateForm::new(name, shape.clone())).collect();
        for ([product, axes], side) in SIDES.into_iter().zip(self.sides(shape)) {
            if let Some(side) = side {
                forms.extend([StateForm::new(product, (side, side)), StateForm::new(axes, (side, side))]);
            }
        }
        forms
    }

    /// The product of each side, three turns of a matrix by its axes, and a correction of these when it is due.
    fn operations(&self, shape: &Shape) -> u64 {
        let (rows, columns) = flat(shape);
        let of_side = |(side, other): (usize, usize)| {
            let (side, other) = (side as u64, other as u64);
            let correction = orthonormal_operations(side).saturating_add(product_operations([side; 3]));
            let products = product_operations([side, side, other]).saturating_mul(4);
            products.saturating_add(correction / self.precondition_frequency.max(1))
        };
        let sides = self.sides(shape).into_iter().zip([columns, rows]);
        sides.filter_map(|(side, other)| Some((side?, other))).map(of_side).fold(0, u64::saturating_add)
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let matrix = flat(tensors.shape());
        let gradient = tensors.gradient()?.reshape(matrix)?;
        let sides = self.sides_of(tensors)?;
        if step.updates_before == 0 {
            return self.begin(tensors, &gradient, &sides);
        }
        let mean = tensors.state(0)?.reshape(matrix)?;
        let mean = paired(MeanWith { share: 1.0 - step.momentum }, &mean, &gradient)?;
        let seen = turned(&gradient, &sides, Way::Into)?;
        let square = tensors.state(1)?.reshape(matrix)?;
        let square = paired(WithSquare { kept: self.betas[1] }, &square, &seen)?;
        let direction = paired(OverRoot { eps: self.eps }, &turned(&mean, &sides, Way::Into)?, &square)?;
        let moved = turned(&direction, &sides, Way::Back)?;
        let by = Moved { step_size: self.step_size(step), shrink: 1.0 - step.lr * step.weight_decay };
        let weights = paired(by, &tensors.weights()?.reshape(matrix)?, &moved)?;
        tensors.set_weights(&weights.reshape(tensors.shape())?)?;
        tensors.set_state(0, &mean.reshape(tensors.shape())?)?;
        let square = self.correct(tensors, &gradient, square, &sides, step)?;
        tensors.set_state(1, &square.reshape(tensors.shape())?)
    }
}

/// A running mean, of which the new number takes a share.
#[derive(Clone, Copy)]
struct MeanWith {
    share: f64,
}

impl Pair for MeanWith {
    #[inline(always)]
    fn of<X: Number>(self, mean: X, new: X) -> X {
        mean.mean_with(new, self.share)
    }
}

/// A running mean of squares.
#[derive(Clone, Copy)]
struct WithSquare {
    kept: f64,
}

impl Pair for WithSquare {
    #[inline(always)]
    fn of<X: Number>(self, mean: X, new: X) -> X {
        mean.decayed_with(self.kept, new.square())
    }
}

/// A number by the root of another.
#[derive(Clone, Copy)]
struct OverRoot {
    eps: f64,
}

impl Pair for OverRoot {
    #[inline(always)]
    fn of<X: Number>(self, mean: X, square: X) -> X {
        mean / square.root().plus(self.eps)
    }
}

/// A weight after its step.
#[derive(Clone, Copy)]
struct Moved {
    step_size: f64,
    shrink: f64,
}

impl Pair for Moved {
    #[inline(always)]
    fn of<X: Number>(self, weight: X, direction: X) -> X {
        (weight - direction.times(self.step_size)).times(self.shrink)
    }
}

/// A side of a parameter that has axes: the places of its product and of its axes among the states, and the axes.
struct Side {
    product: usize,
    axes: Tensor,
}

/// Into the axes, or back from them.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Into,
    Back,
}

/// Returns the two dimensions as which a parameter is updated.
pub(super) fn flat(shape: &Shape) -> (usize, usize) {
    let rows = shape.dims().first().copied().unwrap_or(1);
    (rows, shape.elem_count() / rows.max(1))
}

impl Soap {
    /// Returns the lengths of the sides that have axes.
    fn sides(&self, shape: &Shape) -> [Option<usize>; 2] {
        let (rows, columns) = flat(shape);
        let has_axes = |side: usize| (1..=self.max_precondition_dim).contains(&side).then_some(side);
        match shape.rank() {
            0 => [None, None],
            1 if self.precondition_1d => [has_axes(rows), None],
            1 => [None, None],
            _ => [has_axes(rows), has_axes(columns)],
        }
    }

    fn sides_of(&self, tensors: &Update<'_>) -> Result<[Option<Side>; 2]> {
        let mut next = STATES.len();
        let mut found = [None, None];
        for (side, length) in found.iter_mut().zip(self.sides(tensors.shape())) {
            if length.is_some() {
                *side = Some(Side { product: next, axes: tensors.state(next + 1)? });
                next += 2;
            }
        }
        Ok(found)
    }

    fn shampoo_beta(&self) -> f64 {
        self.shampoo_beta.unwrap_or(self.betas[1])
    }

    /// Returns the size of a step; the first update made none.
    fn step_size(&self, step: &Step) -> f64 {
        match self.correct_bias {
            true => {
                let [first, second] = corrections([step.momentum, self.betas[1]], step.updates_before - 1);
                step.lr * second.sqrt() / first
            }
            false => step.lr,
        }
    }

    /// Sets the first products and their eigenvectors, without a step.
    fn begin(&self, tensors: &Update<'_>, gradient: &Tensor, sides: &[Option<Side>; 2]) -> Result<()> {
        for (number, side) in sides.iter().enumerate() {
            let Some(side) = side else { continue };
            let product = (product_of(gradient, number)? * (1.0 - self.shampoo_beta()))?;
            let axes = eigenvectors(to_host(&product)?);
            tensors.set_state(side.product, &product)?;
            tensors.set_state(side.product + 1, &from_host(axes, &product)?)?;
        }
        Ok(())
    }

    /// Updates the products of gradients and, when due, the axes; returns the mean squares in the order of the new
    /// axes.
    fn correct(
        &self,
        tensors: &Update<'_>,
        gradient: &Tensor,
        mut square: Tensor,
        sides: &[Option<Side>; 2],
        step: &Step,
    ) -> Result<Tensor> {
        let is_due = (step.updates_before + 1).is_multiple_of(self.precondition_frequency);
        for (number, side) in sides.iter().enumerate() {
            let Some(side) = side else { continue };
            let product = tensors.state(side.product)?;
            let new = product_of(gradient, number)?;
            let product = paired(MeanWith { share: 1.0 - self.shampoo_beta() }, &product, &new)?;
            tensors.set_state(side.product, &product)?;
            if is_due {
                let (axes, order) = next_axes(&product, &side.axes)?;
                tensors.set_state(side.product + 1, &axes)?;
                square = square.index_select(&order, number)?;
            }
        }
        Ok(square)
    }
}

/// Returns the product of a gradient with its transpose, over the other side.
pub(super) fn product_of(gradient: &Tensor, side: usize) -> Result<Tensor> {
    product_with_transpose(&if side == 0 { gradient.clone() } else { gradient.t()? })
}

/// Returns a matrix in the axes of its sides, or back from them.
fn turned(matrix: &Tensor, [rows, columns]: &[Option<Side>; 2], way: Way) -> Result<Tensor> {
    let mut turned = matrix.clone();
    if let Some(side) = rows {
        let axes = if way == Way::Into { side.axes.t()? } else { side.axes.clone() };
        turned = matmul(&axes, &turned)?;
    }
    if let Some(side) = columns {
        let axes = if way == Way::Into { side.axes.clone() } else { side.axes.t()? };
        turned = matmul(&turned, &axes)?;
    }
    Ok(turned)
}

/// Returns the axes after a step of the power iteration, largest first, and the place of each among those before.
fn next_axes(product: &Tensor, axes: &Tensor) -> Result<(Tensor, Tensor)> {
    let images = matmul(product, axes)?;
    let values = (axes * &images)?.sum(0)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]));
    let order = Tensor::new(order, product.device())?;
    let images = to_host(&images.t()?.contiguous()?.index_select(&order, 0)?)?;
    Ok((from_host(orthonormalize(images), product)?, order))
}

/// Returns the rows of a square matrix.
pub(super) fn to_host(matrix: &Tensor) -> Result<Vectors> {
    let numbers = matrix.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(Vectors { length: matrix.dim(1)?, numbers })
}

/// Returns the matrix with these columns, like another.
fn from_host(columns: Vectors, like: &Tensor) -> Result<Tensor> {
    let rows = Tensor::from_vec(columns.numbers, like.shape(), &Device::Cpu)?;
    rows.t()?.contiguous()?.to_dtype(like.dtype())?.to_device(like.device())
}
