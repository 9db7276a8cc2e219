//! Types of columns that are read; all others are refused before a value of theirs is.

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::Type;

/// The type of a column's values, as far as it is not clear from each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Times in nanoseconds since 1970.
    Nanoseconds,
    /// Lists of numbers.
    List,
}

impl Kind {
    /// Returns the type of a column, or what it is if it cannot be read.
    pub fn of(field: &Type) -> Result<Self, String> {
        let info = field.get_basic_info();
        if let Some(element) = element(field) {
            return if is_number(element) { Ok(Self::List) } else { Err("a list of other than numbers".to_owned()) };
        }
        let (converted, logical) = (info.converted_type(), info.logical_type_ref());
        if !field.is_primitive() {
            return Err(match converted {
                ConvertedType::LIST => "a list of other than numbers".to_owned(),
                ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => "a map in each row".to_owned(),
                _ => "a group of columns".to_owned(),
            });
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

/// Returns the type of the elements of a list, if they are neither lists nor groups: a repeated field, or a group with
/// the mark of a list around one, in which each element may have a further group around it.
fn element(field: &Type) -> Option<&Type> {
    let is_repeated = |field: &Type| {
        let info = field.get_basic_info();
        info.has_repetition() && info.repetition() == Repetition::REPEATED
    };
    if field.is_primitive() {
        return is_repeated(field).then_some(field);
    }
    if field.get_basic_info().converted_type() != ConvertedType::LIST || is_repeated(field) {
        return None;
    }
    let [inner] = field.get_fields() else { return None };
    if inner.is_primitive() {
        return is_repeated(inner).then_some(inner);
    }
    // By the rules of the format, a group of these names is itself the element.
    let is_element = inner.name() == "array" || inner.name() == format!("{}_tuple", field.name());
    match inner.get_fields() {
        [element] if is_repeated(inner) && !is_element && element.is_primitive() && !is_repeated(element) => {
            Some(element)
        }
        _ => None,
    }
}

/// Whether the crate's reader of rows cuts the values of a column, or of its lists, which are nanoseconds, to milliseconds.
pub(super) fn is_cut(field: &Type) -> bool {
    let field = element(field).unwrap_or(field);
    field.is_primitive() && field.get_physical_type() == Physical::INT96
}

/// Whether the elements of a list have this type of numbers.
fn is_number(element: &Type) -> bool {
    let info = element.get_basic_info();
    let (physical, converted) = (element.get_physical_type(), info.converted_type());
    let is_of_bytes = matches!(physical, Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY);
    let is_half = matches!(info.logical_type_ref(), Some(LogicalType::Float16));
    let is_time = physical == Physical::INT64 && is_in_nanoseconds(info.logical_type_ref());
    is_time || is_known(physical, converted) && (!is_of_bytes || is_half || converted == ConvertedType::DECIMAL)
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
