//! The arithmetic of update formulas, for a number of one weight and for those of a whole tensor.

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::Arc;

use candle_core::{DType, Error, Result, Tensor};
use half::bf16;

use crate::cpu::Half;

/// A number in a formula.
pub(super) trait Number:
    Clone + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// Returns its product with a factor, which is rounded to its type first.
    fn times(self, factor: f64) -> Self;

    /// Returns its quotient by a divisor, which is rounded to its type first.
    fn over(self, divisor: f64) -> Self;

    /// Returns its sum with a term, which is rounded to its type first.
    fn plus(self, term: f64) -> Self;

    /// Returns the square root.
    fn root(self) -> Self;

    /// Returns the size without the sign.
    fn size(self) -> Self;

    /// Returns the larger of two; one that is not a number stays so.
    fn larger(self, other: Self) -> Self;

    /// Returns the number, or the nearest of these limits.
    fn within(self, low: f64, high: f64) -> Self;

    /// Returns one of three numbers, for a negative number, zero and a positive one.
    fn by_sign(self, choices: [f64; 3]) -> Self;

    /// Returns the nearest number of bf16, in the same type.
    fn to_bf16(self) -> Self;

    /// Returns -1, 0 or 1.
    #[inline(always)]
    fn sign(self) -> Self {
        self.by_sign([-1.0, 0.0, 1.0])
    }

    /// Returns 1 for a positive number, and 0 for others.
    #[inline(always)]
    fn positive(self) -> Self {
        self.by_sign([0.0, 0.0, 1.0])
    }

    /// Returns its square.
    #[inline(always)]
    fn square(self) -> Self {
        self.clone() * self
    }

    /// Returns the running mean, of which the new number takes this share.
    #[inline(always)]
    fn mean_with(self, new: Self, share: f64) -> Self {
        self.clone() + (new - self).times(share)
    }

    /// Returns the running mean of which `kept` stays, as PyTorch computes that of squares.
    #[inline(always)]
    fn decayed_with(self, kept: f64, new: Self) -> Self {
        self.times(kept) + new.times(1.0 - kept)
    }
}

macro_rules! number {
    ($T:ty, $narrowed:expr) => {
        impl Number for $T {
            #[inline(always)]
            fn to_bf16(self) -> Self {
                $narrowed(self).widened() as $T
            }

            #[inline(always)]
            fn times(self, factor: f64) -> Self {
                self * factor as $T
            }

            #[inline(always)]
            fn over(self, divisor: f64) -> Self {
                self / divisor as $T
            }

            #[inline(always)]
            fn plus(self, term: f64) -> Self {
                self + term as $T
            }

            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            #[inline(always)]
            fn size(self) -> Self {
                self.abs()
            }

            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                if self > other { self } else { other }
            }

            #[inline(always)]
            fn within(self, low: f64, high: f64) -> Self {
                let above = if self < low as $T { low as $T } else { self };
                if above > high as $T { high as $T } else { above }
            }

            #[inline(always)]
            fn by_sign(self, [negative, zero, positive]: [f64; 3]) -> Self {
                let above = if self > 0.0 { positive as $T } else { zero as $T };
                if self < 0.0 { negative as $T } else { above }
            }
        }
    };
}

number!(f32, <bf16 as Half>::rounded);
number!(f64, bf16::from_f64);

/// The numbers of a tensor, or the failure of an operation before.
#[derive(Clone)]
pub(super) struct Whole(std::result::Result<Tensor, Arc<Error>>);

impl From<Result<Tensor>> for Whole {
    fn from(tensor: Result<Tensor>) -> Self {
        Self(tensor.map_err(Arc::new))
    }
}

impl Whole {
    /// Returns the tensor.
    pub fn tensor(self) -> Result<Tensor> {
        self.0.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(|error| Error::Msg(error.to_string())))
    }

    fn then(self, operation: impl FnOnce(&Tensor) -> Result<Tensor>) -> Self {
        Self(self.0.and_then(|tensor| operation(&tensor).map_err(Arc::new)))
    }

    fn with(self, other: Self, operation: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>) -> Self {
        match (self.0, other.0) {
            (Ok(one), Ok(other)) => operation(&one, &other).into(),
            (Err(error), _) | (_, Err(error)) => Self(Err(error)),
        }
    }
}

impl Add for Whole {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for Whole {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl Mul for Whole {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl Div for Whole {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        self.with(other, |a, b| a / b)
    }
}

impl Neg for Whole {
    type Output = Self;

    fn neg(self) -> Self {
        self.then(|x| x.neg())
    }
}

impl Number for Whole {
    fn times(self, factor: f64) -> Self {
        self.then(|x| x * factor)
    }

    fn over(self, divisor: f64) -> Self {
        self.then(|x| x / divisor)
    }

    fn plus(self, term: f64) -> Self {
        self.then(|x| x + term)
    }

    fn root(self) -> Self {
        self.then(Tensor::sqrt)
    }

    fn size(self) -> Self {
        self.then(Tensor::abs)
    }

    fn larger(self, other: Self) -> Self {
        self.with(other, |a, b| a.maximum(b))
    }

    fn within(self, low: f64, high: f64) -> Self {
        self.then(|x| x.maximum(low)?.minimum(high))
    }

    fn to_bf16(self) -> Self {
        self.then(|x| x.to_dtype(DType::BF16)?.to_dtype(x.dtype()))
    }

    fn by_sign(self, [negative, zero, positive]: [f64; 3]) -> Self {
        self.then(|x| {
            let mask = |mask: Tensor, value: f64| mask.to_dtype(x.dtype())? * value;
            // One of the three is not zero, so the sum is exact.
            (mask(x.lt(0.0)?, negative)? + mask(x.eq(0.0)?, zero)?)? + mask(x.gt(0.0)?, positive)?
        })
    }
}
