//! The types of elements of a tensor in a file, and their conversion: inputs become f32, labels become i64.

use std::fmt;

use half::{bf16, f16};
use safetensors::Dtype;

use super::Problem;

/// The type of the elements of a tensor. In memory they are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

/// Applies `$convert` to each element of `$bytes`, of type `$number`.
macro_rules! each {
    ($bytes:expr, $number:ty, $convert:expr) => {{
        const SIZE: usize = size_of::<$number>();
        $bytes.as_chunks::<SIZE>().0.iter().map(|bytes| $convert(<$number>::from_le_bytes(*bytes))).collect()
    }};
}

impl Element {
    /// All of them, for a message.
    pub const LISTED: &'static str = "F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8 or BOOL";

    /// Returns the type of a safetensors file; `None` for those of which an element is no number of whole bytes.
    pub fn of(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::U16 => Self::U16,
            Dtype::I16 => Self::I16,
            Dtype::U32 => Self::U32,
            Dtype::I32 => Self::I32,
            Dtype::U64 => Self::U64,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }

    /// Returns its size in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether elements are values, not whole numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// Whether f32 does not have every number of this type.
    pub fn is_wider(self) -> bool {
        matches!(self, Self::U32 | Self::I32 | Self::U64 | Self::I64 | Self::F64)
    }

    /// Returns the elements as f32, each the nearest one, or the first one that is not finite as f32.
    pub fn floats(self, bytes: &[u8]) -> Result<Vec<f32>, (usize, Problem)> {
        let values: Vec<f32> = match self {
            Self::Bool => bytes.iter().map(|&byte| f32::from(u8::from(byte != 0))).collect(),
            Self::U8 => bytes.iter().map(|&byte| f32::from(byte)).collect(),
            Self::I8 => each!(bytes, i8, f32::from),
            Self::U16 => each!(bytes, u16, f32::from),
            Self::I16 => each!(bytes, i16, f32::from),
            Self::U32 => each!(bytes, u32, |number| number as f32),
            Self::I32 => each!(bytes, i32, |number| number as f32),
            Self::U64 => each!(bytes, u64, |number| number as f32),
            Self::I64 => each!(bytes, i64, |number| number as f32),
            Self::F16 => each!(bytes, f16, f16::to_f32),
            Self::Bf16 => each!(bytes, bf16, bf16::to_f32),
            Self::F32 => each!(bytes, f32, |number| number),
            Self::F64 => each!(bytes, f64, |number| number as f32),
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => {
                let bytes = bytes.get(at * self.size()..).unwrap_or_default();
                let number = self.doubles(bytes.get(..self.size()).unwrap_or_default()).first().copied();
                Err((at, Problem::NotFinite(format!("{:?}", number.unwrap_or(f64::NAN)))))
            }
        }
    }

    /// Returns the elements as f64, for messages.
    pub fn doubles(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Self::U32 => each!(bytes, u32, f64::from),
            Self::I32 => each!(bytes, i32, f64::from),
            Self::U64 => each!(bytes, u64, |number| number as f64),
            Self::I64 => each!(bytes, i64, |number| number as f64),
            Self::F64 => each!(bytes, f64, |number| number),
            Self::F32 => each!(bytes, f32, f64::from),
            Self::F16 => each!(bytes, f16, f16::to_f64),
            Self::Bf16 => each!(bytes, bf16, bf16::to_f64),
            Self::Bool | Self::U8 | Self::I8 | Self::U16 | Self::I16 => {
                self.integers(bytes).unwrap_or_default().into_iter().map(|number| number as f64).collect()
            }
        }
    }

    /// Returns the elements of a tensor of whole numbers, or the first one that is too large for i64. Values are cut off
    /// to whole numbers.
    pub fn integers(self, bytes: &[u8]) -> Result<Vec<i64>, (usize, Problem)> {
        Ok(match self {
            Self::Bool => bytes.iter().map(|&byte| i64::from(byte != 0)).collect(),
            Self::U8 => bytes.iter().map(|&byte| i64::from(byte)).collect(),
            Self::I8 => each!(bytes, i8, i64::from),
            Self::U16 => each!(bytes, u16, i64::from),
            Self::I16 => each!(bytes, i16, i64::from),
            Self::U32 => each!(bytes, u32, i64::from),
            Self::I32 => each!(bytes, i32, i64::from),
            Self::I64 => each!(bytes, i64, |number| number),
            Self::U64 => {
                let numbers: Vec<u64> = each!(bytes, u64, |number| number);
                let whole = numbers.iter().enumerate().map(|(at, &number)| {
                    i64::try_from(number).map_err(|_| (at, Problem::NotAClassOfTensor(number.to_string())))
                });
                whole.collect::<Result<_, _>>()?
            }
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => {
                self.doubles(bytes).into_iter().map(|number| number as i64).collect()
            }
        })
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "BOOL",
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::U16 => "U16",
            Self::I16 => "I16",
            Self::U32 => "U32",
            Self::I32 => "I32",
            Self::U64 => "U64",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_becomes_the_nearest_f32() {
        let floats = |element: Element, bytes: &[u8]| element.floats(bytes).unwrap();
        assert_eq!(floats(Element::Bool, &[0, 1, 2]), [0.0, 1.0, 1.0]);
        assert_eq!(floats(Element::U8, &[0, 255]), [0.0, 255.0]);
        assert_eq!(floats(Element::I8, &[0x80]), [-128.0]);
        assert_eq!(floats(Element::U16, &[0xff, 0xff]), [65535.0]);
        assert_eq!(floats(Element::I16, &(-3i16).to_le_bytes()), [-3.0]);
        assert_eq!(floats(Element::U32, &16_777_217u32.to_le_bytes()), [16_777_216.0]);
        assert_eq!(floats(Element::I32, &(-7i32).to_le_bytes()), [-7.0]);
        assert_eq!(floats(Element::U64, &u64::MAX.to_le_bytes()), [18_446_744_073_709_551_615.0]);
        assert_eq!(floats(Element::I64, &i64::MIN.to_le_bytes()), [-9_223_372_036_854_775_808.0]);
        assert_eq!(floats(Element::F16, &f16::from_f32(0.1).to_le_bytes()), [f16::from_f32(0.1).to_f32()]);
        assert_eq!(floats(Element::Bf16, &bf16::from_f32(0.1).to_le_bytes()), [bf16::from_f32(0.1).to_f32()]);
        assert_eq!(floats(Element::F64, &0.1f64.to_le_bytes()), [0.1]);
    }

    #[test]
    fn what_is_not_finite_as_f32_is_named_as_it_is_stored() {
        let bytes = [1.0, 1e300].map(f64::to_le_bytes).concat();
        let (at, problem) = Element::F64.floats(&bytes).unwrap_err();
        assert_eq!((at, problem.to_string()), (1, "1e300 is not a finite 32-bit number".to_owned()));
        let (at, problem) = Element::F16.floats(&f16::NAN.to_le_bytes()).unwrap_err();
        assert_eq!((at, problem.to_string()), (0, "NaN is not a finite 32-bit number".to_owned()));
    }

    #[test]
    fn labels_are_whole_numbers_of_any_type() {
        assert_eq!(Element::I16.integers(&(-3i16).to_le_bytes()).unwrap(), [-3]);
        assert_eq!(Element::Bool.integers(&[0, 1]).unwrap(), [0, 1]);
        assert_eq!(Element::U64.integers(&5u64.to_le_bytes()).unwrap(), [5]);
        assert!(Element::U64.integers(&u64::MAX.to_le_bytes()).is_err());
    }
}
