//! Integer element types.

use crate::kernels::number::Number;

/// An integer element type: bitwise operations.
pub(crate) trait Integer: Number + Ord {
    /// `!self`
    fn inverted(self) -> Self;
    /// `self & other`
    fn and(self, other: Self) -> Self;
    /// `self | other`
    fn or(self, other: Self) -> Self;
    /// `self ^ other`
    fn xor(self, other: Self) -> Self;
    /// `self` shifted by `places` to the left or to the right, where the sign moves in.
    ///
    /// A negative `places`, and one of all bits or more, moves every bit out.
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
                    // 1 / self^n is an integer only for 1 and -1; for 0 the result is 0.
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
            #[allow(unused_comparisons, reason = "unsigned numbers are never below 0")]
            fn shifted(self, places: Self, left: bool) -> Self {
                let places = u32::try_from(places).unwrap_or(u32::MAX);
                let moved = if left { self.checked_shl(places) } else { self.checked_shr(places) };
                moved.unwrap_or(if !left && self < 0 { !0 } else { 0 })
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_keep_signs() {
        assert_eq!(i64::MAX.plus(1), i64::MIN);
        assert_eq!((i64::MIN.over(-1), i64::MIN.remainder(-1)), (i64::MIN, 0));
        assert_eq!(((-7i32).over(2), (-7i32).remainder(3), (-7i32).modulo(3), 7i32.modulo(-3)), (-3, -1, 2, -2));
        assert_eq!((2i64.power(62), 3i32.power(-1), (-1i32).power(-3), (-1i32).power(-2)), (1 << 62, 0, -1, 1));
        assert_eq!((1u8.power(3), 255u8.power(2), 0i32.power(0)), (1, 1, 1));
    }
}
