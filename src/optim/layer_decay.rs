//! Rates that fall from the last layer of a model to the first, by patterns of parameter names.

use std::collections::{BTreeMap, BTreeSet};

use globset::{Glob, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{OptimError, list};
use crate::parameters::Parameters;

/// Layer-wise decay of the learning rate, as for fine-tuning a pretrained model (Howard and Ruder, "Universal Language
/// Model Fine-tuning for Text Classification", 2018; ELECTRA; BEiT): the last layer has the rate of its group, each one
/// before it `factor` times the rate of the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerDecay {
    /// The rate of a layer, as a share of that of the next one.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub factor: f64,
    /// Glob patterns of parameter names, from the first layer to the last. A `#` stands for a number, and each number is a
    /// layer: `"transformer.h.#.*"`. A parameter belongs to the first pattern that matches it, and without any to the last layer.
    pub layers: Vec<String>,
}

/// A layer: the place of its pattern, and its number there.
type Layer = (usize, u64);

/// A pattern, and the text before its number.
struct Pattern {
    glob: GlobMatcher,
    before: Option<String>,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, OptimError> {
        let glob = Glob::new(&text.replace('#', "*"))
            .map_err(|error| OptimError::Pattern { pattern: text.to_owned(), reason: error.kind().to_string() })?;
        let before = text.split_once('#').map(|(before, _)| before.to_owned());
        Ok(Self { glob: glob.compile_matcher(), before })
    }

    /// Returns the number in a name, 0 for a pattern without one, if the name matches.
    fn number(&self, name: &str) -> Option<u64> {
        let Some(before) = self.before.as_ref().filter(|_| self.glob.is_match(name)) else {
            return self.glob.is_match(name).then_some(0);
        };
        let rest = name.strip_prefix(before.as_str())?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

impl LayerDecay {
    /// Checks the factor and the patterns.
    pub(super) fn check(&self) -> Result<(), OptimError> {
        let is_share = self.factor > 0.0 && self.factor <= 1.0;
        OptimError::require("layer_decay.factor", self.factor, is_share, "must be above 0 and at most 1")?;
        for text in &self.layers {
            let (before, rest) = text.split_once('#').unwrap_or(("", ""));
            let is_plain = !before.contains(['*', '?', '[', '{']) && !rest.contains('#');
            let rule = "may have one `#`, and no other wildcard before it";
            OptimError::require("layer_decay.layers", format!("{text:?}"), is_plain, rule)?;
            Pattern::new(text)?;
        }
        OptimError::require("layer_decay.layers", "[]", !self.layers.is_empty(), "must have at least one pattern")
    }

    /// Returns the factor of the rate of each parameter, by name.
    ///
    /// # Errors
    /// A pattern matches no parameter.
    pub(super) fn factors(&self, parameters: &Parameters) -> Result<BTreeMap<String, f64>, OptimError> {
        let patterns = self.layers.iter().map(|text| Pattern::new(text)).collect::<Result<Vec<_>, _>>()?;
        let layer_of = |name: &str| -> Option<Layer> {
            patterns.iter().enumerate().find_map(|(place, pattern)| Some((place, pattern.number(name)?)))
        };
        let layers: BTreeSet<Layer> = parameters.iter().filter_map(|(name, _)| layer_of(name)).collect();
        let is_empty = |(place, _): &(usize, _)| layers.iter().all(|(of, _)| of != place);
        if let Some((_, text)) = self.layers.iter().enumerate().find(is_empty) {
            let names: Vec<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
            let rule = format!("matches no parameter that is left; the parameters are {}", list(&names));
            OptimError::require("layer_decay.layers", format!("{text:?}"), false, rule)?;
        }
        let factor = |name: &str| {
            let after = layer_of(name).map_or(0, |layer| layers.range(layer..).count() - 1);
            self.factor.powi(i32::try_from(after).unwrap_or(i32::MAX))
        };
        Ok(parameters.iter().map(|(name, _)| (name.to_owned(), factor(name))).collect())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    fn factors(layers: &[&str], names: &[&str]) -> Result<Vec<f64>, String> {
        let var = |name: &&str| ((*name).to_owned(), Var::zeros(1, DType::F32, &Device::Cpu).unwrap());
        let parameters: Parameters = names.iter().map(var).collect();
        let decay = LayerDecay { factor: 0.5, layers: layers.iter().map(|text| (*text).to_owned()).collect() };
        let found = decay.check().and_then(|()| decay.factors(&parameters)).map_err(|error| error.to_string())?;
        Ok(names.iter().map(|name| found[*name]).collect())
    }

    #[test]
    fn each_layer_has_half_the_rate_of_the_next_in_the_order_of_numbers() {
        let names = ["wte.weight", "h.0.w", "h.2.w", "h.10.w", "ln_f.weight", "head.weight"];
        let found = factors(&["wte.*", "h.#.*", "ln_f.*"], &names).unwrap();
        assert_eq!(found, [0.0625, 0.125, 0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn patterns_that_cannot_be_meant_are_refused() {
        let refusal = |layers: &[&str]| factors(layers, &["a.0.w", "b"]).unwrap_err();
        assert!(refusal(&["a.#.*", "c*"]).contains("\"c*\": matches no parameter that is left"));
        assert!(refusal(&["*.#.w"]).contains("no other wildcard before it"));
        assert!(refusal(&[]).contains("at least one pattern"));
        assert!(refusal(&["a[0"]).contains("a[0"));
    }
}
