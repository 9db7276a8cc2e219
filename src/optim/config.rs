//! Configuration of an optimizer: an update rule, and groups of parameters that differ from it.

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OptimError;
use super::any_rule::Rule;
use super::decay::Decay;
use super::group_config::{GroupConfig, GroupRule};
use super::layer_decay::LayerDecay;
use crate::tagged::{Tagged, read_table, split};

/// An optimizer's rule and hyperparameters: a table with a `kind`, the name of a rule in the catalogue, such as
/// `"adamw"`, or of a registered one.
///
/// A rule can be converted to one, without groups: `AdamW::default().into()`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// The rule of all parameters, except in groups with another rule.
    pub rule: Rule,
    /// The parameters that weight decay applies to.
    pub decay: Decay,
    /// How the rate falls from the last layer to the first.
    pub layer_decay: Option<LayerDecay>,
    /// Parameters with other hyperparameters, or another rule.
    pub groups: Vec<GroupConfig>,
}

/// Keys in the tables of optimizers and groups that are not hyperparameters of a rule.
pub(super) const RESERVED: [&str; 6] = ["kind", "parameters", "decay", "layer_decay", "clip_norm", "groups"];

/// The keys of an optimizer's table that do not depend on the rule.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Common {
    /// The parameters that weight decay applies to.
    #[serde(default)]
    decay: Decay,
    /// How the rate falls from the last layer to the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer_decay: Option<LayerDecay>,
    /// Parameters with other hyperparameters, or another rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupConfig>,
}

impl From<Rule> for OptimizerConfig {
    fn from(rule: Rule) -> Self {
        Self { rule, decay: Decay::default(), layer_decay: None, groups: Vec::new() }
    }
}

impl Serialize for OptimizerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.rule.write(&mut map)?;
        map.serialize_entry("decay", &self.decay)?;
        if let Some(layer_decay) = &self.layer_decay {
            map.serialize_entry("layer_decay", layer_decay)?;
        }
        if !self.groups.is_empty() {
            map.serialize_entry("groups", &self.groups)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for OptimizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, mut rule) = Tagged::deserialize(deserializer)?.into_parts();
        let keys = ["decay", "layer_decay", "groups"];
        let common = split(&mut rule, &keys);
        let rule = Rule::read(&kind, rule, &keys)?;
        let Common { decay, layer_decay, groups } = read_table(common)?;
        Ok(Self { rule, decay, layer_decay, groups })
    }
}

impl OptimizerConfig {
    /// Returns the name of the rule, as `kind` in a table.
    pub fn kind(&self) -> &'static str {
        self.rule.kind()
    }

    /// Returns the names of all rules in use, each once.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let mut kinds = vec![self.kind()];
        for kind in self.groups.iter().filter_map(|group| group.rule.own()).map(Rule::kind) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Returns the rule's name of each of `count` groups, in the order of their rates: that of the parameters which no group
    /// claims, if there are such, and those of the configuration.
    pub(crate) fn kinds_of_groups(&self, count: usize) -> Vec<&'static str> {
        let unclaimed = count.saturating_sub(self.groups.len());
        let given = self.groups.iter().map(|group| group.rule.own().map_or(self.kind(), Rule::kind));
        std::iter::repeat_n(self.kind(), unclaimed).chain(given).collect()
    }

    /// Returns the names of the state tensors per parameter for the optimizer's own rule, over all of its groups.
    pub(super) fn states(&self) -> &'static [&'static str] {
        self.rule.states(self.largest_momentum())
    }

    /// Returns the largest momentum of the groups with the optimizer's own rule.
    pub(super) fn largest_momentum(&self) -> f64 {
        let own = self.rule.base().momentum.map(|momentum| momentum.value());
        let of_groups = self.groups.iter().filter_map(|group| match &group.rule {
            GroupRule::Shared(overrides) => overrides.momentum(),
            GroupRule::Own(_) => None,
        });
        own.into_iter().chain(of_groups).fold(0.0, f64::max)
    }

    /// Returns the name of the first rule that needs the states of all parameters.
    pub(crate) fn needs_all_states(&self) -> Option<&'static str> {
        self.rules().find(|rule| rule.needs_all_states()).map(Rule::kind)
    }

    /// Returns the name of the first rule whose evaluations use other weights than the trained ones.
    pub(crate) fn has_evaluation_weights(&self) -> Option<&'static str> {
        self.rules().find(|rule| rule.has_evaluation_weights()).map(Rule::kind)
    }

    /// Returns the remarks of its rules on their settings, each with the table that they are about.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let of_groups = self.groups.iter().filter_map(|group| match &group.rule {
            GroupRule::Shared(overrides) => overrides.weight_decay,
            GroupRule::Own(_) => None,
        });
        let shared = self.rule.remark(of_groups.fold(self.rule.base().weight_decay, f64::max));
        let shared = shared.map(|remark| format!("`optimizer`: {remark}"));
        let own = self.groups.iter().enumerate().filter_map(|(index, group)| {
            let rule = group.rule.own()?;
            let remark = rule.remark(rule.base().weight_decay)?;
            Some(format!("`optimizer.groups[{index}]`: {remark}"))
        });
        shared.into_iter().chain(own).collect()
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        std::iter::once(&self.rule).chain(self.groups.iter().filter_map(|group| group.rule.own()))
    }

    /// Checks every hyperparameter against its range.
    ///
    /// # Errors
    /// The first field that is out of range, with its value.
    pub fn validate(&self) -> Result<(), OptimError> {
        self.rule.check()?;
        self.layer_decay.as_ref().map_or(Ok(()), LayerDecay::check)?;
        self.groups.iter().enumerate().try_for_each(|(index, group)| {
            group.validate(&self.rule).map_err(|error| error.inside(&format!("groups[{index}].")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Adafactor, Adagrad, Adam, AdamVariant, AdamW, Decoupled, Frozen, Ftrl, Lamb, Lars, LarsVariant, MeanDtype,
        NAdam, Overrides, RmsProp, Sgd, Variant,
    };
    use super::*;

    fn read(toml: &str) -> Result<OptimizerConfig, String> {
        toml::from_str(toml).map_err(|error| error.message().to_owned())
    }

    fn refusal(config: impl Into<OptimizerConfig>) -> String {
        config.into().validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_those_of_pytorch() {
        assert_eq!(read("kind = \"adamw\"\nlr = 0.1").unwrap(), AdamW { lr: 0.1, ..AdamW::default() }.into());
        let adamw = AdamW::default();
        assert_eq!((adamw.betas, adamw.eps, adamw.weight_decay), ([0.9, 0.999], 1e-8, 0.01));
    }

    #[test]
    fn a_hyperparameter_out_of_range_is_named_with_its_value() {
        let nan = Sgd { lr: f64::NAN, ..Sgd::default() };
        assert_eq!(refusal(nan), "optimizer.lr = NaN: must be a finite number, at least 0");
        let nesterov = Sgd { nesterov: true, ..Sgd::default() };
        assert_eq!(refusal(nesterov), "optimizer.nesterov = true: needs a momentum above 0 and a dampening of 0");
        let betas = Adam { betas: [0.9, 1.0], ..Adam::default() };
        assert_eq!(refusal(betas), "optimizer.betas = [0.9, 1.0]: each must be at least 0 and below 1");
    }

    #[test]
    fn settings_that_contradict_a_variant_are_refused() {
        let keras = Sgd { variant: Variant::Keras, momentum: 0.9, ..Sgd::default() };
        let told = refusal(Sgd { dampening: 0.5, ..keras.clone() });
        assert_eq!(told, "optimizer.dampening = 0.5: the Keras variant has none; set it to 0");
        let told = refusal(Sgd { decoupled: Some(Decoupled::Composer), ..keras });
        assert_eq!(
            told,
            "optimizer.decoupled = \"composer\": the Keras variant has decoupled decay already; remove the key"
        );
        let told = refusal(AdamW { variant: AdamVariant::Optax, betas: [0.9, 0.999_999_99], ..AdamW::default() });
        assert!(told.ends_with("optax has them in f32, where each must be below 1"), "{told}");
        let error = read("kind = \"sgd\"\nlr = 0.1\nvariant = \"optax\"").unwrap_err();
        assert!(error.contains("unknown variant `optax`, expected `pytorch` or `keras`"), "{error}");
        let told = refusal(NAdam { momentum_decay: -1.0, ..NAdam::default() });
        assert_eq!(told, "optimizer.momentum_decay = -1: must be a finite number, at least 0");
        let told = refusal(RmsProp { alpha: 1.0, ..RmsProp::default() });
        assert_eq!(told, "optimizer.alpha = 1: must be at least 0 and below 1");
        let told = refusal(Adagrad { initial_accumulator_value: f64::NAN, ..Adagrad::default() });
        assert_eq!(told, "optimizer.initial_accumulator_value = NaN: must be a finite number, at least 0");
    }

    #[test]
    fn a_type_of_a_mean_is_for_the_rules_and_forms_that_have_it() {
        let adam = Adam { mu_dtype: MeanDtype::Bf16, ..Adam::default() };
        let told = refusal(adam.clone());
        assert_eq!(told, "optimizer.mu_dtype = \"bf16\": needs `variant = \"optax\"`, without `amsgrad`");
        let optax = Adam { variant: AdamVariant::Optax, ..adam };
        OptimizerConfig::from(optax.clone()).validate().unwrap();
        let told = refusal(Adam { betas: [0.999, 0.999], ..optax });
        assert!(told.starts_with("optimizer.betas = 0.999: optax has the first beta in bf16"), "{told}");
        let told = refusal(Adafactor { momentum_dtype: MeanDtype::Bf16, ..Adafactor::default() });
        assert!(told.contains("optimizer.momentum_dtype = \"bf16\"") && told.contains("set `beta1`"), "{told}");
    }

    #[test]
    fn a_rate_by_which_the_sums_of_ftrl_cannot_be_divided_is_refused() {
        let told = refusal(Ftrl { lr: 1e-40, ..Ftrl::default() });
        assert!(told.contains("lr") && told.contains("must be 0, or at least 1e-30"), "{told}");
        for lr in [0.0, 1e-30] {
            OptimizerConfig::from(Ftrl { lr, ..Ftrl::default() }).validate().unwrap();
        }
    }

    #[test]
    fn a_rule_that_is_plain_without_decay_says_so() {
        assert_eq!(OptimizerConfig::from(Sgd::default()).remarks(), Vec::<String>::new());
        let told = OptimizerConfig::from(Lars::default()).remarks();
        assert!(told[0].starts_with("`optimizer`: `lars` fits steps") && told[0].contains("plain `sgd`"), "{told:?}");
        let lamb = Lamb { weight_decay: 0.0, ..Lamb::default() };
        assert!(OptimizerConfig::from(lamb.clone()).remarks()[0].contains("plain `adam`"));
        let told = grouped(Sgd::default(), Lars::default()).remarks();
        assert!(told[0].starts_with("`optimizer.groups[0]`: `lars`"), "{told:?}");
        let decays = Overrides { weight_decay: Some(0.1), ..Overrides::default() };
        let fitted = [
            Lars { weight_decay: 0.1, ..Lars::default() }.into(),
            Lars { always_adapt: true, ..Lars::default() }.into(),
            Lars { variant: LarsVariant::Optax, ..Lars::default() }.into(),
            grouped(Lars::default(), decays),
            Lamb::default().into(),
            Lamb { always_adapt: true, ..lamb }.into(),
        ];
        for config in fitted {
            assert!(config.remarks().is_empty(), "{config:?}");
        }
    }

    /// Programs from before a setting existed read what does not use it.
    #[test]
    fn a_variant_is_written_only_where_it_is_not_the_usual_one() {
        for rule in [Rule::from(Sgd::default()), Adam::default().into(), AdamW::default().into()] {
            let written = toml::to_string(&OptimizerConfig::from(rule)).unwrap();
            assert!(!["variant", "decoupled", "amsgrad"].iter().any(|key| written.contains(key)), "{written}");
        }
        let keras =
            AdamW { variant: AdamVariant::Keras, decoupled: Decoupled::Composer, amsgrad: true, ..AdamW::default() };
        let written = toml::to_string(&OptimizerConfig::from(keras.clone())).unwrap();
        let keys = "decoupled = \"composer\"\namsgrad = true\nvariant = \"keras\"";
        assert!(written.contains(keys), "{written}");
        assert_eq!(read(&written).unwrap(), keras.into());
        assert_eq!(read("kind = \"frozen\"").unwrap(), Frozen {}.into());
    }

    fn grouped(rule: impl Into<OptimizerConfig>, group: impl Into<GroupRule>) -> OptimizerConfig {
        OptimizerConfig { groups: vec![GroupConfig::new(["a"], group)], ..rule.into() }
    }

    #[test]
    fn a_hyperparameter_of_a_group_out_of_range_is_named_with_its_place() {
        let lr = Overrides { lr: Some(-1.0), ..Overrides::default() };
        let told = refusal(grouped(AdamW::default(), lr));
        assert_eq!(told, "optimizer.groups[0].lr = -1: must be a finite number, at least 0");
        let told = refusal(grouped(AdamW::default(), Sgd { momentum: 1.0, ..Sgd::default() }));
        assert_eq!(told, "optimizer.groups[0].momentum = 1: must be at least 0 and below 1");
    }

    /// Before the key `beta1` existed, groups used `momentum` for Adam's first beta; that is still read.
    #[test]
    fn momentum_and_beta1_are_distinguished() {
        let beta1 = |value| Overrides { beta1: Some(value), ..Overrides::default() };
        let momentum = |value| Overrides { momentum: Some(value), ..Overrides::default() };
        for overrides in [beta1(0.5), momentum(0.5)] {
            grouped(AdamW::default(), overrides).validate().unwrap();
        }
        let told = refusal(grouped(AdamW::default(), beta1(1.0)));
        assert_eq!(told, "optimizer.groups[0].beta1 = 1: must be at least 0 and below 1");
        let told = refusal(grouped(Adam::default(), Overrides { momentum: Some(0.5), ..beta1(0.5) }));
        assert_eq!(
            told,
            "optimizer.groups[0].momentum = 0.5: `adam` has the older name `momentum` for `beta1`; give one"
        );
        let told = refusal(grouped(Sgd::default(), beta1(0.5)));
        assert_eq!(told, "optimizer.groups[0].beta1 = 0.5: `sgd` has no `beta1`; it has `momentum`");
        let told = refusal(grouped(NAdam::default(), beta1(0.5)));
        let rule = "`nadam` has one `beta1` for all; give the group a `kind` with its own `betas`";
        assert_eq!(told, format!("optimizer.groups[0].beta1 = 0.5: {rule}"));
    }

    #[test]
    fn a_setting_of_another_kind_is_refused() {
        let error = read("kind = \"adam\"\nlr = 0.1\nnesterov = true").unwrap_err();
        assert!(error.contains("unknown field `nesterov`, expected one of `lr`, `betas`, `eps`"), "{error}");
        let group =
            "kind = \"adam\"\nlr = 0.1\n[[groups]]\nparameters = [\"a\"]\nkind = \"sgd\"\nlr = 1\nbetas = [0, 0]";
        let error = read(group).unwrap_err();
        assert!(
            error.starts_with("groups[0].betas: unknown field `betas`, expected one of `lr`, `momentum`"),
            "{error}"
        );
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let mut config = grouped(AdamW::default(), Sgd { lr: 0.25, momentum: 0.5, nesterov: true, ..Sgd::default() });
        config.groups.push(GroupConfig::new(["b"], Overrides { lr: Some(1.0), ..Overrides::default() }));
        config.groups[0].decay = Some(Decay::Matrices);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(read(&written).unwrap(), config);
        let group = "parameters = [\"a\"]\nkind = \"sgd\"\nlr = 0.25\nmomentum = 0.5\ndampening = 0.0\n\
                     nesterov = true\nweight_decay = 0.0\ndecay = \"matrices\"";
        assert!(written.contains(group), "{written}");
    }
}
