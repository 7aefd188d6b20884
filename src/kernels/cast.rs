//! Conversion between element types.

use half::{bf16, f16};

use crate::{
    error::{Error, Result},
    kernels::small::from_small,
    tensor::{DType, View, ViewMut},
};

/// An element type, and a Rust number type that represents it exactly.
trait Native: Copy {
    type Number: Copy;
    fn native(self) -> Self::Number;
}

/// Conversion from a number of type `N`.
///
/// Integers wrap. A floating-point number becomes an integer by truncation, saturating, NaN as 0.
/// Anything but zero is true.
trait Made<N> {
    fn made(number: N) -> Self;
}

/// A boolean's byte.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Truth(u8);

macro_rules! native {
    ($($own:ty => $number:ty, $value:ident: $how:expr);* $(;)?) => {$(
        impl Native for $own {
            type Number = $number;
            #[inline]
            fn native(self) -> $number { let $value = self; $how }
        }
    )*};
}
native! {
    f16 => f32, value: value.to_f32();
    bf16 => f32, value: value.to_f32();
    Truth => u8, value: value.0;
    f32 => f32, value: value;
    f64 => f64, value: value;
    i8 => i8, value: value;
    i16 => i16, value: value;
    i32 => i32, value: value;
    i64 => i64, value: value;
    u8 => u8, value: value;
    u16 => u16, value: value;
    u32 => u32, value: value;
    u64 => u64, value: value;
}

macro_rules! made {
    ($($number:ty)*) => {$(
        made!(@plain $number => f32 f64 i8 i16 i32 i64 u8 u16 u32 u64);
        impl Made<$number> for Truth {
            #[inline]
            fn made(number: $number) -> Self { Self(u8::from(number != 0 as $number)) }
        }
    )*};
    (@plain $number:ty => $($own:ty)*) => {$(
        impl Made<$number> for $own {
            #[inline]
            fn made(number: $number) -> Self { number as $own }
        }
    )*};
}
made!(f32 f64 i8 i16 i32 i64 u8 u16 u32 u64);

macro_rules! made_half {
    ($($half:ty)*) => {$(
        made_half!(@from $half => f64 i8 i16 i32 i64 u8 u16 u32 u64);
        impl Made<f32> for $half {
            #[inline]
            fn made(number: f32) -> Self { Self::from_f32(number) }
        }
    )*};
    // Through f64, so that there is one rounding.
    (@from $half:ty => $($number:ty)*) => {$(
        impl Made<$number> for $half {
            #[inline]
            fn made(number: $number) -> Self { Self::from_f64(number as f64) }
        }
    )*};
}
made_half!(f16 bf16);

/// Converts the numbers of `from` to the type of `to`, which has as many elements.
///
/// # Errors
/// `Internal` for strings, and for numbers that become ones of a small type.
pub(crate) fn cast(from: View<'_>, to: &mut ViewMut<'_>) -> Result<()> {
    macro_rules! each {
        ($dtype:expr, $name:ident => $body:expr) => {
            match $dtype {
                DType::F32 => {
                    type $name = f32;
                    $body
                }
                DType::F64 => {
                    type $name = f64;
                    $body
                }
                DType::F16 => {
                    type $name = f16;
                    $body
                }
                DType::BF16 => {
                    type $name = bf16;
                    $body
                }
                DType::I8 => {
                    type $name = i8;
                    $body
                }
                DType::I16 => {
                    type $name = i16;
                    $body
                }
                DType::I32 => {
                    type $name = i32;
                    $body
                }
                DType::I64 => {
                    type $name = i64;
                    $body
                }
                DType::U8 => {
                    type $name = u8;
                    $body
                }
                DType::U16 => {
                    type $name = u16;
                    $body
                }
                DType::U32 => {
                    type $name = u32;
                    $body
                }
                DType::U64 => {
                    type $name = u64;
                    $body
                }
                DType::Bool => {
                    type $name = Truth;
                    $body
                }
                dtype => return Err(Error::internal(format!("{dtype} is cast by another kernel"))),
            }
        };
    }
    if from.dtype == to.dtype {
        to.bytes.copy_from_slice(from.bytes);
        return Ok(());
    }
    if let DType::Small(small) = from.dtype {
        return from_small(small, from, to);
    }
    each!(from.dtype, From => each!(to.dtype, To => {
        let (from, to): (&[From], &mut [To]) = (bytemuck::cast_slice(from.bytes), bytemuck::cast_slice_mut(to.bytes));
        for (to, from) in to.iter_mut().zip(from) {
            *to = To::made(from.native());
        }
    }));
    Ok(())
}
