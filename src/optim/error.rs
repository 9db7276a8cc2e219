//! Why an optimizer cannot be built or cannot update.

use thiserror::Error;

use crate::backtrace::from_candle;

/// Errors of building an optimizer and of updates.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptimError {
    /// A hyperparameter outside its range.
    #[error("optimizer.{field} = {value}: {rule}")]
    Hyperparameter {
        /// The field of the configuration.
        field: String,
        /// Its value.
        value: String,
        /// The range it must be in.
        rule: String,
    },
    /// A pattern of a parameter group is not a glob.
    #[error("optimizer.groups: the pattern `{pattern}` is invalid: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The fault.
        reason: String,
    },
    /// A parameter group without parameters.
    #[error(
        "optimizer.groups: no parameter matches the patterns {patterns:?}; correct them, or remove the group: the parameters are {names}"
    )]
    EmptyGroup {
        /// The group's patterns.
        patterns: Vec<String>,
        /// All parameter names.
        names: String,
    },
    /// A parameter group whose parameters are all in earlier groups.
    #[error(
        "optimizer.groups[{group}].parameters: all that {} match{} is in earlier groups; remove this group, or put it \
         before them",
        list(patterns),
        if patterns.len() == 1 { "es" } else { "" }
    )]
    Claimed {
        /// The group, counted from 0.
        group: usize,
        /// Its patterns.
        patterns: Vec<String>,
    },
    /// Patterns of a parameter group that match no parameter at all, while others of the group do.
    #[error(
        "optimizer.groups[{group}].parameters: {} match{} no parameter; correct or remove {}: the parameters are \
         {names}",
        list(patterns),
        if patterns.len() == 1 { "es" } else { "" },
        if patterns.len() == 1 { "it" } else { "them" }
    )]
    Unmatched {
        /// The group, counted from 0.
        group: usize,
        /// The unmatched patterns.
        patterns: Vec<String>,
        /// All parameter names.
        names: String,
    },
    /// Parameters that the backward pass did not reach.
    #[error(
        "no gradient reached {}: an operation between them and the loss has no backward pass, or they are not used",
        list(.0)
    )]
    NoGradient(Vec<String>),
    /// Parameters whose gradient holds a NaN or an infinity.
    #[error("the gradient of {} is not finite", list(.0))]
    NotFinite(Vec<String>),
    /// Gradients of different parameters than the optimizer's.
    #[error("the gradients are of {}, and the optimizer's parameters are {}", list(given), list(own))]
    OtherParameters {
        /// The optimizer's parameters.
        own: Vec<String>,
        /// The parameters of the gradients.
        given: Vec<String>,
    },
    /// A gradient that is not of its parameter's shape, dtype or device.
    #[error("the gradient that was given for `{0}` has another shape, dtype or device than the one it replaces")]
    OtherGradient(String),
    /// More or fewer gradients than parameters.
    #[error("{given} gradients were given for {parameters} parameters")]
    GradientCount {
        /// Number of rates given.
        given: usize,
        /// Number of groups.
        parameters: usize,
    },
    /// One variable under two names.
    #[error("`{first}` and `{second}` are one variable, which would be updated twice; give the optimizer one of them")]
    Tied {
        /// One of its names.
        first: String,
        /// The other.
        second: String,
    },
    /// An update rule has two state tensors of the same name for a parameter.
    #[error("two state tensors of the update rules are called `{0}`, and a checkpoint can hold only one of them")]
    SameName(String),
    /// A maximal norm that is not positive.
    #[error("gradients cannot be clipped to a norm of {0}, which is not positive")]
    MaxNorm(f64),
    /// A number added to the norm that is negative or not finite.
    #[error("gradients cannot be clipped with {0} added to their norm; it must be a finite number, at least 0")]
    ClipEps(f64),
    /// An update was not given hyperparameters for each group.
    #[error("{rates} rates were given for {groups} parameter groups")]
    RateCount {
        /// Number of rates given.
        rates: usize,
        /// Number of groups.
        groups: usize,
    },
    /// A rate, momentum or weight decay outside its range.
    #[error("the {what} {value} of parameter group {group} is {rule}")]
    Rate {
        /// The name of the hyperparameter.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Index of its parameter group.
        group: usize,
        /// The fault.
        rule: &'static str,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

from_candle!(OptimError => Tensor);

impl OptimError {
    /// Checks a hyperparameter: unless `valid`, the error names it, its value and the rule.
    ///
    /// # Errors
    /// The value is not valid.
    pub fn require(field: &str, value: impl ToString, valid: bool, rule: impl Into<String>) -> Result<(), Self> {
        if valid {
            return Ok(());
        }
        Err(Self::Hyperparameter { field: field.to_owned(), value: value.to_string(), rule: rule.into() })
    }

    pub(super) fn require_at_least_0(field: &str, value: f64) -> Result<(), Self> {
        Self::require(field, value, value >= 0.0 && value.is_finite(), "must be a finite number, at least 0")
    }

    /// Requires a share in `[0, 1)`.
    pub(super) fn require_share(field: &str, value: f64) -> Result<(), Self> {
        Self::require(field, value, (0.0..1.0).contains(&value), "must be at least 0 and below 1")
    }

    /// Puts the name of a table in front of the field.
    pub(super) fn inside(self, table: &str) -> Self {
        match self {
            Self::Hyperparameter { field, value, rule } => {
                Self::Hyperparameter { field: format!("{table}{field}"), value, rule }
            }
            other => other,
        }
    }
}

/// Formats names for a message, only the first few if there are many.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
