//! Histograms of tensors.

use candle_core::{DType, Device, Tensor};

use crate::protobuf::Message;

/// As many as TensorBoard's own writer makes.
const BUCKETS: usize = 30;

/// The distribution of the finite elements of a tensor, in buckets of equal width.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// The left edge of the first bucket, and the right edge of the last.
    low: f64,
    high: f64,
    sum: f64,
    sum_of_squares: f64,
    counts: Vec<f64>,
}

impl Histogram {
    /// Makes that of a tensor divided by `scale`; `None` if no element is finite.
    pub fn of(tensor: &Tensor, scale: f64) -> candle_core::Result<Option<Self>> {
        let elements = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Self::of_elements(&elements, scale))
    }

    fn of_elements(elements: &[f32], scale: f64) -> Option<Self> {
        let finite = || elements.iter().map(|&x| f64::from(x) / scale).filter(|x| x.is_finite());
        let ends = |(low, high): (f64, f64), x: f64| (low.min(x), high.max(x));
        let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        if low > high {
            return None;
        }
        // Equal elements would be in a bucket without width, which cannot be drawn. TensorBoard's writer does the same.
        let (low, high, buckets) = if low < high { (low, high, BUCKETS) } else { (low - 0.5, low + 0.5, 1) };
        let mut histogram = Self { low, high, sum: 0.0, sum_of_squares: 0.0, counts: vec![0.0; buckets] };
        let per_width = buckets as f64 / (high - low);
        for x in finite() {
            histogram.sum += x;
            histogram.sum_of_squares += x * x;
            // The largest element is at the right edge of the last bucket.
            let bucket = (((x - low) * per_width) as usize).min(buckets - 1);
            histogram.counts[bucket] += 1.0;
        }
        Some(histogram)
    }

    /// Returns it as a `HistogramProto`, whose readers take `min` for the left edge of the first bucket.
    pub fn message(&self) -> Message {
        let buckets = self.counts.len();
        let width = (self.high - self.low) / buckets as f64;
        let edge = |bucket: usize| if bucket == buckets { self.high } else { self.low + width * bucket as f64 };
        let edges: Vec<f64> = (1..=buckets).map(edge).collect();
        Message::default()
            .double(1, self.low)
            .double(2, self.high)
            .double(3, self.counts.iter().sum())
            .double(4, self.sum)
            .double(5, self.sum_of_squares)
            .doubles(6, &edges)
            .doubles(7, &self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finite_element_is_in_one_bucket() {
        let elements: Vec<f32> = (0..=60).map(|x| x as f32).chain([f32::NAN, f32::INFINITY]).collect();
        let histogram = Histogram::of_elements(&elements, 2.0).unwrap();
        assert_eq!((histogram.low, histogram.high), (0.0, 30.0));
        assert_eq!((histogram.sum, histogram.sum_of_squares), (915.0, 18452.5));
        assert_eq!(histogram.counts, [[2.0; 29].to_vec(), vec![3.0]].concat());
    }

    #[test]
    fn equal_elements_have_a_bucket_with_a_width() {
        let histogram = Histogram::of_elements(&[3.0; 4], 1.0).unwrap();
        assert_eq!((histogram.low, histogram.high, histogram.counts), (2.5, 3.5, vec![4.0]));
        assert_eq!(Histogram::of_elements(&[f32::NAN], 1.0), None);
        assert_eq!(Histogram::of_elements(&[], 1.0), None);
    }

    #[test]
    fn a_tensor_of_any_float_type_has_one() {
        let tensor = Tensor::new(&[[0f32, 1.0], [1.0, 3.0]], &Device::Cpu).unwrap();
        let expected = Histogram::of_elements(&[0.0, 1.0, 1.0, 3.0], 1.0);
        for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
            assert_eq!(Histogram::of(&tensor.t().unwrap().to_dtype(dtype).unwrap(), 1.0).unwrap(), expected);
        }
    }
}
