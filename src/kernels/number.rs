//! Arithmetic that is written once for every type of element.

use std::cmp::Ordering;

use half::{bf16, f16};

use crate::tensor::Element;

/// A number of any type that tensors hold. Integers wrap; floating-point numbers follow IEEE 754.
pub(crate) trait Number: Element + PartialOrd + Default {
    /// Nought.
    const ZERO: Self;
    /// The least value: minus infinity where there is one.
    const LEAST: Self;
    /// The greatest value: infinity where there is one.
    const GREATEST: Self;
    /// Whether a division by zero has no result.
    const INTEGER: bool;

    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self - other`
    fn minus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
    /// `self / other`, towards zero for integers, whose divisor must not be 0.
    fn over(self, other: Self) -> Self;
    /// What is left of a division towards zero: the sign of `self`.
    fn remainder(self, other: Self) -> Self;
    /// What is left of a division downwards: the sign of `other`.
    fn modulo(self, other: Self) -> Self;
    /// `self` to the power of `other`; a negative power of an integer is cut towards zero.
    fn power(self, other: Self) -> Self;
    /// The nearest `f64`.
    fn wide(self) -> f64;
    /// The nearest of this type, saturating.
    fn narrow(wide: f64) -> Self;

    /// An order of all numbers: NaN is above the others and equal to itself.
    #[inline]
    fn order(self, other: Self) -> Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
    /// Whether it is no number.
    #[inline]
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
    /// The larger, or NaN where either is.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
        if self > other || self != self { self } else { other }
    }
    /// The smaller, or NaN where either is.
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

/// Half-precision numbers are computed with as `f32` and rounded once.
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

/// An integer: what only integers do.
pub(crate) trait Integer: Number + Ord {
    /// All bits turned over.
    fn inverted(self) -> Self;
    /// Bits in both.
    fn and(self, other: Self) -> Self;
    /// Bits in either.
    fn or(self, other: Self) -> Self;
    /// Bits in one of them.
    fn xor(self, other: Self) -> Self;
    /// Bits moved `places` places, to the higher ones or to the lower ones.
    fn shifted(self, places: Self, left: bool) -> Self;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Number for $integer {
            const ZERO: Self = 0;
            const LEAST: Self = <$integer>::MIN;
            const GREATEST: Self = <$integer>::MAX;
            const INTEGER: bool = true;
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline(always)]
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            #[inline(always)]
            fn over(self, other: Self) -> Self { self.wrapping_div(other) }
            #[inline(always)]
            fn remainder(self, other: Self) -> Self { self.wrapping_rem(other) }
            #[allow(unused_comparisons, reason = "unsigned numbers are never below 0")]
            fn modulo(self, other: Self) -> Self {
                let rest = self.wrapping_rem(other);
                if rest != 0 && (rest < 0) != (other < 0) { rest.wrapping_add(other) } else { rest }
            }
            #[allow(unused_comparisons, reason = "unsigned numbers are never below 0")]
            fn power(self, other: Self) -> Self {
                if other < 0 {
                    // 1 / self^n, which is whole only for 1 and -1; 0 has none, and keeps 0.
                    let odd = other & 1 == 1;
                    return if self == 1 || self.wrapping_add(1) == 0 && !odd {
                        1
                    } else if self.wrapping_add(1) == 0 {
                        self
                    } else {
                        0
                    };
                }
                let (mut result, mut base, mut left) = (1 as $integer, self, other);
                while left > 0 {
                    if left & 1 == 1 {
                        result = result.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                result
            }
            #[inline(always)]
            fn wide(self) -> f64 { self as f64 }
            #[inline(always)]
            fn narrow(wide: f64) -> Self { wide as $integer }
        }
        impl Integer for $integer {
            fn inverted(self) -> Self { !self }
            fn and(self, other: Self) -> Self { self & other }
            fn or(self, other: Self) -> Self { self | other }
            fn xor(self, other: Self) -> Self { self ^ other }
            fn shifted(self, places: Self, left: bool) -> Self {
                let places = u32::try_from(places).unwrap_or(u32::MAX);
                let moved = if left { self.checked_shl(places) } else { self.checked_shr(places) };
                moved.unwrap_or(0)
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

/// Evaluates `$body` with `$T` the element type of `$dtype`, a number's; `$other` for a boolean.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        match $dtype {
            $crate::tensor::DType::F32 => { type $T = f32; $body }
            $crate::tensor::DType::F64 => { type $T = f64; $body }
            $crate::tensor::DType::F16 => { type $T = half::f16; $body }
            $crate::tensor::DType::BF16 => { type $T = half::bf16; $body }
            dtype => $crate::kernels::number::with_integer!(dtype, $T => $body, else $other),
        }
    };
}
/// Evaluates `$body` with `$T` the element type of `$dtype`, an integer's; `$other` for another.
macro_rules! with_integer {
    ($dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        match $dtype {
            $crate::tensor::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::tensor::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::tensor::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::tensor::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::tensor::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::tensor::DType::U16 => {
                type $T = u16;
                $body
            }
            $crate::tensor::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::tensor::DType::U64 => {
                type $T = u64;
                $body
            }
            _ => $other,
        }
    };
}
pub(crate) use with_integer;
pub(crate) use with_number;

/// The error function, within 2 ulp or so.
pub(crate) fn erf(x: f64) -> f64 {
    // Past 6 the nearest f64 is 1.
    if x.abs() >= 6.0 {
        return x.signum();
    }
    // 2 / sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (1 3 5 .. (2n+1)), whose terms all have the sign of x:
    // Abramowitz and Stegun 7.1.6.
    let square = x * x;
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * square / odd;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, y) in [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (3.0, 0.999_977_909_503_001_4)] {
            assert!((erf(x) - y).abs() < 1e-15 && (erf(-x) + y).abs() < 1e-15, "{x}");
        }
        assert_eq!((erf(0.0), erf(f64::INFINITY), erf(-7.0)), (0.0, 1.0, -1.0));
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn integers_wrap_and_keep_signs() {
        assert_eq!(i64::MAX.plus(1), i64::MIN);
        assert_eq!((i64::MIN.over(-1), i64::MIN.remainder(-1)), (i64::MIN, 0));
        assert_eq!(((-7i32).over(2), (-7i32).remainder(3), (-7i32).modulo(3), 7i32.modulo(-3)), (-3, -1, 2, -2));
        assert_eq!((2i64.power(62), 3i32.power(-1), (-1i32).power(-3), (-1i32).power(-2)), (1 << 62, 0, -1, 1));
        assert_eq!((1u8.power(3), 255u8.power(2), 0i32.power(0)), (1, 1, 1));
    }

    #[test]
    fn the_larger_and_the_smaller_keep_nan() {
        assert!(f32::NAN.larger(1.0).is_nan() && 1f32.larger(f32::NAN).is_nan());
        assert!(f32::NAN.smaller(1.0).is_nan() && 1f32.smaller(f32::NAN).is_nan());
    }
}
