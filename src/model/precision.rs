//! The key `precision` of a configuration.

use std::fmt;

use candle_core::DType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Policy;

/// The number type in which the layers of a model compute. Weights, the optimizer's state and the model's outputs are
/// in f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 24 significant bits.
    #[default]
    F32,
    /// 8 significant bits, and the range of f32.
    Bf16,
    /// 11 significant bits, and numbers from 6e-8 to 65,504: small gradients need a loss scale.
    F16,
}

impl Precision {
    /// Returns the number type.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// Returns the number types of a model.
    pub fn policy(self) -> Policy {
        Policy { compute: self.dtype(), ..Policy::default() }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype().as_str())
    }
}
