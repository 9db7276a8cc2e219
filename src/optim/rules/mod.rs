//! The catalogue: one file per update rule, with its hyperparameters, their ranges, and its source.
//!
//! To add a rule, write its file and its line in `catalogue!` below.

use super::any_rule::{Definition, Rule};
use super::config::OptimizerConfig;
use super::custom;
use super::group_config::GroupRule;

mod averaging;
mod basis;
mod bf16_mean;
mod cautious;
mod confident;
mod factored;
mod moments;
mod muon_vectors;
mod newton_schulz;
mod paired;
mod unfactored;
mod variants;
mod velocity;

pub use adafactor::AdafactorVariant;
pub use adopt::AdoptVariant;
pub use averaging::ScheduleFreeVariant;
pub use lamb::LambVariant;
pub use lars::LarsVariant;
pub use muon::{AdjustLr, MuonVariant};
pub use radam::RAdamVariant;
pub use rmsprop::RmsPropVariant;
pub use rprop::RpropVariant;
pub use schedule_free_adamw::Rectify;
pub use variants::{AdamVariant, Cautious, Decoupled, MeanDtype, Variant};

/// Lists the files of the catalogue, the rule that each defines, and its name in a configuration.
macro_rules! catalogue {
    ($($file:ident::$Rule:ident = $name:literal,)*) => {
        $(mod $file;
        pub use $file::$Rule;

        impl From<$Rule> for Rule {
            fn from(rule: $Rule) -> Self {
                static DEFINITION: Definition = Definition::of_catalogue::<$Rule>($name);
                Self::new(&DEFINITION, rule)
            }
        }

        impl From<$Rule> for OptimizerConfig {
            fn from(rule: $Rule) -> Self {
                Rule::from(rule).into()
            }
        }

        impl From<$Rule> for GroupRule {
            fn from(rule: $Rule) -> Self {
                Rule::from(rule).into()
            }
        })*

        static CATALOGUE: &[Definition] = &[$(Definition::of_catalogue::<$Rule>($name)),*];
    };
}

catalogue! {
    sgd::Sgd = "sgd",
    adam::Adam = "adam",
    adamw::AdamW = "adamw",
    nadam::NAdam = "nadam",
    radam::RAdam = "radam",
    adamax::Adamax = "adamax",
    rmsprop::RmsProp = "rmsprop",
    adagrad::Adagrad = "adagrad",
    lion::Lion = "lion",
    adafactor::Adafactor = "adafactor",
    muon::Muon = "muon",
    schedule_free_adamw::ScheduleFreeAdamW = "schedule_free_adamw",
    schedule_free_sgd::ScheduleFreeSgd = "schedule_free_sgd",
    lamb::Lamb = "lamb",
    adadelta::Adadelta = "adadelta",
    rprop::Rprop = "rprop",
    asgd::Asgd = "asgd",
    adopt::Adopt = "adopt",
    ademamix::AdEmaMix = "ademamix",
    adan::Adan = "adan",
    prodigy::Prodigy = "prodigy",
    mars::Mars = "mars",
    stable_adamw::StableAdamW = "stable_adamw",
    soap::Soap = "soap",
    lars::Lars = "lars",
    novograd::NovoGrad = "novograd",
    adabelief::AdaBelief = "adabelief",
    yogi::Yogi = "yogi",
    laprop::LaProp = "laprop",
    came::Came = "came",
    shampoo::Shampoo = "shampoo",
    grokfast_adamw::GrokFastAdamW = "grokfast_adamw",
    ftrl::Ftrl = "ftrl",
    frozen::Frozen = "frozen",
}

/// Returns the rules of the catalogue.
pub(super) fn catalogue() -> &'static [Definition] {
    CATALOGUE
}

/// Returns the rule called `name`, from the catalogue or registered.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    let registered = || custom::definitions().into_iter().find(|definition| definition.name == name);
    CATALOGUE.iter().find(|definition| definition.name == name).or_else(registered)
}

/// Returns the names of all rules.
pub(super) fn names() -> Vec<&'static str> {
    let registered = custom::definitions();
    CATALOGUE.iter().chain(registered).map(|definition| definition.name).collect()
}
