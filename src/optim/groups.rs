//! Which parameter belongs to which group, and which of them decay.

use globset::{Glob, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{GroupConfig, OptimizerConfig};
use super::{OptimError, list};
use crate::parameters::Parameters;

/// Which parameters weight decay applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// All of them.
    #[default]
    All,
    /// Those of two or more dimensions: biases and the scales of norms have one, and are left out.
    Matrices,
}

impl Decay {
    pub(super) fn includes(self, dimensions: usize) -> bool {
        self == Self::All || dimensions >= 2
    }
}

/// Parameters that share hyperparameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Names of the parameters, sorted.
    pub parameters: Vec<String>,
    /// Base learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Momentum; for Adam kinds the first beta.
    pub momentum: f64,
    /// Which of the parameters decay.
    pub decay: Decay,
}

/// Sorts `parameters` into groups. Those that no group of the configuration claims come first, as a group of
/// their own; the others follow in the order in which they are written.
pub(super) fn assign(config: &OptimizerConfig, parameters: &Parameters) -> Result<Vec<Group>, OptimError> {
    let defaults = config.defaults();
    let mut unclaimed: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
    let mut groups = Vec::new();
    for group in config.groups() {
        let matchers = matchers(group)?;
        let (claimed, rest) =
            unclaimed.into_iter().partition::<Vec<_>, _>(|name| matchers.iter().any(|glob| glob.is_match(name)));
        unclaimed = rest;
        if claimed.is_empty() {
            let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
            return Err(OptimError::EmptyGroup { patterns: group.parameters.clone(), names: list(&names) });
        }
        groups.push(resolve(claimed, group, &defaults));
    }
    if !unclaimed.is_empty() || groups.is_empty() {
        groups.insert(0, resolve(unclaimed, &defaults, &defaults));
    }
    Ok(groups)
}

fn matchers(group: &GroupConfig) -> Result<Vec<GlobMatcher>, OptimError> {
    let matcher = |pattern: &String| {
        let glob = Glob::new(pattern)
            .map_err(|error| OptimError::Pattern { pattern: pattern.clone(), reason: error.kind().to_string() })?;
        Ok(glob.compile_matcher())
    };
    group.parameters.iter().map(matcher).collect()
}

/// Refuses a pattern that matches no parameter, beside others of its group that do.
pub(super) fn refuse_unmatched(config: &OptimizerConfig, parameters: &Parameters) -> Result<(), OptimError> {
    for (index, group) in config.groups().iter().enumerate() {
        let patterns = unmatched(group, &matchers(group)?, parameters);
        if !patterns.is_empty() {
            let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
            return Err(OptimError::Unmatched { group: index, patterns, names: list(&names) });
        }
    }
    Ok(())
}

/// The patterns of a group that match no parameter. One whose parameters an earlier group has is not among them: it may
/// be meant to take the rest.
fn unmatched(group: &GroupConfig, matchers: &[GlobMatcher], parameters: &Parameters) -> Vec<String> {
    let matches_none = |glob: &GlobMatcher| parameters.iter().all(|(name, _)| !glob.is_match(name));
    let pairs = group.parameters.iter().zip(matchers);
    pairs.filter(|(_, glob)| matches_none(glob)).map(|(pattern, _)| pattern.clone()).collect()
}

fn resolve(parameters: Vec<String>, group: &GroupConfig, defaults: &GroupConfig) -> Group {
    let pick = |own: Option<f64>, default: Option<f64>| own.or(default).unwrap_or_default();
    Group {
        parameters,
        lr: pick(group.lr, defaults.lr),
        weight_decay: pick(group.weight_decay, defaults.weight_decay),
        momentum: pick(group.momentum, defaults.momentum),
        decay: group.decay.or(defaults.decay).unwrap_or_default(),
    }
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
        let group = |patterns: &&[&str]| GroupConfig {
            parameters: patterns.iter().map(|&p| p.to_owned()).collect(),
            lr: Some(0.5),
            ..GroupConfig::default()
        };
        let config = AdamW { groups: patterns.iter().map(group).collect(), ..AdamW::default() }.into();
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
        assert!(grouped(&[&["a[b"]]).unwrap_err().to_string().contains("`a[b`"));
    }
}
