//! Activation functions.

/// A function of one number, applied to every element.
///
/// NaN passes through, unless a function says other; at infinities the result is the function's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x < 0 ? slope x : x`
    LeakyRelu {
        /// The factor below 0.
        slope: f32,
    },
    /// `min(max(x, low), high)`
    Clip {
        /// The least result.
        low: f32,
        /// The greatest result.
        high: f32,
    },
    /// `x (1 + erf(x / sqrt 2)) / 2`, within `3e-7 max(1, |x|)`
    Gelu,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, within `3e-7 max(1, |x|)`
    GeluTanh,
    /// Hyperbolic tangent, within 4 ulp
    Tanh,
    /// `1 / (1 + e^-x)`, within 4 ulp where the result is a normal number, else 0
    Sigmoid,
    /// `x / (1 + e^-x)`, within 4 ulp where the result's magnitude is above 1e-36
    Silu,
    /// `min(max(alpha x + beta, 0), 1)`
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// `x min(max(x / 6 + 1 / 2, 0), 1)`
    HardSwish,
    /// `(min(max(round(x / scale) + zero, least), most) - zero) scale`: the number that the nearest byte stands for, halves to
    /// even; a NaN has the byte 0
    Requantized {
        /// The distance between the numbers of two bytes, between `2^-60` and `2^60`.
        scale: f32,
        /// The byte of 0.
        zero: f32,
        /// The least byte.
        least: f32,
        /// The greatest byte.
        most: f32,
    },
    /// `e^x`, within 2 ulp; denormal results within one denormal step
    Exp,
    /// The error function, within 6 ulp
    Erf,
    /// `|x|`
    Abs,
    /// `-x`
    Neg,
    /// The square root, correctly rounded
    Sqrt,
    /// `1 / x`, correctly rounded
    Reciprocal,
}
