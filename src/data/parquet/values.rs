//! Fields of the crate `parquet` as values of a table.

use parquet::data_type::Decimal;
use parquet::record::{Field, List};

use super::kinds::Kind;
use crate::data::Problem;
use crate::data::moments::Stored;
use crate::data::value::{Number, Value};

/// Dates become days, and times ticks, as stored. Yes is 1 and no is 0.
pub(super) fn value(field: &Field, kind: Kind) -> Result<Value<'_>, Problem> {
    let integer = |number: i128| Value::Number(Number::Integer(number));
    let stored = |stored: Stored| Value::Number(Number::Stored(stored));
    let ticks = |ticks, per_second| stored(Stored::Ticks { ticks, per_second });
    Ok(match *field {
        Field::Null => Value::Missing,
        Field::Float16(x) if x.is_nan() => Value::Missing,
        Field::Float(x) if x.is_nan() => Value::Missing,
        Field::Double(x) if x.is_nan() => Value::Missing,
        Field::Bool(yes) => stored(Stored::Boolean(yes)),
        Field::Date(days) => stored(Stored::Days(days)),
        Field::TimestampMillis(x) => ticks(x, 1000),
        Field::TimestampMicros(x) => ticks(x, 1_000_000),
        Field::Long(x) if kind == Kind::Nanoseconds => ticks(x, 1_000_000_000),
        Field::Byte(x) => integer(x.into()),
        Field::Short(x) => integer(x.into()),
        Field::Int(x) | Field::TimeMillis(x) => integer(x.into()),
        Field::Long(x) | Field::TimeMicros(x) => integer(x.into()),
        Field::UByte(x) => integer(x.into()),
        Field::UShort(x) => integer(x.into()),
        Field::UInt(x) => integer(x.into()),
        Field::ULong(x) => integer(x.into()),
        Field::Float16(x) => Value::Number(Number::Single(x.to_f32())),
        Field::Float(x) => Value::Number(Number::Single(x)),
        Field::Double(x) => Value::Number(Number::Double(x)),
        Field::Decimal(ref decimal) => Value::Number(Number::Double(decimal_value(decimal).ok_or(Problem::NotPlain)?)),
        Field::Str(ref text) => Value::Word(text),
        // Some writers do not mark their text as text.
        Field::Bytes(ref bytes) => Value::Word(std::str::from_utf8(bytes.data()).map_err(|_| Problem::NotPlain)?),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => return Err(Problem::NotPlain),
    })
}

/// Returns the numbers of a list; `None` if it holds something else.
pub(super) fn numbers(list: &List) -> Option<Vec<Option<Number>>> {
    let number = |element: &Field| match value(element, Kind::Plain) {
        Ok(Value::Number(number)) => Some(Some(number)),
        Ok(Value::Missing) => Some(None),
        _ => None,
    };
    list.elements().iter().map(number).collect()
}

/// Returns the number nearest to a decimal: an integer of up to 16 bytes, the highest first, over a power of ten.
fn decimal_value(decimal: &Decimal) -> Option<f64> {
    let bytes = decimal.data();
    let (first, scale) = (*bytes.first()?, usize::try_from(decimal.scale()).ok()?);
    let mut whole = [if first >= 0x80 { 0xff } else { 0 }; 16];
    let start = whole.len().checked_sub(bytes.len())?;
    whole[start..].copy_from_slice(bytes);
    // Parsing rounds once; a division would round twice.
    format!("{}e-{scale}", i128::from_be_bytes(whole)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_the_nearest_number() {
        let of = |bytes: &[u8], scale| decimal_value(&Decimal::from_bytes(bytes.to_vec().into(), 20, scale));
        assert_eq!(of(&1999_i32.to_be_bytes(), 2), Some(19.99));
        assert_eq!(of(&[0xff, 0x85], 1), Some(-12.3));
        assert_eq!(of(&i128::MIN.to_be_bytes(), 0), Some(i128::MIN as f64));
        assert_eq!(of(&[0; 17], 0), None);
        assert_eq!(of(&[], 0), None);
    }
}
