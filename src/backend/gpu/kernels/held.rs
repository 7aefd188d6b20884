//! Storage of the constant weights of products and look-up tables, in f32 or in scaled f16.

use half::f16;

use crate::backend::gpu::operand::WeightFormat;

/// How the weights of one product or table are stored: the format, and the power of two that scales them.
///
/// The scale moves the largest weight to the top of f16's range, so none overflows, and the underflow of small weights
/// is at most 2^-29 of the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    format: WeightFormat,
    exponent: i32,
}

/// Scaled magnitudes are below 2 to this power, half the limit of f16.
const TOP: i32 = 15;

impl Held {
    /// The storage of weights that are not packed.
    pub(super) const AS_THEY_ARE: Self = Self { format: WeightFormat::F32, exponent: 0 };

    /// The storage of these weights in a format. Infinities and NaN do not affect the scale.
    pub(super) fn of(format: WeightFormat, weights: impl Iterator<Item = f32>) -> Self {
        let largest = match format {
            WeightFormat::F32 => 0.0,
            WeightFormat::F16 => {
                weights.filter(|weight| weight.is_finite()).fold(0f32, |most, own| most.max(own.abs()))
            }
        };
        // Bounded so that f32 holds both the factor and its inverse.
        let exponent = if largest > 0.0 { TOP - 1 - largest.log2().floor() as i32 } else { 0 };
        Self { format, exponent: exponent.clamp(-126, 126) }
    }

    /// Bytes of one weight.
    pub(super) fn bytes(self) -> usize {
        match self.format {
            WeightFormat::F32 => 4,
            WeightFormat::F16 => 2,
        }
    }

    /// Whether the weights are in f16.
    pub(super) fn is_half(self) -> bool {
        self.format == WeightFormat::F16
    }

    /// Scales, rounds and writes one weight.
    pub(super) fn write(self, weight: f32, to: &mut [u8]) {
        match self.format {
            WeightFormat::F32 => to.copy_from_slice(&weight.to_ne_bytes()),
            WeightFormat::F16 => {
                let scaled = f16::from_f64(f64::from(weight) * f64::from(self.exponent).exp2());
                to.copy_from_slice(&scaled.to_ne_bytes());
            }
        }
    }

    /// The word by which a shader multiplies sums to undo the scale.
    pub(super) fn factor(self) -> u32 {
        (-self.exponent as f32).exp2().to_bits()
    }

    /// The WGSL type of four weights.
    pub(super) fn kind(self) -> &'static str {
        match self.format {
            WeightFormat::F32 => "vec4<f32>",
            WeightFormat::F16 => HALVES,
        }
    }

    /// WGSL that returns the four weights at index `at` of the buffer `w`.
    pub(super) fn load(self, at: &str) -> String {
        match self.format {
            WeightFormat::F32 => format!("    return w[{at}];"),
            WeightFormat::F16 => unpack("w", at),
        }
    }
}

/// The WGSL type of four numbers in f16.
pub(super) const HALVES: &str = "vec2<u32>";

/// WGSL that returns the four f16 numbers at index `at` of `buffer`.
pub(super) fn unpack(buffer: &str, at: &str) -> String {
    format!(
        "    let halves = {buffer}[{at}];\n    \
         return vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));"
    )
}
