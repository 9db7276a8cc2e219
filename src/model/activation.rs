//! Nonlinearities between layers.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops;

/// The nonlinearity between two layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `x Φ(x)` with the exact normal distribution function, like `torch.nn.GELU`: Hendrycks and Gimpel, 2016.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The nonlinearity applied to each element.
    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => ops::relu(x),
            Self::Gelu => ops::gelu(x),
            Self::Tanh => ops::tanh(x),
        }
    }
}
