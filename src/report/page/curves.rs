//! The numbers of a log as curves, thinned while they are read.

use std::path::Path;

use super::parsed::Parsed;
use super::thin::{Curve, Thinner};
use crate::report::log::{LogError, in_blocks, open};

/// The fields of a log line that are no curve.
pub(super) const OTHERS: [&str; 2] = ["step", "epoch"];

/// The curves of a log, by the names of its fields.
#[derive(Clone, Debug)]
pub struct Curves {
    /// Most buckets of a curve.
    most: usize,
    all: Vec<(String, Thinner)>,
    /// Number of the next step.
    steps: u64,
    /// Steps of an epoch, once the log shows the beginning of a second one after the first.
    steps_per_epoch: Option<u64>,
    /// The last step, and its epoch.
    newest: Option<(u64, u64)>,
}

impl Curves {
    /// Creates it for a log without lines. A curve will have at most `most` buckets of four points each.
    pub fn new(most: usize) -> Self {
        Self { most, all: Vec::new(), steps: 0, steps_per_epoch: None, newest: None }
    }

    /// Reads the log of the run at `run`, a directory, a URL or the log itself.
    ///
    /// # Errors
    /// There is no log, or it cannot be read.
    pub fn of_run(run: &Path, most: usize) -> Result<Self, LogError> {
        let mut curves = Self::new(most);
        in_blocks(open(run)?, Parsed::all_in, |block: Result<Vec<Parsed>, LogError>| {
            block?.iter().for_each(|parsed| parsed.take_into(&mut curves));
            Ok::<_, LogError>(())
        })?;
        Ok(curves)
    }

    /// Adds a line: its fields, each with its name and its value as JSON.
    pub fn take(&mut self, fields: &[(&str, &str)]) {
        let number = |name: &str| fields.iter().find(|(field, _)| *field == name)?.1.parse::<u64>().ok();
        let Some(step) = number("step") else { return };
        self.take_step(step, number("epoch"));
        let mut place = 0;
        for (name, value) in fields.iter().filter(|(name, _)| !OTHERS.contains(name)) {
            match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => {
                    for (element, value) in list.split(',').enumerate() {
                        self.push(&mut place, (name, Some(element)), step, value);
                    }
                }
                None => self.push(&mut place, (name, None), step, value),
            }
        }
    }

    /// Adds a point to a curve, which is usually the one after that of the last point: at `place`.
    fn push(&mut self, place: &mut usize, (name, element): (&str, Option<usize>), step: u64, value: &str) {
        let value = match value {
            "null" => f64::NAN,
            number => match number.parse() {
                Ok(number) => number,
                // A word.
                Err(_) => return,
            },
        };
        let found = self.place_of(*place, name, element);
        *place = found + 1;
        self.push_at(found, step, value);
    }

    /// Returns the place of a curve, which is added if it is new, and which is usually `expected`.
    pub(super) fn place_of(&mut self, expected: usize, name: &str, element: Option<usize>) -> usize {
        let is_it = |(known, _): &(String, Thinner)| match element {
            None => known == name,
            Some(element) => known.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| {
                // Without a text for each number of a million lines.
                rest.len() < 3 && rest.parse() == Ok(element)
            }),
        };
        let found = Some(expected).filter(|place| self.all.get(*place).is_some_and(is_it));
        found.or_else(|| self.all.iter().position(is_it)).unwrap_or_else(|| {
            let name = element.map_or_else(|| name.to_owned(), |element| format!("{name}.{element}"));
            self.all.push((name, Thinner::new(self.most)));
            self.all.len() - 1
        })
    }

    /// Adds a point to the curve at a place.
    pub(super) fn push_at(&mut self, place: usize, step: u64, value: f64) {
        if let Some((_, curve)) = self.all.get_mut(place) {
            curve.push(step, value);
        }
    }

    /// Notes that the log has a line of a step.
    pub(super) fn take_step(&mut self, step: u64, epoch: Option<u64>) {
        self.take_epoch(step, epoch);
        self.steps = self.steps.max(step.saturating_add(1));
    }

    fn take_epoch(&mut self, step: u64, epoch: Option<u64>) {
        let Some(epoch) = epoch else { return };
        if let Some((before, old)) = self.newest
            && self.steps_per_epoch.is_none()
            && (before + 1, old + 1) == (step, epoch)
            && old > 0
        {
            self.steps_per_epoch = Some(step / old).filter(|steps| *steps > 0);
        }
        self.newest = Some((step, epoch));
    }

    /// Returns the first step of which a point has changed since the last call; `None` if no point has.
    pub fn take_changed(&mut self) -> Option<u64> {
        self.all.iter_mut().filter_map(|(_, thinner)| thinner.take_changed()).min()
    }

    /// Returns the parts of the curves from a step on, without those that have no point there.
    pub fn curves_from(&self, from: u64) -> Vec<Curve> {
        self.all.iter().filter_map(|(name, thinner)| thinner.curve_from(name, from)).collect()
    }

    /// Returns the number of updates in the log.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the number of updates in an epoch, if the log has two.
    pub fn steps_per_epoch(&self) -> Option<u64> {
        self.steps_per_epoch
    }

    /// Returns the curves, in the order in which the log first has them.
    pub fn curves(&self) -> Vec<Curve> {
        self.all.iter().map(|(name, thinner)| thinner.curve(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_a_curve_for_each_number_and_each_element_of_its_lists() {
        let mut curves = Curves::new(100);
        curves.take(&[("step", "0"), ("epoch", "1"), ("lr", "[0.1,0.2]"), ("loss", "0.30000000000000004")]);
        curves.take(&[("step", "1"), ("epoch", "1"), ("lr", "[0.1,0.3]"), ("loss", "null"), ("skipped", "true")]);
        curves.take(&[("step", "2"), ("epoch", "2"), ("lr", "[0.1,0.3]"), ("val_loss", "1e-7"), ("loss", "2")]);
        let found: Vec<_> = curves.curves().into_iter().map(|curve| (curve.name, curve.x, curve.y)).collect();
        let expected = [
            ("lr.0", vec![0, 1, 1], vec![Some(0.1), Some(0.1), Some(0.1)]),
            ("lr.1", vec![0, 1, 1], vec![Some(0.2), Some(0.3), Some(0.3)]),
            ("loss", vec![0, 1, 1], vec![Some(0.300_000_000_000_000_04), None, Some(2.0)]),
            ("val_loss", vec![2], vec![Some(1e-7)]),
        ];
        assert_eq!(found, expected.map(|(name, x, y)| (name.to_owned(), x, y)));
        assert_eq!((curves.steps(), curves.steps_per_epoch()), (3, Some(2)));
    }
}
