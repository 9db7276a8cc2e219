//! User-defined update rules: a Rust type, registered by name, that configurations and checkpoints then treat like the
//! catalogue's rules.

use std::any::TypeId;
use std::sync::{PoisonError, RwLock};

use thiserror::Error;

use super::any_rule::{Definition, Rule};
use super::config::RESERVED;
use super::rule::UpdateRule;
use super::rules;
use crate::field_names::field_names;

/// Errors of registering an update rule or of using its value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CustomRuleError {
    /// The name is not a plain word.
    #[error("`{0}` cannot name an update rule; take small letters, digits and `_`, and a letter first")]
    Name(String),
    /// The catalogue already uses the name.
    #[error("there is an update rule `{0}` already; take another name")]
    Taken(String),
    /// The name or the type was registered before.
    #[error("`{name}` is registered already, for {type_name}; register each name and each type once")]
    Twice {
        /// The registered name.
        name: &'static str,
        /// The registered type.
        type_name: &'static str,
    },
    /// The type is not a struct with named fields, or a field name has another meaning in a configuration.
    #[error("{type_name} cannot be an update rule: {fault}")]
    Fields {
        /// The type.
        type_name: &'static str,
        /// The fault.
        fault: String,
    },
    /// The type has no registered name, so a checkpoint could not restore its rule.
    #[error("{type_name} has no name yet; call `rekindle::optim::register::<{type_name}>(\"name\")` first")]
    Unregistered {
        /// The type.
        type_name: &'static str,
    },
    /// The value would change when saved to a checkpoint and read back.
    #[error("`{kind}` cannot be saved: {fault}")]
    Value {
        /// The name of the rule.
        kind: &'static str,
        /// The fault.
        fault: String,
    },
}

struct Registered {
    definition: Definition,
    type_id: TypeId,
    type_name: &'static str,
}

static REGISTERED: RwLock<Vec<&'static Registered>> = RwLock::new(Vec::new());

/// Registers update rule `T` as `name`, for the lifetime of the program.
///
/// # Errors
/// Refuses a name that is not a plain word or that the catalogue uses, a name or type that is already registered, and a
/// type that is not a struct with named fields.
pub fn register<T: UpdateRule>(name: &'static str) -> Result<(), CustomRuleError> {
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !(is_name && name.starts_with(|c: char| c.is_ascii_lowercase())) {
        return Err(CustomRuleError::Name(name.to_owned()));
    }
    if rules::catalogue().iter().any(|definition| definition.name == name) {
        return Err(CustomRuleError::Taken(name.to_owned()));
    }
    let (type_id, type_name) = (TypeId::of::<T>(), std::any::type_name::<T>());
    let fields = field_names::<T>().map_err(|fault| CustomRuleError::Fields { type_name, fault })?;
    if let Some(field) = fields.iter().find(|field| RESERVED.contains(field)) {
        let fault = format!("its field `{field}` has a meaning already; give it another name");
        return Err(CustomRuleError::Fields { type_name, fault });
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = registered.iter().find(|other| other.definition.name == name || other.type_id == type_id) {
        return Err(CustomRuleError::Twice { name: other.definition.name, type_name: other.type_name });
    }
    // Registered definitions live to the end of the program, so they are leaked once, like the catalogue's.
    let definition = Definition::of_custom::<T>(name);
    registered.push(Box::leak(Box::new(Registered { definition, type_id, type_name })));
    Ok(())
}

/// Returns the registered rules, in order of registration.
pub(super) fn definitions() -> Vec<&'static Definition> {
    registered(|_| true)
}

fn registered(wanted: impl Fn(&Registered) -> bool) -> Vec<&'static Definition> {
    let all = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    all.iter().filter(|registered| wanted(registered)).map(|registered| &registered.definition).collect()
}

impl Rule {
    /// Makes a rule of a user-defined type that was named by [`register`].
    ///
    /// # Errors
    /// The type is not registered, or the value would change when saved to a checkpoint and read back: for example, if
    /// it is not finite.
    pub fn custom<T: UpdateRule>(rule: T) -> Result<Self, CustomRuleError> {
        let found = registered(|registered| registered.type_id == TypeId::of::<T>());
        let unregistered = CustomRuleError::Unregistered { type_name: std::any::type_name::<T>() };
        let rule = Self::new(found.first().copied().ok_or(unregistered)?, rule);
        rule.check_is_read_again().map_err(|fault| CustomRuleError::Value { kind: rule.kind(), fault })?;
        Ok(rule)
    }
}
