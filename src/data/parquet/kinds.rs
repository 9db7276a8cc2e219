//! Types of columns that are read; all others are refused before a value of theirs is.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::schema::types::Type;

/// The type of a column's values, as far as it is not clear from each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Times in nanoseconds since 1970.
    Nanoseconds,
}

impl Kind {
    /// Returns the type of a column, or what it is if it cannot be read.
    pub fn of(field: &Type) -> Result<Self, String> {
        let info = field.get_basic_info();
        let (converted, logical) = (info.converted_type(), info.logical_type_ref());
        if !field.is_primitive() {
            return Err(match converted {
                ConvertedType::LIST => "a list in each row".to_owned(),
                ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => "a map in each row".to_owned(),
                _ => "a group of columns".to_owned(),
            });
        }
        if info.has_repetition() && info.repetition() == parquet::basic::Repetition::REPEATED {
            return Err("a list in each row".to_owned());
        }
        let physical = field.get_physical_type();
        match (physical, converted) {
            (Physical::INT64, ConvertedType::NONE) if is_in_nanoseconds(logical) => Ok(Self::Nanoseconds),
            _ if is_known(physical, converted) => Ok(Self::Plain),
            (_, ConvertedType::NONE) => Err(format!("of the type {physical}")),
            _ => Err(format!("of the type {physical} as {converted}")),
        }
    }
}

fn is_in_nanoseconds(logical: Option<&LogicalType>) -> bool {
    matches!(logical, Some(LogicalType::Timestamp(time)) if matches!(time.unit, TimeUnit::NANOS))
}

/// Whether the crate's reader of rows has a value for the type. An interval, for example, has none.
fn is_known(physical: Physical, converted: ConvertedType) -> bool {
    use ConvertedType as C;
    match physical {
        Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE => true,
        Physical::INT32 => matches!(
            converted,
            C::NONE
                | C::INT_8
                | C::INT_16
                | C::INT_32
                | C::UINT_8
                | C::UINT_16
                | C::UINT_32
                | C::DATE
                | C::TIME_MILLIS
                | C::DECIMAL
        ),
        Physical::INT64 => matches!(
            converted,
            C::NONE | C::INT_64 | C::UINT_64 | C::TIME_MICROS | C::TIMESTAMP_MILLIS | C::TIMESTAMP_MICROS | C::DECIMAL
        ),
        Physical::BYTE_ARRAY => {
            matches!(converted, C::NONE | C::UTF8 | C::ENUM | C::JSON | C::BSON | C::DECIMAL)
        }
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(converted, C::NONE | C::DECIMAL),
    }
}
