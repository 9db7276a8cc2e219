//! Errors of schedules: in the text, the data, or the values.

use thiserror::Error;

use crate::nearest::nearest;

/// Errors of reading a schedule or of planning it for a run.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The text form cannot be read; the message shows the text with a caret under the offending character.
    #[error("{message}\n{}", caret(text, *at))]
    Text {
        /// The expected input.
        message: String,
        /// The full text.
        text: String,
        /// Byte offset of the offending character.
        at: usize,
    },
    /// The data form cannot be read.
    #[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    Data {
        /// The location in the data, such as `schedules[1].eta_min`; empty for the schedule itself.
        path: String,
        /// The fault.
        message: String,
    },
    /// A value that no schedule, or no schedule of this run, can have.
    #[error(
        "`{kind}`{}: {field} is {value}; {rule}",
        if place.is_empty() { String::new() } else { format!(" at {place}") }
    )]
    Refused {
        /// The kind of schedule.
        kind: &'static str,
        /// The location of the schedule inside the outermost one, such as `schedules[1]`; empty for the outermost.
        place: String,
        /// The parameter.
        field: String,
        /// Its value.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// A user-defined schedule refused its parameters.
    #[error("`{kind}`{}: {message}", if place.is_empty() { String::new() } else { format!(" at {place}") })]
    Custom {
        /// Its registered name.
        kind: &'static str,
        /// As in [`ScheduleError::Refused`].
        place: String,
        /// Its message.
        message: String,
    },
    /// A base rate that is negative or not finite.
    #[error("the base rate of group {group} is {value}; it must be a finite number and not negative")]
    BaseRate {
        /// Index of the parameter group.
        group: usize,
        /// The base rate.
        value: f64,
    },
    /// A schedule whose rate is infinite or not a number at some update of the run.
    #[error(
        "the rate of update {t} is {value} in group {group}, whose base rate is {base}; `{schedule}` must be finite \
         over the whole run"
    )]
    NotFinite {
        /// The suggested schedule.
        schedule: String,
        /// Number of the update.
        t: u64,
        /// Index of the parameter group.
        group: usize,
        /// Its base rate.
        base: f64,
        /// The base rate.
        value: f64,
    },
    /// There are no parameter groups.
    #[error("there are no parameter groups; give one base rate for each")]
    NoGroups,
    /// `steps_per_epoch` is 0, so nothing can count epochs.
    #[error("steps_per_epoch is 0; an epoch has at least one step")]
    EmptyEpoch,
}

/// Returns the line of `text` that holds byte `at`, and under it a caret at that byte.
pub(crate) fn caret(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let indent = before.get(start..).unwrap_or_default().chars().count();
    format!("  {line}\n  {:indent$}^", "")
}

/// A fault found while reading a schedule. Its location is added on the way out.
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

    /// Builds the problem for a value of the wrong type; the kind is added later.
    pub fn takes(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Self {
        let message = format!("takes {expected} here, not {found}");
        Self { names_its_kind: false, ..Self::new(message) }
    }

    /// Sets the byte of the fault, unless it is already set.
    pub fn at(mut self, at: Option<usize>) -> Self {
        self.at = self.at.or(at);
        self
    }

    /// Sets the kind that the faulty value was for, unless it is already set.
    pub fn of(mut self, kind: &str) -> Self {
        if !self.names_its_kind {
            self.message = format!("`{kind}` {}", self.message);
            self.names_its_kind = true;
        }
        self
    }

    /// Adds `outer`, a field or an index in brackets, in front of the location.
    pub fn inside(mut self, outer: &str) -> Self {
        self.path = join(outer, &self.path);
        self
    }

    /// Converts to the error of a reader of data.
    pub fn in_data(self) -> ScheduleError {
        ScheduleError::Data { path: self.path, message: self.message }
    }

    /// Converts to the error of a reader of `text`.
    pub fn in_text(self, text: &str) -> ScheduleError {
        ScheduleError::Text { message: self.message, text: text.to_owned(), at: self.at.unwrap_or_default() }
    }
}

/// Joins two parts of a path: `schedules` and `[1]` give `schedules[1]`, and with `gamma` `schedules[1].gamma`.
pub(crate) fn join(outer: &str, inner: &str) -> String {
    let dot = if outer.is_empty() || inner.is_empty() || inner.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

/// Returns the remedy for an unknown name: the nearest known one, otherwise the list of all names.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(nearest) = nearest(name, known.clone()) {
        return format!("did you mean `{nearest}`?");
    }
    let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    format!("there is {}", known.join(", "))
}
