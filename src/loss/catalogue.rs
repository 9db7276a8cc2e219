//! The catalogue of losses.

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BinaryCrossEntropy, CrossEntropy, Custom, Loss, MeanSquaredError};
use crate::KindError;
use crate::registry::{Kind, Named, Registry};

/// Names the losses, their types, and a sentence about each for the reference.
macro_rules! catalogue {
    ($($name:literal => $Loss:ident, $doc:literal;)*) => {
        static REGISTRY: LazyLock<Registry<dyn Loss>> = LazyLock::new(|| {
            Registry::new("loss", "loss", vec![$(Kind::new::<$Loss>($name, $doc, |loss| Arc::new(loss))),*])
        });
    };
}

catalogue! {
    "mse" => MeanSquaredError, "Mean squared error against values.";
    "cross_entropy" => CrossEntropy, "Cross-entropy of one logit for each class.";
    "binary_cross_entropy" => BinaryCrossEntropy, "Binary cross-entropy of a single logit against two classes.";
    "custom" => Custom, "A loss that the program which trains hands over as a value.";
}

impl Named for dyn Loss {
    fn registry() -> &'static Registry<Self> {
        &REGISTRY
    }
}

/// Makes the losses of type `T` known as `name`, for the whole program and as long as it runs: `loss.kind` in a
/// configuration. A program that resumes such a run registers it before it reads configuration or checkpoint.
///
/// # Errors
/// The name is not one or is taken, the type has one, or it is not a struct with named fields.
pub fn register<T: Loss + Serialize + DeserializeOwned>(name: &'static str) -> std::result::Result<(), KindError> {
    let kind = Kind::<dyn Loss>::own::<T>(name, &["kind"], |loss| Arc::new(loss))?;
    REGISTRY.register(kind)
}
