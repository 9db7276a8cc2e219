//! The fields of a user-defined schedule: their names, and their values between serde and the tree of text and data.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::error::Problem;
use super::value::{Data, Value};
use crate::field_names::field_names;

/// Returns the names of the fields that `T` is read from, in order, or the reason why they cannot be parameters.
pub(super) fn fields<T: DeserializeOwned>() -> Result<&'static [&'static str], String> {
    let names = field_names::<T>()?;
    match names.iter().find(|name| ["kind", "unit"].contains(name)) {
        Some(name) => Err(format!("its field `{name}` has a meaning already; give it another name")),
        None => Ok(names),
    }
}

/// Whole numbers up to this bound are exact in f64.
const EXACT: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;

/// Converts a value for serde. A float without a fraction becomes a whole number, so that `1e4` is accepted for a
/// `u64`.
pub(super) fn to_json(value: &Value) -> Result<Json, Problem> {
    let is_whole = |x: f64| x.fract() == 0.0 && x.abs() <= EXACT && (x != 0.0 || x.is_sign_positive());
    Ok(match &value.data {
        Data::Null => Json::Null,
        Data::Bool(yes) => (*yes).into(),
        Data::Integer(n) => (*n).into(),
        Data::Number(x) if !x.is_finite() => return Err(Problem::takes("a finite number", value)),
        Data::Number(x) if is_whole(*x) => (*x as i64).into(),
        Data::Number(x) => (*x).into(),
        Data::Text(text) => text.clone().into(),
        Data::List(items) => items.iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into(),
        Data::Table(_) | Data::Schedule(_) => {
            return Err(Problem::takes("a number, a text, true, false, or a list of them", value));
        }
    })
}

/// Converts a value that serde wrote.
pub(super) fn from_json(json: &Json) -> Result<Value, String> {
    let data = match json {
        Json::Null => Data::Null,
        Json::Bool(yes) => Data::Bool(*yes),
        Json::Number(n) => match n.as_u64() {
            Some(n) => Data::Integer(n),
            None => {
                let exact = n.as_f64().filter(|x| n.is_f64() || x.abs() <= EXACT);
                Data::Number(exact.ok_or_else(|| format!("{n} is further from 0 than f64 counts exactly"))?)
            }
        },
        Json::String(text) => Data::Text(text.clone()),
        Json::Array(items) => Data::List(items.iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Object(_) => return Err("a table cannot be written as text; take numbers, texts or lists".to_owned()),
    };
    Ok(data.into())
}
