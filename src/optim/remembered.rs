//! Size of an optimizer's state, computed from its configuration and the tensor sizes of a model that is not built yet.

use super::config::OptimizerConfig;
use super::group_config::GroupRule;
use super::groups;
use super::rule::Momentum;

/// Size of an optimizer's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Number of elements in all, saturated at the largest `u64`.
    pub numbers: u64,
    /// Maximal number of state elements per weight.
    pub most: usize,
    /// In words: the number per weight, and the rules.
    pub detail: String,
}

impl OptimizerConfig {
    /// Computes the state size for a model with `parameters` weights; `tensors` lists their names and sizes.
    pub(crate) fn remembered<'a>(&self, parameters: u64, tensors: impl Iterator<Item = (&'a str, u64)>) -> Remembered {
        let counts: Vec<usize> = self.groups.iter().map(|group| self.count_of(&group.rule)).collect();
        let own = self.states().len();
        let matchers: Vec<_> = self.groups.iter().map(|g| groups::matchers(g).unwrap_or_default()).collect();
        let group_of = |name: &str| matchers.iter().position(|globs| globs.iter().any(|glob| glob.is_match(name)));
        let (mut numbers, mut rest) = (0u64, parameters);
        if counts.iter().any(|count| *count != own) {
            for (group, size) in tensors.filter_map(|(name, size)| Some((group_of(name)?, size))) {
                let size = size.min(rest);
                rest -= size;
                numbers = numbers.saturating_add(size.saturating_mul(counts[group] as u64));
            }
        }
        let all = || counts.iter().copied().chain([own]);
        let (least, most) = (all().min().unwrap_or(own), all().max().unwrap_or(own));
        let each = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let detail = format!("{each} per weight, by {}", self.kinds().join(" and "));
        Remembered { numbers: numbers.saturating_add(rest.saturating_mul(own as u64)), most, detail }
    }

    fn count_of(&self, rule: &GroupRule) -> usize {
        match rule {
            GroupRule::Shared(_) => self.states().len(),
            GroupRule::Own(rule) => rule.states(rule.base().momentum.map_or(0.0, Momentum::value)).len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AdamW, GroupConfig, Sgd};
    use super::*;

    #[test]
    fn each_rule_counts_for_its_parameters() {
        let tensors = || [("a.weight", 70), ("a.bias", 10), ("b.weight", 20)].into_iter();
        let remembered = |config: &OptimizerConfig| config.remembered(100, tensors());
        let adamw = OptimizerConfig::from(AdamW::default());
        let detail = "2 per weight, by adamw".to_owned();
        assert_eq!(remembered(&adamw), Remembered { numbers: 200, most: 2, detail });
        let group = |momentum| GroupConfig::new(["*.bias"], Sgd { momentum, ..Sgd::default() });
        let mixed = OptimizerConfig { groups: vec![group(0.0)], ..adamw.clone() };
        let detail = "0 to 2 per weight, by adamw and sgd".to_owned();
        assert_eq!(remembered(&mixed), Remembered { numbers: 180, most: 2, detail });
        let mixed = OptimizerConfig { groups: vec![group(0.9)], ..adamw };
        assert_eq!(remembered(&mixed).numbers, 190);
        assert_eq!(mixed.remembered(u64::MAX, tensors()).numbers, u64::MAX);
    }
}
