//! A value on its way from a file into a table, and what it says as a number, a class or a name.

use std::fmt;

use super::Problem;
use super::error::quoted;

/// What stands in a field of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Missing,
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "a text file has no other values than texts"))]
    Number(Number),
    /// Text that is none of a number.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "as above"))]
    Word(&'a str),
    /// Text that may be a number.
    Text(&'a str),
}

/// A number as a file of numbers holds it. As text it is the shortest that is read as the same number, which is its name
/// where numbers are names.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "as above"))]
pub(super) enum Number {
    /// Of up to 64 bits, with a sign or without.
    Integer(i128),
    Single(f32),
    Double(f64),
}

impl Number {
    /// The nearest number of 32 bits.
    pub fn rounded(self) -> Result<f32, Problem> {
        let nearest = match self {
            Self::Integer(number) => number as f32,
            Self::Single(number) => number,
            Self::Double(number) => number as f32,
        };
        match self {
            _ if nearest.is_finite() => Ok(nearest),
            // In full it would be three hundred digits.
            Self::Double(number) => Err(Problem::NotFinite(format!("{number:e}"))),
            _ => Err(Problem::NotFinite(self.to_string())),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => fmt::Display::fmt(number, f),
            Self::Single(number) => fmt::Display::fmt(number, f),
            Self::Double(number) => fmt::Display::fmt(number, f),
        }
    }
}

/// A text as a number of 32 bits.
pub(super) fn number(field: &str) -> Result<f32, Problem> {
    match field.parse::<f32>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(Problem::NotFinite(quoted(field))),
        Err(_) => Err(Problem::NotANumber(quoted(field))),
    }
}

/// A label as a class: `3`, and also `3.0`, as tables are often written that once had a gap.
pub(super) fn class(field: &str) -> Result<u32, Problem> {
    match field.parse::<f64>() {
        Ok(x) if x.fract() == 0.0 && (0.0..f64::from(u32::MAX)).contains(&x) => Ok(x as u32),
        _ => Err(Problem::NotAClass(quoted(field))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_every_digit_as_a_name_and_is_rounded_once_as_a_number() {
        let both = |number: Number| (number.to_string(), number.rounded().ok());
        assert_eq!(both(Number::Integer(16_777_217)), ("16777217".to_owned(), Some(16_777_216.0)));
        assert_eq!(both(Number::Integer(u64::MAX.into())), ("18446744073709551615".to_owned(), Some(1.844_674_4e19)));
        assert_eq!(both(Number::Single(0.1)), ("0.1".to_owned(), Some(0.1)));
        assert_eq!(both(Number::Double(0.1)), ("0.1".to_owned(), Some(0.1)));
        assert_eq!(both(Number::Double(5.0)).0, "5");
        let problem = Number::Double(1e300).rounded().unwrap_err();
        assert_eq!(problem.to_string(), "1e300 is not a finite 32-bit number");
    }
}
