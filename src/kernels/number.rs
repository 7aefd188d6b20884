//! Arithmetic over every element type of tensors.

mod dispatch;
mod erf;
mod integer;

use std::cmp::Ordering;

use half::{bf16, f16};

pub(crate) use dispatch::{with_integer, with_number};
pub(crate) use erf::erf;
pub(crate) use integer::Integer;

use crate::tensor::Element;

/// A numeric element type. Integers wrap; floating-point numbers follow IEEE 754.
pub(crate) trait Number: Element + PartialOrd + Default {
    /// Zero.
    const ZERO: Self;
    /// The least value: minus infinity for floating-point types.
    const LEAST: Self;
    /// The greatest value: infinity for floating-point types.
    const GREATEST: Self;
    /// Whether the type is an integer, whose division by zero has no result.
    const INTEGER: bool;

    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self - other`
    fn minus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
    /// `self / other`, towards zero for integers, whose divisor must not be 0.
    fn over(self, other: Self) -> Self;
    /// The remainder of division towards zero, with the sign of `self`.
    fn remainder(self, other: Self) -> Self;
    /// The remainder of division towards minus infinity, with the sign of `other`.
    fn modulo(self, other: Self) -> Self;
    /// `self` to the power of `other`; negative powers of integers are truncated towards zero.
    fn power(self, other: Self) -> Self;
    /// The nearest `f64`.
    fn wide(self) -> f64;
    /// The nearest value of this type, saturating.
    fn narrow(wide: f64) -> Self;

    /// Total order: NaN is above all other numbers and equal to itself.
    #[inline]
    fn order(self, other: Self) -> Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
    /// Whether it is NaN.
    #[inline]
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
    /// The larger, or NaN where either is NaN.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
        if self > other || self != self { self } else { other }
    }
    /// The smaller, or NaN where either is NaN.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
        if self < other || self != self { self } else { other }
    }
}

macro_rules! floats {
    ($($float:ty),*) => {$(
        impl Number for $float {
            const ZERO: Self = 0.0;
            const LEAST: Self = <$float>::NEG_INFINITY;
            const GREATEST: Self = <$float>::INFINITY;
            const INTEGER: bool = false;
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn minus(self, other: Self) -> Self { self - other }
            #[inline(always)]
            fn times(self, other: Self) -> Self { self * other }
            #[inline(always)]
            fn over(self, other: Self) -> Self { self / other }
            #[inline(always)]
            fn remainder(self, other: Self) -> Self { self % other }
            #[inline(always)]
            fn modulo(self, other: Self) -> Self {
                let rest = self % other;
                if rest != 0.0 && (rest < 0.0) != (other < 0.0) { rest + other } else { rest }
            }
            #[inline(always)]
            fn power(self, other: Self) -> Self { self.powf(other) }
            #[inline(always)]
            fn wide(self) -> f64 { f64::from(self) }
            #[inline(always)]
            fn narrow(wide: f64) -> Self { wide as $float }
        }
    )*};
}
floats!(f32, f64);

/// Half-precision types compute in `f32` and round once.
macro_rules! halves {
    ($($half:ty),*) => {$(
        impl Number for $half {
            const ZERO: Self = <$half>::ZERO;
            const LEAST: Self = <$half>::NEG_INFINITY;
            const GREATEST: Self = <$half>::INFINITY;
            const INTEGER: bool = false;
            fn plus(self, other: Self) -> Self { Self::from_f32(self.to_f32() + other.to_f32()) }
            fn minus(self, other: Self) -> Self { Self::from_f32(self.to_f32() - other.to_f32()) }
            fn times(self, other: Self) -> Self { Self::from_f32(self.to_f32() * other.to_f32()) }
            fn over(self, other: Self) -> Self { Self::from_f32(self.to_f32() / other.to_f32()) }
            fn remainder(self, other: Self) -> Self { Self::from_f32(self.to_f32() % other.to_f32()) }
            fn modulo(self, other: Self) -> Self { Self::from_f32(self.to_f32().modulo(other.to_f32())) }
            fn power(self, other: Self) -> Self { Self::from_f32(self.to_f32().powf(other.to_f32())) }
            fn wide(self) -> f64 { self.to_f64() }
            fn narrow(wide: f64) -> Self { Self::from_f64(wide) }
        }
    )*};
}
halves!(f16, bf16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_and_the_smaller_keep_nan() {
        assert!(f32::NAN.larger(1.0).is_nan() && 1f32.larger(f32::NAN).is_nan());
        assert!(f32::NAN.smaller(1.0).is_nan() && 1f32.smaller(f32::NAN).is_nan());
    }
}
