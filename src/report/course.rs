//! Next steps of a run: its next update, save and validation.

use serde::Serialize;
use serde_json::Value;

use crate::data::Epochs;
use crate::train::Interval;
use crate::train::recurring::Recurring;

/// Next steps of a run after a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// Whether all its updates are made.
    pub is_finished: bool,
    /// The epoch of the next update, counted from 1.
    pub epoch: Option<u64>,
    /// The time of the next save.
    pub next_save: Option<Due>,
    /// The time of the next validation.
    pub next_validation: Option<Due>,
}

/// The time of a save or validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Due {
    /// After this number of updates.
    Step(u64),
    /// At an interval of wall-clock time, in minutes.
    Minutes(f64),
}

impl Course {
    /// Computes the next steps from `step`, for the configuration `config`.
    pub(super) fn from_step(step: u64, total: Option<u64>, epochs: Option<&Epochs>, config: &Value) -> Self {
        let is_finished = total.is_some_and(|total| step >= total);
        let due = |table: &str| {
            let every: Interval = config[table]["every"].as_str()?.parse().ok()?;
            let due = due(every, step, epochs)?;
            let is_within = match due {
                Due::Step(step) => total.is_none_or(|total| step <= total),
                Due::Minutes(_) => true,
            };
            (is_within && !is_finished).then_some(due)
        };
        Self {
            is_finished,
            epoch: epochs.map(|epochs| epochs.whole(step).saturating_add(1)),
            next_save: due("checkpoint"),
            next_validation: due("validation").filter(|due| validates(config) && matches!(due, Due::Step(_))),
        }
    }
}

/// Whether the configuration asks for validation rows; files found without being named do not count.
fn validates(config: &Value) -> bool {
    let data = &config["data"];
    let share = data["validation"].as_f64();
    let named = ["validation_path", "validation_images", "fold"].iter().any(|name| !data[name].is_null());
    named || share != Some(0.0)
}

/// Returns the end of the current interval after `step` updates.
fn due(every: Interval, step: u64, epochs: Option<&Epochs>) -> Option<Due> {
    let unknown = Epochs::of_length(1);
    match every {
        Interval::Steps(_) => Recurring::of(every, 0, epochs.unwrap_or(&unknown))?.after(step).map(Due::Step),
        Interval::Epochs(_) => Recurring::of(every, 0, epochs?)?.after(step).map(Due::Step),
        Interval::Minutes(minutes) => Some(Due::Minutes(minutes)),
        // A save at least every ten minutes; the validations of a run are recorded in steps.
        Interval::Auto => Some(Due::Minutes(10.0)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn course(step: u64, save: &str, validation: f64) -> Course {
        let config = json!({
            "checkpoint": {"every": save},
            "validation": {"every": "2 epochs"},
            "data": {"validation": validation},
        });
        Course::from_step(step, Some(100), Some(&Epochs::of_length(10)), &config)
    }

    #[test]
    fn the_next_save_and_validation_are_those_after_the_step() {
        let expected = Course {
            is_finished: false,
            epoch: Some(3),
            next_save: Some(Due::Step(28)),
            next_validation: Some(Due::Step(40)),
        };
        assert_eq!(course(21, "7 steps", 0.1), expected);
        assert_eq!(course(20, "10 minutes", 0.0).next_save, Some(Due::Minutes(10.0)));
        assert_eq!(course(20, "10 minutes", 0.0).next_validation, None);
    }

    #[test]
    fn nothing_is_due_beyond_the_end() {
        assert_eq!(course(95, "7 steps", 0.1).next_save, Some(Due::Step(98)));
        assert_eq!(course(98, "7 steps", 0.1).next_save, None);
        let ended = course(100, "10 minutes", 0.1);
        assert_eq!((ended.is_finished, ended.next_save, ended.next_validation), (true, None, None));
    }
}
