//! An update rule of any type, with its name in configurations and checkpoints.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, Var};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde_json::{Map, Value};

use super::rule::{BaseHyperparams, StateForm, Step, Update, UpdateRule};
use super::{OptimError, rules};
use crate::field_names::field_names;
use crate::tagged::{read_table, unknown_field, unknown_kind};

/// An update rule with its hyperparameters and its name: `kind` in a configuration.
///
/// It is made from a catalogue rule by `into()`, and from a user-defined one by [`Rule::custom`].
#[derive(Clone, Debug)]
pub struct Rule {
    definition: &'static Definition,
    rule: Arc<dyn AnyRule>,
}

/// A kind of rule: its name and its reader.
#[derive(Debug)]
pub(super) struct Definition {
    pub name: &'static str,
    fields: fn() -> &'static [&'static str],
    read: fn(Map<String, Value>) -> ReadRule,
    /// The schema of its table; only catalogue rules have one.
    pub schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

impl Definition {
    pub(super) const fn of_catalogue<T: UpdateRule + JsonSchema>(name: &'static str) -> Self {
        Self { schema: Some(T::json_schema), ..Self::of_custom::<T>(name) }
    }

    pub(super) const fn of_custom<T: UpdateRule>(name: &'static str) -> Self {
        Self { name, fields: || field_names::<T>().unwrap_or_default(), read: read::<T>, schema: None }
    }
}

/// A parsed rule, or the fault in its table.
type ReadRule = std::result::Result<Arc<dyn AnyRule>, String>;

fn read<T: UpdateRule>(table: Map<String, Value>) -> ReadRule {
    let rule: T = read_table(table).map_err(|error: serde_json::Error| error.to_string())?;
    Ok(Arc::new(rule))
}

/// Type-erased [`UpdateRule`].
trait AnyRule: Debug + Send + Sync {
    fn base(&self) -> BaseHyperparams;
    fn check(&self) -> std::result::Result<(), OptimError>;
    fn states(&self, momentum: f64) -> &'static [&'static str];
    fn state_forms(&self, momentum: f64, shape: &Shape) -> Vec<StateForm>;
    fn has_evaluation_weights(&self) -> bool;
    fn needs_all_states(&self) -> bool;
    fn evaluation_weights(&self, weights: &Tensor, states: &[Var]) -> Result<Option<Tensor>>;
    fn remark(&self, weight_decay: f64) -> Option<String>;
    fn trains(&self) -> bool;
    fn beta2(&self) -> Option<f64>;
    fn operations(&self, shape: &Shape) -> u64;
    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()>;
    fn to_json(&self) -> serde_json::Result<Value>;
}

impl<T: UpdateRule> AnyRule for T {
    fn base(&self) -> BaseHyperparams {
        UpdateRule::base(self)
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        UpdateRule::check(self)
    }

    fn states(&self, momentum: f64) -> &'static [&'static str] {
        UpdateRule::states(self, momentum)
    }

    fn state_forms(&self, momentum: f64, shape: &Shape) -> Vec<StateForm> {
        UpdateRule::state_forms(self, momentum, shape)
    }

    fn has_evaluation_weights(&self) -> bool {
        UpdateRule::has_evaluation_weights(self)
    }

    fn needs_all_states(&self) -> bool {
        UpdateRule::needs_all_states(self)
    }

    fn evaluation_weights(&self, weights: &Tensor, states: &[Var]) -> Result<Option<Tensor>> {
        UpdateRule::evaluation_weights(self, weights, states)
    }

    fn remark(&self, weight_decay: f64) -> Option<String> {
        UpdateRule::remark(self, weight_decay)
    }

    fn trains(&self) -> bool {
        UpdateRule::trains(self)
    }

    fn beta2(&self) -> Option<f64> {
        UpdateRule::beta2(self)
    }

    fn operations(&self, shape: &Shape) -> u64 {
        UpdateRule::operations(self, shape)
    }

    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        UpdateRule::update_group(self, group)
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }
}

impl Rule {
    pub(super) fn new<T: UpdateRule>(definition: &'static Definition, rule: T) -> Self {
        Self { definition, rule: Arc::new(rule) }
    }

    /// Returns its name.
    pub fn kind(&self) -> &'static str {
        self.definition.name
    }

    /// Returns the hyperparameters that every rule has.
    pub fn base(&self) -> BaseHyperparams {
        self.rule.base()
    }

    /// Checks every hyperparameter against its range.
    pub(super) fn check(&self) -> std::result::Result<(), OptimError> {
        self.rule.check()?;
        let BaseHyperparams { lr, weight_decay, momentum } = self.base();
        OptimError::require_at_least_0("lr", lr)?;
        OptimError::require_at_least_0("weight_decay", weight_decay)?;
        momentum.map_or(Ok(()), |momentum| OptimError::require_share(momentum.name(), momentum.value()))
    }

    /// Returns the names of its state tensors per parameter.
    pub(super) fn states(&self, momentum: f64) -> &'static [&'static str] {
        self.rule.states(momentum)
    }

    /// Returns the state tensors of a parameter of this shape.
    pub(super) fn state_forms(&self, momentum: f64, shape: &Shape) -> Vec<StateForm> {
        self.rule.state_forms(momentum, shape)
    }

    /// Whether evaluations use other weights than the trained ones.
    pub(super) fn has_evaluation_weights(&self) -> bool {
        self.rule.has_evaluation_weights()
    }

    /// Whether an update or an evaluation needs the states of all parameters.
    pub(super) fn needs_all_states(&self) -> bool {
        self.rule.needs_all_states()
    }

    /// Returns the weights of an evaluation, if they are not the trained ones.
    pub(super) fn evaluation_weights(&self, weights: &Tensor, states: &[Var]) -> Result<Option<Tensor>> {
        self.rule.evaluation_weights(weights, states)
    }

    /// Returns a remark on its settings.
    pub(super) fn remark(&self, weight_decay: f64) -> Option<String> {
        self.rule.remark(weight_decay)
    }

    /// Whether it changes weights at all.
    pub(super) fn trains(&self) -> bool {
        self.rule.trains()
    }

    /// Returns the second beta that a schedule can drive.
    pub(super) fn beta2(&self) -> Option<f64> {
        self.rule.beta2()
    }

    /// Returns the mean number of operations of an update of a parameter of this shape.
    pub(super) fn operations(&self, shape: &Shape) -> u64 {
        self.rule.operations(shape)
    }

    pub(super) fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        self.rule.update_group(group)
    }

    /// Returns the names of its hyperparameters.
    pub(super) fn fields(&self) -> &'static [&'static str] {
        (self.definition.fields)()
    }

    /// Returns its hyperparameters by name; those that are not set are left out.
    pub(super) fn table(&self) -> Map<String, Value> {
        match self.rule.to_json() {
            Ok(Value::Object(table)) => table,
            _ => Map::new(),
        }
    }

    /// Returns the rule with another value of one hyperparameter, if there is such a rule.
    pub(super) fn with(&self, field: &str, value: Option<&Value>) -> Option<Self> {
        let mut table = self.table();
        match value {
            Some(value) => table.insert(field.to_owned(), value.clone()),
            None => table.remove(field),
        };
        let rule = (self.definition.read)(table).ok()?;
        Some(Self { definition: self.definition, rule })
    }

    /// Whether its table has the key `field`.
    pub(super) fn has_field(&self, field: &str) -> bool {
        self.fields().contains(&field)
    }

    /// Reads the rule called `kind` from the rest of its table; `others` are the other keys allowed there.
    pub(super) fn read<E: serde::de::Error>(
        kind: &str,
        table: Map<String, Value>,
        others: &[&str],
    ) -> std::result::Result<Self, E> {
        let definition = rules::find(kind).ok_or_else(|| unknown_kind(kind, &rules::names()))?;
        let known = [(definition.fields)(), others].concat();
        if let Some(field) = table.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(unknown_field(field, &known));
        }
        let rule = Self { definition, rule: (definition.read)(table).map_err(E::custom)? };
        rule.check_is_read_again().map_err(E::custom)?;
        Ok(rule)
    }

    /// Checks that a checkpoint would restore the same rule.
    pub(super) fn check_is_read_again(&self) -> std::result::Result<(), String> {
        let json = self.rule.to_json().map_err(|error| error.to_string())?;
        let Value::Object(table) = &json else { return Err("it is not a struct with named fields".to_owned()) };
        let again =
            (self.definition.read)(table.clone()).map_err(|error| format!("it cannot be read again: {error}"))?;
        match again.to_json() {
            Ok(again) if again == json => Ok(()),
            _ => Err("it would not be the same when it is read again".to_owned()),
        }
    }

    /// Writes `kind` and the hyperparameters, in the order of the rule's fields.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> std::result::Result<(), M::Error> {
        let json = self.rule.to_json().map_err(serde::ser::Error::custom)?;
        map.serialize_entry("kind", self.kind())?;
        for field in (self.definition.fields)() {
            if let Some(value) = json.get(field) {
                map.serialize_entry(field, value)?;
            }
        }
        Ok(())
    }
}

/// Two rules are equal if their configurations are.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.rule.to_json().ok() == other.rule.to_json().ok()
    }
}
