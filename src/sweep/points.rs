//! The values of a trial, as a function of the sweep and of the trial's number: there is no state to save.

use toml::Value;

use super::plan::{Plan, Search};
use super::sobol;
use crate::rng::Stream;

/// Returns the value of each parameter in trial `number`, in the order of the parameters.
pub(super) fn values(plan: &Plan, number: usize) -> Vec<Value> {
    match &plan.search {
        Search::Grid {} => in_grid(plan, number),
        Search::Random { seed, .. } => {
            let share = |key: &str| unit(Stream::new(*seed, &format!("sweep/{key}")).bits(number as u64, 0));
            plan.parameters.iter().map(|parameter| parameter.values.at(share(&parameter.key))).collect()
        }
        Search::Sobol { seed, .. } => {
            let stream = Stream::new(*seed, "sweep/sobol");
            let point = u32::try_from(number).unwrap_or(u32::MAX);
            let share = |dimension: usize| sobol::scrambled(&stream, point, dimension);
            plan.parameters.iter().enumerate().map(|(index, parameter)| parameter.values.at(share(index))).collect()
        }
    }
}

/// The last parameter changes from trial to trial.
fn in_grid(plan: &Plan, number: usize) -> Vec<Value> {
    let mut rest = number;
    let mut values: Vec<Value> = plan
        .parameters
        .iter()
        .rev()
        .map(|parameter| {
            let all = parameter.values.in_grid().unwrap_or_default();
            let count = all.len().max(1);
            let value = all.into_iter().nth(rest % count);
            rest /= count;
            // A grid without values is refused before this.
            value.unwrap_or(Value::Boolean(false))
        })
        .collect();
    values.reverse();
    values
}

/// Converts random bits to a number in `(0, 1)`.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / 2f64.powi(53)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use toml::Table;

    use super::super::parameter;
    use super::*;
    use crate::train::Metric;

    fn plan(search: Search, parameters: &str) -> Plan {
        Plan {
            config: PathBuf::new(),
            metric: Metric::ValidationLoss,
            parallel: 1,
            search,
            parameters: parameter::read(&parameters.parse::<Table>().unwrap()).unwrap(),
            early_ending: None,
        }
    }

    #[test]
    fn in_a_grid_the_last_parameter_changes_first() {
        let plan = plan(Search::Grid {}, "a = [1, 2]\nb = ['x', 'y', 'z']");
        let told: Vec<String> = (0..6).map(|n| values(&plan, n).iter().map(ToString::to_string).collect()).collect();
        assert_eq!(plan.trials(), 6);
        assert_eq!(told, ["1\"x\"", "1\"y\"", "1\"z\"", "2\"x\"", "2\"y\"", "2\"z\""]);
    }

    #[test]
    fn a_parameter_has_its_values_whatever_others_there_are_and_however_many_trials() {
        let search = |trials| Search::Random { trials, seed: 3 };
        let (a, b) = ("a = { low = 1.0, high = 2.0 }", "b = { low = 1.0, high = 2.0 }");
        let (one, both) = (plan(search(3), a), plan(search(5), &format!("{b}\n{a}")));
        for number in 0..3 {
            assert_eq!(values(&one, number)[0], values(&both, number)[1]);
            assert_ne!(values(&both, number)[0], values(&both, number)[1]);
        }
        assert_ne!(values(&one, 0), values(&one, 1));
        assert_ne!(values(&one, 0), values(&plan(Search::Random { trials: 3, seed: 4 }, a), 0));
    }

    /// In each half of each decade of a logarithmic range, and for each value of a list.
    #[test]
    fn a_sobol_search_fills_logarithmic_ranges_and_lists_evenly() {
        let plan = plan(
            Search::Sobol { trials: 16, seed: 1 },
            "lr = { low = 1e-4, high = 1.0, scale = 'log' }\nsize = [1, 2, 4, 8]",
        );
        let (mut decades, mut sizes) = ([0; 4], [0; 4]);
        for number in 0..16 {
            match values(&plan, number).as_slice() {
                [Value::Float(lr), Value::Integer(size)] => {
                    decades[(lr.log10() + 4.0) as usize] += 1;
                    sizes[size.ilog2() as usize] += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((decades, sizes), ([4; 4], [4; 4]));
    }
}
