//! User-defined schedules: a Rust type, registered by name, that data, text and composition then treat like the
//! catalogue's kinds.

use std::any::TypeId;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use thiserror::Error;

use super::Schedule;
use super::context::Context;
use super::definition::{Arguments, Definition, Kind, Parameter, Parameters};
use super::error::{Problem, ScheduleError};
use super::fields::{fields, from_json, to_json};
use super::kinds;
use super::plan::{At, Curve};
use super::value::{Data, Value};
use crate::plain;

/// A user-defined schedule. Its fields are its parameters: a struct of numbers, texts, booleans and lists of them.
///
/// [`register`] gives it the name that data and text use; [`Schedule::custom`] makes a schedule from a value. It works
/// everywhere a catalogue kind does: `unit`, composition, checkpoints, `inspect`. A program that resumes such a run
/// must register it again, before it reads the configuration or the checkpoint.
///
/// ```
/// use rekindle::schedule::{CustomSchedule, Schedule, register};
/// use serde::{Deserialize, Serialize};
///
/// /// Falls by half of what is left every `half_life` updates.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct HalfLife {
///     half_life: u64,
/// }
///
/// impl CustomSchedule for HalfLife {
///     fn rate(&self, t: u64, base: f64, _group: usize) -> f64 {
///         base * 0.5f64.powf(t as f64 / self.half_life as f64)
///     }
/// }
///
/// register::<HalfLife>("half_life")?;
/// let text: Schedule = "warmup(10) -> half_life(half_life=100)".parse()?;
/// let built: Schedule = Schedule::warmup(10, Schedule::custom(HalfLife { half_life: 100 })?).into();
/// assert_eq!(text, built);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait CustomSchedule: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {
    /// Returns the rate of update `t` in `group`, whose base rate is `base`.
    ///
    /// It must be pure: the same result for the same arguments, in any order of calls. Inside `warmup` and `sequential`
    /// `t` counts from the schedule's own start, and inside `per_group` the group is number 0. A negative rate or NaN
    /// is replaced by 0, infinity by the largest f64; a run that would meet a rate that is not finite does not start.
    fn rate(&self, t: u64, base: f64, group: usize) -> f64;

    /// Checks the parameters when a run starts.
    ///
    /// # Errors
    /// A message that says which value is wrong and which values are allowed.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Errors of registering a type or of making a schedule from its value.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CustomError {
    /// The text form cannot read the name.
    #[error("`{0}` cannot name a schedule; take letters, digits and `_`, and a letter first")]
    Name(String),
    /// The name is already used by the catalogue or the text form.
    #[error("`{0}` has a meaning already; take another name")]
    Taken(String),
    /// The name or the type was registered before.
    #[error("`{name}` is registered already, for {type_name}; register each name and each type once")]
    Twice {
        /// The registered name.
        name: &'static str,
        /// The registered type.
        type_name: &'static str,
    },
    /// The type is not a struct with named fields, or a field name has another meaning already.
    #[error("{type_name} cannot be a schedule: {fault}")]
    Fields {
        /// The type.
        type_name: &'static str,
        /// The fault.
        fault: String,
    },
    /// The type has no registered name, so its schedule could not be read back.
    #[error("{type_name} has no name yet; call `rekindle::schedule::register::<{type_name}>(\"name\")` first")]
    Unregistered {
        /// The type.
        type_name: &'static str,
    },
    /// The value would change when saved and read back.
    #[error("`{kind}` cannot be saved: {fault}")]
    Value {
        /// The registered name of the type.
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

/// Words of the text form that cannot be names.
const WORDS: [&str; 6] = ["true", "false", "null", "nan", "NaN", "inf"];

/// Registers type `T` as the schedule kind `name`, for the lifetime of the program.
///
/// # Errors
/// Refuses a name that the text form cannot read or that the catalogue uses, a name or type that is already registered,
/// and a type that is not a struct with named fields.
pub fn register<T: CustomSchedule>(name: &'static str) -> Result<(), CustomError> {
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !(is_name && name.starts_with(|c: char| c.is_ascii_alphabetic())) {
        return Err(CustomError::Name(name.to_owned()));
    }
    if WORDS.contains(&name) || kinds::NAMES.contains(&name) {
        return Err(CustomError::Taken(name.to_owned()));
    }
    let (type_id, type_name) = (TypeId::of::<T>(), std::any::type_name::<T>());
    let fields = fields::<T>().map_err(|fault| CustomError::Fields { type_name, fault })?;
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = registered.iter().find(|other| other.definition.name == name || other.type_id == type_id) {
        return Err(CustomError::Twice { name: other.definition.name, type_name: other.type_name });
    }
    // Registered definitions live to the end of the program, so they are leaked once, like the catalogue's.
    let parameters =
        fields.iter().map(|name| Parameter { name, needed: false, range: None }).collect::<Vec<_>>().leak();
    let definition = Definition { name, parameters, read: read::<T>, describe: Vec::new, doc: "" };
    registered.push(Box::leak(Box::new(Registered { definition, type_id, type_name })));
    Ok(())
}

/// Returns the registered definitions, in order of registration.
pub(super) fn definitions() -> Vec<&'static Definition> {
    registered(|_| true).into_iter().map(|registered| &registered.definition).collect()
}

fn registered(wanted: impl Fn(&Registered) -> bool) -> Vec<&'static Registered> {
    let all = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    all.iter().copied().filter(|registered| wanted(registered)).collect()
}

impl Schedule {
    /// Makes a schedule of a user-defined type that was named by [`register`].
    ///
    /// # Errors
    /// The type is not registered, or the value would change when saved and read back: for example, if it is not finite
    /// or is a table.
    pub fn custom<T: CustomSchedule>(schedule: T) -> Result<Self, CustomError> {
        let definition = definition_of::<T>()?;
        let custom = Custom::new(definition, schedule);
        let custom = custom.map_err(|fault| CustomError::Value { kind: definition.name, fault })?;
        Ok(Self::of(Arc::new(custom)))
    }
}

fn definition_of<T: 'static>() -> Result<&'static Definition, CustomError> {
    let found = registered(|registered| registered.type_id == TypeId::of::<T>());
    let unregistered = CustomError::Unregistered { type_name: std::any::type_name::<T>() };
    found.first().map(|registered| &registered.definition).ok_or(unregistered)
}

/// Reader of a [`Definition`].
fn read<T: CustomSchedule>(arguments: &Arguments<'_>) -> Result<Arc<dyn Kind>, Problem> {
    let fault = |message: String| Problem::new(format!("`{}`: {message}", arguments.kind));
    let definition = definition_of::<T>().map_err(|error| fault(error.to_string()))?;
    let mut table = serde_json::Map::new();
    let is_parameter = |name: &str| definition.parameters.iter().any(|parameter| parameter.name == name);
    for (name, value) in arguments.entries.iter().filter(|(name, value)| is_parameter(name) && value.data != Data::Null)
    {
        let json = to_json(value).map_err(|problem| problem.of(arguments.kind).at(value.at).inside(name))?;
        table.insert(name.clone(), json);
    }
    let schedule: T = serde_path_to_error::deserialize(Json::Object(table)).map_err(|error| {
        let path = error.path().to_string();
        let is_field =
            |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
        let entry = arguments.entries.iter().find(|(name, _)| is_field(name));
        let problem = fault(plain::of_serde(&error.inner().to_string())).at(entry.and_then(|(_, value)| value.at));
        if entry.is_some() { problem.inside(&path) } else { problem }
    })?;
    Ok(Arc::new(Custom::new(definition, schedule).map_err(fault)?))
}

/// A user-defined schedule, and its parameters as they are written.
#[derive(Debug)]
struct Custom<T> {
    definition: &'static Definition,
    written: Vec<(&'static Parameter, Value)>,
    schedule: Arc<T>,
}

impl<T: CustomSchedule> Custom<T> {
    /// Checks that the written form reads back as the same value.
    fn new(definition: &'static Definition, schedule: T) -> Result<Self, String> {
        let json = serde_json::to_value(&schedule).map_err(|error| error.to_string())?;
        let again: T = T::deserialize(&json).map_err(|error| format!("it could not be read again; {error}"))?;
        if serde_json::to_value(&again).ok().as_ref() != Some(&json) {
            return Err("it would not be the same when it is read again".to_owned());
        }
        let mut written = Vec::new();
        for parameter in definition.parameters {
            if let Some(field) = json.get(parameter.name).filter(|field| !field.is_null()) {
                written.push((parameter, from_json(field).map_err(|fault| format!("{}: {fault}", parameter.name))?));
            }
        }
        Ok(Self { definition, written, schedule: Arc::new(schedule) })
    }
}

impl<T: CustomSchedule> Parameters for Custom<T> {
    fn definition(&self) -> &'static Definition {
        self.definition
    }

    fn written(&self) -> Vec<(&'static Parameter, Value)> {
        self.written.clone()
    }
}

impl<T: CustomSchedule> Kind for Custom<T> {
    fn plan(&self, context: &Context) -> Result<Box<dyn Curve>, ScheduleError> {
        self.schedule.check().map_err(|fault| context.refuse_as_a_whole(fault))?;
        Ok(Box::new(CustomCurve(Arc::clone(&self.schedule))))
    }
}

struct CustomCurve<T>(Arc<T>);

impl<T: CustomSchedule> Curve for CustomCurve<T> {
    fn rate(&self, at: At<'_>) -> f64 {
        self.0.rate(at.t, at.base, at.group)
    }
}
