//! Errors of reading a constructor.

use thiserror::Error;

use super::class::Class;
use super::classes;
use crate::nearest::nearest;
use crate::schedule::ScheduleError;

/// Errors of reading a scheduler's constructor.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LikeError {
    /// The text is not a call with literals.
    #[error("the constructor cannot be read at character {at}: {message}")]
    Syntax {
        /// The character, counted from 1.
        at: usize,
        /// The fault and its remedy.
        message: String,
    },
    /// No class of this name is known.
    #[error("{0}")]
    Unknown(String),
    /// An argument is missing, unknown, or of the wrong type.
    #[error("`{class}`: {message}")]
    Argument {
        /// The class.
        class: String,
        /// The fault and its remedy.
        message: String,
    },
    /// The arguments give a schedule that does not exist.
    #[error("`{class}` would be {text}, which is refused: {source}")]
    Refused {
        /// The class.
        class: String,
        /// The schedule.
        text: String,
        /// The reason.
        source: Box<ScheduleError>,
    },
}

impl LikeError {
    /// An error of an argument.
    pub(super) fn argument(class: &str, message: impl Into<String>) -> Self {
        Self::Argument { class: class.to_owned(), message: message.into() }
    }

    /// An unknown class, with those of the same name elsewhere, the nearest name, or the packages.
    pub(super) fn unknown(path: &str, same_name: &[&Class]) -> Self {
        let name = path.rsplit('.').next().unwrap_or(path);
        let remedy = if !same_name.is_empty() {
            let paths: Vec<String> = same_name.iter().map(|class| format!("`{}`", class.path())).collect();
            format!("there is {}", paths.join(", "))
        } else if let Some(near) = nearest(name, classes().map(Class::name)) {
            let paths: Vec<String> =
                classes().filter(|class| class.name() == near).map(|class| format!("`{}`", class.path())).collect();
            format!("did you mean {}?", paths.join(" or "))
        } else {
            let mut packages: Vec<&str> = classes().map(Class::package).collect();
            packages.dedup();
            format!(
                "classes of these packages are known, all of them on the page schedules.md: {}",
                packages.join(", ")
            )
        };
        Self::Unknown(format!("no scheduler `{path}` is known; {remedy}"))
    }
}
