//! How a peer treats gradients before an update: clipping and the loss scale.

/// Clipping of gradients before an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clipping {
    /// The file says that there is none.
    Off,
    /// By the norm of all gradients: `g * most / (norm + eps)` where the norm is above `most`.
    Norm {
        /// The largest norm.
        most: f64,
        /// The number added to the norm: 1e-6 in PyTorch, 0 elsewhere.
        eps: f64,
    },
    /// By the norm of each gradient apart: `g * most / norm` where its norm is above `most` (Keras' `clipnorm`).
    NormOfEach {
        /// The largest norm.
        most: f64,
    },
    /// Each number of a gradient, to at most `most` and at least `-most`.
    Value {
        /// The largest size of a number.
        most: f64,
    },
    /// The file does not say.
    Unknown,
}

/// A dynamic loss scale, of training in f16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The scale.
    pub scale: f64,
    /// Factor of growth.
    pub growth_factor: f64,
    /// Factor after an overflow.
    pub backoff_factor: f64,
    /// Updates without an overflow between two growths.
    pub growth_interval: u64,
    /// Updates since the last change.
    pub since: u64,
}
