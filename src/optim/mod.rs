//! Optimizers: SGD, Adam and AdamW with parameter groups, clipping, and a state that can be saved.
//!
//! Read [`OptimizerConfig`] for what can be asked for, [`Gradients`] for what an update consumes, and
//! [`Optimizer`] for the update itself. An optimizer knows nothing of schedules: each update is handed its rates.

mod adam;
mod config;
mod gradients;
mod groups;
mod in_place;
mod optimizer;
mod sgd;

use thiserror::Error;

pub use config::{Adam, AdamW, GroupConfig, OptimizerConfig, Sgd};
pub use gradients::Gradients;
pub use groups::{Decay, Group};
pub use optimizer::{Optimizer, Rates};

/// Why an optimizer cannot be built or cannot update.
#[derive(Debug, Error)]
pub enum OptimError {
    /// A hyperparameter outside its range.
    #[error("optimizer.{field} = {value}: {rule}")]
    Hyperparameter {
        /// The field of the configuration.
        field: String,
        /// Its value.
        value: String,
        /// The range it must be in.
        rule: &'static str,
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
    /// A largest norm that is none.
    #[error("gradients cannot be clipped to a norm of {0}, which is not positive")]
    MaxNorm(f64),
    /// As many rates as groups are needed.
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

/// Names as a message lists them, the first few of many.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
