//! Messages to the user before a run begins: how its data was interpreted, and settings that are allowed but look like
//! a mistake.

use std::fmt;

/// A sentence for the user who starts a run, without a full stop at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// How something was interpreted.
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
