//! Numbers that no sound run has: those of a run that diverged, or of a file that was changed.

use half::{bf16, f16};

use crate::state::{Dtype, HostTensor};

/// Returns the tensor if all its numbers are finite and, if it `is_square`, not negative; otherwise the reason.
pub(super) fn finite(host: HostTensor, is_square: bool) -> Result<HostTensor, String> {
    let is_bad = |number: f64| !number.is_finite() || is_square && number < 0.0;
    let found = match host.dtype {
        Dtype::F32 => first(&host, |bytes: [u8; 4]| f64::from(f32::from_le_bytes(bytes)), is_bad),
        Dtype::F64 => first(&host, f64::from_le_bytes, is_bad),
        Dtype::BF16 => first(&host, |bytes: [u8; 2]| bf16::from_le_bytes(bytes).to_f64(), is_bad),
        Dtype::F16 => first(&host, |bytes: [u8; 2]| f16::from_le_bytes(bytes).to_f64(), is_bad),
        _ => None,
    };
    match found {
        None => Ok(host),
        Some((place, number)) if number.is_finite() => {
            Err(format!("number {place} of it is {number}, and a mean of squares is never negative: it was changed"))
        }
        Some((place, number)) => Err(format!(
            "number {place} of it is {number}, so the run had diverged or the file was changed; take an earlier \
             checkpoint"
        )),
    }
}

/// Returns the first number that is bad, with its place.
fn first<const WIDTH: usize>(
    host: &HostTensor,
    number: impl Fn([u8; WIDTH]) -> f64,
    is_bad: impl Fn(f64) -> bool,
) -> Option<(usize, f64)> {
    let (chunks, _) = host.bytes.as_chunks::<WIDTH>();
    chunks.iter().map(|bytes| number(*bytes)).enumerate().find(|(_, number)| is_bad(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(numbers: &[f32], is_square: bool) -> Result<(), String> {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        finite(HostTensor { dtype: Dtype::F32, shape: vec![numbers.len()], bytes }, is_square).map(drop)
    }

    #[test]
    fn infinite_and_missing_numbers_and_negative_squares_are_named() {
        assert_eq!(checked(&[-1.0, 0.0, 2.0], false), Ok(()));
        assert_eq!(checked(&[-0.0, 2.0], true), Ok(()));
        assert!(checked(&[1.0, f32::NAN], false).unwrap_err().contains("number 1 of it is NaN"));
        assert!(checked(&[f32::INFINITY], true).unwrap_err().contains("diverged"));
        assert!(checked(&[0.5, -2.0], true).unwrap_err().contains("number 1 of it is -2"));
    }

    #[test]
    fn halves_are_looked_at_too() {
        let bytes = [bf16::ONE, bf16::NAN].iter().flat_map(|half| half.to_le_bytes()).collect();
        assert!(finite(HostTensor { dtype: Dtype::BF16, shape: vec![2], bytes }, false).is_err());
    }
}
