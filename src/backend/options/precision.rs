//! The precision of weights and products.

use std::{fmt, str::FromStr};

use crate::error::Error;

/// The precision of weights and products.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floating point throughout.
    #[default]
    F32,
    /// Constant weights of products and look-up tables in 16-bit floating point, on a GPU only.
    ///
    /// Each matrix and table is scaled by a power of two that keeps it within the range of f16. The rows that it is multiplied
    /// with, the sums and all other operators are in f32. With `Device::Auto` a session that ends up on the CPU runs in
    /// f32, and the report says so.
    F16,
    /// bfloat16 factors and 32-bit sums in products with constant weights, in convolutions and in attention, on the CPU
    /// only.
    ///
    /// All other operators are in f32, and so are convolutions by Winograd's algorithm, except with AMX.
    Bf16,
    /// 8-bit integers in products with constant weights and in convolutions of at least 16 channels, on the CPU only.
    ///
    /// Each column of the weights and each row that they are multiplied with has a scale of its own; in a convolution,
    /// each filter and each position or, with several taps, each block of them. Sums are exact: no calibration is needed,
    /// and a result does not depend on its neighbours. Attention is in bf16 where the processor has instructions for it,
    /// all else is in f32.
    Int8,
    /// The fastest precision that stays close to f32: bf16 or int8 on the CPU, f16 on a GPU, or f32 itself.
    ///
    /// The first chunk runs in each precision and decides; the report says which one was chosen, and why. Until then
    /// both the file's weights and the packed ones are in memory.
    Auto {
        /// Least cosine between an output and the same output in f32, over the inputs of the first chunk.
        ///
        /// Only outputs of floating-point numbers count.
        min_cosine: f32,
    },
}

impl Precision {
    /// `Auto` with a bound that suits embeddings and classifiers.
    pub const AUTO: Self = Self::Auto { min_cosine: 0.999 };

    /// The name in command lines and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
            Precision::Auto { .. } => "auto",
        }
    }
}

impl FromStr for Precision {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(bound) = text.strip_prefix("auto:") {
            return match bound.parse() {
                Ok(min_cosine) if (-1.0..=1.0).contains(&min_cosine) => Ok(Precision::Auto { min_cosine }),
                _ => Err(Error::invalid_input(format!("no cosine `{bound}`; auto:0.999 is the default of auto"))),
            };
        }
        let all = [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8, Precision::AUTO];
        all.into_iter().find(|precision| precision.name() == text).ok_or_else(|| {
            Error::invalid_input(format!("no precision `{text}`; there are f32, f16, bf16, int8, auto and auto:COSINE"))
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
