//! The batch sizes of a run that was resumed with others: each from the step of its resume on.

use serde::Deserialize;
use serde_json::Value;

use super::BatchSize;

/// The batch sizes that a checkpoint knows of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSizes<'a> {
    /// The number of updates made.
    pub step: u64,
    /// The size in the configuration of the checkpoint.
    pub saved: Option<&'a Value>,
    /// The changes of the configuration in each resume.
    pub history: Option<&'a Value>,
}

impl BatchSizes<'_> {
    /// Returns the first batch size of a run that continues with `now`, and the later ones, each with the step from which
    /// it counts.
    pub fn of_run(&self, now: BatchSize) -> (BatchSize, Vec<(u64, BatchSize)>) {
        let changes = self.changes();
        let first = changes.first().map(|(_, from, _)| *from).or(self.saved.and_then(read)).unwrap_or(now);
        let mut later: Vec<(u64, BatchSize)> = changes.into_iter().map(|(step, _, to)| (step, to)).collect();
        if later.last().map_or(first, |(_, size)| *size) != now {
            later.push((self.step, now));
        }
        (first, later)
    }

    /// The changes of earlier resumes: step, old and new size.
    fn changes(&self) -> Vec<(u64, BatchSize, BatchSize)> {
        let entries = self.history.and_then(Value::as_array).into_iter().flatten();
        let of_entry = |entry: &Value| {
            let changed = entry["changes"].as_array()?.iter().find(|change| change["key"] == "data.batch_size")?;
            Some((entry["step"].as_u64()?, read(&changed["from"])?, read(&changed["to"])?))
        };
        entries.filter_map(of_entry).collect()
    }
}

fn read(size: &Value) -> Option<BatchSize> {
    BatchSize::deserialize(size).ok()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_size_counts_from_the_resume_that_changed_it() {
        let rows = |rows| BatchSize::Rows(NonZeroUsize::new(rows).unwrap());
        let history = json!([
            {"step": 0, "taken_from": "another trainer"},
            {"step": 4, "changes": [{"key": "optimizer.lr", "from": 1, "to": 2}, {"key": "data.batch_size", "from": 8, "to": "all"}]},
            {"step": 9, "changes": [{"key": "data.batch_size", "from": "all", "to": 5}]},
        ]);
        let saved = json!(5);
        let sizes = BatchSizes { step: 12, saved: Some(&saved), history: Some(&history) };
        assert_eq!(sizes.of_run(rows(5)), (rows(8), vec![(4, BatchSize::All), (9, rows(5))]));
        assert_eq!(sizes.of_run(rows(6)).1.last(), Some(&(12, rows(6))));
        let unchanged = BatchSizes { history: None, ..sizes };
        assert_eq!(unchanged.of_run(rows(5)), (rows(5), Vec::new()));
        assert_eq!(unchanged.of_run(rows(6)), (rows(5), vec![(12, rows(6))]));
    }
}
