//! Something that a person should know before a run begins: how its data was understood, and whatever looks like a
//! mistake although it is allowed.

use std::fmt;

/// A sentence for the person who starts a run, without a full stop at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// How something was understood.
    Note(String),
    /// Something that looks like a mistake.
    Warning(String),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => write!(f, "note: {text}"),
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}
