//! Elementary functions on vectors.
//!
//! The polynomials are minimax fits to the functions in double precision, made for this library.
//! Each function passes NaN on and returns the limit at an infinity. The stated errors are against
//! double precision, for every kernel set; tests check them.

use crate::kernels::simd::Simd;

/// ln 2 in two parts; products of the first with an exponent are exact, since it has few bits.
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// `c[0] + c[1] x + c[2] x^2 + ...`
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut sum = s.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// `x = n ln 2 + r` with integral `n` and `|r| <= ln 2 / 2`: `(n, r)`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN_2_HIGH), x);
    (n, s.fma(n, s.splat(-LN_2_LOW), r))
}

/// `e^x`, within 2 ulp; denormal results within one denormal step.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.5), x));
    let (y, n) = exp_parts(s, x);
    s.scale(y, n)
}

/// `y` and an integral `n` with `e^x = y 2^n`, and `y` near 1.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let (n, r) = reduce(s, x);
    let p = polynomial(s, r, [0.499_999_94, 0.166_665_2, 0.041_668_396, 0.008_368_797, 0.001_381_443_3]);
    (s.add(s.fma(s.mul(p, r), r, r), s.splat(1.0)), n)
}

/// `e^x - 1` for `-30 <= x <= 0` or NaN.
#[inline(always)]
fn exp_m1_negative<S: Simd>(s: S, x: S::F) -> S::F {
    let (n, r) = reduce(s, x);
    let p = polynomial(s, r, [0.499_999_97, 0.166_665_43, 0.041_667_2, 0.008_366_596, 0.001_388_250_7]);
    let q = s.fma(s.mul(p, r), r, r);
    let power = s.scale_normal(s.splat(1.0), n);
    s.fma(power, q, s.sub(power, s.splat(1.0)))
}

/// `tanh x`, within 4 ulp.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let (above, below) = tanh_parts(s, x);
    s.div(above, below)
}

/// Two numbers whose quotient is `tanh x`; the second is between 1 and 2.
#[inline(always)]
pub(crate) fn tanh_parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    // -(e^-2a - 1) / (e^-2a + 1), which keeps its relative accuracy at 0.
    let a = s.min(s.splat(10.0), s.abs(x));
    let e = exp_m1_negative(s, s.mul(a, s.splat(-2.0)));
    (s.with_sign(s.abs(e), x), s.add(e, s.splat(2.0)))
}

/// The error function, within 6 ulp.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::F) -> S::F {
    // a P(a^2) / Q(a^2) on 0..4; past 4 the nearest f32 is 1.
    let a = s.min(s.splat(4.0), s.abs(x));
    let z = s.mul(a, a);
    let p = polynomial(
        s,
        z,
        [std::f32::consts::FRAC_2_SQRT_PI, 0.193_545_58, 0.053_101_82, 0.003_883_367_9, 0.000_284_566_73, 1.986_782e-6],
    );
    let q = polynomial(s, z, [1.0, 0.504_857_86, 0.115_350_22, 0.015_207_298, 0.001_185_577_5, 3.742_021_5e-5]);
    let y = s.min(s.splat(1.0), s.div(s.mul(a, p), q));
    s.with_sign(y, x)
}

/// `x (1 + erf(x / sqrt 2)) / 2`, within `3e-7 max(1, |x|)`; 0 at minus infinity.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    // Below -6 the result is under 1e-8 and the factor exactly 0; the bound keeps it 0 at minus
    // infinity.
    let x = s.max(s.splat(-6.0), x);
    let phi = erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    let half = s.mul(x, s.splat(0.5));
    s.fma(half, phi, half)
}

/// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, within `3e-7 max(1, |x|)`; 0 at minus
/// infinity.
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    // (1 + tanh u) / 2 = 1 / (1 + e^-2u). At the bound e^-2u is infinite already.
    const MINUS_TWO_SQRT_2_PI: f32 = -1.595_769;
    let x = s.max(s.splat(-20.0), x);
    let cubic = s.fma(s.mul(x, x), s.splat(0.044_715 * MINUS_TWO_SQRT_2_PI), s.splat(MINUS_TWO_SQRT_2_PI));
    s.div(x, s.add(exp(s, s.mul(x, cubic)), s.splat(1.0)))
}

/// `x (1 + erf(x / sqrt 2)) / 2`, within `6e-5 max(1, |x|)`: less than the rounding of bf16.
#[inline(always)]
pub(crate) fn gelu_near<S: Simd>(s: S, x: S::F) -> S::F {
    let c = [
        0.398_930_25,
        -0.066_393_89,
        0.009_846_432,
        -0.001_117_698_3,
        9.493_733_5e-5,
        -5.773_51e-6,
        2.338_015_4e-7,
        -5.576_902_5e-9,
        5.877_16e-11,
    ];
    gate(s, x, c)
}

/// As [`gelu_tanh`], within `6e-5 max(1, |x|)`: less than the rounding of bf16.
#[inline(always)]
pub(crate) fn gelu_tanh_near<S: Simd>(s: S, x: S::F) -> S::F {
    let c = [
        0.398_857_38,
        -0.066_586_53,
        0.009_990_119,
        -0.001_154_659_9,
        9.982_688e-5,
        -6.144_812e-6,
        2.501_721e-7,
        -5.966_501_5e-9,
        6.263_582e-11,
    ];
    gate(s, x, c)
}

/// `x (1/2 + t P(t^2))` for `t` = `x` within -4.25..4.25, where the factor is 0 and 1 at the ends;
/// 0 at minus infinity.
#[inline(always)]
fn gate<S: Simd>(s: S, x: S::F, c: [f32; 9]) -> S::F {
    const END: f32 = 4.25;
    let x = s.max(s.splat(-END), x);
    let t = s.min(s.splat(END), x);
    s.mul(x, s.fma(t, polynomial(s, s.mul(t, t), c), s.splat(0.5)))
}

/// `1 / (1 + e^-x)`, within 4 ulp where the result is normal; 0 below.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    s.div(s.splat(1.0), sigmoid_below(s, x))
}

/// `1 + e^-x`, of which the sigmoid is the reciprocal.
#[inline(always)]
pub(crate) fn sigmoid_below<S: Simd>(s: S, x: S::F) -> S::F {
    s.add(exp(s, s.neg(x)), s.splat(1.0))
}

/// As [`sigmoid_below`], at most `1 + e^87`: of a gate, which may be 1e-38 where it is less.
#[inline(always)]
pub(crate) fn gate_below<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(87.0), s.max(s.splat(-87.0), s.neg(x)));
    let (y, n) = exp_parts(s, x);
    s.add(s.scale_normal(y, n), s.splat(1.0))
}

/// `x / (1 + e^-x)`, within 4 ulp where the result is above 1e-36; 0 at minus infinity.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.max(s.splat(-110.0), x);
    s.div(x, s.add(exp(s, s.neg(x)), s.splat(1.0)))
}
