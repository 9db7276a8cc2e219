//! A value read from a file, and its conversion to a number, a class or a name.

use std::borrow::Cow;
use std::fmt;

use super::Problem;
use super::error::quoted;
use super::looks::{Look, is_missing_elsewhere, look};
use super::moments::Stored;
use super::options::Decimal;

/// The value in a field of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Missing,
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "a text file has no other values than texts"))]
    Number(Number),
    /// Text that is not a number.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "as above"))]
    Word(&'a str),
    /// Numbers, some of which may be missing.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "as above"))]
    List(&'a [Option<Number>]),
    /// Text that may be a number.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// Returns it as text, unless it is missing or a list.
    pub fn written(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Number(number) => Some(number.to_string().into()),
            Self::Text(text) | Self::Word(text) => Some(text.into()),
            Self::Missing | Self::List(_) => None,
        }
    }
}

impl Value<'_> {
    /// Whether the value or a part of it is missing.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::List(numbers) => numbers.iter().any(Option::is_none),
            Self::Number(_) | Self::Word(_) | Self::Text(_) => false,
        }
    }
}

/// A number in its type in the file. Its text is the shortest that reads back as the same number, which is its name if
/// numbers are names.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "as above"))]
pub(super) enum Number {
    /// Of up to 64 bits, signed or unsigned.
    Integer(i128),
    Single(f32),
    Double(f64),
    /// A boolean, a date or a time, whose text is the number that is stored.
    Stored(Stored),
}

impl Number {
    /// Whether it is no number, which stands for a missing value.
    #[cfg(feature = "parquet")]
    pub fn is_nan(self) -> bool {
        match self {
            Self::Integer(_) | Self::Stored(_) => false,
            Self::Single(number) => number.is_nan(),
            Self::Double(number) => number.is_nan(),
        }
    }

    /// Returns the number in 64 bits, if it is finite in 32.
    pub fn value(self) -> Result<f64, Problem> {
        let (exact, nearest) = match self {
            Self::Integer(number) => match i64::try_from(number) {
                Ok(number) => (number as f64, number as f32),
                Err(_) => (number as f64, number as f32),
            },
            Self::Single(number) => (f64::from(number), number),
            Self::Double(number) => (number, number as f32),
            Self::Stored(stored) => (stored.number() as f64, stored.number() as f32),
        };
        match self {
            _ if nearest.is_finite() => Ok(rounding_to(nearest, exact)),
            // In full it would have three hundred digits.
            Self::Double(number) => Err(Problem::NotFinite(format!("{number:e}"))),
            _ => Err(Problem::NotFinite(self.to_string())),
        }
    }
}

/// Returns `exact`, adjusted to its neighbour if needed so that it rounds to `nearest`. Text and large integers were
/// already rounded once; the result may lie midway between two 32-bit numbers, and round to the wrong one.
fn rounding_to(nearest: f32, exact: f64) -> f64 {
    match f64::from(nearest) {
        _ if exact as f32 == nearest => exact,
        nearest if nearest > exact => exact.next_up(),
        _ => exact.next_down(),
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => fmt::Display::fmt(number, f),
            Self::Single(number) => fmt::Display::fmt(number, f),
            Self::Double(number) => fmt::Display::fmt(number, f),
            Self::Stored(stored) => fmt::Display::fmt(&stored.number(), f),
        }
    }
}

/// Whether a number in 64 bits that a text was rounded to rounds to the same 32 bits as the text. Rounding keeps the order,
/// so a text is on the same side as its number of the midpoint of two 32-bit numbers, unless it was rounded to the
/// midpoint itself. Near the ends of the range there are other midpoints.
pub(super) fn rounds_as_its_text(exact: f64) -> bool {
    /// The bits that a number in 32 bits lacks.
    const LACKING: u64 = (1 << 29) - 1;
    const MIDPOINT: u64 = 1 << 28;
    let usual = f64::from(f32::MIN_POSITIVE)..f64::from(f32::MAX);
    exact == 0.0 || usual.contains(&exact.abs()) && exact.to_bits() & LACKING != MIDPOINT
}

/// Parses a text like [`number`], without a reason if it is none.
pub(super) fn plain_number(field: &str) -> Option<f64> {
    let exact = field.parse::<f64>().ok()?;
    if rounds_as_its_text(exact) { Some(exact) } else { number(field).ok() }
}

/// Parses a text as a number in 64 bits, if it is finite in 32.
pub(super) fn number(field: &str) -> Result<f64, Problem> {
    let exact = field.parse::<f64>();
    if let Ok(exact) = &exact
        && rounds_as_its_text(*exact)
    {
        return Ok(*exact);
    }
    match (field.parse::<f32>(), exact) {
        (Ok(nearest), Ok(exact)) if nearest.is_finite() => Ok(rounding_to(nearest, exact)),
        (Ok(_), _) => Err(Problem::NotFinite(quoted(field))),
        (Err(_), _) => Err(no_number(field)),
    }
}

fn no_number(field: &str) -> Problem {
    let text = quoted(field);
    if is_missing_elsewhere(field) {
        return Problem::MissingAmongNumbers(text);
    }
    for_people(field, Decimal::Point).unwrap_or(Problem::NotANumber(text))
}

/// Returns the fault of a text that is a number or a date in human notation, with advice for a file with this decimal mark.
pub(super) fn for_people(field: &str, decimal: Decimal) -> Option<Problem> {
    let Look { what, plain } = look(field, decimal)?;
    let remedy = plain.map(|plain| format!(", so write {plain}")).unwrap_or_default();
    Some(Problem::WrittenForPeople { text: quoted(field).into(), what, remedy: remedy.into() })
}

/// Parses a label as a class: `3`, and also `3.0`, which is common in tables that once had missing values.
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
    fn a_number_keeps_every_digit() {
        let both = |number: Number| (number.to_string(), number.value().unwrap());
        assert_eq!(both(Number::Integer(16_777_217)), ("16777217".to_owned(), 16_777_217.0));
        assert_eq!(
            both(Number::Integer(u64::MAX.into())),
            ("18446744073709551615".to_owned(), 1.844_674_407_370_955_2e19)
        );
        assert_eq!(both(Number::Single(0.1)), ("0.1".to_owned(), f64::from(0.1_f32)));
        assert_eq!(both(Number::Double(0.1)), ("0.1".to_owned(), 0.1));
        assert_eq!(both(Number::Double(5.0)).0, "5");
        let problem = Number::Double(1e300).value().unwrap_err();
        assert_eq!(problem.to_string(), "1e300 is not a finite 32-bit number");
    }

    /// Runs that began when numbers were rounded directly to 32 bits continue with the same bits.
    #[test]
    fn a_number_is_rounded_to_32_bits_as_if_it_had_not_been_64_before() {
        // A little more and a little less than the midpoint of two 32-bit numbers, which 64 bits cannot distinguish
        // from it.
        for text in ["1.00000005960464477540000001", "1.00000017881393432616999999", "0.1", "1e-50", "16777217"] {
            assert_eq!(number(text).unwrap() as f32, text.parse::<f32>().unwrap(), "{text}");
        }
        // The ends of the range, and texts that 64 bits round to 0.
        for text in ["3.4028235e38", "-3.4028235677e38", "1.1754944e-38", "1.17549429e-38", "7e-46", "-1e-400", "-0"] {
            let (single, double) = (text.parse::<f32>().unwrap(), number(text).unwrap());
            assert_eq!((double as f32).to_bits(), single.to_bits(), "{text}");
            assert_eq!(plain_number(text).map(f64::to_bits), Some(double.to_bits()), "{text}");
        }
        assert!(["inf", "nan", "3.5e38", "1e400", "x", ""].into_iter().all(|text| plain_number(text).is_none()));
        let integer = (1_i128 << 60) + (1 << 36) + 1;
        assert_ne!(integer as f64 as f32, integer as f32);
        assert_eq!(Number::Integer(integer).value().unwrap() as f32, integer as f32);
    }
}
