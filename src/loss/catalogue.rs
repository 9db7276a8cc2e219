//! The catalogue of losses.

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AbsoluteError, BinaryCrossEntropy, CrossEntropy, Custom, Focal, Huber, Loss, MeanSquaredError, Poisson};
use crate::KindError;
use crate::registry::{Kind, Named, Registry};

/// Lists the losses, their types, and a sentence about each for the reference.
macro_rules! catalogue {
    ($($name:literal => $Loss:ident, $doc:literal;)*) => {
        static REGISTRY: LazyLock<Registry<dyn Loss>> = LazyLock::new(|| {
            Registry::new("loss", "loss", vec![$(Kind::new::<$Loss>($name, $doc, |loss| Arc::new(loss))),*])
        });
    };
}

catalogue! {
    "mse" => MeanSquaredError, "Mean squared error for values.";
    "cross_entropy" => CrossEntropy, "Cross-entropy with one logit per class.";
    "mae" => AbsoluteError, "Mean absolute error for values.";
    "huber" => Huber, "Huber loss for values: quadratic near the target, linear far from it.";
    "poisson" => Poisson, "Poisson loss for counts; outputs are logarithms of expected counts.";
    "binary_cross_entropy" => BinaryCrossEntropy, "Binary cross-entropy of a logit against two classes or each label.";
    "focal" => Focal, "Focal loss with one logit per class.";
    "custom" => Custom, "A loss that the training program passes as a value.";
}

impl Named for dyn Loss {
    fn registry() -> &'static Registry<Self> {
        &REGISTRY
    }
}

/// Registers the losses of type `T` as `name`, for the lifetime of the program: `loss.kind` in a configuration. A
/// program that resumes such a run must register it before it reads the configuration or the checkpoint.
///
/// # Errors
/// The name is invalid or taken, the type already has a name, or it is not a struct with named fields.
pub fn register<T: Loss + Serialize + DeserializeOwned>(name: &'static str) -> std::result::Result<(), KindError> {
    let kind = Kind::<dyn Loss>::own::<T>(name, &["kind"], |loss| Arc::new(loss))?;
    REGISTRY.register(kind)
}
