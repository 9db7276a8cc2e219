//! The number of rows of each class.

use super::{Dataset, RowSet, TargetKind};

/// Returns how many of `rows` have each class; `None` if the classes of rows are not known without reading them.
pub(crate) fn class_counts<D: Dataset + ?Sized>(dataset: &D, rows: &RowSet) -> Option<Vec<usize>> {
    let TargetKind::Classes { count } = dataset.targets() else { return None };
    let labels = dataset.labels()?;
    let mut counts = vec![0; count];
    for label in rows.iter().filter_map(|row| labels.get(row)) {
        counts.get_mut(*label as usize).into_iter().for_each(|count| *count += 1);
    }
    Some(counts)
}
