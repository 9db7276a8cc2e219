//! The tensors of a peer's model: weights, buffers and averages.

use super::setting::Setting;
use crate::peers::tensor::Tensor;

/// Weights by name, as the file has them.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Tensors in the order of the file. Buffers, such as the mean of a batch norm, are among them.
    pub tensors: Vec<Named>,
    /// Whether this order is the one in which the parameters were registered: yes for a pickled `state_dict`, no for a
    /// file sorted by name.
    pub in_order: bool,
    /// Names in a second place for a tensor that is already in the list: tied weights. (further name, name in the list)
    pub tied: Vec<(String, String)>,
}

/// A tensor with its name.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name in the file, with any prefix.
    pub name: String,
    /// Its numbers.
    pub tensor: Tensor,
    /// Whether a matrix is stored as `[in, out]`, the transpose of PyTorch's order; its moments are then too.
    pub in_out: bool,
    /// Whether it is known to be a buffer, which no optimizer updates.
    pub buffer: bool,
}

impl Named {
    /// Returns a tensor in PyTorch's order that is not known to be a buffer.
    pub fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        Self { name: name.into(), tensor, in_out: false, buffer: false }
    }
}

/// Averages of the weights.
#[derive(Clone, Debug)]
pub struct Averages {
    /// Their place in the file.
    pub place: String,
    /// The averaged tensors, under the names of the weights where that can be told.
    pub tensors: Vec<Named>,
    /// The number of averaged states, where the file has it.
    pub count: Option<u64>,
    /// The decay of an exponential average, where the file has it.
    pub decay: Option<f64>,
}

/// A model's configuration in the peer's words.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The kind, such as `gpt2`, `Sequential`, `nanogpt`.
    pub kind: String,
    /// Its settings.
    pub settings: Vec<(String, Setting)>,
}
