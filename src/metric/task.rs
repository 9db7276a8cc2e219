//! The task that metrics are computed for, and which targets each kind of metric takes.

use std::sync::Arc;

use super::Metric;
use crate::loss::TargetKind;
use crate::registry::Named;

/// The task of a run, as metrics see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// The targets.
    pub targets: TargetKind,
    /// Whether the targets are values that are each 0 or 1, and the outputs their logits.
    pub are_labels: bool,
    /// The number of bytes of text that each token stands for, if the data is text.
    pub token_bytes: Option<Arc<[u32]>>,
}

impl Task {
    /// Creates the task of predicting these targets.
    pub fn new(targets: TargetKind) -> Self {
        Self { targets, are_labels: false, token_bytes: None }
    }

    /// The same task, in which values are labels that are each 0 or 1, if `are_labels`.
    #[must_use]
    pub fn of_labels(self, are_labels: bool) -> Self {
        let are_labels = are_labels && matches!(self.targets, TargetKind::Values { .. });
        Self { are_labels, ..self }
    }

    /// The same task, of text whose tokens stand for these numbers of bytes.
    #[must_use]
    pub fn of_text(self, token_bytes: Option<Vec<u32>>) -> Self {
        Self { token_bytes: token_bytes.map(Arc::from), ..self }
    }

    /// Returns the names of the metrics that are computed for such a task with their usual settings.
    pub(crate) fn metrics(&self) -> Vec<&'static str> {
        let fits = |metric: &dyn Metric| metric.check_task(self).is_ok();
        let kinds = <dyn Metric>::registry().all().into_iter();
        let fitting = kinds.filter(|kind| kind.choose(Default::default()).is_ok_and(|kind| fits(&**kind.get())));
        fitting.map(|kind| kind.name).collect()
    }
}

/// Refuses targets that are not values.
pub(super) fn values(task: &Task) -> Result<(), String> {
    match task.targets {
        TargetKind::Values { .. } if task.are_labels => Err("is for values, not labels that are 0 or 1".to_owned()),
        TargetKind::Values { .. } => Ok(()),
        TargetKind::Classes { .. } => Err("is for values, not classes".to_owned()),
    }
}

/// Refuses targets that are not one class.
pub(super) fn classes(task: &Task) -> Result<(), String> {
    match task.targets {
        TargetKind::Classes { .. } => Ok(()),
        TargetKind::Values { .. } if task.are_labels => Err("is for one class a row, not several labels".to_owned()),
        TargetKind::Values { .. } => Err("is for classes, not values".to_owned()),
    }
}

/// Refuses values that are not labels.
pub(super) fn classes_or_labels(task: &Task) -> Result<(), String> {
    if task.are_labels { Ok(()) } else { classes(task) }
}

/// Refuses more classes than `most`, whose numbers would take too much memory.
pub(super) fn few_classes(task: &Task, most: usize) -> Result<(), String> {
    match task.targets {
        TargetKind::Classes { count } if count > most => {
            Err(format!("is for at most {most} classes, because of its memory; the data has {count}"))
        }
        _ => Ok(()),
    }
}
