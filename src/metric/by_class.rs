//! Precision, recall, F1 and balanced accuracy: the metrics that are functions of counts of each class.
//!
//! The numbers are those of scikit-learn with `zero_division=0`, and of torchmetrics: 0 for a class that is never
//! predicted (precision), that no row has (recall), or for both (F1). A mean over classes leaves out those which occur
//! neither among targets nor among predictions; a mean over labels has all of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_counts::{Average, ClassCounts, Figure};
use super::{Metric, Tally, Task, task};
use crate::loss::TargetKind;

/// Which tasks an average is for.
fn fits(average: Average, task: &Task) -> Result<(), String> {
    match (average, task.targets) {
        (Average::Positive, TargetKind::Classes { count: 2 }) => Ok(()),
        (Average::Positive, _) => {
            task::classes_or_labels(task)?;
            Err("is for two classes, of which class 1 is the one to find; for others add `_macro`, `_micro` or \
                 `_per_class` to its name"
                .to_owned())
        }
        (Average::Present, _) => task::classes(task),
        _ => task::classes_or_labels(task),
    }
}

/// Declares the metrics with their figure, their average, and the name of the list of all classes' figures.
macro_rules! by_class {
    ($($(#[doc = $doc:literal])* $Name:ident => $figure:ident, $average:ident, $list:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $Name {}

        impl Metric for $Name {
            fn more_is_better() -> bool {
                true
            }

            fn check_task(&self, task: &Task) -> Result<(), String> {
                fits(Average::$average, task)
            }

            fn tally(&self) -> Box<dyn Tally> {
                Box::new(ClassCounts::new(Figure::$figure, Average::$average, $list))
            }
        }
    )*};
}

by_class! {
    /// The mean, over the classes that occur among targets, of the share of their rows that are classified correctly:
    /// scikit-learn's `balanced_accuracy_score`.
    BalancedAccuracy => Recall, Present, "";
    /// Of the rows classified as class 1 of two, the share that have it.
    Precision => Precision, Positive, "";
    /// Mean of the precision over classes or labels.
    PrecisionMacro => Precision, Macro, "";
    /// Precision of all decisions together; for one class a row it is the accuracy.
    PrecisionMicro => Precision, Micro, "";
    /// Lowest precision of a class or label, with the list of all as `precision_by_class`.
    PrecisionPerClass => Precision, PerClass, "precision_by_class";
    /// Of the rows of class 1 of two, the share that are classified as it.
    Recall => Recall, Positive, "";
    /// Mean of the recall over classes or labels.
    RecallMacro => Recall, Macro, "";
    /// Recall of all decisions together; for one class a row it is the accuracy.
    RecallMicro => Recall, Micro, "";
    /// Lowest recall of a class or label, with the list of all as `recall_by_class`.
    RecallPerClass => Recall, PerClass, "recall_by_class";
    /// Harmonic mean of precision and recall of class 1 of two.
    F1 => F1, Positive, "";
    /// Mean of the F1 over classes or labels.
    F1Macro => F1, Macro, "";
    /// F1 of all decisions together; for one class a row it is the accuracy.
    F1Micro => F1, Micro, "";
    /// Lowest F1 of a class or label, with the list of all as `f1_by_class`.
    F1PerClass => F1, PerClass, "f1_by_class";
}
