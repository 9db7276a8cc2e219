//! The tree between the three faces of a schedule: text and data are read into it, and written from it.

use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Schedule;
use super::error::Problem;
use super::length::Length;

/// A value, and where it stood in the text that it was read from, if it was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub data: Data,
    pub at: Option<usize>,
}

/// What a value may be. Unlike a JSON value, it holds infinities and NaN, so that they can be refused by name.
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
    /// The value as a whole number; a float without a fraction, such as `1e4`, is one.
    pub fn whole(&self) -> Option<u64> {
        const EXACT: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
        match self.data {
            Data::Integer(n) => Some(n),
            Data::Number(x) if x.fract() == 0.0 && (0.0..=EXACT).contains(&x) => Some(x as u64),
            _ => None,
        }
    }

    /// The path of the first number in the value that is infinite or not a number, and that number.
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

/// A finite number in as few characters as read back as the same bits: `0.1`, `1e-5`, `9500`.
pub(crate) fn number(x: f64) -> String {
    if !x.is_finite() {
        return format!("{x}").to_lowercase();
    }
    let (plain, scientific) = (format!("{x}"), format!("{x:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

/// Prints a value as the text form writes it.
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

/// A type that a parameter of a schedule can have.
pub(crate) trait Argument: Sized {
    /// The value as this type.
    fn read(value: &Value) -> Result<Self, Problem>;
    /// This as a value; reading it gives this again.
    fn write(&self) -> Value;
}

impl Argument for f64 {
    fn read(value: &Value) -> Result<Self, Problem> {
        match value.data {
            Data::Number(x) => Ok(x),
            Data::Integer(n) => Ok(n as f64),
            _ => Err(Problem::takes("a number", value)),
        }
    }

    fn write(&self) -> Value {
        Data::Number(*self).into()
    }
}

impl Argument for u64 {
    fn read(value: &Value) -> Result<Self, Problem> {
        value.whole().ok_or_else(|| Problem::takes("a whole number", value))
    }

    fn write(&self) -> Value {
        Data::Integer(*self).into()
    }
}

/// A list of lengths, schedules or whatever else a parameter has several of.
#[derive(Clone, Debug, PartialEq)]
pub struct List<T>(Vec<T>);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, U: Into<T>> From<Vec<U>> for List<T> {
    fn from(items: Vec<U>) -> Self {
        Self(items.into_iter().map(Into::into).collect())
    }
}

impl<T, U: Into<T>, const N: usize> From<[U; N]> for List<T> {
    fn from(items: [U; N]) -> Self {
        Self(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Argument> Argument for List<T> {
    fn read(value: &Value) -> Result<Self, Problem> {
        let Data::List(items) = &value.data else { return Err(Problem::takes("a list", value)) };
        let read = |(index, item)| T::read(item).map_err(|p| p.at(item.at).inside(&format!("[{index}]")));
        items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self) -> Value {
        Data::List(self.0.iter().map(Argument::write).collect()).into()
    }
}

/// One number for all parameter groups, or a list with one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum ForGroups {
    /// The same for all.
    All(f64),
    /// One for each, in the order of the groups.
    Each(Vec<f64>),
}

impl From<f64> for ForGroups {
    fn from(all: f64) -> Self {
        Self::All(all)
    }
}

impl From<Vec<f64>> for ForGroups {
    fn from(each: Vec<f64>) -> Self {
        Self::Each(each)
    }
}

impl<const N: usize> From<[f64; N]> for ForGroups {
    fn from(each: [f64; N]) -> Self {
        Self::Each(each.into())
    }
}

impl Argument for ForGroups {
    fn read(value: &Value) -> Result<Self, Problem> {
        match &value.data {
            Data::List(_) => List::read(value).map(|list: List<f64>| Self::Each(list.0)),
            Data::Number(_) | Data::Integer(_) => f64::read(value).map(Self::All),
            _ => Err(Problem::takes("a number, or a list with one for each parameter group", value)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::All(all) => all.write(),
            Self::Each(each) => Data::List(each.iter().map(Argument::write).collect()).into(),
        }
    }
}

/// The range that momentum (or beta1) moves in, against the rate: `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Where the rate is highest.
    pub low: f64,
    /// Where the rate is lowest.
    pub high: f64,
}

impl From<[f64; 2]> for Momentum {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high }
    }
}

impl Argument for Momentum {
    fn read(value: &Value) -> Result<Self, Problem> {
        let [low, high] = pair(value, "two numbers, [low, high],")?;
        Ok(Self { low: f64::read(low)?, high: f64::read(high)? })
    }

    fn write(&self) -> Value {
        Data::List(vec![self.low.write(), self.high.write()]).into()
    }
}

/// A factor at a time: `[t, factor]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub t: Length,
    /// What the base rate is multiplied by.
    pub factor: f64,
}

impl<T: Into<Length>> From<(T, f64)> for Point {
    fn from((t, factor): (T, f64)) -> Self {
        Self { t: t.into(), factor }
    }
}

impl Argument for Point {
    fn read(value: &Value) -> Result<Self, Problem> {
        let [t, factor] = pair(value, "points of two numbers, [t, factor],")?;
        Ok(Self { t: Length::read(t)?, factor: f64::read(factor)? })
    }

    fn write(&self) -> Value {
        Data::List(vec![self.t.write(), self.factor.write()]).into()
    }
}

/// The two values of a list that holds so many.
fn pair<'a>(value: &'a Value, expected: &str) -> Result<&'a [Value; 2], Problem> {
    let list = if let Data::List(items) = &value.data { items.as_slice() } else { &[] };
    list.try_into().map_err(|_| Problem::takes(expected, value))
}

impl Argument for bool {
    fn read(value: &Value) -> Result<Self, Problem> {
        match value.data {
            Data::Bool(yes) => Ok(yes),
            _ => Err(Problem::takes("true or false", value)),
        }
    }

    fn write(&self) -> Value {
        Data::Bool(*self).into()
    }
}
