//! The catalogue of metrics, and which of them grow as the model gets better.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Accuracy, Auroc, AveragePrecision, BalancedAccuracy, BitsPerByte, BrierScore, CalibrationError, ConfusionMatrix,
    F1, F1Macro, F1Micro, F1PerClass, MeanAbsoluteError, Metric, Perplexity, Precision, PrecisionMacro, PrecisionMicro,
    PrecisionPerClass, QuantileLoss, RSquared, Recall, RecallMacro, RecallMicro, RecallPerClass, RootMeanSquaredError,
    TopKAccuracy,
};
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
    "accuracy" => Accuracy, "The share of right classes, or of rows whose labels are all right; measured anyway.";
    "auroc" => Auroc, "The area under the receiver operating characteristic.";
    "average_precision" => AveragePrecision, "The precision at each threshold, weighted by the growth of the recall.";
    "balanced_accuracy" => BalancedAccuracy, "The mean over the classes of the share of their rows that are right.";
    "bits_per_byte" => BitsPerByte, "The cross-entropy of text in bits for each byte of it.";
    "brier_score" => BrierScore, "The mean squared distance of probabilities from the truth.";
    "calibration_error" => CalibrationError, "The distance between predicted probabilities and observed shares.";
    "confusion_matrix" => ConfusionMatrix, "Counts of true and predicted classes, as a list; as a number the error rate.";
    "f1" => F1, "The harmonic mean of precision and recall, for class 1 of two.";
    "f1_macro" => F1Macro, "The mean of the F1 of classes or labels.";
    "f1_micro" => F1Micro, "The F1 of all decisions together.";
    "f1_per_class" => F1PerClass, "The lowest F1 of a class or label, with the list of all.";
    "mean_absolute_error" => MeanAbsoluteError, "The mean distance of outputs from values.";
    "perplexity" => Perplexity, "The exponential of the mean cross-entropy.";
    "precision" => Precision, "Of the rows classified as class 1 of two, the share that have it.";
    "precision_macro" => PrecisionMacro, "The mean of the precision of classes or labels.";
    "precision_micro" => PrecisionMicro, "The precision of all decisions together.";
    "precision_per_class" => PrecisionPerClass, "The lowest precision of a class or label, with the list of all.";
    "quantile_loss" => QuantileLoss, "The pinball loss of a quantile.";
    "r2" => RSquared, "The share of the targets' variance that is explained.";
    "recall" => Recall, "Of the rows of class 1 of two, the share that are classified as it.";
    "recall_macro" => RecallMacro, "The mean of the recall of classes or labels.";
    "recall_micro" => RecallMicro, "The recall of all decisions together.";
    "recall_per_class" => RecallPerClass, "The lowest recall of a class or label, with the list of all.";
    "root_mean_squared_error" => RootMeanSquaredError, "The root of the mean squared distance of outputs from values.";
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
    // `validation_loss` exists already.
    if name == "loss" {
        return Err(KindError::Taken { what: "figure", name });
    }
    let kind = Kind::<dyn Metric>::own::<T>(name, &["kind"], |metric| Arc::new(metric))?;
    REGISTRY.register(kind)?;
    direct(name, T::more_is_better());
    Ok(())
}
