//! Size of an optimizer's state, computed from its configuration and the tensor sizes of a model that is not built yet.

use candle_core::Shape;

use super::any_rule::Rule;
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
    /// Computes the state size for a model with `parameters` weights; `tensors` lists their names and shapes.
    pub(crate) fn remembered<'a>(
        &self,
        parameters: u64,
        tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    ) -> Remembered {
        let (own, of_groups) = (self.own_states(), self.groups.iter().map(|group| self.states_of(&group.rule)));
        let of_groups: Vec<States<'_>> = of_groups.collect();
        let matchers: Vec<_> = self.groups.iter().map(|g| groups::matchers(g).unwrap_or_default()).collect();
        let group_of = |name: &str| matchers.iter().position(|globs| globs.iter().any(|glob| glob.is_match(name)));
        let counts: Vec<usize> = of_groups.iter().map(States::per_weight).collect();
        let own_count = own.per_weight();
        let (mut numbers, mut rest, mut largest) = (0u64, parameters, None::<(u64, u64, &str)>);
        let depends = own.depend_on_shape() || of_groups.iter().any(States::depend_on_shape);
        if depends || counts.iter().any(|count| *count != own_count) {
            for (name, shape) in tensors {
                let states = group_of(name).map_or(&own, |group| &of_groups[group]);
                let size = shape.iter().fold(1, |size: u64, side| size.saturating_mul(*side as u64));
                // Buffers are among the tensors; no more than there are parameters are counted.
                if size <= rest {
                    rest -= size;
                    let own = states.numbers(shape);
                    numbers = numbers.saturating_add(own);
                    let of = |numbers: u64, weights: u64| u128::from(numbers) * u128::from(weights);
                    if largest.is_none_or(|(most, weights, _)| of(own, weights) > of(most, size)) {
                        largest = Some((own, size, name));
                    }
                }
            }
        }
        let own = own_count;
        let all = || counts.iter().copied().chain([own]);
        let (least, most) = (all().min().unwrap_or(own), all().max().unwrap_or(own));
        // How many there are for each weight depends on the tensor; those of the one with the most are known.
        let (most, each) = match largest.filter(|_| depends) {
            Some((numbers, weights, name)) => {
                let most = numbers.div_ceil(weights.max(1)) as usize;
                (most, format!("up to {most} per weight (in `{name}`)"))
            }
            None if least == most => (most, format!("{most} per weight")),
            None => (most, format!("{least} to {most} per weight")),
        };
        let detail = format!("{each}, by {}", self.kinds().join(" and "));
        Remembered { numbers: numbers.saturating_add(rest.saturating_mul(own as u64)), most, detail }
    }

    fn own_states(&self) -> States<'_> {
        States { rule: &self.rule, momentum: self.largest_momentum() }
    }

    fn states_of<'a>(&'a self, rule: &'a GroupRule) -> States<'a> {
        match rule {
            GroupRule::Shared(_) => self.own_states(),
            GroupRule::Own(rule) => States { rule, momentum: rule.base().momentum.map_or(0.0, Momentum::value) },
        }
    }
}

/// The states of a rule at a momentum.
struct States<'a> {
    rule: &'a Rule,
    momentum: f64,
}

impl States<'_> {
    /// Returns the number of elements of state for a parameter of this shape, without single numbers.
    fn numbers(&self, shape: &[usize]) -> u64 {
        let forms = self.rule.state_forms(self.momentum, &Shape::from(shape));
        let product = |shape: &Shape| shape.dims().iter().fold(1, |all: u64, side| all.saturating_mul(*side as u64));
        forms.iter().filter(|form| !form.is_exact).fold(0, |sum: u64, form| sum.saturating_add(product(&form.shape)))
    }

    /// Returns the largest number of elements of state for each weight, of a large matrix or of a vector.
    fn per_weight(&self) -> usize {
        const SIDE: usize = 1 << 10;
        let of = |shape: &[usize]| self.numbers(shape).div_ceil(shape.iter().product::<usize>() as u64) as usize;
        of(&[SIDE, SIDE]).max(of(&[SIDE]))
    }

    /// Whether vectors have another number of elements for each weight than matrices.
    fn depend_on_shape(&self) -> bool {
        const COUNT: usize = 1 << 10;
        let per_weight = self.per_weight() as u64;
        self.numbers(&[COUNT]) != per_weight * COUNT as u64
            || self.numbers(&[COUNT, COUNT]) != per_weight * (COUNT * COUNT) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Adafactor, AdamW, GroupConfig, Muon, ScheduleFreeSgd, Sgd, Shampoo, Soap};
    use super::*;

    /// A factored parameter has a number for each row and column, and a vector one for each weight; buffers count for
    /// nothing.
    #[test]
    fn states_of_other_shapes_count_with_their_own_size() {
        let tensors = || [("w", &[100, 50][..]), ("b", &[100]), ("running_mean", &[100])].into_iter();
        let remembered = |config: OptimizerConfig| config.remembered(5100, tensors());
        let factored = remembered(Adafactor::default().into());
        assert_eq!((factored.numbers, factored.most), (250, 1));
        assert_eq!(factored.detail, "up to 1 per weight (in `b`), by adafactor");
        // The largest number is that of a tensor of the model, whatever the rule needs for a larger one.
        assert_eq!(remembered(Shampoo::default().into()).detail, "up to 201 per weight (in `b`), by shampoo");
        // Momentum for the matrix, and both moments of AdamW for the vector.
        assert_eq!(remembered(Muon::default().into()).numbers, 5200);
        // Both moments, and the products and axes of each side.
        assert_eq!(remembered(Soap::default().into()).numbers, 10_200 + 2 * (10_000 + 2500));
        // Single numbers are not counted.
        let averaged = remembered(ScheduleFreeSgd::default().into());
        assert_eq!((averaged.numbers, averaged.detail.as_str()), (5100, "1 per weight, by schedule_free_sgd"));
    }

    #[test]
    fn each_rule_counts_for_its_parameters() {
        let tensors = || [("a.weight", &[7, 10][..]), ("a.bias", &[10]), ("b.weight", &[10, 2])].into_iter();
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
