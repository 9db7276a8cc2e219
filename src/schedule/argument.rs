//! Types of schedule parameters.

use std::ops::Deref;

use serde_json::{Value as Json, json};

use super::error::Problem;
use super::length::Length;
use super::value::{Data, Value};

/// A type of schedule parameter.
pub(crate) trait Argument: Sized {
    /// Reads the value as this type.
    fn read(value: &Value) -> Result<Self, Problem>;
    /// Converts to a value; the inverse of [`Argument::read`].
    fn write(&self) -> Value;
    /// Returns the JSON schema of its values.
    fn schema() -> Json;
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

    fn schema() -> Json {
        json!({"type": "number"})
    }
}

impl Argument for u64 {
    fn read(value: &Value) -> Result<Self, Problem> {
        value.whole().ok_or_else(|| Problem::takes("a whole number", value))
    }

    fn write(&self) -> Value {
        Data::Integer(*self).into()
    }

    fn schema() -> Json {
        json!({"type": "integer", "minimum": 0})
    }
}

impl Argument for String {
    fn read(value: &Value) -> Result<Self, Problem> {
        match &value.data {
            Data::Text(text) => Ok(text.clone()),
            _ => Err(Problem::takes("text in quotes", value)),
        }
    }

    fn write(&self) -> Value {
        Data::Text(self.clone()).into()
    }

    fn schema() -> Json {
        json!({"type": "string"})
    }
}

/// A list parameter: lengths, schedules, numbers and so on.
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

    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }
}

/// One number for all parameter groups, or a list with one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum ForGroups {
    /// The same number for all groups.
    All(f64),
    /// One number per group, in the order of the groups.
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

    fn schema() -> Json {
        json!({"anyOf": [rate(), {"type": "array", "items": rate()}]})
    }
}

/// Range of momentum (or beta1), which moves against the rate: `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Momentum at the highest rate.
    pub low: f64,
    /// Momentum at the lowest rate.
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

    fn schema() -> Json {
        json!({
            "type": "array",
            "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "minItems": 2,
            "maxItems": 2,
        })
    }
}

/// A factor at a point in time: `[t, factor]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The time.
    pub t: Length,
    /// Multiplier of the base rate.
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

    fn schema() -> Json {
        json!({"type": "array", "prefixItems": [Length::schema(), rate()], "minItems": 2, "maxItems": 2})
    }
}

/// Returns the schema of a rate or a factor.
fn rate() -> Json {
    json!({"type": "number", "minimum": 0})
}

/// Returns the two elements of a two-element list.
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

    fn schema() -> Json {
        json!({"type": "boolean"})
    }
}
