//! Differences between two tensors.

use std::fmt;

use half::{bf16, f16};
use serde::Serialize;

use crate::state::{Dtype, HostTensor};

/// A difference in a tensor of two checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorDifference {
    /// The part it belongs to.
    pub part: String,
    /// Its name.
    pub name: String,
    /// The difference.
    pub change: TensorChange,
}

/// The difference in a tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorChange {
    /// Only A has it; its dtype and shape.
    OnlyInA(String),
    /// Only B has it; its dtype and shape.
    OnlyInB(String),
    /// Its dtype or shape differs.
    Kind {
        /// Dtype and shape in A.
        a: String,
        /// Dtype and shape in B.
        b: String,
    },
    /// Its elements differ.
    Elements(ElementDifference),
}

/// Differences between the elements of two tensors of the same dtype and shape.
///
/// Elements differ if their bits do, so `0` and `-0` do, and two NaNs of the same bits do not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ElementDifference {
    /// Dtype and shape of both, such as `F32[64, 128]`.
    pub kind: String,
    /// Number of elements.
    pub elements: usize,
    /// Number of elements that differ; number of bytes for a dtype whose elements are not whole bytes.
    pub differing: usize,
    /// How many of those are NaN or infinite in A or B; the maxima are over the others.
    pub non_finite: usize,
    /// Largest `|a - b|`; `None` if no two finite elements differ, or the dtype is not plain numbers.
    pub max_abs: Option<f64>,
    /// Largest `|a - b| / max(|a|, |b|)`.
    pub max_rel: Option<f64>,
    /// Largest distance in units in the last place; `None` also if the dtype has no such unit.
    pub max_ulps: Option<u64>,
    /// The first element that differs, in row-major order.
    pub first: FirstDifference,
}

/// The first element in which two tensors differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstDifference {
    /// Its index in each dimension, counted from 0.
    pub index: Vec<usize>,
    /// Its value in A, in the fewest digits that identify it.
    pub a: String,
    /// Its value in B.
    pub b: String,
    /// Number of steps between the two values, along all values of the dtype in the order of IEEE 754's `totalOrder`,
    /// in which `-0` and `0` are neighbours. `None` if one is NaN, or the dtype has no such steps.
    pub ulps: Option<u64>,
}

/// Compares the bits of two tensors; `None` if they are equal.
pub(crate) fn compare(a: &HostTensor, b: &HostTensor) -> Option<TensorChange> {
    if a.kind() != b.kind() || a.bytes.len() != b.bytes.len() {
        return Some(TensorChange::Kind { a: a.kind(), b: b.kind() });
    }
    if a.bytes == b.bytes {
        return None;
    }
    // Elements smaller than a byte, or of six bits, are compared by their bytes.
    let bits = a.dtype.bitsize();
    let bytes = if bits.is_multiple_of(8) { bits / 8 } else { 1 };
    let mut totals = Totals::default();
    let pairs = a.bytes.chunks(bytes).zip(b.bytes.chunks(bytes)).enumerate();
    for (number, (a_bytes, b_bytes)) in pairs.filter(|(_, (a, b))| a != b) {
        totals.add(number, Element::read(a.dtype, a_bytes), Element::read(b.dtype, b_bytes));
    }
    let (number, first_a, first_b) = totals.first?;
    let element = number * bytes * 8 / bits;
    Some(TensorChange::Elements(ElementDifference {
        kind: a.kind(),
        elements: a.shape.iter().product(),
        differing: totals.differing,
        non_finite: totals.non_finite,
        max_abs: totals.max_abs,
        max_rel: totals.max_rel,
        max_ulps: totals.max_ulps,
        first: FirstDifference {
            index: place(element, &a.shape),
            ulps: first_a.ulps_to(&first_b),
            a: first_a.to_string(),
            b: first_b.to_string(),
        },
    }))
}

/// Returns the multi-dimensional index of element `number` in row-major order.
fn place(mut number: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &length) in index.iter_mut().zip(shape).rev() {
        let length = length.max(1);
        *place = number % length;
        number /= length;
    }
    index
}

/// Totals over the elements that differ.
#[derive(Default)]
struct Totals {
    differing: usize,
    non_finite: usize,
    max_abs: Option<f64>,
    max_rel: Option<f64>,
    max_ulps: Option<u64>,
    first: Option<(usize, Element, Element)>,
}

impl Totals {
    fn add(&mut self, number: usize, a: Element, b: Element) {
        self.differing += 1;
        let (x, y) = (a.value(), b.value());
        if let (Some(x), Some(y)) = (x, y) {
            if x.is_finite() && y.is_finite() {
                let distance = a.distance(&b);
                self.max_abs = Some(self.max_abs.unwrap_or(0.0).max(distance));
                let scale = x.abs().max(y.abs());
                let relative = if distance == 0.0 { 0.0 } else { distance / scale };
                self.max_rel = Some(self.max_rel.unwrap_or(0.0).max(relative));
                self.max_ulps = self.max_ulps.max(a.ulps_to(&b));
            } else {
                self.non_finite += 1;
            }
        }
        self.first.get_or_insert((number, a, b));
    }
}

/// An element of a tensor in its own type, so that no difference is lost in a conversion.
#[derive(Clone, Debug)]
enum Element {
    Integer(i128),
    Half(f16),
    Brain(bf16),
    Single(f32),
    Double(f64),
    /// For dtypes that are not plain numbers.
    Bytes(Vec<u8>),
}

impl Element {
    fn read(dtype: Dtype, bytes: &[u8]) -> Self {
        fn number<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> Element) -> Element {
            bytes.try_into().map_or_else(|_| Element::Bytes(bytes.to_vec()), read)
        }
        match dtype {
            Dtype::BOOL | Dtype::U8 => number(bytes, |b| Self::Integer(u8::from_le_bytes(b).into())),
            Dtype::I8 => number(bytes, |b| Self::Integer(i8::from_le_bytes(b).into())),
            Dtype::U16 => number(bytes, |b| Self::Integer(u16::from_le_bytes(b).into())),
            Dtype::I16 => number(bytes, |b| Self::Integer(i16::from_le_bytes(b).into())),
            Dtype::U32 => number(bytes, |b| Self::Integer(u32::from_le_bytes(b).into())),
            Dtype::I32 => number(bytes, |b| Self::Integer(i32::from_le_bytes(b).into())),
            Dtype::U64 => number(bytes, |b| Self::Integer(u64::from_le_bytes(b).into())),
            Dtype::I64 => number(bytes, |b| Self::Integer(i64::from_le_bytes(b).into())),
            Dtype::F16 => number(bytes, |b| Self::Half(f16::from_le_bytes(b))),
            Dtype::BF16 => number(bytes, |b| Self::Brain(bf16::from_le_bytes(b))),
            Dtype::F32 => number(bytes, |b| Self::Single(f32::from_le_bytes(b))),
            Dtype::F64 => number(bytes, |b| Self::Double(f64::from_le_bytes(b))),
            _ => Self::Bytes(bytes.to_vec()),
        }
    }

    fn value(&self) -> Option<f64> {
        match *self {
            Self::Integer(value) => Some(value as f64),
            Self::Half(value) => Some(value.into()),
            Self::Brain(value) => Some(value.into()),
            Self::Single(value) => Some(value.into()),
            Self::Double(value) => Some(value),
            Self::Bytes(_) => None,
        }
    }

    /// Returns `|a - b|`, exactly for integers, because large ones may differ by less than an f64 can represent.
    fn distance(&self, other: &Self) -> f64 {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.abs_diff(*b) as f64,
            _ => self.value().zip(other.value()).map_or(f64::NAN, |(a, b)| (a - b).abs()),
        }
    }

    fn ulps_to(&self, other: &Self) -> Option<u64> {
        let distance = self.rank()?.abs_diff(other.rank()?);
        u64::try_from(distance).ok()
    }

    /// Returns the position of a float among all floats of its dtype, in `totalOrder`: the bits as a signed integer,
    /// mirrored for negative numbers.
    fn rank(&self) -> Option<i128> {
        let mirror =
            |bits: i64, width: u32| i128::from(if bits < 0 { bits ^ (i64::MAX >> (64 - width)) } else { bits });
        match *self {
            Self::Half(x) if !x.is_nan() => Some(mirror(i64::from(x.to_bits() as i16), 16)),
            Self::Brain(x) if !x.is_nan() => Some(mirror(i64::from(x.to_bits() as i16), 16)),
            Self::Single(x) if !x.is_nan() => Some(mirror(i64::from(x.to_bits() as i32), 32)),
            Self::Double(x) if !x.is_nan() => Some(mirror(x.to_bits() as i64, 64)),
            _ => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Half(value) => write!(f, "{:?}", value.to_f32()),
            Self::Brain(value) => write!(f, "{:?}", value.to_f32()),
            Self::Single(value) => write!(f, "{value:?}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn singles(values: &[f32], shape: &[usize]) -> HostTensor {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        HostTensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    #[track_caller]
    fn elements(a: &HostTensor, b: &HostTensor) -> ElementDifference {
        match compare(a, b) {
            Some(TensorChange::Elements(difference)) => difference,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_difference_has_an_index_in_every_dimension() {
        let a = singles(&[0.0; 24], &[2, 3, 4]);
        let mut values = [0.0; 24];
        (values[17], values[23]) = (1.0, -2.0);
        let found = elements(&a, &singles(&values, &[2, 3, 4]));
        assert_eq!((found.elements, found.differing), (24, 2));
        assert_eq!(found.first.index, [1, 1, 1]);
        assert_eq!((found.max_abs, found.max_rel), (Some(2.0), Some(1.0)));
        assert_eq!((found.first.a.as_str(), found.first.b.as_str()), ("0.0", "1.0"));
        assert_eq!(elements(&singles(&[1.0], &[]), &singles(&[2.0], &[])).first.index, [0; 0], "a scalar");
    }

    #[test]
    fn distances_in_ulps_count_the_values_between() {
        let ulps = |a: f32, b: f32| elements(&singles(&[a], &[1]), &singles(&[b], &[1])).first.ulps;
        assert_eq!(ulps(1.0, 1.0 + f32::EPSILON), Some(1));
        assert_eq!(ulps(-1.0, -1.0 - f32::EPSILON), Some(1));
        assert_eq!(ulps(0.0, -0.0), Some(1), "neighbours in total order");
        assert_eq!(ulps(f32::from_bits(1), -f32::from_bits(1)), Some(3), "across both zeros");
        assert_eq!(ulps(f32::MAX, f32::INFINITY), Some(1));
        assert_eq!(ulps(f32::NEG_INFINITY, f32::INFINITY), Some(2 * 0x7f80_0000 + 1));
        assert_eq!(ulps(f32::NAN, 1.0), None);
        let doubles = |x: f64| HostTensor::from_f64s(&[x]);
        assert_eq!(elements(&doubles(-f64::MAX), &doubles(f64::MAX)).max_ulps, Some(2 * f64::MAX.to_bits() + 1));
        for (dtype, one) in [(Dtype::F16, f16::ONE.to_bits()), (Dtype::BF16, bf16::ONE.to_bits())] {
            let half = |bits: u16| HostTensor { dtype, shape: vec![1], bytes: bits.to_le_bytes().to_vec() };
            assert_eq!(elements(&half(one), &half(one + 3)).first.ulps, Some(3));
            assert_eq!(elements(&half(0), &half(0x8000)).first.ulps, Some(1));
        }
    }

    #[test]
    fn values_that_are_no_numbers_differ_by_their_bits_and_stay_out_of_the_maxima() {
        let a = singles(&[f32::NAN, 1.0, f32::INFINITY, 2.0], &[4]);
        assert_eq!(compare(&a, &a), None, "the same NaN");
        let found = elements(&a, &singles(&[f32::NAN, f32::NAN, 1.0, 2.5], &[4]));
        assert_eq!((found.differing, found.non_finite), (3, 2));
        assert_eq!((found.max_abs, found.first.index.as_slice()), (Some(0.5), &[1][..]));
        assert_eq!((found.first.b.as_str(), found.first.ulps), ("NaN", None));
    }

    #[test]
    fn integers_are_compared_exactly() {
        let integer = |x: u64| HostTensor { dtype: Dtype::U64, shape: vec![1], bytes: x.to_le_bytes().to_vec() };
        let found = elements(&integer(1 << 60), &integer((1 << 60) + 1));
        assert_eq!((found.max_abs, found.max_ulps), (Some(1.0), None));
        assert_eq!(found.first.b, "1152921504606846977");
    }

    #[test]
    fn dtypes_without_plain_numbers_are_compared_by_their_bits() {
        let four = |bytes: [u8; 2]| HostTensor { dtype: Dtype::F4, shape: vec![2, 2], bytes: bytes.to_vec() };
        let found = elements(&four([0x11, 0x11]), &four([0x11, 0x21]));
        assert_eq!((found.differing, found.first.index.as_slice()), (1, &[1, 0][..]));
        assert_eq!((found.first.a.as_str(), found.first.b.as_str(), found.max_abs), ("11", "21", None));
        let complex = |bytes: [u8; 8]| HostTensor { dtype: Dtype::C64, shape: vec![1], bytes: bytes.to_vec() };
        assert_eq!(elements(&complex([0; 8]), &complex([1; 8])).first.b, "0101010101010101");
    }

    #[test]
    fn another_dtype_or_shape_is_reported_with_both() {
        let change = compare(&singles(&[1.0, 2.0], &[2]), &singles(&[1.0, 2.0], &[1, 2]));
        assert_eq!(change, Some(TensorChange::Kind { a: "F32[2]".into(), b: "F32[1, 2]".into() }));
    }
}
