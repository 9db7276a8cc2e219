//! What can be asked of an optimizer: hyperparameters as data, with PyTorch's names and defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::OptimError;
use super::groups::Decay;
use crate::kinded::Kinded;

/// An optimizer's kind and hyperparameters: a table with `kind = "sgd"`, `"adam"` or `"adamw"`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam, its weight decay added to the gradient.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

/// Stochastic gradient descent with momentum, as `torch.optim.SGD`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the last update's direction that is kept, in `[0, 1)`.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Share of the gradient that is left out of the momentum, in `[0, 1]`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub dampening: f64,
    /// Whether to look ahead along the momentum: Sutskever et al., ICML 2013.
    #[serde(default)]
    pub nesterov: bool,
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Which parameters decay.
    #[serde(default)]
    pub decay: Decay,
    /// Parameters with hyperparameters of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
}

/// Adam, as `torch.optim.Adam`: Kingma and Ba, ICLR 2015, algorithm 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Which parameters decay.
    #[serde(default)]
    pub decay: Decay,
    /// Parameters with hyperparameters of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
}

/// Adam with decoupled weight decay, as `torch.optim.AdamW`: Loshchilov and Hutter, ICLR 2019, algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default = "default_decoupled_decay")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Which parameters decay.
    #[serde(default)]
    pub decay: Decay,
    /// Parameters with hyperparameters of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
}

/// Parameters chosen by name, and what they do differently. What is left out is as for all others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Glob patterns of parameter names, such as `"encoder.*"`. The first group that matches a parameter has it.
    pub parameters: Vec<String>,
    /// The group's own base learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub lr: Option<f64>,
    /// The group's own weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: Option<f64>,
    /// The group's own momentum; for Adam kinds its first beta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: Option<f64>,
    /// Which of the group's parameters decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
}

impl Default for Sgd {
    fn default() -> Self {
        let (lr, decay, groups) = (1e-3, Decay::default(), Vec::new());
        Self { lr, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0, decay, groups }
    }
}

impl Default for Adam {
    fn default() -> Self {
        let (betas, eps, decay) = (default_betas(), default_eps(), Decay::default());
        Self { lr: 1e-3, betas, eps, weight_decay: 0.0, decay, groups: Vec::new() }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        let (betas, eps, decay) = (default_betas(), default_eps(), Decay::default());
        Self { lr: 1e-3, betas, eps, weight_decay: default_decoupled_decay(), decay, groups: Vec::new() }
    }
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn default_eps() -> f64 {
    1e-8
}

fn default_decoupled_decay() -> f64 {
    0.01
}

impl From<Sgd> for OptimizerConfig {
    fn from(config: Sgd) -> Self {
        Self::Sgd(config)
    }
}

impl From<Adam> for OptimizerConfig {
    fn from(config: Adam) -> Self {
        Self::Adam(config)
    }
}

impl From<AdamW> for OptimizerConfig {
    fn from(config: AdamW) -> Self {
        Self::AdamW(config)
    }
}

impl<'de> Deserialize<'de> for OptimizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Kinded::deserialize(deserializer)?;
        match table.kind() {
            "sgd" => table.read().map(Self::Sgd),
            "adam" => table.read().map(Self::Adam),
            "adamw" => table.read().map(Self::AdamW),
            _ => Err(table.unknown(&["sgd", "adam", "adamw"])),
        }
    }
}

impl OptimizerConfig {
    /// The name of the kind, as `kind` in a table.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
        }
    }

    /// The parameter groups with settings of their own.
    pub fn groups(&self) -> &[GroupConfig] {
        match self {
            Self::Sgd(config) => &config.groups,
            Self::Adam(config) => &config.groups,
            Self::AdamW(config) => &config.groups,
        }
    }

    /// What a parameter uses that no group claims, every field set.
    pub(super) fn defaults(&self) -> GroupConfig {
        let (lr, weight_decay, momentum, decay) = match self {
            Self::Sgd(c) => (c.lr, c.weight_decay, c.momentum, c.decay),
            Self::Adam(c) => (c.lr, c.weight_decay, c.betas[0], c.decay),
            Self::AdamW(c) => (c.lr, c.weight_decay, c.betas[0], c.decay),
        };
        GroupConfig {
            parameters: Vec::new(),
            lr: Some(lr),
            weight_decay: Some(weight_decay),
            momentum: Some(momentum),
            decay: Some(decay),
        }
    }

    /// Checks every hyperparameter against its range.
    ///
    /// # Errors
    /// Names the first field that is out of range, with its value.
    pub fn validate(&self) -> Result<(), OptimError> {
        match self {
            Self::Sgd(c) => {
                require("dampening", c.dampening, (0.0..=1.0).contains(&c.dampening), "must be from 0 to 1")?;
                let can_look_ahead = !c.nesterov || (c.momentum > 0.0 && c.dampening == 0.0);
                require("nesterov", c.nesterov, can_look_ahead, "needs a momentum above 0 and a dampening of 0")?;
            }
            Self::Adam(Adam { betas, eps, .. }) | Self::AdamW(AdamW { betas, eps, .. }) => {
                let in_range = betas.iter().all(|beta| (0.0..1.0).contains(beta));
                require("betas", format!("{betas:?}"), in_range, "each must be at least 0 and below 1")?;
                let is_normal = *eps >= f64::from(f32::MIN_POSITIVE) && eps.is_finite();
                require("eps", eps, is_normal, "must be positive, and not below what f32 can hold")?;
            }
        }
        self.defaults().validate("")?;
        self.groups().iter().enumerate().try_for_each(|(i, group)| group.validate(&format!("groups[{i}].")))
    }
}

impl GroupConfig {
    fn validate(&self, prefix: &str) -> Result<(), OptimError> {
        let at_least_zero = |name: &str, value: Option<f64>| {
            let value = value.unwrap_or_default();
            let valid = value >= 0.0 && value.is_finite();
            require(&format!("{prefix}{name}"), value, valid, "must be a finite number, at least 0")
        };
        at_least_zero("lr", self.lr)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        let momentum = self.momentum.unwrap_or_default();
        let in_range = (0.0..1.0).contains(&momentum);
        require(&format!("{prefix}momentum"), momentum, in_range, "must be at least 0 and below 1")
    }
}

fn require(field: &str, value: impl ToString, valid: bool, rule: &'static str) -> Result<(), OptimError> {
    if valid {
        return Ok(());
    }
    Err(OptimError::Hyperparameter { field: field.to_owned(), value: value.to_string(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_pytorch() {
        let config: OptimizerConfig = toml::from_str("kind = \"adamw\"\nlr = 0.1").unwrap();
        assert_eq!(config, AdamW { lr: 0.1, ..AdamW::default() }.into());
        let OptimizerConfig::AdamW(adamw) = config else { panic!() };
        assert_eq!((adamw.betas, adamw.eps, adamw.weight_decay), ([0.9, 0.999], 1e-8, 0.01));
    }

    #[test]
    fn a_hyperparameter_out_of_range_is_named_with_its_value() {
        let message = |config: OptimizerConfig| config.validate().unwrap_err().to_string();
        let nan = Sgd { lr: f64::NAN, ..Sgd::default() };
        assert_eq!(message(nan.into()), "optimizer.lr = NaN: must be a finite number, at least 0");
        let nesterov = Sgd { nesterov: true, ..Sgd::default() };
        assert_eq!(
            message(nesterov.into()),
            "optimizer.nesterov = true: needs a momentum above 0 and a dampening of 0"
        );
        let betas = Adam { betas: [0.9, 1.0], ..Adam::default() };
        assert_eq!(message(betas.into()), "optimizer.betas = [0.9, 1.0]: each must be at least 0 and below 1");
        let group = GroupConfig { parameters: vec!["a".into()], lr: Some(-1.0), ..GroupConfig::default() };
        let grouped = AdamW { groups: vec![group], ..AdamW::default() };
        assert_eq!(message(grouped.into()), "optimizer.groups[0].lr = -1: must be a finite number, at least 0");
    }

    #[test]
    fn a_setting_of_another_kind_is_refused() {
        let error = toml::from_str::<OptimizerConfig>("kind = \"adam\"\nlr = 0.1\nnesterov = true").unwrap_err();
        assert!(error.message().contains("unknown field `nesterov`"), "{error}");
    }
}
