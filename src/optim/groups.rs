//! Assignment of parameters to groups, and weight decay by dimension.

use candle_core::Shape;
use globset::{Glob, GlobMatcher};

use super::any_rule::Rule;
use super::config::OptimizerConfig;
use super::decay::Decay;
use super::error::{OptimError, list};
use super::group_config::{GroupConfig, GroupRule, Overrides};
use super::rule::{Momentum, StateForm};
use crate::parameters::Parameters;

/// Parameters that share hyperparameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Names of the parameters, sorted.
    pub parameters: Vec<String>,
    /// The update rule. The fields below override its hyperparameters.
    pub rule: Rule,
    /// Base learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Momentum or beta1, if the rule has one.
    pub momentum: Option<Momentum>,
    /// The second beta, if the rule has one that a schedule can drive.
    pub beta2: Option<f64>,
    /// Which of the parameters decay.
    pub decay: Decay,
    /// Maximal norm of the gradients, after the clipping of all.
    pub clip_norm: Option<f64>,
    /// Names of the state tensors of each parameter.
    pub(super) states: &'static [&'static str],
    /// The largest momentum of all groups that share the rule, by which it has these states.
    pub(super) largest_momentum: f64,
    /// Index of the group in the configuration if it has its own rule there.
    pub(super) own: Option<usize>,
}

impl Group {
    /// Returns the base value for a schedule of the momentum; 0 for a rule without momentum.
    pub fn base_momentum(&self) -> f64 {
        self.momentum.map_or(0.0, Momentum::value)
    }

    /// Returns the field that must be above 0, if the rule has a momentum that a schedule could move but no state to
    /// apply it.
    pub(crate) fn lacks_momentum(&self) -> Option<String> {
        let name = self.momentum?.name();
        let remembers = self.rule.states(f64::MIN_POSITIVE).len() == self.states.len();
        (!remembers).then(|| self.field(name))
    }

    /// Returns the state tensors of a parameter of this shape.
    pub(super) fn state_forms(&self, shape: &Shape) -> Vec<StateForm> {
        self.rule.state_forms(self.largest_momentum, shape)
    }

    /// Returns the dotted name of a hyperparameter of the group's rule.
    pub(super) fn field(&self, name: &str) -> String {
        self.own.map_or_else(|| format!("optimizer.{name}"), |index| format!("optimizer.groups[{index}].{name}"))
    }

    fn new(parameters: Vec<String>, config: &OptimizerConfig, overrides: &Overrides, decay: Option<Decay>) -> Self {
        let base = config.rule.base();
        let momentum = base.momentum.map(|own| own.with_value(overrides.momentum().unwrap_or(own.value())));
        Self {
            parameters,
            rule: config.rule.clone(),
            lr: overrides.lr.unwrap_or(base.lr),
            weight_decay: overrides.weight_decay.unwrap_or(base.weight_decay),
            momentum,
            beta2: config.rule.beta2(),
            decay: decay.unwrap_or(config.decay),
            clip_norm: None,
            states: config.states(),
            largest_momentum: config.largest_momentum(),
            own: None,
        }
    }

    /// Creates a group with another rule, which is number `index` in the configuration.
    fn with_rule(parameters: Vec<String>, rule: &Rule, decay: Decay, index: usize) -> Self {
        let base = rule.base();
        Self {
            parameters,
            rule: rule.clone(),
            lr: base.lr,
            weight_decay: base.weight_decay,
            momentum: base.momentum,
            beta2: rule.beta2(),
            decay,
            clip_norm: None,
            states: rule.states(base.momentum.map_or(0.0, Momentum::value)),
            largest_momentum: base.momentum.map_or(0.0, Momentum::value),
            own: Some(index),
        }
    }
}

/// Sorts `parameters` into groups. Those that no group of the configuration claims come first, as one group; the others
/// follow in the order of the configuration.
pub(super) fn assign(config: &OptimizerConfig, parameters: &Parameters) -> Result<Vec<Group>, OptimError> {
    let mut unclaimed: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
    let mut groups = Vec::new();
    for (index, group) in config.groups.iter().enumerate() {
        let matchers = matchers(group)?;
        let (claimed, rest) =
            unclaimed.into_iter().partition::<Vec<_>, _>(|name| matchers.iter().any(|glob| glob.is_match(name)));
        unclaimed = rest;
        if claimed.is_empty() {
            if unmatched(group, &matchers, parameters).len() < matchers.len() {
                return Err(OptimError::Claimed { group: index, patterns: group.parameters.clone() });
            }
            let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
            return Err(OptimError::EmptyGroup { patterns: group.parameters.clone(), names: list(&names) });
        }
        let assigned = match &group.rule {
            GroupRule::Shared(overrides) => Group::new(claimed, config, overrides, group.decay),
            GroupRule::Own(rule) => Group::with_rule(claimed, rule, group.decay.unwrap_or(config.decay), index),
        };
        groups.push(Group { clip_norm: group.clip_norm, ..assigned });
    }
    if !unclaimed.is_empty() || groups.is_empty() {
        groups.insert(0, Group::new(unclaimed, config, &Overrides::default(), None));
    }
    Ok(groups)
}

impl OptimizerConfig {
    /// Returns the groups of `parameters`, in the order of an optimizer's rates.
    ///
    /// # Errors
    /// A group or one of its patterns matches no parameter.
    pub(crate) fn divide(&self, parameters: &Parameters) -> Result<Vec<Group>, OptimError> {
        let groups = assign(self, parameters)?;
        refuse_unmatched(self, parameters).map(|()| groups)
    }
}

pub(super) fn matchers(group: &GroupConfig) -> Result<Vec<GlobMatcher>, OptimError> {
    let matcher = |pattern: &String| {
        let glob = Glob::new(pattern)
            .map_err(|error| OptimError::Pattern { pattern: pattern.clone(), reason: error.kind().to_string() })?;
        Ok(glob.compile_matcher())
    };
    group.parameters.iter().map(matcher).collect()
}

/// Refuses a pattern that matches no parameter, even if other patterns of its group do.
pub(super) fn refuse_unmatched(config: &OptimizerConfig, parameters: &Parameters) -> Result<(), OptimError> {
    for (index, group) in config.groups.iter().enumerate() {
        let patterns = unmatched(group, &matchers(group)?, parameters);
        if !patterns.is_empty() {
            let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
            return Err(OptimError::Unmatched { group: index, patterns, names: list(&names) });
        }
    }
    Ok(())
}

/// Returns the patterns of a group that match no parameter. A pattern whose parameters belong to an earlier group is
/// not among them: it may be meant to take the rest.
fn unmatched(group: &GroupConfig, matchers: &[GlobMatcher], parameters: &Parameters) -> Vec<String> {
    let matches_none = |glob: &GlobMatcher| parameters.iter().all(|(name, _)| !glob.is_match(name));
    let pairs = group.parameters.iter().zip(matchers);
    pairs.filter(|(_, glob)| matches_none(glob)).map(|(pattern, _)| pattern.clone()).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::optim::AdamW;

    fn parameters() -> Parameters {
        let names = ["0.weight", "0.bias", "2.weight", "2.bias"];
        let var = |name: &str| (name.to_owned(), Var::zeros(1, DType::F32, &Device::Cpu).unwrap());
        names.into_iter().map(var).collect()
    }

    fn grouped(patterns: &[&[&str]]) -> Result<Vec<Group>, OptimError> {
        let half = Overrides { lr: Some(0.5), ..Overrides::default() };
        let group = |patterns: &&[&str]| GroupConfig::new(patterns.iter().copied(), half);
        let groups = patterns.iter().map(group).collect();
        let config = OptimizerConfig { groups, ..AdamW::default().into() };
        let groups = assign(&config, &parameters())?;
        refuse_unmatched(&config, &parameters()).map(|()| groups)
    }

    #[test]
    fn the_first_matching_group_has_a_parameter_and_the_rest_come_first() {
        let groups = grouped(&[&["2.*"], &["*.bias"]]).unwrap();
        let names: Vec<_> = groups.iter().map(|group| group.parameters.join(" ")).collect();
        assert_eq!(names, ["0.weight", "2.bias 2.weight", "0.bias"]);
        assert_eq!(groups.iter().map(|group| group.lr).collect::<Vec<_>>(), [1e-3, 0.5, 0.5]);
    }

    #[test]
    fn a_pattern_for_what_other_groups_leave_is_allowed() {
        assert_eq!(grouped(&[&["*.bias"], &["*.weight", "*.bias"]]).unwrap().len(), 2);
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused_with_the_names_there_are() {
        let message = grouped(&[&["encoder.*"]]).unwrap_err().to_string();
        assert!(message.contains("[\"encoder.*\"]") && message.contains("`2.weight`"), "{message}");
        let message = grouped(&[&["2.*"], &["0.*", "head.*", "tail"]]).unwrap_err().to_string();
        let named = "optimizer.groups[1].parameters: `head.*`, `tail` match no parameter; correct or remove them";
        assert!(message.starts_with(named) && message.contains("`0.bias`"), "{message}");
        let message = grouped(&[&["*.bias"], &["0.bias", "2.bias"]]).unwrap_err().to_string();
        let named = "optimizer.groups[1].parameters: all that `0.bias`, `2.bias` match is in earlier groups";
        assert!(message.starts_with(named), "{message}");
        assert!(grouped(&[&["a[b"]]).unwrap_err().to_string().contains("`a[b`"));
    }
}
