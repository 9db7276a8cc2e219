//! Statistics of a tensor.

use half::{bf16, f16};
use serde::Serialize;

use crate::checkpoint::TensorOutline;
use crate::state::{Dtype, HostTensor};

/// Statistics of a tensor in a checkpoint. Those of its elements are `None` if no element is finite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorSummary {
    /// The part of the run it belongs to.
    pub part: String,
    /// Its name.
    pub name: String,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// Element type, in safetensors notation.
    pub dtype: String,
    /// Size of its elements in bytes.
    pub bytes: usize,
    /// Mean of the finite elements.
    pub mean: Option<f64>,
    /// Population standard deviation of the finite elements.
    pub std: Option<f64>,
    /// Smallest finite element.
    pub min: Option<f64>,
    /// Largest finite element.
    pub max: Option<f64>,
    /// Number of NaN and infinite elements; `None` if they were not read.
    pub non_finite: Option<usize>,
}

impl TensorSummary {
    /// Creates a summary without the elements.
    pub fn of_outline(tensor: &TensorOutline) -> Self {
        let TensorOutline { part, name, dtype, shape, bytes } = tensor.clone();
        let (dtype, bytes) = (format!("{dtype:?}"), bytes as usize);
        Self { part, name, shape, dtype, bytes, mean: None, std: None, min: None, max: None, non_finite: None }
    }
}

/// Computes the statistics of tensor `name` of `part`.
pub fn summarize(part: &str, name: &str, tensor: &HostTensor) -> TensorSummary {
    let elements = elements(tensor);
    let finite: Vec<f64> = elements.iter().copied().filter(|x| x.is_finite()).collect();
    let count = finite.len() as f64;
    let mean = finite.iter().sum::<f64>() / count;
    let variance = finite.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let some = |value: f64| (!finite.is_empty()).then_some(value);
    TensorSummary {
        part: part.to_owned(),
        name: name.to_owned(),
        shape: tensor.shape.clone(),
        dtype: format!("{:?}", tensor.dtype),
        bytes: tensor.bytes.len(),
        mean: some(mean),
        std: some(variance.sqrt()),
        min: some(finite.iter().copied().fold(f64::INFINITY, f64::min)),
        max: some(finite.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        non_finite: Some(elements.len() - finite.len()),
    }
}

/// Counts the finite elements in `buckets` of equal width from the smallest to the largest; empty if there are none. Equal
/// elements are in one bucket.
pub(super) fn histogram(tensor: &HostTensor, buckets: usize) -> Vec<u64> {
    let elements = elements(tensor);
    let finite = || elements.iter().copied().filter(|x| x.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return Vec::new();
    }
    let mut counts = vec![0; if low < high { buckets.max(1) } else { 1 }];
    let per_width = counts.len() as f64 / (high - low);
    let last = counts.len() - 1;
    for x in finite() {
        // The largest element is at the right edge of the last bucket; a NaN, of equal elements, becomes 0.
        let bucket = (((x - low) * per_width) as usize).min(last);
        if let Some(count) = counts.get_mut(bucket) {
            *count += 1;
        }
    }
    counts
}

/// Returns the elements as f64; empty for dtypes that are not plain numbers.
fn elements(tensor: &HostTensor) -> Vec<f64> {
    fn read<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
    }
    let bytes = &tensor.bytes;
    match tensor.dtype {
        Dtype::BOOL | Dtype::U8 => read(bytes, |[byte]| f64::from(byte)),
        Dtype::I8 => read(bytes, |b| f64::from(i8::from_le_bytes(b))),
        Dtype::I16 => read(bytes, |b| f64::from(i16::from_le_bytes(b))),
        Dtype::U16 => read(bytes, |b| f64::from(u16::from_le_bytes(b))),
        Dtype::I32 => read(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::U32 => read(bytes, |b| f64::from(u32::from_le_bytes(b))),
        Dtype::I64 => read(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::U64 => read(bytes, |b| u64::from_le_bytes(b) as f64),
        Dtype::F16 => read(bytes, |b| f64::from(f16::from_le_bytes(b))),
        Dtype::BF16 => read(bytes, |b| f64::from(bf16::from_le_bytes(b))),
        Dtype::F32 => read(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => read(bytes, f64::from_le_bytes),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_finite_elements() {
        let tensor = HostTensor::from_f64s(&[1.0, f64::NAN, 3.0, f64::INFINITY]);
        let summary = summarize("model", "w", &tensor);
        assert_eq!((summary.mean, summary.std), (Some(2.0), Some(1.0)));
        assert_eq!((summary.min, summary.max, summary.non_finite), (Some(1.0), Some(3.0), Some(2)));
        assert_eq!((summary.dtype.as_str(), summary.bytes), ("F64", 32));
        assert_eq!(summarize("model", "w", &HostTensor::from_f64s(&[])).mean, None);
    }

    #[test]
    fn each_finite_element_is_in_one_bucket() {
        let histogram = |elements: &[f64]| super::histogram(&HostTensor::from_f64s(elements), 4);
        assert_eq!(histogram(&[0.0, 1.0, 2.0, 3.0, 4.0, f64::NAN, f64::INFINITY]), [1, 1, 1, 2]);
        assert_eq!(histogram(&[3.0; 5]), [5]);
        assert!(histogram(&[f64::NAN]).is_empty());
    }

    #[test]
    fn half_precision_is_read() {
        let bytes = [bf16::from_f32(1.5), bf16::from_f32(-2.0)].into_iter().flat_map(bf16::to_le_bytes).collect();
        let tensor = HostTensor { dtype: Dtype::BF16, shape: vec![2], bytes };
        assert_eq!(summarize("model", "w", &tensor).min, Some(-2.0));
    }
}
