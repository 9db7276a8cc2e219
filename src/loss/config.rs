//! The `[loss]` table of a configuration.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, IgnoredAny};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BinaryCrossEntropy, CrossEntropy, Loss, LossError, MeanSquaredError, TargetKind, check_smoothing};
use crate::KindError;
use crate::registry::{Chosen, Named};
use crate::tagged::{self, Tagged};

/// The loss; by default the usual one for the data's targets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LossConfig {
    /// Mean squared error for values, cross-entropy for classes.
    Usual {
        /// Share in `[0, 1)` of the target that is spread over all classes.
        label_smoothing: f64,
    },
    /// The named loss.
    Kind(Chosen<dyn Loss>),
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::Usual { label_smoothing: 0.0 }
    }
}

impl LossConfig {
    /// Creates the configuration of a catalogue loss or of a registered type.
    ///
    /// # Errors
    /// The type has no name, or the value cannot be written.
    pub fn of<T: Loss + Serialize>(loss: &T) -> Result<Self, KindError> {
        <dyn Loss>::registry().choose(loss).map(Self::Kind)
    }

    /// Returns the name of the loss, if it is given.
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Usual { .. } => None,
            Self::Kind(chosen) => Some(chosen.name()),
        }
    }

    /// Returns the same configuration, with the usual loss for values or classes written out.
    pub(crate) fn named(&self, for_values: bool) -> Self {
        let Self::Usual { label_smoothing } = *self else { return self.clone() };
        let named = match for_values {
            true => Self::of(&MeanSquaredError { label_smoothing }),
            false => Self::of(&CrossEntropy { label_smoothing, ..CrossEntropy::default() }),
        };
        named.unwrap_or_else(|_| self.clone())
    }

    /// Returns the same configuration for rows with several labels, whose usual loss is another than that of other values.
    pub(crate) fn of_labels(&self) -> Self {
        let Self::Usual { label_smoothing } = *self else { return self.clone() };
        let named = Self::of(&BinaryCrossEntropy { label_smoothing, ..BinaryCrossEntropy::default() });
        named.unwrap_or_else(|_| self.clone())
    }

    /// Returns the configuration of the same loss that leaves out positions with the class `ignored`.
    ///
    /// # Errors
    /// The loss cannot, or leaves out another class.
    pub(crate) fn ignoring(&self, ignored: u32) -> Result<Self, LossError> {
        let chosen = match self {
            Self::Kind(chosen) => Arc::clone(chosen.get()),
            Self::Usual { label_smoothing } => {
                Arc::new(CrossEntropy { label_smoothing: *label_smoothing, ..CrossEntropy::default() })
            }
        };
        match chosen.ignored() {
            Some(given) if given == ignored => Ok(self.clone()),
            Some(given) => {
                let rule = format!("the data marks positions without a target by {ignored}; leave it out");
                Err(LossError::field("ignore_index", given, rule))
            }
            None => chosen.ignoring(ignored).ok_or_else(|| {
                let rule = "cannot leave out the positions of the data that are not learned; use `cross_entropy`";
                LossError::field("kind", self.kind().unwrap_or_default(), rule)
            }),
        }
    }

    /// Returns the configuration in which a setting that depends on the number of training rows of each class is
    /// replaced by its numbers; `None` if there is no such setting. `counts` are `None` if the rows have no known classes.
    ///
    /// # Errors
    /// The numbers do not follow from the counts.
    pub(crate) fn counted(&self, counts: impl FnOnce() -> Option<Vec<usize>>) -> Result<Option<Self>, LossError> {
        let Self::Kind(chosen) = self else { return Ok(None) };
        if !chosen.get().is_balanced() {
            return Ok(None);
        }
        let rule = "\"balanced\" needs one class a row, known before the first step; give the numbers";
        let counts = counts().ok_or_else(|| LossError::field("kind", chosen.name(), rule))?;
        chosen.get().with_counts(&counts)
    }

    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// The setting and its value.
    pub fn validate(&self) -> Result<(), LossError> {
        match self {
            Self::Usual { label_smoothing } => check_smoothing(*label_smoothing),
            Self::Kind(chosen) => chosen.get().validate(),
        }
    }

    /// Returns the loss for these targets, and the number of model outputs that it needs.
    ///
    /// # Errors
    /// The loss, or a setting, does not fit the targets.
    pub fn fitted(&self, targets: TargetKind) -> Result<(Arc<dyn Loss>, usize), LossError> {
        let loss: Arc<dyn Loss> = match self {
            Self::Kind(chosen) => Arc::clone(chosen.get()),
            Self::Usual { label_smoothing } => match targets {
                TargetKind::Values { .. } => Arc::new(MeanSquaredError { label_smoothing: *label_smoothing }),
                TargetKind::Classes { .. } => {
                    Arc::new(CrossEntropy { label_smoothing: *label_smoothing, ..CrossEntropy::default() })
                }
            },
        };
        let outputs = loss.outputs(targets).map_err(|error| match error {
            LossError::Unfit { .. } => LossError::field("kind", self.kind().unwrap_or_default(), error.to_string()),
            error @ LossError::Field { .. } => error,
        })?;
        Ok((loss, outputs))
    }
}

impl Serialize for LossConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usual { label_smoothing } => {
                Usual { kind: None, label_smoothing: *label_smoothing }.serialize(serializer)
            }
            Self::Kind(chosen) => chosen.serialize(serializer),
        }
    }
}

/// The table without a `kind`; its name appears in the error for an unknown key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Usual {
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "only its name is needed")]
    kind: Option<IgnoredAny>,
    #[serde(default)]
    label_smoothing: f64,
}

impl<'de> Deserialize<'de> for LossConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Map::deserialize(deserializer)?;
        if !table.contains_key("kind") {
            let Usual { label_smoothing, .. } = tagged::read_table(table)?;
            return Ok(Self::Usual { label_smoothing });
        }
        <dyn Loss>::registry().read(Tagged::of(table)?).map(Self::Kind)
    }
}

impl JsonSchema for LossConfig {
    fn schema_name() -> Cow<'static, str> {
        "LossConfig".into()
    }

    /// One table with the settings of all catalogue losses; without a `kind` the data decides.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let registry = <dyn Loss>::registry();
        let mut kind = registry.names();
        let meaning = "The loss. Default: depends on the targets, \"mse\" for values (tables with `task = \
                       \"regression\"`, tensors of F32), \"binary_cross_entropy\" for a list of labels, and \"cross_entropy\" for \
                       classes and tokens.";
        kind.insert("description".to_owned(), meaning.into());
        let mut properties = Map::new();
        for loss in registry.catalogue() {
            let schema = loss.schema(generator).unwrap_or_default();
            for (name, setting) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                properties.insert(name.clone(), setting.clone());
            }
        }
        properties.insert("kind".to_owned(), kind.to_value());
        json_schema!({
            "description": "The loss; by default the usual one for the data's targets.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}
