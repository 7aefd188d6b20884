//! Conversion between the small element types and the others.

use crate::{
    error::{Error, Result},
    kernels::cast,
    tensor::{DType, SmallType, View, ViewMut},
};

/// How a number that a small type lacks becomes one that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToSmall {
    /// The type.
    pub to: SmallType,
    /// Whether a number past the largest becomes the largest, rather than infinity or NaN.
    ///
    /// Integer types, and those that have neither, do not ask.
    pub saturate: bool,
    /// How powers of two are chosen; all other types round to nearest, halves to even.
    pub rounding: Rounding,
}

/// The rounding of a number to a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the next larger one.
    Up,
    /// To the next smaller one.
    Down,
    /// To the nearest one, the larger of two.
    Nearest,
}

/// What the largest exponents of a floating-point type stand for.
#[derive(Clone, Copy, PartialEq)]
enum Specials {
    /// NaN where all bits of exponent and mantissa are set.
    OneNan,
    /// NaN in place of -0.
    NoMinusZero,
    /// Infinity and NaN, as IEEE 754 has them.
    Ieee,
    /// Numbers.
    None,
}

/// The layout of a floating-point type with a sign: bits of exponent and mantissa, the exponent's bias.
struct Layout {
    exponent: u32,
    mantissa: u32,
    bias: i32,
    specials: Specials,
}

/// The layout of a type; `None` for integers and powers of two.
fn layout(small: SmallType) -> Option<Layout> {
    let (exponent, mantissa, bias, specials) = match small {
        SmallType::F8E4M3FN => (4, 3, 7, Specials::OneNan),
        SmallType::F8E4M3FNUZ => (4, 3, 8, Specials::NoMinusZero),
        SmallType::F8E5M2 => (5, 2, 15, Specials::Ieee),
        SmallType::F8E5M2FNUZ => (5, 2, 16, Specials::NoMinusZero),
        SmallType::F6E2M3 => (2, 3, 1, Specials::None),
        SmallType::F6E3M2 => (3, 2, 3, Specials::None),
        SmallType::F4E2M1 => (2, 1, 1, Specials::None),
        SmallType::F8E8M0 | SmallType::I4 | SmallType::U4 | SmallType::I2 | SmallType::U2 => return None,
    };
    Some(Layout { exponent, mantissa, bias, specials })
}

impl Layout {
    fn sign(&self) -> u8 {
        1 << (self.exponent + self.mantissa)
    }

    /// The bits of the largest number.
    fn largest(&self) -> u8 {
        let all = self.sign() - 1;
        match self.specials {
            Specials::OneNan => all - 1,
            Specials::Ieee => all - (1 << self.mantissa),
            Specials::NoMinusZero | Specials::None => all,
        }
    }

    fn number(&self, bits: u8) -> f32 {
        let sign = self.sign();
        let magnitude = bits & (sign - 1);
        if self.specials == Specials::NoMinusZero && bits == sign {
            return f32::NAN;
        }
        let (exponent, fraction) =
            (i32::from(magnitude >> self.mantissa), f32::from(magnitude & ((1 << self.mantissa) - 1)));
        let unit = |exponent: i32| power_of_two(exponent - self.bias - self.mantissa as i32) as f32;
        let value = match exponent {
            _ if magnitude > self.largest() && self.specials == Specials::Ieee && fraction == 0.0 => f32::INFINITY,
            _ if magnitude > self.largest() => f32::NAN,
            0 => fraction * unit(1),
            _ => (fraction + power_of_two(self.mantissa as i32) as f32) * unit(exponent),
        };
        if bits & sign == 0 { value } else { -value }
    }

    fn bits(&self, x: f64, saturate: bool) -> u8 {
        let sign = if x.is_sign_negative() { self.sign() } else { 0 };
        let largest = self.largest();
        if x.is_nan() {
            return match self.specials {
                Specials::OneNan => sign | (largest + 1),
                Specials::Ieee => sign | (largest + 3),
                Specials::NoMinusZero => self.sign(),
                // The conversion of ONNX's reference.
                Specials::None => self.sign(),
            };
        }
        let least = 1 - self.bias;
        let exponent = exponent(x).clamp(least, 64);
        let units = (x.abs() / power_of_two(exponent - self.mantissa as i32)).round_ties_even();
        // A number rounded up to the next power of two carries into the exponent.
        let magnitude = (i64::from(exponent - least) << self.mantissa) + units.min(f64::from(u32::MAX)) as i64;
        if magnitude <= i64::from(largest) {
            let is_plain_zero = magnitude == 0 && self.specials == Specials::NoMinusZero;
            return if is_plain_zero { 0 } else { sign | magnitude as u8 };
        }
        match self.specials {
            Specials::OneNan | Specials::Ieee if !saturate => sign | (largest + 1),
            Specials::NoMinusZero if !saturate => self.sign(),
            _ => sign | largest,
        }
    }
}

/// `2^exponent`, for exponents of normal numbers.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// The exponent of a number; the least one for zero and denormal numbers.
fn exponent(x: f64) -> i32 {
    (x.to_bits() >> 52 & 0x7ff) as i32 - 1023
}

/// The exponent of the least power of two that has an element.
const LEAST_POWER: i32 = -127;

/// A power of two; of a negative number that of its magnitude.
fn power_bits(x: f64, saturate: bool, rounding: Rounding) -> u8 {
    const NAN: u8 = 255;
    if x.is_nan() {
        return NAN;
    }
    let (low, x) = (exponent(x), x.abs());
    let above = x / power_of_two(low.clamp(-1022, 1023));
    let up = match rounding {
        Rounding::Up => above > 1.0,
        Rounding::Down => false,
        Rounding::Nearest => above >= 1.5,
    };
    match low + i32::from(up) - LEAST_POWER {
        code @ 0..=254 => code as u8,
        _ if !saturate => NAN,
        code if code < 0 => 0,
        _ => 254,
    }
}

/// The number that a byte stands for, exactly.
pub(crate) fn small_number(small: SmallType, byte: u8) -> f32 {
    match layout(small) {
        Some(layout) => layout.number(byte),
        None if small == SmallType::F8E8M0 && byte == u8::MAX => f32::NAN,
        None if small == SmallType::F8E8M0 => power_of_two(i32::from(byte) + LEAST_POWER) as f32,
        None if small.is_signed_integer() => f32::from(byte.cast_signed()),
        None => f32::from(byte),
    }
}

/// Elements that are converted together.
const BLOCK: usize = 256;

/// Converts elements of a small type to the type of `to`, which has as many elements.
///
/// # Errors
/// `Internal` for strings and small types.
pub(super) fn from_small(small: SmallType, from: View<'_>, to: &mut ViewMut<'_>) -> Result<()> {
    if small.is_integer() {
        let dtype = if small.is_signed_integer() { DType::I8 } else { DType::U8 };
        return cast(View { dtype, ..from }, to);
    }
    let table: [f32; 256] = std::array::from_fn(|byte| small_number(small, byte as u8));
    let mut numbers = [0f32; BLOCK];
    for (from, bytes) in from.bytes.chunks(BLOCK).zip(to.bytes.chunks_mut(BLOCK * to.dtype.size())) {
        let numbers = &mut numbers[..from.len()];
        numbers.iter_mut().zip(from).for_each(|(number, &byte)| *number = table[usize::from(byte)]);
        let numbers = View { dtype: DType::F32, shape: &[], bytes: bytemuck::cast_slice(numbers) };
        cast(numbers, &mut ViewMut { dtype: to.dtype, shape: &[], bytes })?;
    }
    Ok(())
}

/// Converts numbers to a small type; `to` has as many elements.
///
/// # Errors
/// `Internal` for strings.
pub(crate) fn to_small(how: ToSmall, from: View<'_>, to: &mut [u8]) -> Result<()> {
    let size = from.dtype.size();
    if from.bytes.len() != to.len() * size {
        return Err(Error::internal(format!("{} bytes of {} for {} elements", from.bytes.len(), from.dtype, to.len())));
    }
    let mut block = [0u64; BLOCK];
    for (bytes, to) in from.bytes.chunks(BLOCK * size).zip(to.chunks_mut(BLOCK)) {
        let block = &mut block[..to.len()];
        let from = View { dtype: from.dtype, shape: &[], bytes };
        let wide = if how.to.is_integer() { DType::I64 } else { DType::F64 };
        cast(from, &mut ViewMut { dtype: wide, shape: &[], bytes: bytemuck::cast_slice_mut(block) })?;
        match how.to.is_integer() {
            // Higher bits are dropped, as from any wider integer.
            true => to.iter_mut().zip(block).for_each(|(to, number)| *to = how.to.byte(*number as u8)),
            false => small_bytes(how, bytemuck::cast_slice(block), to),
        }
    }
    Ok(())
}

/// Rounds numbers to a floating-point type.
fn small_bytes(how: ToSmall, from: &[f64], to: &mut [u8]) {
    let layout = layout(how.to);
    for (to, &x) in to.iter_mut().zip(from) {
        *to = match &layout {
            Some(layout) => layout.bits(x, how.saturate),
            None => power_bits(x, how.saturate, how.rounding),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = (SmallType, u8)> {
        let bytes =
            |small| (0..=u8::MAX).filter(move |&byte| SmallType::holds(small, byte)).map(move |byte| (small, byte));
        SmallType::ALL.into_iter().flat_map(bytes)
    }

    fn converted(how: ToSmall, x: f64) -> u8 {
        let mut to = [0];
        to_small(how, View { dtype: DType::F64, shape: &[], bytes: bytemuck::bytes_of(&x) }, &mut to).unwrap();
        to[0]
    }

    #[test]
    fn every_element_converts_to_itself() {
        for (small, byte) in all() {
            for saturate in [false, true] {
                let x = small_number(small, byte);
                let back = converted(ToSmall { to: small, saturate, rounding: Rounding::Nearest }, x.into());
                let again = small_number(small, back);
                // The largest stands for infinity where numbers saturate.
                let fits =
                    x.is_infinite() && saturate || x.to_bits() == again.to_bits() || x.is_nan() && again.is_nan();
                assert!(fits, "{small} {byte:#x}: {x} became {again}");
            }
        }
    }

    #[test]
    fn numbers_past_the_largest_saturate_or_do_not() {
        let of = |to, saturate| ToSmall { to, saturate, rounding: Rounding::Up };
        use SmallType::*;
        for (small, largest) in [(F8E4M3FN, 448.0), (F8E4M3FNUZ, 240.0), (F8E5M2, 57344.0), (F8E5M2FNUZ, 57344.0)] {
            for x in [largest * 1.2, 1e300, f64::INFINITY] {
                assert_eq!(small_number(small, converted(of(small, true), x)), largest as f32);
                assert_eq!(small_number(small, converted(of(small, true), -x)), -largest as f32);
                let wild = small_number(small, converted(of(small, false), x));
                assert!(if small == F8E5M2 { wild == f32::INFINITY } else { wild.is_nan() }, "{small} {x}");
            }
        }
        // Halfway between the largest and what would come next, which is no number: to the even one.
        assert_eq!((converted(of(F8E4M3FN, false), 464.0), converted(of(F8E4M3FN, false), 464.1)), (0x7e, 0x7f));
    }

    #[test]
    fn powers_of_two_are_rounded_as_asked() {
        let of = |saturate, rounding, x| converted(ToSmall { to: SmallType::F8E8M0, saturate, rounding }, x);
        for (rounding, wanted) in [(Rounding::Up, 128), (Rounding::Down, 127), (Rounding::Nearest, 127)] {
            assert_eq!(of(true, rounding, 1.4), wanted);
        }
        assert_eq!((of(true, Rounding::Nearest, 1.5), of(true, Rounding::Up, 2f64.powi(-127))), (128, 0));
        assert_eq!((of(true, Rounding::Up, 0.0), of(false, Rounding::Nearest, 0.0)), (0, 255));
        assert_eq!((of(true, Rounding::Up, f64::INFINITY), of(false, Rounding::Up, f64::INFINITY)), (254, 255));
        assert_eq!(of(true, Rounding::Up, f64::NAN), 255);
    }
}
