//! Expected results of kernels: the operations of the crate on the CPU in f64.

use candle_core::{Device, Tensor, Var};
use rekindle::rng::Stream;

use super::arguments::Type;

/// Normally distributed numbers, as `of` holds them.
pub fn numbers(of: Type, count: usize, seed: u64) -> Vec<f64> {
    of.rounded(Stream::new(seed, "kernels").normal(0, count).into_iter().map(f64::from).collect())
}

/// A tensor on the CPU.
pub fn tensor(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The result of `f` for `inputs`, and then the gradient of each of them from that of the result, `dy`.
pub fn by_cpu(
    inputs: &[(&[f64], &[usize])],
    dy: &[f64],
    f: impl FnOnce(&[Var]) -> candle_core::Result<Tensor>,
) -> Vec<Vec<f64>> {
    let inputs: Vec<Var> =
        inputs.iter().map(|(values, shape)| Var::from_tensor(&tensor(values, shape)).unwrap()).collect();
    let y = f(&inputs).unwrap();
    let weighted = (&y * tensor(dy, y.dims())).unwrap().sum_all().unwrap();
    let store = weighted.backward().unwrap();
    let gradients = inputs.iter().map(|x| store.get(x).map(values).unwrap_or_default());
    std::iter::once(values(&y)).chain(gradients).collect()
}

/// Asserts that `found`, computed for tensors of type `of`, is `expected` but for one rounding to that type and
/// `roundings` of the type that sums are in. The latter are measured against the largest number there, since that is
/// about the size of what was added up.
pub fn assert_near(of: Type, roundings: f64, found: &[f64], expected: &[f64]) {
    assert_near_sums_of(0.0, of, roundings, found, expected);
}

/// [`assert_near`] where what was added up may be as large as `terms`, and have cancelled out.
pub fn assert_near_sums_of(terms: f64, of: Type, roundings: f64, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = largest(expected).max(terms);
    for (place, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let of_result =
            if of == of.wide() { 0.0 } else { 0.501 * of.epsilon() * expected.abs() + of.half_of_smallest() };
        let allowed = of_result + roundings * of.wide().epsilon() * largest + of.wide().half_of_smallest();
        let is_near = found == expected || (found - expected).abs() <= allowed || (found.is_nan() && expected.is_nan());
        assert!(is_near, "{of}, element {place}: {found} is more than {allowed:e} from {expected}");
    }
}

/// The largest of the finite numbers, without its sign.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().filter(|x| x.is_finite()).fold(0f64, |largest, x| largest.max(x.abs()))
}
