//! Sums of floating-point numbers without rounding, so that they depend on no order and no grouping.

/// Bits of a digit.
const BITS: u32 = 32;

/// Digits of a sum: those of the smallest and the largest number, and room for carries.
const DIGITS: usize = 67;

/// The exponent of the lowest bit: that of the smallest number above 0.
const LOWEST: i32 = -1074;

/// Numbers that can be added before carries must be passed on: each changes a digit by less than 2^32.
const UNCARRIED: u32 = 1 << 30;

/// The exact sum of numbers, as an integer of 2144 bits in units of 2^-1074. It takes 552 bytes.
///
/// Adding the same numbers in any order, or in parts that are added, gives the same bits; [`value`](Self::value) is the
/// number nearest to the sum.
#[derive(Clone, Debug)]
pub(super) struct ExactSum {
    /// Least significant first. Between carries a digit may be negative or above 2^32.
    digits: [i64; DIGITS],
    uncarried: u32,
    /// The sum of the numbers that are not finite; 0 without any.
    not_finite: f64,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { digits: [0; DIGITS], uncarried: 0, not_finite: 0.0 }
    }
}

impl ExactSum {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        if !number.is_finite() {
            self.not_finite += number;
            return;
        }
        let exponent = (number.to_bits() >> 52) & 0x7ff;
        let fraction = number.to_bits() & ((1 << 52) - 1);
        // Numbers below the normal ones have no hidden bit, and the same unit as the lowest normal ones.
        let (mantissa, place) =
            if exponent == 0 { (fraction, 0) } else { (fraction | (1 << 52), (exponent - 1) as usize) };
        let (first, shift) = (place / BITS as usize, place % BITS as usize);
        let mut rest = u128::from(mantissa) << shift;
        for digit in self.digits.iter_mut().skip(first).take(3) {
            let part = (rest & u128::from(u32::MAX)) as i64;
            *digit += if number.is_sign_negative() { -part } else { part };
            rest >>= BITS;
        }
        self.uncarried += 1;
        if self.uncarried >= UNCARRIED {
            self.carry();
        }
    }

    /// Brings every digit but the last, which has the sign, between 0 and 2^32.
    fn carry(&mut self) {
        let (mut carried, (others, last)) = (0, self.digits.split_at_mut(DIGITS - 1));
        for digit in others {
            let sum = *digit + carried;
            *digit = sum & i64::from(u32::MAX);
            carried = sum >> BITS;
        }
        last.iter_mut().for_each(|last| *last += carried);
        self.uncarried = 0;
    }

    /// Returns the number nearest to the sum; of two, the even one.
    pub fn value(&self) -> f64 {
        if self.not_finite != 0.0 {
            return self.not_finite;
        }
        let mut sum = self.clone();
        sum.carry();
        let is_negative = sum.digits.last().is_some_and(|last| *last < 0);
        if is_negative {
            sum.digits.iter_mut().for_each(|digit| *digit = -*digit);
            sum.carry();
        }
        let Some(top) = sum.digits.iter().rposition(|digit| *digit != 0) else { return 0.0 };
        // The four highest digits, and whether there is anything below them: more than the 53 bits that are kept.
        let from = |back: usize| top.checked_sub(back).map_or(0, |place| sum.digits[place] as u128);
        let mut whole = (0..4).fold(0, |whole, back| (whole << BITS) | from(back));
        let below = &sum.digits[..top.saturating_sub(3)];
        whole |= u128::from(below.iter().any(|digit| *digit != 0));
        let exponent = LOWEST + BITS as i32 * (top as i32 - 3);
        // In two steps, because the power alone may be too small for a number. The first one is exact.
        let magnitude = whole as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2);
        if is_negative { -magnitude } else { magnitude }
    }

    /// Returns the nearest number, and the number nearest to the rest: together twice as many digits.
    pub fn pair(&self) -> (f64, f64) {
        let high = self.value();
        let mut rest = self.clone();
        rest.add(-high);
        (high, rest.value())
    }

    /// Returns the sum as numbers that another process can add: [`ExactSum::PARTS`] of them.
    pub fn parts(&self) -> impl Iterator<Item = f64> {
        let mut sum = self.clone();
        sum.carry();
        let not_finite = sum.not_finite;
        sum.digits.into_iter().map(|digit| digit as f64).chain([not_finite])
    }

    /// The number of [`ExactSum::parts`].
    pub const PARTS: usize = DIGITS + 1;

    /// Adds the parts of another sum.
    pub fn add_parts(&mut self, parts: &[f64]) {
        let Some((not_finite, digits)) = parts.split_last() else { return };
        self.carry();
        self.digits.iter_mut().zip(digits).for_each(|(digit, part)| *digit += *part as i64);
        self.not_finite += not_finite;
        self.carry();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(numbers: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|number| sum.add(*number));
        sum.value()
    }

    #[test]
    fn a_sum_is_the_number_nearest_to_the_exact_one() {
        assert_eq!(sum(&[1e308, 1.0, -1e308]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[5e-324, -5e-324, 5e-324]), 5e-324);
        assert_eq!(sum(&[2.0, -3.0]), -1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        // Halfway between two numbers: the even one; a little more: the next.
        let (one, half) = (1.0, f64::EPSILON / 2.0);
        assert_eq!(sum(&[one, half]), 1.0);
        assert_eq!(sum(&[one, half, 5e-324]), 1.0 + f64::EPSILON);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[1.0, f64::INFINITY]), f64::INFINITY);
        for number in [f64::MIN_POSITIVE, -f64::MAX, 1.5e-310, 0.1, -3e200] {
            assert_eq!(sum(&[number]).to_bits(), number.to_bits());
        }
    }

    #[test]
    fn parts_in_any_order_are_the_same_sum() {
        let numbers: Vec<f64> = (0..1000).map(|i| (f64::from(i) * 0.7).sin() * 10f64.powi(i % 40 - 20)).collect();
        let whole = sum(&numbers);
        let mut parts = ExactSum::default();
        for piece in numbers.rchunks(7) {
            let mut sum = ExactSum::default();
            piece.iter().for_each(|number| sum.add(*number));
            parts.add_parts(&sum.parts().collect::<Vec<_>>());
        }
        assert_eq!(parts.value().to_bits(), whole.to_bits());
        let (high, low) = parts.pair();
        assert_eq!(high, whole);
        assert!(low != 0.0 && low.abs() <= high.abs() * f64::EPSILON / 2.0, "{high} {low}");
    }
}
