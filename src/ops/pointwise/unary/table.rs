//! The table of functions of one element: a further one is one row here.

/// Hands the table to the macro `$read`.
///
/// A row of `formulas` holds the documentation, the name, the attributes with ONNX's names and
/// defaults, the decoding, and the formula in double precision (for `f32`, vector instructions
/// replace it where they exist). A row of `others` has no formula: kernels treat each by name, and
/// the attributes' values are those of the test cases.
///
/// The decoding is `plain` (the attributes as listed), `rewritten` (no ONNX operator: made by
/// rewrites), or the name of a decoder.
macro_rules! unary_functions {
    ($read:ident) => {
        $read! {
            formulas {
                /// `|x|`; integers too
                Abs plain, |x| x.abs();
                /// The angle whose cosine is `x`
                Acos plain, |x| x.acos();
                /// The inverse of `cosh`, not negative
                Acosh plain, |x| x.acosh();
                /// The angle whose sine is `x`
                Asin plain, |x| x.asin();
                /// The inverse of `sinh`
                Asinh plain, |x| x.asinh();
                /// The angle whose tangent is `x`
                Atan plain, |x| x.atan();
                /// The inverse of `tanh`
                Atanh plain, |x| x.atanh();
                /// The nearest integer that is not smaller
                Ceil plain, |x| x.ceil();
                /// `max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)`
                Celu {
                    /// The negated limit at minus infinity.
                    alpha: "alpha" = 1.0
                } plain, |x| x.larger(0.0) + (alpha * (x / alpha).exp_m1()).smaller(0.0);
                /// Cosine
                Cos plain, |x| x.cos();
                /// Hyperbolic cosine
                Cosh plain, |x| x.cosh();
                /// `x < 0 ? alpha (e^x - 1) : x`
                Elu {
                    /// The negated limit at minus infinity.
                    alpha: "alpha" = 1.0
                } plain, |x| if x < 0.0 { alpha * x.exp_m1() } else { x };
                /// The error function
                Erf plain, |x| erf(x);
                /// `e^x`
                Exp plain, |x| x.exp();
                /// The nearest integer that is not larger
                Floor plain, |x| x.floor();
                /// `x (1 + erf(x / sqrt 2)) / 2`; 0 at minus infinity
                Gelu decode_gelu, |x| {
                    let x = x.larger(-40.0);
                    x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
                };
                /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`; 0 at minus infinity.
                /// ONNX: `Gelu` with `approximate`
                GeluTanh rewritten, |x| {
                    let x = x.larger(-40.0);
                    let cubic = x + 0.044715 * x * x * x;
                    x * 0.5 * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * cubic).tanh())
                };
                /// `min(max(alpha x + beta, 0), 1)`
                HardSigmoid {
                    /// The slope.
                    alpha: "alpha" = 0.2,
                    /// The value at 0.
                    beta: "beta" = 0.5
                } plain, |x| (alpha * x + beta).larger(0.0).smaller(1.0);
                /// `x min(max(x / 6 + 1 / 2, 0), 1)`; 0 at minus infinity
                HardSwish plain, |x| {
                    let x = x.larger(-4.0);
                    x * (x / 6.0 + 0.5).larger(0.0).smaller(1.0)
                };
                /// `x < 0 ? alpha x : x`
                LeakyRelu {
                    /// The factor below 0.
                    alpha: "alpha" = 0.01
                } plain, |x| if x < 0.0 { alpha * x } else { x };
                /// The natural logarithm
                Log plain, |x| x.ln();
                /// `x tanh(ln(1 + e^x))`; 0 at minus infinity
                Mish plain, |x| {
                    let x = x.larger(-800.0);
                    x * softplus(x).tanh()
                };
                /// `-x`; integers too
                Neg plain, |x| -x;
                /// `1 / x`
                Reciprocal plain, |x| 1.0 / x;
                /// `max(x, 0)`; integers too
                Relu plain, |x| x.larger(0.0);
                /// `(min(max(round(x / scale) + zero, least), most) - zero) scale`: the number that the nearest byte
                /// stands for; a NaN has the byte 0
                Requantized {
                    /// The distance between the numbers of two bytes, between `2^-60` and `2^60`.
                    scale: "scale" = 0.25,
                    /// The byte of 0.
                    zero: "zero" = 3.0,
                    /// The least byte.
                    least: "least" = 0.0,
                    /// The greatest byte.
                    most: "most" = 255.0
                } rewritten, |x| {
                    let byte = ((x / scale).round_ties_even() + zero).larger(least).smaller(most);
                    if x.is_nan() { -zero * scale } else { (byte - zero) * scale }
                };
                /// The nearest integer, halves to even
                Round plain, |x| x.round_ties_even();
                /// `gamma (x > 0 ? x : alpha (e^x - 1))`
                Selu {
                    /// The factor of the exponential.
                    alpha: "alpha" = 1.673_263_2,
                    /// The factor of the whole.
                    gamma: "gamma" = 1.050_701
                } plain, |x| gamma * if x > 0.0 { x } else { alpha * x.exp_m1() };
                /// `x < -lambda ? x + bias : x > lambda ? x - bias : 0`
                Shrink {
                    /// The amount subtracted from the magnitude.
                    bias: "bias" = 0.0,
                    /// The magnitude up to which the result is 0.
                    lambda: "lambd" = 0.5
                } plain, |x| if x < -lambda { x + bias } else if x > lambda { x - bias } else { x * 0.0 };
                /// `1 / (1 + e^-x)`
                Sigmoid plain, |x| 1.0 / (1.0 + (-x).exp());
                /// -1, 0 or 1; integers too
                Sign plain, |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x };
                /// `x / (1 + e^-x)`; 0 at minus infinity
                Silu rewritten, |x| {
                    let x = x.larger(-700.0);
                    x / (1.0 + (-x).exp())
                };
                /// Sine
                Sin plain, |x| x.sin();
                /// Hyperbolic sine
                Sinh plain, |x| x.sinh();
                /// `ln(1 + e^x)`
                Softplus plain, |x| softplus(x);
                /// `x / (1 + |x|)`
                Softsign plain, |x| x / (1.0 + x.abs());
                /// The square root
                Sqrt plain, |x| x.sqrt();
                /// Tangent
                Tan plain, |x| x.tan();
                /// Hyperbolic tangent
                Tanh plain, |x| x.tanh();
                /// `x > alpha ? x : 0`
                ThresholdedRelu {
                    /// The threshold.
                    alpha: "alpha" = 1.0
                } plain, |x| if x > alpha || x.is_nan() { x } else { 0.0 };
            }
            others {
                /// All bits inverted; integers
                BitwiseNot plain;
                /// `min(max(x, low), high)`; operands 1 and 2 replace `low` and `high` if present;
                /// integers too
                Clip {
                    /// The least result.
                    low: f32 = -0.5,
                    /// The greatest result.
                    high: f32 = 1.25
                } decode_clip;
                /// Whether `x` is an infinity of one of the chosen signs; gives booleans
                IsInf {
                    /// Whether minus infinity counts.
                    negative: bool = true,
                    /// Whether plus infinity counts.
                    positive: bool = true
                } decode_is_inf;
                /// Whether `x` is NaN; gives booleans
                IsNaN plain;
                /// Logical negation of booleans
                Not plain;
            }
        }
    };
}

pub(crate) use unary_functions;
