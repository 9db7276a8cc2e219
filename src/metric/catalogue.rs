//! The catalogue of metrics, and which of them grow as the model gets better.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MeanAbsoluteError, Metric, TopKAccuracy};
use crate::KindError;
use crate::registry::{Kind, Named, Registry};

/// The names of metrics, and whether larger values are better.
static DIRECTIONS: RwLock<Vec<(&'static str, bool)>> = RwLock::new(Vec::new());

/// Lists the metrics, their types, and a sentence about each for the reference.
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
    "mean_absolute_error" => MeanAbsoluteError, "The mean distance of outputs from values.";
    "top_k_accuracy" => TopKAccuracy, "The share of targets whose class is among the `k` most probable ones.";
}

fn direct(name: &'static str, more_is_better: bool) {
    DIRECTIONS.write().unwrap_or_else(PoisonError::into_inner).push((name, more_is_better));
}

/// Whether larger values of the metric of this name are better.
pub(crate) fn more_is_better(name: &str) -> bool {
    // The first use of the catalogue makes the list.
    LazyLock::force(&REGISTRY);
    let directions = DIRECTIONS.read().unwrap_or_else(PoisonError::into_inner);
    directions.iter().any(|(known, more_is_better)| *known == name && *more_is_better)
}

impl Named for dyn Metric {
    fn registry() -> &'static Registry<Self> {
        &REGISTRY
    }
}

/// Registers the metrics of type `T` as `name`, for the lifetime of the program: in `validation.metrics` of a
/// configuration. A program that resumes such a run must register it before it reads the configuration or the
/// checkpoint.
///
/// # Errors
/// The name is invalid or taken, the type already has a name, or it is not a struct with named fields.
pub fn register<T: Metric + Serialize + DeserializeOwned>(name: &'static str) -> std::result::Result<(), KindError> {
    // `validation_loss` and `validation_accuracy` exist already.
    if ["loss", "accuracy"].contains(&name) {
        return Err(KindError::Taken { what: "figure", name });
    }
    let kind = Kind::<dyn Metric>::own::<T>(name, &["kind"], |metric| Arc::new(metric))?;
    REGISTRY.register(kind)?;
    direct(name, T::more_is_better());
    Ok(())
}
