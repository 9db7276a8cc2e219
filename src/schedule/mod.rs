//! Schedules: the rate that update `t` uses, as a pure function `rate(t, base)`.
//!
//! `t` counts optimizer updates from 0 and `base` is the group's own base learning rate. The rate at `t` never
//! depends on the rate at `t - 1`, so a resumed run reads the same bits as an uninterrupted one, at the same cost for
//! any `t`. Only the metric-driven kinds have memory, and a [`Scheduler`] saves it. All arithmetic is f64.
//!
//! A [`Schedule`] has three forms: as data it is a table with a `kind`, as text it is one line, and in Rust it is
//! built:
//!
//! ```
//! use rekindle::schedule::{RunLength, Schedule, Scheduler};
//!
//! let built: Schedule = Schedule::warmup(500, Schedule::cosine(9500).eta_min(1e-5)).into();
//! let text: Schedule = "warmup(500) -> cosine(9500, eta_min=1e-5)".parse()?;
//! let data: Schedule = serde_json::from_str(
//!     r#"{"kind": "warmup", "steps": 500, "schedule": {"kind": "cosine", "t_max": 9500, "eta_min": 1e-5}}"#,
//! )?;
//! assert!(built == text && text == data);
//!
//! let run = RunLength { total_steps: Some(10_000), steps_per_epoch: 100 };
//! let mut scheduler = Scheduler::new(built, vec![1e-3], run)?;
//! scheduler.seek(250);
//! assert_eq!(scheduler.rates(), [0.5e-3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Continue with [`kinds`], the catalogue; [`CustomSchedule`], for user-defined kinds; `plan`, where a schedule is
//! fitted to a run; and [`Scheduler`], which a training loop holds.

mod amounts;
mod argument;
mod cli_input;
mod context;
mod custom;
mod definition;
mod describe;
mod error;
mod fields;
mod formula;
pub mod kinds;
mod length;
mod like;
mod meant;
mod memory;
mod phases;
mod plan;
mod range;
mod scheduler;
mod text;
mod trajectory;
mod value;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use argument::Argument;
use definition::{Arguments, Definition, Kind, words};
use error::Problem;
use value::{Data, Value};

pub use amounts::{Amount, Taken};
pub use argument::{ForGroups, List, Momentum, Point};
#[doc(hidden)]
pub use cli_input::read_metrics;
pub use cli_input::{CliInputError, read_schedule};
pub use custom::{CustomError, CustomSchedule, register};
pub use error::ScheduleError;
pub use length::Length;
pub use like::{Like, LikeError, known_classes, like};
pub use memory::{Mode, ThresholdMode};
pub use phases::Phase;
pub use plan::{Plan, RunLength};
pub use scheduler::Scheduler;
pub use trajectory::Trajectory;

/// A schedule of the learning rate, or of any other scalar of a parameter group.
///
/// It is data (serde), text ([`FromStr`] and [`Display`](fmt::Display), each the inverse of the other), and a Rust
/// value. Its values are checked by [`Schedule::plan`], when the run is known.
#[derive(Clone)]
pub struct Schedule {
    kind: Arc<dyn Kind>,
    unit: Unit,
}

words! {
    /// The unit of a schedule's time.
    #[derive(Default)]
    Unit {
        /// Number of optimizer updates.
        #[default]
        Step = "step",
        /// Whole passes over the data. A schedule inside one that counts epochs counts them too.
        Epoch = "epoch",
    }
}

impl Schedule {
    /// Returns the name of the schedule's kind, such as `cosine`.
    pub fn kind(&self) -> &'static str {
        self.kind.definition().name
    }

    /// Returns the same schedule with another unit: with [`Unit::Epoch`] it sees whole epochs and its lengths are in
    /// epochs.
    pub fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// Prepares the schedule for a run with this number of parameter groups.
    ///
    /// # Errors
    /// Refuses a value that no run, or not this run, can follow, with the field, the value and the rule.
    pub fn plan(&self, run: &RunLength, groups: usize) -> Result<Plan, ScheduleError> {
        Plan::new(self, run, groups)
    }

    fn of(kind: Arc<dyn Kind>) -> Self {
        Self { kind, unit: Unit::default() }
    }

    /// Time until the schedule no longer changes, if known.
    fn length(&self) -> Option<Length> {
        self.kind.length().filter(|_| self.unit == Unit::Step)
    }

    fn from_arguments(definition: &Definition, arguments: &Arguments<'_>) -> Result<Self, Problem> {
        let unit = arguments.optional("unit")?.unwrap_or_default();
        Ok(Self { kind: (definition.read)(arguments)?, unit })
    }

    fn from_table(table: &[(String, Value)]) -> Result<Self, Problem> {
        let kind = table.iter().find(|(name, _)| name == "kind").map(|(_, kind)| &kind.data);
        let Some(Data::Text(kind)) = kind else {
            return Err(Problem::new("a schedule needs its `kind`, such as kind = \"cosine\""));
        };
        let definition = kinds::find(kind).map_err(|problem| problem.inside("kind"))?;
        let known =
            |name: &str| name == "kind" || name == "unit" || definition.parameters.iter().any(|p| p.name == name);
        if let Some((unknown, _)) = table.iter().find(|(name, _)| !known(name)) {
            return Err(definition.unknown(unknown).inside(unknown));
        }
        Self::from_arguments(definition, &Arguments { kind: definition.name, entries: table })
    }

    /// Returns the data form with every parameter that has a value, in this schedule and in nested ones.
    pub(crate) fn complete(&self) -> impl Serialize + use<> {
        Value::from(Data::Table(self.to_complete_table()))
    }

    fn to_complete_table(&self) -> Vec<(String, Value)> {
        fn complete(value: Value) -> Value {
            match value.data {
                Data::Schedule(schedule) => Data::Table(schedule.to_complete_table()).into(),
                Data::List(items) => Data::List(items.into_iter().map(complete).collect()).into(),
                data => data.into(),
            }
        }
        let kind = ("kind".to_owned(), Data::Text(self.kind().to_owned()).into());
        let all = self.kind.all().into_iter().map(|(parameter, value)| (parameter.name.to_owned(), complete(value)));
        std::iter::once(kind).chain(all).chain([("unit".to_owned(), self.unit.write())]).collect()
    }

    /// Returns the data form: the kind, and every parameter that is required or differs from its default.
    fn to_table(&self) -> Vec<(String, Value)> {
        let kind = ("kind".to_owned(), Data::Text(self.kind().to_owned()).into());
        let written = self.kind.written().into_iter().map(|(parameter, value)| (parameter.name.to_owned(), value));
        let unit = (self.unit != Unit::default()).then(|| ("unit".to_owned(), self.unit.write()));
        std::iter::once(kind).chain(written).chain(unit).collect()
    }
}

impl Argument for Schedule {
    fn read(value: &Value) -> Result<Self, Problem> {
        match &value.data {
            Data::Schedule(schedule) => Ok(schedule.clone()),
            Data::Table(table) => Self::from_table(table),
            Data::Text(text) => text.parse().map_err(|error: ScheduleError| Problem::new(error.to_string())),
            _ => Err(Problem::takes("a schedule", value)),
        }
    }

    fn write(&self) -> Value {
        Data::Schedule(self.clone()).into()
    }

    fn schema() -> Json {
        json!({"$ref": "#/$defs/Schedule"})
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.to_table() == other.to_table()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::print(self, f)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        text::parse(text)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::from(Data::Table(self.to_table())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).map_err(|problem| D::Error::custom(problem.of("schedule").in_data()))
    }
}
