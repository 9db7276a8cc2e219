//! Exponential, hyperbolic tangent and normal distribution as branch-free arithmetic, which a processor can vectorize.
//! The f32 versions are accurate to a few units in the last place and have the same bits on every processor; f64 uses
//! the standard mathematical library, because no training that needs speed uses f64.

use bytemuck::Pod;
use candle_core::WithDType;
use num_traits::Float;

use super::half::Loads;

/// The number types of fused operations.
pub(crate) trait Real: WithDType + Float + Pod + std::iter::Sum + Loads<Self> {
    /// `exp(x)`.
    fn exponential(self) -> Self;

    /// `tanh(x)`.
    fn hyperbolic_tangent(self) -> Self;

    /// Returns the distribution function of the standard normal distribution and its density, at `self`.
    fn normal(self) -> (Self, Self);

    /// Returns the number nearest to `x`.
    fn of(x: f64) -> Self {
        <Self as WithDType>::from_f64(x)
    }

    /// `1 / (1 + exp(-x))`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::one() / (Self::one() + (-self).exponential())
    }
}

impl Real for f32 {
    /// `2^n exp(r)` with integer `n` and `|r| <= ln(2)/2`; the series of `exp(r)` up to `r^7/7!` has an error below
    /// 6e-9. Below -104 the result is 0, and above 88.73 infinite.
    #[inline(always)]
    #[allow(clippy::excessive_precision, reason = "the parts of ln(2) are given to all their digits")]
    fn exponential(self) -> f32 {
        /// Adding it leaves the nearest integer in the low bits.
        const ROUND: f32 = 12_582_912.0;
        // ln(2) in two parts; the first has so few bits that its product with n is exact.
        const LN2_HIGH: f32 = 0.693_359_375;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        // Written so that NaN is preserved.
        let x = if self > 89.0 { 89.0 } else { self };
        let x = if x < -104.0 { -104.0 } else { x };
        let rounded = x * std::f32::consts::LOG2_E + ROUND;
        let whole = rounded - ROUND;
        let r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
        let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
        let series = 1.0 + (r + r * r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail))));
        // In two steps, because 2^n alone may be out of range when the result is not.
        let n = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
        let (half, other) = (n >> 1, n - (n >> 1));
        let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
        series * power(half) * power(other)
    }

    /// Up to 0.625 the polynomial of Moshier's Cephes library, above it `1 - 2 / (exp(2 |x|) + 1)`.
    #[inline(always)]
    #[allow(clippy::excessive_precision, reason = "the coefficients are those of Cephes, digit by digit")]
    fn hyperbolic_tangent(self) -> f32 {
        let (a, z) = (self.abs(), self * self);
        let tail = 2.063_908_879_54e-2 + z * -5.704_988_727_45e-3;
        let series = -3.333_328_194_22e-1 + z * (1.333_144_220_36e-1 + z * (-5.373_971_555_31e-2 + z * tail));
        let near = self + self * z * series;
        let far = (1.0 - 2.0 / ((a + a).exponential() + 1.0)).copysign(self);
        if a < 0.625 { near } else { far }
    }

    /// The tail beyond `a = |x|` is `exp(-a²/2)` times a slowly falling function. [`TAIL`] is its least-squares fit in
    /// `t = 1/(1 + 0.36 a)` on `[0, 14.5]`, with a relative error of 5e-8.
    #[inline(always)]
    fn normal(self) -> (f32, f32) {
        const DENSITY_AT_ZERO: f32 = 0.398_942_3;
        let a = self.abs();
        let bell = (-0.5 * a * a).exponential();
        let t = 1.0 / (1.0 + 0.36 * a);
        let tail = bell * TAIL.iter().rev().fold(0.0, |sum, c| sum * t + c);
        (if self > 0.0 { 1.0 - tail } else { tail }, DENSITY_AT_ZERO * bell)
    }
}

/// Coefficients of the powers of `t`, starting with the constant.
const TAIL: [f32; 10] = [
    -4.562_997e-6,
    0.143_727_14,
    0.142_584_2,
    0.130_049_26,
    0.075_897_81,
    0.041_976_29,
    0.050_919_62,
    -0.177_444_89,
    0.118_406_59,
    -0.026_111_487,
];

impl Real for f64 {
    #[inline(always)]
    fn exponential(self) -> f64 {
        self.exp()
    }

    #[inline(always)]
    fn hyperbolic_tangent(self) -> f64 {
        self.tanh()
    }

    #[inline(always)]
    fn normal(self) -> (f64, f64) {
        let distribution = 0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2);
        (distribution, (-0.5 * self * self).exp() / (2.0 * std::f64::consts::PI).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every 1013th of the numbers from `low` to `high`, both of one sign.
    fn some_between(low: f32, high: f32) -> impl Iterator<Item = f32> {
        (low.to_bits()..high.to_bits()).step_by(1013).map(f32::from_bits)
    }

    /// Returns the distance in units in the last place of the exact result.
    fn ulps(found: f32, exact: f64) -> f64 {
        let unit = f64::from(f32::EPSILON) * 2f64.powi(exact.abs().log2().floor().max(-126.0) as i32);
        (f64::from(found) - exact).abs() / unit
    }

    #[test]
    fn the_exponential_is_good_to_one_and_a_half_units_in_the_last_place() {
        let mut worst = 0f64;
        for x in some_between(1e-9, 88.7).flat_map(|x| [x, -x]).chain([0.0, -103.0, -88.0]) {
            worst = worst.max(ulps(x.exponential(), f64::from(x).exp()));
        }
        assert!(worst < 1.5, "{worst}");
    }

    #[test]
    fn the_exponential_ends_in_zero_and_infinity_and_keeps_a_nan() {
        assert_eq!([f32::NEG_INFINITY, -1e4, -104.0].map(Real::exponential), [0.0; 3]);
        assert_eq!([88.8, 1e4, f32::INFINITY].map(Real::exponential), [f32::INFINITY; 3]);
        assert!(Real::exponential(f32::NAN).is_nan());
        assert_eq!(Real::exponential(0f32), 1.0);
        assert!(Real::exponential(-100f32) > 0.0);
    }

    #[test]
    fn the_hyperbolic_tangent_is_good_to_two_units_in_the_last_place_and_ends_at_one() {
        let mut worst = 0f64;
        for x in some_between(1e-30, 12.0).flat_map(|x| [x, -x]) {
            worst = worst.max(ulps(x.hyperbolic_tangent(), f64::from(x).tanh()));
        }
        assert!(worst < 2.0, "{worst}");
        assert_eq!([0f32, 50.0, f32::INFINITY].map(Real::hyperbolic_tangent), [0.0, 1.0, 1.0]);
        assert_eq!([-0f32, -50.0, f32::NEG_INFINITY].map(Real::hyperbolic_tangent), [0.0, -1.0, -1.0]);
        assert!(f32::NAN.hyperbolic_tangent().is_nan());
    }

    /// The density at `a` is the exponential of `a²/2`, whose rounding error grows with its size: 8 units at 5.
    #[test]
    fn the_normal_distribution_is_good_to_a_few_units_in_the_last_place() {
        let mut worst = (0f64, 0f64);
        for x in some_between(1e-9, 5.0).flat_map(|x| [x, -x]).chain([0.0]) {
            let ((distribution, density), (exact, exact_density)) = (x.normal(), f64::from(x).normal());
            worst.0 = worst.0.max(ulps(distribution, exact));
            worst.1 = worst.1.max(ulps(density, exact_density));
        }
        assert!(worst.0 < 12.0 && worst.1 < 10.0, "{worst:?}");
        assert_eq!(f32::INFINITY.normal(), (1.0, 0.0));
        assert_eq!(f32::NEG_INFINITY.normal().0, 0.0);
        assert!(f32::NAN.normal().0.is_nan());
    }

    #[test]
    fn the_sigmoid_is_a_half_at_zero_and_saturates() {
        assert_eq!([0f32, 200.0, -200.0].map(Real::sigmoid), [0.5, 1.0, 0.0]);
        assert_eq!([0f64, 800.0, -800.0].map(Real::sigmoid), [0.5, 1.0, 0.0]);
    }
}
