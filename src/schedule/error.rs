//! What can be wrong with a schedule: its text, its data, or its values.

use thiserror::Error;

use crate::nearest::nearest;

/// Why something is not a schedule, or not one that this run can follow.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The text form cannot be read; the message shows the text with a caret under the offending character.
    #[error("{message}\n{}", caret(text, *at))]
    Text {
        /// What was expected there.
        message: String,
        /// The whole text.
        text: String,
        /// Byte offset of the offending character.
        at: usize,
    },
    /// The data form cannot be read.
    #[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    Data {
        /// Where in the data, such as `schedules[1].eta_min`; empty for the schedule itself.
        path: String,
        /// What is wrong there.
        message: String,
    },
    /// A value with which there is no schedule, or none for this run.
    #[error("`{kind}`{}: {field} is {value}; {rule}", if place.is_empty() { String::new() } else { format!(" at {place}") })]
    Refused {
        /// The kind of schedule.
        kind: &'static str,
        /// Where the schedule stands inside the outermost one, such as `schedules[1]`; empty for that one itself.
        place: String,
        /// The parameter.
        field: String,
        /// Its value.
        value: String,
        /// What it would have to be.
        rule: String,
    },
    /// A schedule of one's own that has refused its parameters.
    #[error("`{kind}`{}: {message}", if place.is_empty() { String::new() } else { format!(" at {place}") })]
    Custom {
        /// The name that it is registered by.
        kind: &'static str,
        /// As in [`ScheduleError::Refused`].
        place: String,
        /// What it says.
        message: String,
    },
    /// A base rate that no schedule can start from.
    #[error("the base rate of group {group} is {value}; it must be a finite number and not negative")]
    BaseRate {
        /// Index of the parameter group.
        group: usize,
        /// The rate.
        value: f64,
    },
    /// A schedule whose rate is infinite or not a number somewhere in the run.
    #[error(
        "the rate of update {t} is {value} in group {group}, whose base rate is {base}; `{schedule}` must be finite over the whole run"
    )]
    NotFinite {
        /// The schedule.
        schedule: String,
        /// Number of the update.
        t: u64,
        /// Index of the parameter group.
        group: usize,
        /// Its base rate.
        base: f64,
        /// The rate.
        value: f64,
    },
    /// There is not one parameter group.
    #[error("there are no parameter groups; give one base rate for each")]
    NoGroups,
    /// The run's epochs have no steps, so nothing can count in epochs.
    #[error("steps_per_epoch is 0; an epoch has at least one step")]
    EmptyEpoch,
}

/// The line of `text` that holds byte `at`, and under it a caret at that byte.
pub(crate) fn caret(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let indent = before.get(start..).unwrap_or_default().chars().count();
    format!("  {line}\n  {:indent$}^", "")
}

/// A fault found while reading a schedule, on its way out to where the place of it can be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    message: String,
    path: String,
    at: Option<usize>,
    names_its_kind: bool,
}

impl Problem {
    /// A fault whose message is complete.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), path: String::new(), at: None, names_its_kind: true }
    }

    /// A value of the wrong type, to be completed by the kind that it was for.
    pub fn takes(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Self {
        let message = format!("takes {expected} here, not {found}");
        Self { names_its_kind: false, ..Self::new(message) }
    }

    /// Says that the fault lies at byte `at` of a text, unless something nearer to it has said so.
    pub fn at(mut self, at: Option<usize>) -> Self {
        self.at = self.at.or(at);
        self
    }

    /// Says for which kind the faulty value was, unless that is already said.
    pub fn of(mut self, kind: &str) -> Self {
        if !self.names_its_kind {
            self.message = format!("`{kind}` {}", self.message);
            self.names_its_kind = true;
        }
        self
    }

    /// Says that the fault lies inside `outer`, a field or an index in brackets.
    pub fn inside(mut self, outer: &str) -> Self {
        self.path = join(outer, &self.path);
        self
    }

    /// The error for a reader of data.
    pub fn in_data(self) -> ScheduleError {
        ScheduleError::Data { path: self.path, message: self.message }
    }

    /// The error for a reader of `text`.
    pub fn in_text(self, text: &str) -> ScheduleError {
        ScheduleError::Text { message: self.message, text: text.to_owned(), at: self.at.unwrap_or_default() }
    }
}

/// `outer` and `inner` as one path: `schedules` and `[1]` are `schedules[1]`, and that and `gamma` are
/// `schedules[1].gamma`.
pub(crate) fn join(outer: &str, inner: &str) -> String {
    let dot = if outer.is_empty() || inner.is_empty() || inner.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

/// The remedy for an unknown name: the nearest known one, or else all of them.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(nearest) = nearest(name, known.clone()) {
        return format!("did you mean `{nearest}`?");
    }
    let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    format!("there is {}", known.join(", "))
}
