//! LoRA: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022. The weights of a trained model stay
//! as they are; a linear map `W x` becomes `W x + alpha / rank * B A x` with two narrow matrices, which alone are
//! trained. `B` begins as 0, so the model begins as it was.

use std::borrow::Cow;

use candle_core::{Result, Tensor};
use globset::{Glob, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::layers::Weight;
use crate::ops::{self, dropout::dropout};
use crate::rng::StepRng;

/// The ends of the names of an adapter's two matrices, after the name of its map, as PEFT has them.
pub(crate) const ADAPTER: [&str; 2] = [".lora_A.weight", ".lora_B.weight"];

/// Whether a parameter is a matrix of an adapter.
#[cfg(feature = "trainer")]
pub(crate) fn is_adapter(name: &str) -> bool {
    ADAPTER.iter().any(|end| name.ends_with(end))
}

/// Adapters of low rank beside the linear maps of a model, whose other weights are not trained. They are saved with the
/// model; `inspect export` writes them apart for PEFT, or merged into the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LoraConfig {
    /// The width between the two matrices of an adapter.
    #[schemars(range(min = 1))]
    pub rank: usize,
    /// The result of an adapter is multiplied by `alpha / rank`; by default `alpha` is the rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub alpha: Option<f64>,
    /// Probability in `[0, 1)` of dropping an element of an adapter's input in training; 0 by default. The input of the
    /// weights beside it stays whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Glob patterns of the names of linear maps that get adapters, such as `"*.attn.*"`; by default all of them.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub patterns: Vec<String>,
    /// Glob patterns of parameters that are trained as a whole, such as `"fc.*"`, a new head, or `"*.bias"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trained: Vec<String>,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn is_all(patterns: &[String]) -> bool {
    *patterns == all()[..]
}

fn is_zero(probability: &f64) -> bool {
    *probability == 0.0
}

impl LoraConfig {
    /// Creates adapters of this rank for all linear maps.
    pub fn new(rank: usize) -> Self {
        Self { rank, alpha: None, dropout: 0.0, patterns: all(), trained: Vec::new() }
    }

    /// Returns the factor of an adapter's result.
    pub fn scale(&self) -> f64 {
        self.alpha.map_or(1.0, |alpha| alpha / self.rank as f64)
    }

    /// Whether adapters see only some of their inputs in training.
    pub(super) fn drops(lora: Option<&Self>) -> bool {
        lora.is_some_and(|lora| lora.dropout > 0.0)
    }

    /// Checks what can be checked without the model.
    pub(super) fn validate(&self) -> std::result::Result<(), ModelError> {
        if self.rank == 0 {
            return Err(ModelError::field("lora.rank", 0, "must be at least 1"));
        }
        if let Some(alpha) = self.alpha.filter(|alpha| !(alpha.is_finite() && *alpha > 0.0)) {
            return Err(ModelError::field("lora.alpha", alpha, "must be a finite number above 0"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ModelError::field("lora.dropout", self.dropout, "must be at least 0 and below 1"));
        }
        if self.patterns.is_empty() {
            let rule = "give the names of linear maps, such as \"*.attn.*\", or remove it for all of them";
            return Err(ModelError::field("lora.patterns", "[]", rule));
        }
        Lora::of(self).map(drop)
    }
}

/// Which weights of a model are adapted, trained or neither. Notes the linear maps that the model has.
#[derive(Debug)]
pub(super) struct Lora<'a> {
    config: &'a LoraConfig,
    adapted: Vec<GlobMatcher>,
    trained: Vec<GlobMatcher>,
    /// Names of linear maps.
    maps: Vec<String>,
    /// Names of parameters.
    parameters: Vec<String>,
}

impl<'a> Lora<'a> {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// One is not a pattern.
    pub fn of(config: &'a LoraConfig) -> std::result::Result<Self, ModelError> {
        let compiled = |field: &'static str, patterns: &[String]| {
            let one = |pattern: &String| {
                let wrong = |error: globset::Error| ModelError::field(field, pattern, error.kind().to_string());
                Ok(Glob::new(pattern).map_err(wrong)?.compile_matcher())
            };
            patterns.iter().map(one).collect::<std::result::Result<Vec<_>, ModelError>>()
        };
        let adapted = compiled("lora.patterns", &config.patterns)?;
        let trained = compiled("lora.trained", &config.trained)?;
        Ok(Self { config, adapted, trained, maps: Vec::new(), parameters: Vec::new() })
    }

    /// Returns the width between the matrices of an adapter.
    pub fn rank(&self) -> usize {
        self.config.rank
    }

    /// Returns the factor of an adapter's result.
    pub fn scale(&self) -> f64 {
        self.config.scale()
    }

    /// Returns the probability of dropping an element of an adapter's input.
    pub fn dropout(&self) -> f64 {
        self.config.dropout
    }

    /// Whether a parameter of the model is trained as a whole.
    pub fn trains(&mut self, parameter: &str) -> bool {
        self.parameters.push(parameter.to_owned());
        matches(&self.trained, parameter)
    }

    /// Whether a linear map gets an adapter: it is not trained as a whole.
    pub fn adapts(&mut self, map: &str) -> bool {
        self.maps.push(map.to_owned());
        matches(&self.adapted, map) && !matches(&self.trained, &format!("{map}.weight"))
    }

    /// Refuses patterns that match nothing in the finished model.
    ///
    /// # Errors
    /// The pattern, and the names that there are.
    pub fn check(&self) -> std::result::Result<(), ModelError> {
        if self.maps.is_empty() {
            let rule = "the model has no linear map; remove `[model.lora]`";
            return Err(ModelError::field("lora.rank", self.config.rank, rule));
        }
        unmatched("lora.patterns", &self.adapted, &self.maps, "linear map")?;
        unmatched("lora.trained", &self.trained, &self.parameters, "parameter")
    }
}

fn matches(patterns: &[GlobMatcher], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(name))
}

fn unmatched(
    field: &'static str,
    patterns: &[GlobMatcher],
    names: &[String],
    what: &str,
) -> std::result::Result<(), ModelError> {
    const SHOWN: usize = 8;
    match patterns.iter().find(|pattern| names.iter().all(|name| !pattern.is_match(name))) {
        Some(pattern) => {
            let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
            let more: Cow<'_, str> = match names.len().saturating_sub(SHOWN) {
                0 => "".into(),
                more => format!(" and {more} more").into(),
            };
            let rule = format!("matches no {what}; there are `{}`{more}", shown.join("`, `"));
            Err(ModelError::field(field, format!("{:?}", pattern.glob().glob()), rule))
        }
        None => Ok(()),
    }
}

/// The adapter of a linear map.
#[derive(Debug)]
pub(super) struct Adapter {
    /// `[rank, inputs]`.
    pub a: Weight,
    /// `[outputs, rank]`.
    pub b: Weight,
    pub scale: f64,
    /// Probability of dropping an element of the input.
    pub dropout: f64,
    /// The stream name of its dropout.
    pub purpose: String,
}

impl Adapter {
    /// Returns what is added to the result of the map; training has `draws`.
    pub fn forward(&self, x: &Tensor, draws: Option<&StepRng>) -> Result<Tensor> {
        let dropped = draws.map(|draws| dropout(x, self.dropout, draws, &self.purpose)).transpose()?;
        let narrow = ops::linear(dropped.as_ref().unwrap_or(x), self.a.tensor(), None)?;
        // Here the fewest numbers are multiplied.
        let narrow = if self.scale == 1.0 { narrow } else { ops::scaled(&narrow, self.scale)? };
        ops::linear(&narrow, self.b.tensor(), None)
    }
}

#[cfg(test)]
mod tests;
