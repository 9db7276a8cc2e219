//! Definition of a schedule kind: its parameters are listed once, and its Rust, data and text forms are made from them.

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::Value as Json;

use super::Schedule;
use super::argument::Argument;
use super::context::Context;
use super::error::{Problem, ScheduleError, suggestion};
use super::length::Length;
use super::phases::Phases;
use super::plan::Curve;
use super::range::Range;
use super::value::{Data, Value};

/// A schedule kind with its parameters.
pub(crate) trait Kind: Parameters {
    /// Resolves lengths, checks every value, and returns the function from `t` and base rate to rate.
    fn plan(&self, context: &Context) -> Result<Box<dyn Curve>, ScheduleError>;

    /// Time until the schedule no longer changes, if its parameters give it; `a -> b` needs this of `a`.
    fn length(&self) -> Option<Length> {
        None
    }

    /// Returns the same kind stretched to `length` in total, if one of its parameters is its duration. A warm-up keeps
    /// its length.
    fn lasting(&self, _length: Length) -> Option<Schedule> {
        None
    }

    /// Adds its phases for the remaining stretch: by default a single phase with the name of the kind.
    fn phases(&self, phases: &mut Phases<'_>) {
        phases.rest(self.definition().name);
    }
}

/// The parameters of a kind, as written in [`kind!`].
pub(crate) trait Parameters: Debug + Send + Sync {
    /// Returns the definition of the kind.
    fn definition(&self) -> &'static Definition;
    /// Parameters that must be written: the required ones, and those that differ from their default.
    fn written(&self) -> Vec<(&'static Parameter, Value)>;
    /// All parameters that have a value, including defaults.
    fn all(&self) -> Vec<(&'static Parameter, Value)> {
        self.written()
    }
}

/// A parameter: its name, whether it is required, and its range.
#[derive(Debug, PartialEq)]
pub(crate) struct Parameter {
    pub name: &'static str,
    pub needed: bool,
    /// `None` if every value of its type is accepted.
    pub range: Option<&'static Range>,
}

/// Description of a kind, independent of any schedule of it.
#[derive(Debug)]
pub(crate) struct Definition {
    pub name: &'static str,
    /// In the order of unnamed arguments in the text form.
    pub parameters: &'static [Parameter],
    pub read: fn(&Arguments) -> Result<Arc<dyn Kind>, Problem>,
    /// Detailed descriptions of the parameters, for the reference.
    pub describe: fn() -> Vec<Described>,
    /// The doc comment of its type; the first line is a formula or a sentence.
    pub doc: &'static str,
}

/// A parameter of a kind, for the reference.
#[derive(Debug)]
pub(crate) struct Described {
    pub name: &'static str,
    pub doc: &'static str,
    pub needed: bool,
    /// The JSON schema of its values, including its range.
    pub schema: Json,
    pub default: Option<Value>,
}

impl Definition {
    /// Builds the error for a parameter that the kind does not have.
    pub fn unknown(&self, name: &str) -> Problem {
        let names = self.parameters.iter().map(|parameter| parameter.name).chain(["unit"]);
        Problem::new(format!("`{}` has no parameter `{name}`; {}", self.name, suggestion(name, names)))
    }
}

/// The arguments of one schedule, by name.
pub(crate) struct Arguments<'a> {
    pub kind: &'a str,
    pub entries: &'a [(String, Value)],
}

impl Arguments<'_> {
    /// Returns the argument `name` if it is given; `null` counts as not given.
    pub fn optional<T: Argument>(&self, name: &str) -> Result<Option<T>, Problem> {
        let given = self.entries.iter().find(|(key, value)| key == name && value.data != Data::Null);
        let read = |(_, value): &(String, Value)| {
            T::read(value).map_err(|problem| problem.of(self.kind).at(value.at).inside(name))
        };
        given.map(read).transpose()
    }

    /// Returns the argument `name`, which is required.
    pub fn needed<T: Argument>(&self, name: &str) -> Result<T, Problem> {
        self.optional(name)?.ok_or_else(|| Problem::new(format!("`{}` needs `{name}`", self.kind)))
    }
}

/// Defines a kind of schedule: `name => Type { parameters }`.
///
/// A parameter is `name: Type` if it is required, `name: Type = default`, or `name?: Type` if it may be absent.
/// After the type, `where RANGE` names a range from `range.rs`, which is checked before the kind is planned. The macro
/// generates the struct, the constructor `Schedule::name(…)` with the required parameters, a method for each other
/// parameter, and reading and writing of both data and text.
macro_rules! kind {
    ($(#[doc = $doc:literal])* $name:ident => $Kind:ident { $($body:tt)* }) => {
        kind!(@sort { [$(#[doc = $doc])*] $name $Kind } [] [] [] $($body)*);
    };
    (@sort $head:tt $needed:tt [$($set:tt)*] [$($all:tt)*]
        $(#[doc = $doc:literal])* $field:ident?: $ty:ty $(where $range:ident)?, $($rest:tt)*) => {
        kind!(@sort $head $needed
            [$($set)* { [$(#[doc = $doc])*] $field $ty, Some }]
            [$($all)* { [$(#[doc = $doc])*] $field (Option<$ty>) (optional $ty) [$($range)?] }]
            $($rest)*);
    };
    (@sort $head:tt $needed:tt [$($set:tt)*] [$($all:tt)*]
        $(#[doc = $doc:literal])* $field:ident: $ty:ty $(where $range:ident)? = $default:expr, $($rest:tt)*) => {
        kind!(@sort $head $needed
            [$($set)* { [$(#[doc = $doc])*] $field $ty, std::convert::identity }]
            [$($all)* { [$(#[doc = $doc])*] $field ($ty) (default $default) [$($range)?] }]
            $($rest)*);
    };
    (@sort $head:tt [$($needed:tt)*] $set:tt [$($all:tt)*]
        $(#[doc = $doc:literal])* $field:ident: $ty:ty $(where $range:ident)?, $($rest:tt)*) => {
        kind!(@sort $head
            [$($needed)* { $field $ty }]
            $set
            [$($all)* { [$(#[doc = $doc])*] $field ($ty) (needed) [$($range)?] }]
            $($rest)*);
    };
    (@sort { [$(#[doc = $doc:literal])*] $name:ident $Kind:ident }
        [$({ $needed:ident $needed_ty:ty })*]
        [$({ [$(#[doc = $set_doc:literal])*] $set:ident $set_ty:ty, $wrap:path })*]
        [$({ [$(#[doc = $field_doc:literal])*] $field:ident ($field_ty:ty) $how:tt $range:tt })*]
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Kind {
            $($(#[doc = $field_doc])* pub $field: $field_ty,)*
        }

        impl $crate::schedule::Schedule {
            #[doc = concat!("A schedule of kind `", stringify!($name), "`: see [`", stringify!($Kind), "`].")]
            pub fn $name($($needed: impl Into<$needed_ty>),*) -> $Kind {
                $Kind { $($field: kind!(@initial $field $how),)* }
            }
        }

        impl $Kind {
            $($(#[doc = $set_doc])*
            pub fn $set(mut self, $set: impl Into<$set_ty>) -> Self {
                self.$set = $wrap($set.into());
                self
            })*

            #[doc = "The unit of its lengths: steps or epochs."]
            pub fn unit(self, unit: $crate::schedule::Unit) -> $crate::schedule::Schedule {
                $crate::schedule::Schedule::from(self).unit(unit)
            }

            /// Its entry in the catalogue.
            pub(crate) const DEFINITION: $crate::schedule::definition::Definition =
                $crate::schedule::definition::Definition {
                    name: stringify!($name),
                    parameters: &[$($crate::schedule::definition::Parameter {
                        name: stringify!($field),
                        needed: kind!(@is_needed $how),
                        range: kind!(@range $range),
                    }),*],
                    read: |_arguments| Ok(std::sync::Arc::new(Self {
                        $($field: kind!(@read _arguments $field $how),)*
                    })),
                    describe: || vec![$($crate::schedule::definition::Described {
                        name: stringify!($field),
                        doc: concat!($($field_doc, "\n",)*),
                        needed: kind!(@is_needed $how),
                        schema: kind!(@schema $field_ty, $how, $range),
                        default: kind!(@default $field_ty, $how),
                    }),*],
                    doc: concat!($($doc, "\n",)*),
                };
        }

        impl $crate::schedule::definition::Parameters for $Kind {
            fn definition(&self) -> &'static $crate::schedule::definition::Definition {
                &Self::DEFINITION
            }

            fn written(
                &self,
            ) -> Vec<(&'static $crate::schedule::definition::Parameter, $crate::schedule::value::Value)> {
                let values = [$(kind!(@write self $field $how)),*];
                let parameters = Self::DEFINITION.parameters.iter();
                parameters.zip(values).filter_map(|(parameter, value)| Some((parameter, value?))).collect()
            }

            fn all(
                &self,
            ) -> Vec<(&'static $crate::schedule::definition::Parameter, $crate::schedule::value::Value)> {
                let values = [$(kind!(@all self $field $how)),*];
                let parameters = Self::DEFINITION.parameters.iter();
                parameters.zip(values).filter_map(|(parameter, value)| Some((parameter, value?))).collect()
            }
        }

        impl From<$Kind> for $crate::schedule::Schedule {
            fn from(kind: $Kind) -> Self {
                Self::of(std::sync::Arc::new(kind))
            }
        }
    };
    (@initial $field:ident (needed)) => { $field.into() };
    (@initial $field:ident (optional $ty:ty)) => { None };
    (@initial $field:ident (default $default:expr)) => { $default };
    (@is_needed (needed)) => { true };
    (@is_needed $how:tt) => { false };
    (@range []) => { None };
    (@range [$range:ident]) => { Some(&$crate::schedule::range::$range) };
    (@schema $whole:ty, (optional $ty:ty), $range:tt) => { kind!(@schema $ty, (needed), $range) };
    (@schema $ty:ty, $how:tt, $range:tt) => {
        $crate::schedule::range::narrowed(<$ty as $crate::schedule::argument::Argument>::schema(), kind!(@range $range))
    };
    (@default $ty:ty, (default $default:expr)) => {{
        let default: $ty = $default;
        Some($crate::schedule::argument::Argument::write(&default))
    }};
    (@default $ty:ty, $how:tt) => { None };
    (@read $arguments:ident $field:ident (needed)) => { $arguments.needed(stringify!($field))? };
    (@read $arguments:ident $field:ident (optional $ty:ty)) => { $arguments.optional(stringify!($field))? };
    (@read $arguments:ident $field:ident (default $default:expr)) => {
        $arguments.optional(stringify!($field))?.unwrap_or_else(|| $default)
    };
    (@all $self:ident $field:ident (optional $ty:ty)) => {
        $self.$field.as_ref().map($crate::schedule::argument::Argument::write)
    };
    (@all $self:ident $field:ident $how:tt) => {
        Some($crate::schedule::argument::Argument::write(&$self.$field))
    };
    (@write $self:ident $field:ident (needed)) => {
        Some($crate::schedule::argument::Argument::write(&$self.$field))
    };
    (@write $self:ident $field:ident (optional $ty:ty)) => {
        $self.$field.as_ref().map($crate::schedule::argument::Argument::write)
    };
    (@write $self:ident $field:ident (default $default:expr)) => {
        ($self.$field != $default).then(|| $crate::schedule::argument::Argument::write(&$self.$field))
    };
}
pub(crate) use kind;

/// Defines an enum whose values are words in data and text: `Variant = "word"`.
macro_rules! words {
    ($(#[$doc:meta])* $Name:ident { $($(#[$word_doc:meta])* $Variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name { $($(#[$word_doc])* $Variant,)* }

        impl $crate::schedule::argument::Argument for $Name {
            fn read(
                value: &$crate::schedule::value::Value,
            ) -> Result<Self, $crate::schedule::error::Problem> {
                match &value.data {
                    $($crate::schedule::value::Data::Text(text) if text == $word => Ok(Self::$Variant),)*
                    _ => {
                        let words = [$(concat!("\"", $word, "\"")),*].join(", ");
                        Err($crate::schedule::error::Problem::takes(format!("one of {words}"), value))
                    }
                }
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({"enum": [$($word),*]})
            }

            fn write(&self) -> $crate::schedule::value::Value {
                let word = match self { $(Self::$Variant => $word,)* };
                $crate::schedule::value::Data::Text(word.to_owned()).into()
            }
        }
    };
}
pub(crate) use words;
