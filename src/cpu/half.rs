//! Conversion of bf16 and f16 to f32 and back, in integer arithmetic that a processor can vectorize: the same bits on
//! every processor, which are those of the crate `half`.

use candle_core::WithDType;
use half::{bf16, f16};

use super::chunks::map;

/// A type of 16 bits.
pub(crate) trait Half: WithDType + Loads<f32> {
    /// Returns the same number in f32.
    fn widened(self) -> f32;

    /// Returns the nearest number; of two equally near ones that with an even last bit. NaN is preserved.
    fn rounded(x: f32) -> Self;
}

impl Half for bf16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn rounded(x: f32) -> Self {
        let bits = x.to_bits();
        let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        // A NaN must not be rounded to infinity, nor lose all bits of its fraction.
        let kept = if bits & 0x7fff_ffff > 0x7f80_0000 { bits | 0x0040_0000 } else { nearest };
        Self::from_bits((kept >> 16) as u16)
    }
}

impl Half for f16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        let bits = i32::from(self.to_bits());
        let (sign, rest) = ((bits & 0x8000) << 16, bits & 0x7fff);
        // 2^-24, the smallest f16.
        let subnormal = (rest as f32 * f32::from_bits(103 << 23)).to_bits() as i32;
        let normal = (rest << 13) + ((127 - 15) << 23);
        let beyond = (rest << 13) | 0x7f80_0000;
        let of_normal = if rest >= 0x7c00 { beyond } else { normal };
        f32::from_bits((sign | if rest < 0x0400 { subnormal } else { of_normal }) as u32)
    }

    #[inline(always)]
    fn rounded(x: f32) -> Self {
        /// Its last bit is worth 2^-24, so that adding it rounds to a multiple of that.
        const ROUND: f32 = f32::from_bits((127 - 1) << 23);
        let bits = x.to_bits();
        let (sign, rest) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
        let subnormal = (f32::from_bits(rest) + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
        let odd = (rest >> 13) & 1;
        let normal = rest.wrapping_sub((127 - 15) << 23).wrapping_add(0x0fff + odd) >> 13;
        let nan = 0x7e00 | ((rest >> 13) & 0x03ff);
        // From 2^16 on, infinity; what rounds to 2^16 has carried into its exponent.
        let large = if rest > 0x7f80_0000 { nan } else { 0x7c00 };
        let finite = if rest < 113 << 23 { subnormal } else { normal };
        Self::from_bits((sign | if rest >= 143 << 23 { large } else { finite }) as u16)
    }
}

/// A number that is stored in one type, and loaded into `T` to compute with.
pub(crate) trait Loads<T>: Copy + Send + Sync {
    /// Returns the number that is computed with.
    fn load(self) -> T;

    /// Returns the number to store; a half type is rounded.
    fn store(x: T) -> Self;
}

macro_rules! loads {
    ($($X:ty as $T:ty: $load:expr, $store:expr;)*) => {$(
        impl Loads<$T> for $X {
            #[inline(always)]
            fn load(self) -> $T {
                $load(self)
            }

            #[inline(always)]
            fn store(x: $T) -> Self {
                $store(x)
            }
        }
    )*};
}

loads! {
    f32 as f32: std::convert::identity, std::convert::identity;
    f64 as f64: std::convert::identity, std::convert::identity;
    bf16 as f32: Half::widened, Half::rounded;
    f16 as f32: Half::widened, Half::rounded;
}

/// Returns the numbers in f32.
pub(crate) fn widen<H: Half>(x: &[H]) -> Vec<f32> {
    map(x, H::widened)
}

/// Returns the nearest numbers of a half type; see [`Half::rounded`].
pub(crate) fn round<H: Half>(x: &[f32]) -> Vec<H> {
    map(x, H::rounded)
}

/// [`widen`] into a slice of equal length, on this thread.
#[inline(always)]
pub(crate) fn widen_to<H: Half>(x: &[H], wide: &mut [f32]) {
    wide.iter_mut().zip(x).for_each(|(wide, x)| *wide = x.widened());
}

/// [`round`] into a slice of equal length, on this thread.
#[inline(always)]
pub(crate) fn round_to<H: Half>(wide: &[f32], x: &mut [H]) {
    x.iter_mut().zip(wide).for_each(|(x, &wide)| *x = H::rounded(wide));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<H>(of: impl Fn(u16) -> H) -> Vec<H> {
        (0..=u16::MAX).map(of).collect()
    }

    /// The bits of a number; those of every NaN are one.
    fn bits(x: f32) -> u32 {
        if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
    }

    #[test]
    fn every_half_is_widened_as_by_the_crate_half_and_comes_back() {
        let (brains, halves) = (all(bf16::from_bits), all(f16::from_bits));
        let (wide_brains, wide_halves) = (widen(&brains), widen(&halves));
        for at in 0..=usize::from(u16::MAX) {
            assert_eq!(bits(wide_brains[at]), bits(brains[at].to_f32()), "{:#06x}", at);
            assert_eq!(bits(wide_halves[at]), bits(halves[at].to_f32()), "{:#06x}", at);
        }
        let back = |at: usize, is_nan: bool, found: u16, quiet: u16| {
            let kept = if is_nan { at as u16 | quiet } else { at as u16 };
            assert_eq!(found, kept, "{at:#06x}");
        };
        for (at, found) in round::<bf16>(&wide_brains).into_iter().enumerate() {
            back(at, brains[at].is_nan(), found.to_bits(), 0x0040);
        }
        for (at, found) in round::<f16>(&wide_halves).into_iter().enumerate() {
            back(at, halves[at].is_nan(), found.to_bits(), 0x0200);
        }
    }

    /// Around every half, the middle between it and the next, with their neighbours in f32; and others in between.
    #[test]
    fn numbers_are_rounded_as_by_the_crate_half() {
        let mut numbers: Vec<f32> = (0..=u32::MAX).step_by(65_521).map(f32::from_bits).collect();
        for half in 0..=u16::MAX {
            let brain = u32::from(half) << 16;
            let single = f16::from_bits(half).to_f32().to_bits();
            // Half a unit of a subnormal f16 is not at a fixed place of the f32.
            let next = f16::from_bits(half.wrapping_add(1)).to_f32();
            let middle = (f16::from_bits(half).to_f32() * 0.5 + next * 0.5).to_bits();
            for center in [brain, brain | 0x8000, single, middle] {
                numbers.extend([center.wrapping_sub(1), center, center.wrapping_add(1)].map(f32::from_bits));
            }
        }
        let (brains, halves): (Vec<bf16>, Vec<f16>) = (round(&numbers), round(&numbers));
        for ((x, brain), half) in numbers.into_iter().zip(brains).zip(halves) {
            assert_eq!(brain.to_bits(), bf16::from_f32(x).to_bits(), "{x} {:#010x}", x.to_bits());
            assert_eq!(half.to_bits(), f16::from_f32(x).to_bits(), "{x} {:#010x}", x.to_bits());
        }
    }
}
