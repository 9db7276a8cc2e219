//! Optimizers: update rules, parameter groups, clipping, and a state that can be saved.
//!
//! Read [`UpdateRule`] for what moves a parameter (one of the catalogue, or a rule of yours, which [`register`] names),
//! [`OptimizerConfig`] for what can be asked for, [`Gradients`] for what a backward pass leaves, [`MeasuredGradients`]
//! for what an update consumes, and [`Optimizer`] for the update itself. An optimizer knows nothing of schedules: each
//! update is handed its hyperparameters.

mod any_rule;
mod config;
mod custom;
mod decay;
mod error;
mod formula;
mod gradients;
mod group_config;
mod groups;
mod layer_decay;
mod loss_scale;
mod measured;
mod noise;
mod number;
mod numbers;
mod optimizer;
mod remembered;
mod rule;
mod rules;
mod schema;
mod squares;
mod together;

pub use any_rule::Rule;
pub use config::OptimizerConfig;
pub use custom::{CustomRuleError, register};
pub use decay::Decay;
pub use error::OptimError;
pub use gradients::Gradients;
pub use group_config::{GroupConfig, GroupRule, Overrides};
pub use groups::Group;
pub use layer_decay::LayerDecay;
pub use loss_scale::LossScale;
pub use measured::MeasuredGradients;
pub(crate) use measured::{CLIP_EPS, LEAST_LIMIT, LIMIT_RULE, to_f64};
pub use optimizer::{Optimizer, StepHyperparams};
pub(crate) use remembered::Remembered;
pub use rule::{BaseHyperparams, Beta2, Momentum, StateForm, Step, Update, UpdateRule};
pub use rules::{
    AdEmaMix, AdaBelief, Adadelta, Adafactor, AdafactorVariant, Adagrad, Adam, AdamVariant, AdamW, Adamax, Adan,
    AdjustLr, Adopt, AdoptVariant, Asgd, Came, Cautious, Decoupled, Frozen, Ftrl, GrokFastAdamW, LaProp, Lamb,
    LambVariant, Lars, LarsVariant, Lion, Mars, MeanDtype, Muon, MuonVariant, NAdam, NovoGrad, Prodigy, RAdam,
    RAdamVariant, Rectify, RmsProp, RmsPropVariant, Rprop, RpropVariant, ScheduleFreeAdamW, ScheduleFreeSgd,
    ScheduleFreeVariant, Sgd, Shampoo, Soap, StableAdamW, Variant, Yogi,
};
