//! Shampoo: Gupta et al., "Shampoo: Preconditioned Stochastic Tensor Optimization" (ICML 2018), algorithm 1, in the form of
//! `pytorch-optimizer`.

use candle_core::{Device, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::basis::{eigen, eigen_operations, product_operations};
use super::moments::check_eps;
use super::soap::{flat, product_of, to_host};
use super::variants::at_least_1;
use crate::ops::{matmul, product_with_transpose};

/// Gradients by the roots of the sums of their products, one for each side of a matrix, like `Shampoo` of
/// `pytorch-optimizer`: Gupta et al., ICML 2018, algorithm 1. Parameters of more than two dimensions are matrices of their
/// first dimension and the others. The time of an update grows with the third power of a side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shampoo {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the last step in the gradient of the next, in `[0, 1)`.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The first sum of products is this multiple of the identity.
    #[serde(default = "default_matrix_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub matrix_eps: f64,
    /// Number of updates from one computation of the roots to the next. Directions that are new since then have roots of
    /// `matrix_eps`, with which steps are large.
    #[serde(default = "default_precondition_frequency", deserialize_with = "at_least_1")]
    #[schemars(range(min = 1))]
    pub precondition_frequency: u64,
    /// The largest side that has a sum of products; a larger one stays as it is.
    #[serde(default = "default_max_precondition_dim")]
    pub max_precondition_dim: usize,
}

fn default_matrix_eps() -> f64 {
    1e-6
}

fn default_precondition_frequency() -> u64 {
    1
}

fn default_max_precondition_dim() -> usize {
    1024
}

impl Default for Shampoo {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            momentum: 0.0,
            weight_decay: 0.0,
            matrix_eps: default_matrix_eps(),
            precondition_frequency: default_precondition_frequency(),
            max_precondition_dim: default_max_precondition_dim(),
        }
    }
}

/// The sum of products of each side, and its root.
const SIDES: [[&str; 2]; 2] = [["pre_cond_0", "inv_pre_cond_0"], ["pre_cond_1", "inv_pre_cond_1"]];

impl UpdateRule for Shampoo {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Momentum(self.momentum));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        check_eps(self.matrix_eps).map_err(|error| error.inside("matrix_"))?;
        let frequency = self.precondition_frequency;
        OptimError::require("precondition_frequency", frequency, frequency > 0, "must be at least 1")
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["momentum_buffer", "pre_cond_0", "inv_pre_cond_0", "pre_cond_1", "inv_pre_cond_1"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        let mut forms = vec![StateForm::new("momentum_buffer", shape.clone())];
        for (names, side) in SIDES.into_iter().zip(self.sides(shape)) {
            forms.extend(side.into_iter().flat_map(|side| names.map(|name| StateForm::new(name, (side, side)))));
        }
        forms
    }

    /// The product of each side, its root when it is due, and the product of the gradient with it.
    fn operations(&self, shape: &Shape) -> u64 {
        let (rows, columns) = flat(shape);
        let of_side = |(side, other): (usize, usize)| {
            let (side, other) = (side as u64, other as u64);
            let root = eigen_operations(side).saturating_add(product_operations([side; 3]));
            let products = product_operations([side, side, other]).saturating_mul(2);
            products.saturating_add(root / self.precondition_frequency.max(1))
        };
        let sides = self.sides(shape).into_iter().zip([columns, rows]);
        sides.filter_map(|(side, other)| Some((side?, other))).map(of_side).fold(0, u64::saturating_add)
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        if tensors.shape().elem_count() == 0 {
            return Ok(());
        }
        let weights = tensors.weights()?;
        let gradient = self.gradient(tensors, &weights, step)?.reshape(flat(tensors.shape()))?;
        let direction = self.preconditioned(tensors, &gradient, step)?.reshape(tensors.shape())?;
        tensors.set_weights(&(weights - (&direction * step.lr)?)?)?;
        tensors.set_state(0, &direction)
    }
}

impl Shampoo {
    /// Returns the lengths of the sides that have a sum of products.
    fn sides(&self, shape: &Shape) -> [Option<usize>; 2] {
        let (rows, columns) = flat(shape);
        let has_sum = |side: usize| (1..=self.max_precondition_dim).contains(&side).then_some(side);
        match shape.rank() {
            0 => [None, None],
            1 => [has_sum(rows), None],
            _ => [has_sum(rows), has_sum(columns)],
        }
    }

    /// Returns the gradient with its share of the last step, which the first update does not have, and with the decay.
    fn gradient(&self, tensors: &Update<'_>, weights: &Tensor, step: &Step) -> Result<Tensor> {
        let mut gradient = tensors.gradient()?;
        if step.momentum > 0.0 && step.updates_before > 0 {
            gradient = ((gradient * (1.0 - step.momentum))? + (tensors.state(0)? * step.momentum)?)?;
        }
        if step.weight_decay > 0.0 {
            gradient = (gradient + (weights * step.weight_decay)?)?;
        }
        Ok(gradient)
    }

    /// Adds the products of a gradient, and returns it by their roots.
    fn preconditioned(&self, tensors: &Update<'_>, gradient: &Tensor, step: &Step) -> Result<Tensor> {
        let sides = self.sides(tensors.shape());
        let power = -0.5 / sides.iter().flatten().count() as f64;
        let is_due = step.updates_before.is_multiple_of(self.precondition_frequency);
        let (mut direction, mut next) = (gradient.clone(), 1);
        for (number, side) in sides.into_iter().enumerate() {
            let Some(side) = side else { continue };
            let sum = match step.updates_before {
                0 => (Tensor::eye(side, gradient.dtype(), gradient.device())? * self.matrix_eps)?,
                _ => tensors.state(next)?,
            };
            let sum = (sum + product_of(gradient, number)?)?;
            tensors.set_state(next, &sum)?;
            if is_due {
                tensors.set_state(next + 1, &self.root(&sum, power)?)?;
            }
            let root = tensors.state(next + 1)?;
            direction = match number {
                0 => matmul(&root, &direction)?,
                _ => matmul(&direction, &root)?,
            };
            next += 2;
        }
        Ok(direction)
    }

    /// Returns a power of a sum of products, from its eigenvalues in f64. Rounding can leave some of these below
    /// `matrix_eps`, where none is.
    fn root(&self, sum: &Tensor, power: f64) -> Result<Tensor> {
        let (values, vectors) = eigen(to_host(sum)?);
        let side = values.len();
        let scales = values.iter().map(|value| value.max(self.matrix_eps).powf(power / 2.0));
        let scaled = vectors.iter().zip(scales).flat_map(|(vector, scale)| vector.iter().map(move |x| x * scale));
        // One eigenvector a row: the product of its transpose with it.
        let scaled = Tensor::from_vec(scaled.collect::<Vec<f64>>(), (side, side), &Device::Cpu)?;
        let root = product_with_transpose(&scaled.t()?)?;
        root.to_dtype(sum.dtype())?.to_device(sum.device())
    }
}
