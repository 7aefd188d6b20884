//! Element types of at most eight bits, which tensors hold and no kernel computes with.

use std::fmt;

/// An element type of at most eight bits: stored, moved and converted, but not computed with.
///
/// A tensor holds one element a byte, whatever the type's width: an integer as an 8-bit integer of
/// the same sign, a floating-point number as its bits with zeros above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SmallType {
    /// 4 bits of exponent, 3 of mantissa; NaN but no infinity.
    F8E4M3FN,
    /// 4 bits of exponent, 3 of mantissa; NaN but neither infinity nor -0.
    F8E4M3FNUZ,
    /// 5 bits of exponent, 2 of mantissa, as IEEE 754 has it.
    F8E5M2,
    /// 5 bits of exponent, 2 of mantissa; NaN but neither infinity nor -0.
    F8E5M2FNUZ,
    /// 8 bits of exponent alone: powers of two and NaN, without sign or zero.
    F8E8M0,
    /// 2 bits of exponent, 3 of mantissa; neither NaN nor infinity.
    F6E2M3,
    /// 3 bits of exponent, 2 of mantissa; neither NaN nor infinity.
    F6E3M2,
    /// 2 bits of exponent, 1 of mantissa; neither NaN nor infinity.
    F4E2M1,
    /// From -8 to 7.
    I4,
    /// From 0 to 15.
    U4,
    /// From -2 to 1.
    I2,
    /// From 0 to 3.
    U2,
}

impl SmallType {
    /// All types.
    pub(crate) const ALL: [Self; 12] = [
        Self::F8E4M3FN,
        Self::F8E4M3FNUZ,
        Self::F8E5M2,
        Self::F8E5M2FNUZ,
        Self::F8E8M0,
        Self::F6E2M3,
        Self::F6E3M2,
        Self::F4E2M1,
        Self::I4,
        Self::U4,
        Self::I2,
        Self::U2,
    ];

    /// The type with this ONNX number (`TensorProto.DataType`).
    pub(crate) const fn from_onnx(code: i64) -> Option<Self> {
        Some(match code {
            17 => Self::F8E4M3FN,
            18 => Self::F8E4M3FNUZ,
            19 => Self::F8E5M2,
            20 => Self::F8E5M2FNUZ,
            21 => Self::U4,
            22 => Self::I4,
            23 => Self::F4E2M1,
            24 => Self::F8E8M0,
            25 => Self::U2,
            26 => Self::I2,
            27 => Self::F6E2M3,
            28 => Self::F6E3M2,
            _ => return None,
        })
    }

    /// The bits of an element where elements are packed.
    pub const fn bits(self) -> usize {
        match self {
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F8E8M0 => 8,
            Self::F6E2M3 | Self::F6E3M2 => 6,
            Self::F4E2M1 | Self::I4 | Self::U4 => 4,
            Self::I2 | Self::U2 => 2,
        }
    }

    /// Whether it is an integer type.
    #[doc(hidden)]
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::I4 | Self::U4 | Self::I2 | Self::U2)
    }

    /// Whether it is a signed integer type.
    pub(crate) const fn is_signed_integer(self) -> bool {
        matches!(self, Self::I4 | Self::I2)
    }

    /// The byte of an element, from its bits; higher ones do not count.
    pub(crate) const fn byte(self, bits: u8) -> u8 {
        let above = 8 - self.bits();
        match self.is_signed_integer() {
            true => ((bits << above).cast_signed() >> above).cast_unsigned(),
            false => bits << above >> above,
        }
    }

    /// Whether a byte is that of an element.
    pub(crate) const fn holds(self, byte: u8) -> bool {
        self.byte(byte) == byte
    }
}

impl fmt::Display for SmallType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F8E4M3FN => "f8e4m3fn",
            Self::F8E4M3FNUZ => "f8e4m3fnuz",
            Self::F8E5M2 => "f8e5m2",
            Self::F8E5M2FNUZ => "f8e5m2fnuz",
            Self::F8E8M0 => "f8e8m0",
            Self::F6E2M3 => "f6e2m3",
            Self::F6E3M2 => "f6e3m2",
            Self::F4E2M1 => "f4e2m1",
            Self::I4 => "i4",
            Self::U4 => "u4",
            Self::I2 => "i2",
            Self::U2 => "u2",
        })
    }
}
