//! Optimizers: update rules, parameter groups, clipping, and a state that can be saved.
//!
//! Read [`UpdateRule`] for what moves a parameter (SGD, Adam, AdamW, or a rule of yours, which [`register`] names),
//! [`OptimizerConfig`] for what can be asked for, [`Gradients`] for what an update consumes, and [`Optimizer`] for the
//! update itself. An optimizer knows nothing of schedules: each update is handed its hyperparameters.

mod any_rule;
mod config;
mod custom;
mod gradients;
mod group_config;
mod groups;
mod in_place;
mod optimizer;
mod remembered;
mod rule;
mod rules;
mod schema;

use thiserror::Error;

pub use any_rule::Rule;
pub use config::OptimizerConfig;
pub use custom::{CustomRuleError, register};
pub use gradients::Gradients;
pub use group_config::{GroupConfig, GroupRule, Overrides};
pub use groups::{Decay, Group};
pub use optimizer::{Optimizer, StepHyperparams};
pub(crate) use remembered::Remembered;
pub use rule::{BaseHyperparams, Momentum, Step, Update, UpdateRule};
pub use rules::{Adam, AdamW, Sgd};

/// Why an optimizer cannot be built or cannot update.
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
    #[error("optimizer.groups: the pattern `{pattern}` is not understood: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter group that no parameter belongs to.
    #[error("optimizer.groups: no parameter is left for the patterns {patterns:?}; the parameters are {names}")]
    EmptyGroup {
        /// The group's patterns.
        patterns: Vec<String>,
        /// All parameter names.
        names: String,
    },
    /// Patterns of a parameter group that match no parameter at all, beside others that do.
    #[error(
        "optimizer.groups[{group}].parameters: {} match{} no parameter; correct or remove {}: the parameters are {names}",
        list(patterns),
        if patterns.len() == 1 { "es" } else { "" },
        if patterns.len() == 1 { "it" } else { "them" }
    )]
    Unmatched {
        /// The group, counted from 0.
        group: usize,
        /// Those of its patterns.
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
    /// Gradients of other parameters than the optimizer's.
    #[error("the gradients are of {}, and the optimizer's parameters are {}", list(given), list(own))]
    OtherParameters {
        /// The optimizer's parameters.
        own: Vec<String>,
        /// Those that the gradients are of.
        given: Vec<String>,
    },
    /// One variable under two names.
    #[error("`{first}` and `{second}` are one variable, which would be updated twice; give the optimizer one of them")]
    Tied {
        /// One of its names.
        first: String,
        /// The other.
        second: String,
    },
    /// An update rule remembers two tensors of one name for a parameter.
    #[error("two tensors that update rules remember are called `{0}`, and a checkpoint could hold only one of them")]
    SameName(String),
    /// A largest norm that is none.
    #[error("gradients cannot be clipped to a norm of {0}, which is not positive")]
    MaxNorm(f64),
    /// An update needs hyperparameters for each group.
    #[error("{rates} rates were given for {groups} parameter groups")]
    RateCount {
        /// How many were given.
        rates: usize,
        /// How many are needed.
        groups: usize,
    },
    /// A rate, momentum or weight decay that no update may use.
    #[error("the {what} {value} of parameter group {group} is {rule}")]
    Rate {
        /// Which of them.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The group it was meant for.
        group: usize,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

impl OptimError {
    /// An error that names a hyperparameter, its value and the rule for it, if it is not `valid`.
    ///
    /// # Errors
    /// That one.
    pub fn require(field: &str, value: impl ToString, valid: bool, rule: impl Into<String>) -> Result<(), Self> {
        if valid {
            return Ok(());
        }
        Err(Self::Hyperparameter { field: field.to_owned(), value: value.to_string(), rule: rule.into() })
    }

    fn require_at_least_0(field: &str, value: f64) -> Result<(), Self> {
        Self::require(field, value, value >= 0.0 && value.is_finite(), "must be a finite number, at least 0")
    }

    /// Requires a share in `[0, 1)`.
    fn require_share(field: &str, value: f64) -> Result<(), Self> {
        Self::require(field, value, (0.0..1.0).contains(&value), "must be at least 0 and below 1")
    }

    /// The same where the field is inside a table.
    fn inside(self, table: &str) -> Self {
        match self {
            Self::Hyperparameter { field, value, rule } => {
                Self::Hyperparameter { field: format!("{table}{field}"), value, rule }
            }
            other => other,
        }
    }
}

/// Names as a message lists them, the first few of many.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
