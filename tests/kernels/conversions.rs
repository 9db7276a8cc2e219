//! The numbers of half precision that the host's header makes are those of the crate `half`.

use super::arguments::Argument::{Count, In, Out};
use super::arguments::Type;
use super::emulator::launch;

/// All numbers of 16 bits, each plus zero.
#[test]
fn half_precision_rounds_to_even() {
    for of in [Type::Bf16, Type::F16] {
        let all: Vec<f64> = (0..=u16::MAX).map(|bits| of.of_bits(bits)).collect();
        let zeros = vec![0.0; all.len()];
        let arguments = [In(of, all.clone()), In(of, zeros), Out(of, all.len()), Count(all.len())];
        let found = launch(format!("add_{of}"), 16, &arguments).remove(0);
        let same = found.iter().zip(&all).all(|(found, x)| found == x || (found.is_nan() && x.is_nan()));
        assert!(same, "{of}");
    }
}

/// Sums of two numbers, of which many lie in the middle between two, rounded by the kernel and by `half`.
#[test]
fn sums_in_half_precision_are_rounded_once() {
    for of in [Type::Bf16, Type::F16] {
        let pairs = (0..60_000u32).map(|i| {
            let bits = i.wrapping_mul(2_654_435_761);
            (of.of_bits((bits >> 16) as u16), of.of_bits(bits as u16))
        });
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let arguments = [In(of, a.clone()), In(of, b.clone()), Out(of, a.len()), Count(a.len())];
        let found = launch(format!("add_{of}"), 16, &arguments).remove(0);
        let sums = a.iter().zip(&b).map(|(a, b)| f64::from(*a as f32 + *b as f32)).collect();
        let expected = of.rounded(sums);
        let near = found.iter().zip(&expected).all(|(found, x)| found == x || (found.is_nan() && x.is_nan()));
        assert!(near, "{of}");
    }
}
