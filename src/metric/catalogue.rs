//! The catalogue of metrics, and which of them grow as the model gets better.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MeanAbsoluteError, Metric, TopKAccuracy};
use crate::KindError;
use crate::registry::{Kind, Named, Registry};

/// The names of metrics that grow as the model gets better, and those that fall.
static DIRECTIONS: RwLock<Vec<(&'static str, bool)>> = RwLock::new(Vec::new());

/// Names the metrics, their types, and a sentence about each for the reference.
macro_rules! catalogue {
    ($($name:literal => $Metric:ident, $doc:literal;)*) => {
        static REGISTRY: LazyLock<Registry<dyn Metric>> = LazyLock::new(|| {
            $(direct($name, <$Metric as Metric>::more_is_better());)*
            let kinds: Vec<Kind<dyn Metric>> = vec![$(Kind::new::<$Metric>($name, $doc, |metric| Arc::new(metric))),*];
            Registry::new("metric", "metric", kinds)
        });
    };
}

catalogue! {
    "mean_absolute_error" => MeanAbsoluteError, "The mean distance from the values.";
    "top_k_accuracy" => TopKAccuracy, "The share of targets whose class is among the `k` most probable ones.";
}

fn direct(name: &'static str, more_is_better: bool) {
    DIRECTIONS.write().unwrap_or_else(PoisonError::into_inner).push((name, more_is_better));
}

/// Whether the metric of this name grows as the model gets better.
pub(crate) fn more_is_better(name: &str) -> bool {
    let directions = DIRECTIONS.read().unwrap_or_else(PoisonError::into_inner);
    directions.iter().any(|(known, more_is_better)| *known == name && *more_is_better)
}

impl Named for dyn Metric {
    fn registry() -> &'static Registry<Self> {
        &REGISTRY
    }
}

/// Makes the metrics of type `T` known as `name`, for the whole program and as long as it runs: in `validation.metrics`
/// of a configuration. A program that resumes such a run registers it before it reads configuration or checkpoint.
///
/// # Errors
/// The name is not one or is taken, the type has one, or it is not a struct with named fields.
pub fn register<T: Metric + Serialize + DeserializeOwned>(name: &'static str) -> std::result::Result<(), KindError> {
    // `validation_loss` and `validation_accuracy` are there already.
    if ["loss", "accuracy"].contains(&name) {
        return Err(KindError::Taken { what: "figure", name });
    }
    let kind = Kind::<dyn Metric>::own::<T>(name, &["kind"], |metric| Arc::new(metric))?;
    REGISTRY.register(kind)?;
    direct(name, T::more_is_better());
    Ok(())
}
