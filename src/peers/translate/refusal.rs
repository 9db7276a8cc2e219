//! The reason why something of another trainer is not translated.

use std::fmt;

use crate::schedule::ScheduleError;

/// A thing that Rekindle cannot say, or that the peer's file does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The thing, named so that a person can look for it: a key, a class, a setting.
    pub thing: String,
    /// Why it is not translated, with the remedy.
    pub reason: String,
    /// Whether the file does not hold it, so that the configuration has to say it.
    pub asked: bool,
}

impl Refusal {
    /// Returns the refusal of a thing that Rekindle cannot continue.
    pub fn cannot(thing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { thing: thing.into(), reason: reason.into(), asked: false }
    }

    /// Returns the question for a thing that the file does not hold.
    pub fn ask(thing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { thing: thing.into(), reason: reason.into(), asked: true }
    }

    /// Returns the refusal of a translated schedule that Rekindle does not accept.
    pub(super) fn of_schedule(class: &str, error: &ScheduleError) -> Self {
        Self::cannot(class, format!("its values are not accepted: {error}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.thing, self.reason)
    }
}

impl std::error::Error for Refusal {}
