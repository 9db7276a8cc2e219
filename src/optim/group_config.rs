//! Configuration of a parameter group.

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::OptimError;
use super::any_rule::Rule;
use super::decay::Decay;
use super::measured::{LEAST_LIMIT, LIMIT_RULE};
use super::rule::Momentum;
use crate::figures;
use crate::tagged::{Tagged, read_table, split};

/// Parameters chosen by name, and their differences from the optimizer's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GroupConfig {
    /// Glob patterns of parameter names, such as `"encoder.*"`. A parameter belongs to the first group that matches it.
    pub parameters: Vec<String>,
    /// Which of the group's parameters decay; `None` for the optimizer's setting.
    pub decay: Option<Decay>,
    /// Maximal norm of the group's gradients, after the clipping of all.
    pub clip_norm: Option<f64>,
    /// The update rule of the group.
    pub rule: GroupRule,
}

/// The update rule of a group.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GroupRule {
    /// The optimizer's rule, with some other hyperparameters.
    Shared(Overrides),
    /// Another rule, which inherits nothing from the optimizer's.
    Own(Rule),
}

/// Hyperparameters of a group; `None` means that of the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Base learning rate.
    pub lr: Option<f64>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Momentum; an older name for `beta1` in a rule that has `beta1`.
    pub momentum: Option<f64>,
    /// Decay rate of the mean of gradients, in Adam and AdamW.
    pub beta1: Option<f64>,
}

/// The table of a group with the optimizer's rule.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedTable {
    /// Glob patterns of parameter names, such as `"encoder.*"`. A parameter belongs to the first group that matches it.
    parameters: Vec<String>,
    /// The base learning rate of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    lr: Option<f64>,
    /// The weight decay of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    weight_decay: Option<f64>,
    /// The momentum of this group; for Adam kinds an older name of `beta1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    momentum: Option<f64>,
    /// The first beta of this group, for Adam kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    beta1: Option<f64>,
    /// Which of the group's parameters decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decay: Option<Decay>,
    /// Maximal norm of the group's gradients; larger ones are scaled down to it, after `train.clip_norm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    clip_norm: Option<f64>,
}

/// The keys in the table of a group with another rule that do not depend on that rule.
#[derive(Deserialize, JsonSchema)]
pub(super) struct OwnTable {
    /// Glob patterns of parameter names, such as `"encoder.*"`. A parameter belongs to the first group that matches it.
    parameters: Vec<String>,
    /// Which of the group's parameters decay.
    #[serde(default)]
    decay: Option<Decay>,
    /// Maximal norm of the group's gradients; larger ones are scaled down to it, after `train.clip_norm`.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    clip_norm: Option<f64>,
}

impl Default for GroupRule {
    fn default() -> Self {
        Self::Shared(Overrides::default())
    }
}

impl From<Overrides> for GroupRule {
    fn from(overrides: Overrides) -> Self {
        Self::Shared(overrides)
    }
}

impl From<Rule> for GroupRule {
    fn from(rule: Rule) -> Self {
        Self::Own(rule)
    }
}

impl GroupRule {
    /// Returns the rule if it is not the optimizer's.
    pub(super) fn own(&self) -> Option<&Rule> {
        match self {
            Self::Shared(_) => None,
            Self::Own(rule) => Some(rule),
        }
    }
}

impl Overrides {
    /// Returns the momentum or beta1, under either name.
    pub(super) fn momentum(&self) -> Option<f64> {
        self.beta1.or(self.momentum)
    }

    fn validate(&self, rule: &Rule) -> Result<(), OptimError> {
        self.lr.map_or(Ok(()), |lr| OptimError::require_at_least_0("lr", lr))?;
        self.weight_decay.map_or(Ok(()), |decay| OptimError::require_at_least_0("weight_decay", decay))?;
        let given = [("momentum", self.momentum), ("beta1", self.beta1)];
        let name = rule.base().momentum.map(Momentum::name);
        let kind = rule.kind();
        for (field, value) in given.into_iter().filter_map(|(field, value)| Some((field, value?))) {
            let fault = match name {
                None if field == "beta1" && rule.has_field("betas") => {
                    format!("`{kind}` has one `beta1` for all; give the group a `kind` with its own `betas`")
                }
                None => format!("`{kind}` has no `{field}`"),
                Some("momentum") if field == "beta1" => format!("`{kind}` has no `beta1`; it has `momentum`"),
                Some("beta1") if self.momentum.is_some() && self.beta1.is_some() => {
                    format!("`{kind}` has the older name `momentum` for `beta1`; give one")
                }
                Some(_) => {
                    OptimError::require_share(field, value)?;
                    continue;
                }
            };
            OptimError::require(field, value, false, fault)?;
        }
        Ok(())
    }
}

impl GroupConfig {
    /// Creates a group of the parameters that match one of the `patterns`, with other hyperparameters ([`Overrides`])
    /// or another rule.
    pub fn new<P: Into<String>>(patterns: impl IntoIterator<Item = P>, rule: impl Into<GroupRule>) -> Self {
        Self {
            parameters: patterns.into_iter().map(Into::into).collect(),
            decay: None,
            clip_norm: None,
            rule: rule.into(),
        }
    }

    /// Checks every hyperparameter against its range; `rule` is the optimizer's.
    pub(super) fn validate(&self, rule: &Rule) -> Result<(), OptimError> {
        if let Some(norm) = self.clip_norm {
            let is_limit = norm >= LEAST_LIMIT;
            OptimError::require("clip_norm", figures::exact(norm), is_limit, LIMIT_RULE)?;
        }
        match &self.rule {
            GroupRule::Shared(overrides) => overrides.validate(rule),
            GroupRule::Own(rule) => rule.check(),
        }
    }
}

impl Serialize for GroupConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.rule {
            GroupRule::Shared(Overrides { lr, weight_decay, momentum, beta1 }) => SharedTable {
                parameters: self.parameters.clone(),
                lr: *lr,
                weight_decay: *weight_decay,
                momentum: *momentum,
                beta1: *beta1,
                decay: self.decay,
                clip_norm: self.clip_norm,
            }
            .serialize(serializer),
            GroupRule::Own(rule) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("parameters", &self.parameters)?;
                rule.write(&mut map)?;
                if let Some(decay) = self.decay {
                    map.serialize_entry("decay", &decay)?;
                }
                if let Some(norm) = self.clip_norm {
                    map.serialize_entry("clip_norm", &norm)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for GroupConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table: Map<String, Value> = Map::deserialize(deserializer)?;
        if !table.contains_key("kind") {
            let SharedTable { parameters, lr, weight_decay, momentum, beta1, decay, clip_norm } = read_table(table)?;
            let rule = Overrides { lr, weight_decay, momentum, beta1 }.into();
            return Ok(Self { parameters, decay, clip_norm, rule });
        }
        let (kind, mut rule) =
            Tagged::deserialize(Value::Object(table)).map_err(serde::de::Error::custom)?.into_parts();
        let keys = ["parameters", "decay", "clip_norm"];
        let own = split(&mut rule, &keys);
        let rule = Rule::read(&kind, rule, &keys)?.into();
        let OwnTable { parameters, decay, clip_norm } = read_table(own)?;
        Ok(Self { parameters, decay, clip_norm, rule })
    }
}
