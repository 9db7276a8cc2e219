//! Which parameters weight decay applies to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The parameters that weight decay applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decay {
    /// All parameters.
    #[default]
    All,
    /// Parameters of two or more dimensions; biases and the scales of norms have one, and do not decay.
    Matrices,
}

impl Decay {
    pub(crate) fn includes(self, dimensions: usize) -> bool {
        self == Self::All || dimensions >= 2
    }
}
