//! The value tree shared by the text and data forms: both are read into it and written from it.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Schedule;
use super::range::Range;

/// A value, and its position if it was read from text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub data: Data,
    pub at: Option<usize>,
}

/// The content of a value. Unlike a JSON value, it holds infinities and NaN, so that they can be refused by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Integer(u64),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
    Schedule(Schedule),
}

impl From<Data> for Value {
    fn from(data: Data) -> Self {
        Self { data, at: None }
    }
}

impl Value {
    /// Returns the value as a whole number; a float without a fraction, such as `1e4`, is one.
    pub fn whole(&self) -> Option<u64> {
        const EXACT: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
        match self.data {
            Data::Integer(n) => Some(n),
            Data::Number(x) if x.fract() == 0.0 && (0.0..=EXACT).contains(&x) => Some(x as u64),
            _ => None,
        }
    }

    /// Returns the path of the first number in the value that is infinite or NaN, and the number.
    pub fn first_not_finite(&self) -> Option<(String, f64)> {
        match &self.data {
            Data::Number(x) if !x.is_finite() => Some((String::new(), *x)),
            Data::List(items) => items.iter().enumerate().find_map(|(index, item)| {
                let (inner, x) = item.first_not_finite()?;
                Some((format!("[{index}]{inner}"), x))
            }),
            _ => None,
        }
    }
}

impl Value {
    /// Returns the path of the first number in the value outside `range`, and that number as text. A share of the run
    /// is not yet a number and is skipped.
    pub fn first_outside(&self, range: &Range) -> Option<(String, String)> {
        match &self.data {
            Data::Number(x) if !range.has(*x) => Some((String::new(), number(*x))),
            Data::Integer(n) if !range.has(*n as f64) => Some((String::new(), n.to_string())),
            Data::List(items) => items.iter().enumerate().find_map(|(index, item)| {
                let (inner, found) = item.first_outside(range)?;
                Some((format!("[{index}]{inner}"), found))
            }),
            _ => None,
        }
    }
}

/// Formats a finite number in the fewest characters that read back as the same bits: `0.1`, `1e-5`, `9500`.
pub(crate) fn number(x: f64) -> String {
    if !x.is_finite() {
        return format!("{x}").to_lowercase();
    }
    let (plain, scientific) = (format!("{x}"), format!("{x:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

/// Writes a value in the text form.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Data::Null => f.write_str("null"),
            Data::Bool(yes) => yes.fmt(f),
            Data::Integer(n) => n.fmt(f),
            Data::Number(x) => f.write_str(&number(*x)),
            Data::Text(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Data::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Data::Table(_) => f.write_str("a table"),
            Data::Schedule(schedule) => schedule.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self::from)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schedule: a table with a `kind`, or one line of text")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Data, E> {
        Ok(Data::Bool(yes))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Data, E> {
        Ok(Data::Integer(n))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Data, E> {
        Ok(u64::try_from(n).map_or(Data::Number(n as f64), Data::Integer))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Data, E> {
        Ok(Data::Number(x))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Data::Table(table))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.data {
            Data::Null => serializer.serialize_unit(),
            Data::Bool(yes) => serializer.serialize_bool(*yes),
            Data::Integer(n) => serializer.serialize_u64(*n),
            Data::Number(x) => serializer.serialize_f64(*x),
            Data::Text(text) => serializer.serialize_str(text),
            Data::List(items) => serializer.collect_seq(items),
            Data::Table(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            Data::Schedule(schedule) => schedule.serialize(serializer),
        }
    }
}
