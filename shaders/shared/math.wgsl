// Functions of one number. NaN passes through; infinities give the function's limits.

// WGSL has no infinite constants.
var<private> infinity_bits: u32 = 0x7f800000u;

fn infinity() -> f32 {
    return bitcast<f32>(infinity_bits);
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_infinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

// Drivers may drop NaN in min, max and clamp; it is restored.
fn keep_nan(x: f32, y: f32) -> f32 {
    return select(y, x, is_nan(x));
}

fn larger(a: f32, b: f32) -> f32 {
    return select(select(max(a, b), b, is_nan(b)), a, is_nan(a));
}

fn smaller(a: f32, b: f32) -> f32 {
    return select(select(min(a, b), b, is_nan(b)), a, is_nan(a));
}

fn relu(x: f32) -> f32 {
    return keep_nan(x, max(x, 0.0));
}

// Above 15 the nearest f32 is 1; drivers compute tanh from exponentials that overflow.
fn tanh_of(x: f32) -> f32 {
    let a = abs(x);
    // Near 0 the quotient of exponentials would cancel; the first terms of the series do not.
    let small = x - x * x * x * (1.0 / 3.0 - x * x * (2.0 / 15.0));
    return keep_nan(x, select(tanh(clamp(x, -15.0, 15.0)), small, a < 0.02));
}

// a P(a^2) / Q(a^2) on 0..4, above which the nearest f32 is 1; within 6 ulp.
fn erf(x: f32) -> f32 {
    let a = min(abs(x), 4.0);
    let z = a * a;
    var p = fma(1.986782e-6, z, 0.00028456673);
    p = fma(p, z, 0.0038833679);
    p = fma(p, z, 0.05310182);
    p = fma(p, z, 0.19354558);
    p = fma(p, z, 1.1283791);
    var q = fma(3.7420215e-5, z, 0.0011855775);
    q = fma(q, z, 0.015207298);
    q = fma(q, z, 0.11535022);
    q = fma(q, z, 0.50485786);
    q = fma(q, z, 1.0);
    let y = min(a * p / q, 1.0);
    return keep_nan(x, select(y, -y, x < 0.0));
}

// Below -6 the result is under 1e-8; the bound makes it 0 at minus infinity.
fn gelu(x: f32) -> f32 {
    let half = max(x, -6.0) * 0.5;
    return keep_nan(x, fma(half, erf(max(x, -6.0) * 0.70710678), half));
}

fn gelu_tanh(x: f32) -> f32 {
    let b = max(x, -20.0);
    // Bounded, as a division by infinity may be NaN.
    return keep_nan(x, b / (1.0 + exp(min(b * fma(b * b, -0.071354816, -1.595769), 87.0))));
}

fn sigmoid(x: f32) -> f32 {
    return keep_nan(x, 1.0 / (1.0 + exp(min(-x, 87.0))));
}

fn silu(x: f32) -> f32 {
    let b = max(x, -87.0);
    return keep_nan(x, b / (1.0 + exp(-b)));
}

fn hard_swish(x: f32) -> f32 {
    let b = max(x, -4.0);
    return keep_nan(x, b * clamp(b / 6.0 + 0.5, 0.0, 1.0));
}

// e^x - 1, accurate near 0.
fn exp_m1(x: f32) -> f32 {
    let series = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0)))));
    return select(exp(x) - 1.0, series, abs(x) < 0.25);
}

// ln(1 + x) for x >= 0.
fn log_1p(x: f32) -> f32 {
    let series = x * (1.0 - x * (0.5 - x * (1.0 / 3.0 - x * (0.25 - x * 0.2))));
    return select(log(1.0 + x), series, x < 0.03);
}

fn softplus(x: f32) -> f32 {
    return keep_nan(x, max(x, 0.0) + log_1p(exp(-abs(x))));
}

// Whether x is 0. Drivers may take denormals for 0, which the bits do not.
fn is_zero(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0u;
}

fn sign_of(x: f32) -> f32 {
    let one = bitcast<f32>((bitcast<u32>(x) & 0x80000000u) | 0x3f800000u);
    return select(one, x, is_zero(x) || is_nan(x));
}

// a / b. Vulkan leaves divisors past 2^126 open: drivers multiply by the reciprocal, which is denormal and may become 0.
fn quotient(a: f32, b: f32) -> f32 {
    let scale = select(1.0, 0.25, abs(b) > 4.2535296e37);
    return (a * scale) / (b * scale);
}

fn softsign(x: f32) -> f32 {
    return keep_nan(x, quotient(x, 1.0 + abs(x)));
}

// Drivers differ on negative numbers, whose root and logarithm are NaN.
fn nan_below_zero(x: f32, y: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return select(y, bitcast<f32>(bits | 0x7fc00000u), bits > 0x80000000u || is_nan(x));
}

fn sqrt_of(x: f32) -> f32 {
    return nan_below_zero(x, sqrt(x));
}

fn log_of(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    // A denormal is its bits times 2^-149; drivers may take it for 0, or for the least normal number.
    let is_denormal = bits > 0u && bits < 0x00800000u;
    return nan_below_zero(x, select(log(x), log(f32(bits)) - 103.27893, is_denormal));
}

// Truncates; saturates out of range, and is 0 for NaN.
fn to_i32(x: f32) -> i32 {
    let inside = i32(select(clamp(x, -2147483648.0, 2147483520.0), 0.0, is_nan(x)));
    return select(inside, 2147483647, x >= 2147483648.0);
}

fn to_u32(x: f32) -> u32 {
    let inside = u32(select(clamp(x, 0.0, 4294967040.0), 0.0, is_nan(x)));
    return select(inside, 0xffffffffu, x >= 4294967296.0);
}
