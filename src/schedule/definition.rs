//! How a kind of schedule is defined: its parameters once, and from them all three faces of it.

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

/// A kind of schedule with its parameters: what it takes to follow it.
pub(crate) trait Kind: Parameters {
    /// Resolves lengths, checks every value, and gives the function from `t` and base rate to rate.
    fn plan(&self, context: &Context) -> Result<Box<dyn Curve>, ScheduleError>;

    /// How long until nothing changes any more, where the parameters say so: what `a -> b` needs to know of `a`.
    fn length(&self) -> Option<Length> {
        None
    }

    /// The same kind drawn out to `length` in all, where one of its parameters is how long it takes. A warm-up stays as
    /// long as it is.
    fn lasting(&self, _length: Length) -> Option<Schedule> {
        None
    }

    /// The phases it has in the stretch that is left: one by default, with the name of the kind.
    fn phases(&self, phases: &mut Phases<'_>) {
        phases.rest(self.definition().name);
    }
}

/// The parameters of a kind, as [`kind!`] writes them down.
pub(crate) trait Parameters: Debug + Send + Sync {
    /// What the kind is and takes.
    fn definition(&self) -> &'static Definition;
    /// The parameters that have to be written: all that are needed, and those that differ from their default.
    fn written(&self) -> Vec<(&'static Parameter, Value)>;
    /// All parameters that have a value, be it their default.
    fn all(&self) -> Vec<(&'static Parameter, Value)> {
        self.written()
    }
}

/// The name of a parameter, whether there is no schedule without it, and which numbers it takes.
#[derive(Debug, PartialEq)]
pub(crate) struct Parameter {
    pub name: &'static str,
    pub needed: bool,
    /// None where it takes all that its type has.
    pub range: Option<&'static Range>,
}

/// What there is to know of a kind before there is a schedule of it.
#[derive(Debug)]
pub(crate) struct Definition {
    pub name: &'static str,
    /// In the order in which the text form takes them without names.
    pub parameters: &'static [Parameter],
    pub read: fn(&Arguments) -> Result<Arc<dyn Kind>, Problem>,
    /// The parameters at more length, for a reference.
    pub describe: fn() -> Vec<Described>,
    /// The doc comment of its type; the first line is its formula or a sentence.
    pub doc: &'static str,
}

/// A parameter of a kind, for a reference.
#[derive(Debug)]
pub(crate) struct Described {
    pub name: &'static str,
    pub doc: &'static str,
    pub needed: bool,
    /// The JSON schema of its values, with its range.
    pub schema: Json,
    pub default: Option<Value>,
}

impl Definition {
    /// Complains of a parameter that the kind does not have.
    pub fn unknown(&self, name: &str) -> Problem {
        let names = self.parameters.iter().map(|parameter| parameter.name).chain(["unit"]);
        Problem::new(format!("`{}` has no parameter `{name}`; {}", self.name, suggestion(name, names)))
    }
}

/// The arguments given for one schedule, by name.
pub(crate) struct Arguments<'a> {
    pub kind: &'a str,
    pub entries: &'a [(String, Value)],
}

impl Arguments<'_> {
    /// The argument `name`, if it is given; `null` is as good as not.
    pub fn optional<T: Argument>(&self, name: &str) -> Result<Option<T>, Problem> {
        let given = self.entries.iter().find(|(key, value)| key == name && value.data != Data::Null);
        let read = |(_, value): &(String, Value)| {
            T::read(value).map_err(|problem| problem.of(self.kind).at(value.at).inside(name))
        };
        given.map(read).transpose()
    }

    /// The argument `name`, which must be given.
    pub fn needed<T: Argument>(&self, name: &str) -> Result<T, Problem> {
        self.optional(name)?.ok_or_else(|| Problem::new(format!("`{}` needs `{name}`", self.kind)))
    }
}

/// Defines a kind of schedule: `name => Type { parameters }`.
///
/// A parameter is `name: Type` where it is needed, `name: Type = default`, or `name?: Type` where it may be absent.
/// Behind the type, `where RANGE` names one of `range.rs`, which is checked before the kind is planned.
/// From this come the struct, the constructor `Schedule::name(…)` that takes what is needed, a method for each
/// other parameter, and the reading and writing of both data and text.
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

            #[doc = "What it counts in: steps or epochs."]
            pub fn unit(self, unit: $crate::schedule::Unit) -> $crate::schedule::Schedule {
                $crate::schedule::Schedule::from(self).unit(unit)
            }

            /// What the catalogue lists.
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
