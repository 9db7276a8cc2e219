//! Components: user-defined parts of a run that are saved with it, act after each update and may provide the weights
//! for evaluations.

mod average;
mod averaged;
mod lent;
mod makers;

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use lent::Weights;
pub(crate) use lent::apply_lent;
pub(super) use lent::{lent, with_weights};
pub(crate) use makers::Makers;
pub(super) use makers::{BUILT_IN, setting};

use super::TrainError;
use crate::parameters::Parameters;
use crate::plain;
use crate::state::{StateError, Stateful};

/// A part of a run in addition to model, optimizer, data and schedules: an average of the weights, a curriculum, a
/// counter. It is saved in every checkpoint of the run, and restored with the rest.
pub trait Component: Stateful {
    /// Acts after an update.
    ///
    /// # Errors
    /// It fails; the run ends with the message.
    fn after_update(&mut self, _update: &Update<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Prepares the weights for an evaluation: called before each validation, and after the last update. `statistics`
    /// computes the running statistics of batch norms for weights.
    ///
    /// # Errors
    /// It fails; the run ends with the message.
    fn before_evaluation(&mut self, _statistics: &Statistics<'_>) -> Result<(), StateError> {
        Ok(())
    }

    /// Returns weights that a validation uses in place of the trained ones of the same names; none by default. At most
    /// one component of a run has such weights.
    fn evaluation_weights(&self) -> Option<&Parameters> {
        None
    }

    /// Returns weights that can be used in place of the trained ones by the name of this component, also if validations
    /// use others. By default those of validations.
    fn own_weights(&self) -> Option<&Parameters> {
        self.evaluation_weights()
    }
}

/// The update before a component's action.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Update<'a> {
    /// Number of the update, from 0.
    pub step: u64,
    /// The loss of its batch, computed before the update.
    pub loss: f64,
    /// The trained weights after the update.
    pub parameters: &'a Parameters,
    /// Everything else that the model remembers, such as running statistics.
    pub buffers: &'a Parameters,
    /// The decay for an average of the weights, if `ema_decay_schedule` drives it.
    pub ema_decay: Option<f64>,
}

/// Computes the running statistics of batch norms as a pass over the training rows gives them for these weights; `None`
/// if the run was asked to stop meanwhile.
pub type Statistics<'a> = dyn Fn(&Parameters) -> Result<Option<Parameters>, StateError> + 'a;

/// A component that a configuration can use, as `[components.NAME]` with its settings.
pub trait Configured: Component + Sized + 'static {
    /// Its settings. Unknown keys are refused if the type has `#[serde(deny_unknown_fields)]`.
    type Settings: DeserializeOwned;

    /// Creates the component at the start of a run with these initial weights, or when a resumed run adds it.
    ///
    /// # Errors
    /// The message says which setting is wrong and the valid values, or that memory or a device fails.
    fn new(settings: Self::Settings, parameters: &Parameters) -> Result<Self, StateError>;
}

type Make = fn(&Value, &Parameters) -> Result<Box<dyn Component>, StateError>;

/// A registered component: the check of its settings, and its constructor.
#[derive(Clone, Copy)]
struct Registered {
    name: &'static str,
    check: fn(&Value) -> Result<(), String>,
    make: Make,
}

static REGISTERED: RwLock<Vec<Registered>> = RwLock::new(Vec::new());

/// Registers components of type `C` as `name`, for the lifetime of the program. A program that resumes such a run must
/// register it again, before it reads the configuration or the checkpoint.
///
/// # Errors
/// Refuses a name that is already registered, or that is not suitable as a file name: letters, digits and `_` are.
pub fn register_component<C: Configured>(name: &'static str) -> Result<(), TrainError> {
    let wrong = |rule: &str| TrainError::Field {
        field: "components".to_owned(),
        value: name.to_owned(),
        rule: rule.to_owned(),
    };
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !(is_name && name.starts_with(|c: char| c.is_ascii_lowercase())) {
        return Err(wrong("a component's name has lower-case letters, digits and `_`, and a letter first"));
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if BUILT_IN.contains(&name) || registered.iter().any(|other| other.name == name) {
        return Err(wrong("is registered already, or built in; register each name once"));
    }
    let make: Make = |settings, parameters| Ok(Box::new(C::new(C::Settings::deserialize_from(settings)?, parameters)?));
    let check = |settings: &Value| C::Settings::deserialize_from(settings).map(drop).map_err(|error| error.to_string());
    registered.push(Registered { name, check, make });
    Ok(())
}

/// Reads settings from JSON; errors have the path of the fault.
trait FromSettings: DeserializeOwned {
    fn deserialize_from(settings: &Value) -> Result<Self, StateError> {
        serde_path_to_error::deserialize(settings).map_err(|error| match error.path().to_string().as_str() {
            "." => StateError::Unable(plain::of_serde(&error.inner().to_string())),
            path => StateError::Unable(format!("{path}: {}", plain::of_serde(&error.inner().to_string()))),
        })
    }
}

impl<T: DeserializeOwned> FromSettings for T {}

fn find(name: &str) -> Result<Registered, TrainError> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let found = registered.iter().find(|component| component.name == name).copied();
    found.ok_or_else(|| {
        if BUILT_IN.contains(&name) {
            return TrainError::Field {
                field: format!("components.{name}"),
                value: name.to_owned(),
                rule: format!("is built in, with a table of its name: write `[{name}]`"),
            };
        }
        let known: Vec<&str> = registered.iter().map(|component| component.name).collect();
        let known = match &known[..] {
            [] => "this program has registered none".to_owned(),
            known => format!("this program has registered `{}`", known.join("`, `")),
        };
        TrainError::Field {
            field: "components".to_owned(),
            value: name.to_owned(),
            rule: format!("no component has this name; {known} (`rekindle::train::register_component`)"),
        }
    })
}

/// Checks the names and settings of a configuration's components.
pub(super) fn validate(components: &BTreeMap<String, Value>) -> Result<(), TrainError> {
    for (name, settings) in components {
        (find(name)?.check)(settings).map_err(|rule| wrong(name, settings, rule))?;
    }
    Ok(())
}

/// Creates the registered component called `name`, for a run with these weights.
fn make(name: &str, settings: &Value, weights: &Parameters) -> Result<Box<dyn Component>, TrainError> {
    (find(name)?.make)(settings, weights).map_err(|error| wrong(name, settings, error.to_string()))
}

fn wrong(name: &str, settings: &Value, rule: String) -> TrainError {
    TrainError::Field { field: format!("components.{name}"), value: settings.to_string(), rule }
}
