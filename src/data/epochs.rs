//! How many epochs a number of updates makes: by the batch sizes of the run, which a resume may have changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The epochs of a run as a function of its updates.
///
/// Epochs advance evenly between its points, and after the last one by one epoch in each [`Epochs::steps_per_epoch`]
/// updates. It has a point at each change of the batch size, and at both ends of the epoch in which that was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Epochs {
    /// Numbers of updates, in ascending order, each with the epochs that they make. The first is 0 updates.
    points: Vec<Point>,
    steps_per_epoch: u64,
}

/// A number of updates, and the epochs that they make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point(pub u64, pub f64);

impl Epochs {
    /// The field of a checkpoint that has the points, if there is more than the first.
    pub const FIELD: &'static str = "epochs";

    /// Returns those of a run with epochs of one length.
    pub fn of_length(steps_per_epoch: u64) -> Self {
        Self { points: vec![Point(0, 0.0)], steps_per_epoch: steps_per_epoch.max(1) }
    }

    /// Returns those of a checkpoint with these fields; `None` if it does not tell the length of an epoch.
    pub fn of_checkpoint<'a>(field: impl Fn(&str) -> Option<&'a Value>) -> Option<Self> {
        let number = |name: &str| field(name).and_then(Value::as_u64);
        let epochs = Self::of_length(number("steps_per_epoch").filter(|&steps| steps > 0)?);
        let saved = field(Self::FIELD).and_then(|points| Vec::<Point>::deserialize(points).ok());
        let saved = saved.filter(|points| Self::are_points(points));
        // Checkpoints of earlier versions tell only when the epoch began.
        let began = || Some(Point(number("epoch_began")?, number("epoch")? as f64));
        Some(match saved {
            Some(points) => Self { points, ..epochs },
            None => Self { points: epochs.points.into_iter().chain(began()).collect(), ..epochs },
        })
    }

    /// Changes the length of an epoch after `step` updates, which is not before an earlier change. The epoch in which that
    /// is `began` with the first of these points, and has `rest` more updates.
    pub fn changed_at(mut self, step: u64, began: Point, rest: u64, steps_per_epoch: u64) -> Self {
        let here = Point(step, self.after(step));
        self.points.retain(|point| point.0 <= step);
        let is_inside = step > began.0;
        let end = is_inside.then(|| Point(step.saturating_add(rest), began.1 + 1.0));
        for point in [Some(began), Some(here), end].into_iter().flatten() {
            if self.points.last().is_none_or(|last| last.0 <= point.0 && last != &point && last.1 <= point.1) {
                self.points.push(point);
            }
        }
        Self { steps_per_epoch: steps_per_epoch.max(1), ..self }
    }

    /// Whether a checkpoint can have them: the file may be damaged or made by hand.
    fn are_points(points: &[Point]) -> bool {
        let ascends = |pair: &[Point]| matches!(pair, [a, b] if a.0 <= b.0 && a.1 <= b.1);
        points.first() == Some(&Point(0, 0.0))
            && points.windows(2).all(ascends)
            && points.iter().all(|p| p.1.is_finite())
    }

    /// Returns the points, with the epochs that the updates make.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Whether all epochs have one length.
    pub fn are_even(&self) -> bool {
        self.points.len() < 2
    }

    /// Returns the number of updates in an epoch, of those that begin with the last batch size.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Returns the epochs that `done` updates make, with the fraction of the one that has begun.
    pub fn after(&self, done: u64) -> f64 {
        let next = self.points.partition_point(|point| point.0 <= done);
        let Point(step, epochs) = self.points.get(next.saturating_sub(1)).copied().unwrap_or(Point(0, 0.0));
        let within = (done - step.min(done)) as f64;
        match self.points.get(next) {
            // In this order it is exact where an epoch ends.
            Some(end) => epochs + (end.1 - epochs) * within / (end.0 - step) as f64,
            None => epochs + within / self.steps_per_epoch as f64,
        }
    }

    /// Returns the number of whole epochs that `done` updates make: the epoch of the next update, counted from 0.
    pub fn whole(&self, done: u64) -> u64 {
        self.after(done) as u64
    }

    /// Returns the epoch of the last of `done` updates, counted from 1; 0 without an update.
    pub fn begun(&self, done: u64) -> u64 {
        self.after(done).ceil() as u64
    }

    /// Returns the updates made in the epoch that has begun after `done`, and the updates of all of it.
    pub fn within(&self, done: u64) -> (u64, u64) {
        let epoch = self.whole(done);
        let (began, end) = (self.steps_of(epoch as f64), self.steps_of(epoch.saturating_add(1) as f64));
        (done.saturating_sub(began), end.saturating_sub(began))
    }

    /// Returns the number of updates from which on all epochs have one length.
    pub fn even_from(&self) -> u64 {
        self.points.last().map_or(0, |point| point.0)
    }

    /// Returns the number of updates that make `epochs`.
    pub fn steps_of(&self, epochs: f64) -> u64 {
        let next = self.points.partition_point(|point| point.1 <= epochs);
        let Point(step, before) = self.points.get(next.saturating_sub(1)).copied().unwrap_or(Point(0, 0.0));
        let share = epochs - before;
        let steps = match self.points.get(next) {
            Some(end) => share * (end.0 - step) as f64 / (end.1 - before),
            None => share * self.steps_per_epoch as f64,
        };
        step.saturating_add(steps.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(fields: &Value) -> Option<Epochs> {
        Epochs::of_checkpoint(|name| fields.get(name))
    }

    /// Four updates an epoch; from update 6 on seven, of which four were left in the second epoch.
    #[test]
    fn an_epoch_in_which_the_batch_size_was_changed_has_the_updates_of_both() {
        let epochs = of(&json!({"steps_per_epoch": 7, "epochs": [[0, 0.0], [6, 1.5], [10, 2.0]]})).unwrap();
        assert_eq!([0, 2, 4, 6, 8, 10, 17].map(|done| epochs.after(done)), [0.0, 0.5, 1.0, 1.5, 1.75, 2.0, 3.0]);
        assert_eq!([0, 1, 4, 5, 10, 11, 17].map(|done| epochs.begun(done)), [0, 1, 1, 2, 2, 3, 3]);
        assert_eq!([3, 8, 10, 16].map(|done| epochs.within(done)), [(3, 4), (4, 6), (0, 7), (6, 7)]);
    }

    #[test]
    fn without_a_change_an_epoch_is_the_same_number_of_updates() {
        let epochs = of(&json!({"steps_per_epoch": 3})).unwrap();
        assert!(epochs.are_even());
        for done in 0..3_000 {
            let found = (epochs.whole(done), epochs.begun(done), epochs.within(done));
            assert_eq!(found, (done / 3, done.div_ceil(3), (done % 3, 3)));
        }
        assert_eq!(of(&json!({"epoch": 3})), None);
    }

    #[test]
    fn an_earlier_checkpoint_tells_when_its_epoch_began_and_bad_points_are_ignored() {
        let epochs = of(&json!({"steps_per_epoch": 7, "epoch": 1, "epoch_began": 4})).unwrap();
        assert_eq!([4, 11].map(|done| epochs.after(done)), [1.0, 2.0]);
        for points in [json!([]), json!([[0, 0.0], [5, 2.0], [4, 3.0]]), json!([[1, 0.5]]), json!("all")] {
            let epochs = of(&json!({"steps_per_epoch": 7, "epochs": points})).unwrap();
            assert_eq!((epochs.after(14), epochs.are_even()), (2.0, true), "{points}");
        }
    }
}
