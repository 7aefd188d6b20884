// Circular and hyperbolic functions, and powers; includes math. Those of drivers are inaccurate far from 0.

// 1 / (2 pi) in binary, 32 digits per word.
const TURNS = array<u32, 7>(
    0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0x7f9458eau,
);

// The upper half of a 64-bit product.
fn upper(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let left = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let right = (a & 0xffffu) * (b >> 16u) + (left & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u);
}

struct Angle {
    // Between -pi/4 and pi/4.
    rest: f32,
    // Number of right angles subtracted.
    quarter: u32,
}

// x minus a whole number of right angles, exact to one rounding for every finite x: the fractional digits of x / (2 pi)
// are computed in integers (Payne and Hanek).
fn angle(x: f32) -> Angle {
    let bits = bitcast<u32>(x);
    if abs(x) < 0.7853981 {
        return Angle(x, 0u);
    }
    let mantissa = (bits << 8u) | 0x80000000u;
    // Not negative, as |x| is at least one half.
    let exponent = ((bits >> 23u) & 0xffu) - 126u;
    let word = exponent / 32u;
    let shift = exponent % 32u;
    var digits = array<u32, 3>();
    for (var i = 0u; i < 3u; i++) {
        // The word before the first is 0.
        let here = select(TURNS[max(word + i, 1u) - 1u], 0u, word + i == 0u);
        // A shift by 32 is split into 31 and 1.
        digits[i] = (here << shift) | ((TURNS[word + i] >> 1u) >> (31u - shift));
    }
    // Product of the mantissa with 96 digits; whole turns overflow at the top.
    let low = upper(mantissa, digits[2]);
    let middle = mantissa * digits[1];
    let lower = middle + low;
    var high = mantissa * digits[0] + upper(mantissa, digits[1]) + select(0u, 1u, lower < middle);
    var rest_low = lower;
    var quarter = high >> 30u;
    high &= 0x3fffffffu;
    var sign = 1.0;
    if (high & 0x20000000u) != 0u {
        // Nearer to the next right angle: the distance to it.
        quarter += 1u;
        sign = -1.0;
        high = 0x40000000u - high - select(0u, 1u, rest_low != 0u);
        rest_low = 0u - rest_low;
    }
    // A right angle is 2^62.
    var rest = sign * (f32(high) * 1.4629180792671596e-9 + f32(rest_low) * 3.4061215800304876e-19);
    if (bits >> 31u) != 0u {
        rest = -rest;
        quarter = 0u - quarter;
    }
    return Angle(rest, quarter & 3u);
}

// For a reduced angle, within 2 ulp.
fn near_sin(x: f32) -> f32 {
    let z = x * x;
    return x + x * z * (-0.16666651 + z * (0.008332016 + z * -0.00019501754));
}

fn near_cos(x: f32) -> f32 {
    let z = x * x;
    return 1.0 + z * (-0.5 + z * (0.041666612 + z * (-0.0013886528 + z * 2.4372592e-5)));
}

fn nan_like(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
}

fn no_angle(x: f32) -> bool {
    return is_nan(x) || is_infinite(x);
}

fn sin_of(x: f32) -> f32 {
    let a = angle(select(x, 0.0, no_angle(x)));
    let y = select(near_sin(a.rest), near_cos(a.rest), (a.quarter & 1u) != 0u);
    return select(select(y, -y, (a.quarter & 2u) != 0u), nan_like(x), no_angle(x));
}

fn cos_of(x: f32) -> f32 {
    let a = angle(select(x, 0.0, no_angle(x)));
    let y = select(near_cos(a.rest), near_sin(a.rest), (a.quarter & 1u) != 0u);
    return select(select(y, -y, a.quarter == 1u || a.quarter == 2u), nan_like(x), no_angle(x));
}

fn tan_of(x: f32) -> f32 {
    let a = angle(select(x, 0.0, no_angle(x)));
    let turned = (a.quarter & 1u) != 0u;
    let s = near_sin(a.rest);
    let c = near_cos(a.rest);
    return select(select(s, -c, turned) / select(c, s, turned), nan_like(x), no_angle(x));
}

// The angle whose tangent is a / b, for a and b that are at least 0 and not both infinite; within 4 ulp.
fn atan_of_quotient(a: f32, b: f32) -> f32 {
    let t = min(a, b) / max(a, b);
    let z = t * t;
    var p = fma(0.00284985, z, -0.01606848);
    p = fma(p, z, 0.042691275);
    p = fma(p, z, -0.07504274);
    p = fma(p, z, 0.10640924);
    p = fma(p, z, -0.14203642);
    p = fma(p, z, 0.1999262);
    p = fma(p, z, -0.33333072);
    let y = fma(p * z, t, t);
    return select(y, 1.5707964 - y, a > b);
}

fn with_sign(x: f32, y: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(y) & 0x7fffffffu) | (bitcast<u32>(x) & 0x80000000u));
}

fn atan_of(x: f32) -> f32 {
    return keep_nan(x, with_sign(x, atan_of_quotient(abs(x), 1.0)));
}

fn asin_of(x: f32) -> f32 {
    let a = min(abs(x), 1.0);
    let y = with_sign(x, atan_of_quotient(a, sqrt((1.0 - a) * (1.0 + a))));
    return select(y, nan_like(x), abs(x) > 1.0 || is_nan(x));
}

fn acos_of(x: f32) -> f32 {
    let b = clamp(x, -1.0, 1.0);
    let y = 2.0 * atan_of_quotient(sqrt(1.0 - b), sqrt(1.0 + b));
    return select(y, nan_like(x), abs(x) > 1.0 || is_nan(x));
}

// Half of e^a, as e^a itself may overflow.
fn half_exp(a: f32) -> f32 {
    let root = exp(0.5 * a);
    return 0.5 * root * root;
}

fn sinh_of(x: f32) -> f32 {
    let a = abs(x);
    let e = exp_m1(min(a, 1.0));
    let y = select(half_exp(a) - half_exp(-a), 0.5 * (e + e / (e + 1.0)), a < 1.0);
    return keep_nan(x, with_sign(x, y));
}

fn cosh_of(x: f32) -> f32 {
    return keep_nan(x, half_exp(abs(x)) + half_exp(-abs(x)));
}

fn asinh_of(x: f32) -> f32 {
    let a = abs(x);
    // Above 1e4 the square root adds nothing.
    let b = min(a, 1e4);
    let y = select(log_1p(b + b * b / (1.0 + sqrt(b * b + 1.0))), log(a) + 0.6931472, a > 1e4);
    return select(with_sign(x, y), x, is_nan(x) || is_infinite(x));
}

fn acosh_of(x: f32) -> f32 {
    let t = clamp(x, 1.0, 1e4) - 1.0;
    let y = select(log_1p(t + sqrt(t * (t + 2.0))), log(x) + 0.6931472, x > 1e4);
    return select(select(y, nan_like(x), x < 1.0), x, is_nan(x) || x > 3.4028235e38);
}

fn atanh_of(x: f32) -> f32 {
    let a = min(abs(x), 0.99999994);
    let y = 0.5 * log_1p(2.0 * a / (1.0 - a));
    return select(select(with_sign(x, y), with_sign(x, infinity()), abs(x) == 1.0), nan_like(x), abs(x) > 1.0 || is_nan(x));
}

fn mish(x: f32) -> f32 {
    let b = max(x, -100.0);
    return keep_nan(x, b * tanh_of(softplus(b)));
}

// The magnitude |x|^y; `odd`: y is an odd integer, `whole`: y is an integer.
fn power_of(x: f32, y: f32, whole: bool, odd: bool) -> f32 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if is_nan(x) || is_nan(y) {
        return nan_like(select(y, x, is_nan(x)));
    }
    let a = abs(x);
    if x < 0.0 && !whole && !is_infinite(x) {
        return nan_like(x);
    }
    var size = 0.0;
    if a == 1.0 {
        size = 1.0;
    } else if is_infinite(y) {
        size = select(0.0, infinity(), (a > 1.0) == (y > 0.0));
    } else if a == 0.0 || is_infinite(x) {
        size = select(0.0, infinity(), (a == 0.0) == (y < 0.0));
    } else {
        // The logarithm in two parts: of the power of two, which is exact, and of the rest.
        let bits = bitcast<u32>(a);
        let tiny = bits < 0x00800000u;
        // A denormal is read as an integer, which drivers do not flush.
        let scaled = select(bits, bitcast<u32>(f32(bits)), tiny);
        let step = i32((scaled >> 23u) & 0xffu) - select(127, 127 + 149, tiny);
        let up = (scaled & 0x7fffffu) > 0x3504f3u;
        let exponent = f32(step + select(0, 1, up));
        let m = bitcast<f32>((scaled & 0x7fffffu) | select(0x3f800000u, 0x3f000000u, up));
        let log_m = log2_near_1(m);
        let whole_part = y * exponent;
        let power = whole_part + y * log_m;
        if power >= 128.0 {
            size = infinity();
        } else if power > -150.0 {
            // The rounding error of the sum is magnified by 2^7.
            let near = round(power);
            let lost = fma(y, exponent, -near) + y * log_m;
            // In two steps, as 2^near may be out of range.
            let half = i32(near) / 2;
            size = exp2(lost) * two_to(half) * two_to(i32(near) - half);
        }
    }
    return select(size, -size, odd && (bitcast<u32>(x) >> 31u) != 0u);
}

fn two_to(n: i32) -> f32 {
    return bitcast<f32>(u32(n + 127) << 23u);
}

// log2(m) for m within a factor of the root of 2 from 1, from the series of the area tangent.
fn log2_near_1(m: f32) -> f32 {
    let t = (m - 1.0) / (m + 1.0);
    let z = t * t;
    return t * (2.8853901 + z * (0.9617967 + z * (0.57707802 + z * (0.41219858 + z * 0.32059889))));
}

fn power(x: f32, y: f32) -> f32 {
    // From 2^24 on all numbers are even integers.
    let large = abs(y) >= 16777216.0;
    let whole = large || y == floor(y);
    let odd = !large && whole && (i32(clamp(y, -16777216.0, 16777216.0)) & 1) != 0;
    return power_of(x, y, whole, odd);
}

fn power_of_integer(x: f32, y: i32) -> f32 {
    return power_of(x, f32(y), true, (y & 1) != 0);
}

// The remainder of a / b truncated towards zero, exact: the quotient is computed digit by digit.
fn remainder(a: f32, b: f32) -> f32 {
    let sign = bitcast<u32>(a) & 0x80000000u;
    let above = bitcast<u32>(a) & 0x7fffffffu;
    let below = bitcast<u32>(b) & 0x7fffffffu;
    if above >= 0x7f800000u || below > 0x7f800000u || below == 0u {
        return nan_like(a);
    }
    if above < below {
        return a;
    }
    let large = digits_of(above);
    let small = digits_of(below);
    var rest = large.digits;
    for (var left = large.exponent - small.exponent; left > 0; left--) {
        rest = select(rest, rest - small.digits, rest >= small.digits) << 1u;
    }
    rest = select(rest, rest - small.digits, rest >= small.digits);
    if rest == 0u {
        return bitcast<f32>(sign);
    }
    let up = countLeadingZeros(rest) - 8u;
    let exponent = small.exponent - i32(up);
    if exponent > 0 {
        return bitcast<f32>(sign | (u32(exponent) << 23u) | ((rest << up) & 0x7fffffu));
    }
    return bitcast<f32>(sign | ((rest << up) >> u32(1 - exponent)));
}

struct Digits {
    // With the leading one at bit 23.
    digits: u32,
    exponent: i32,
}

fn digits_of(bits: u32) -> Digits {
    let exponent = bits >> 23u;
    let digits = bits & 0x7fffffu;
    if exponent != 0u {
        return Digits(digits | 0x800000u, i32(exponent));
    }
    let up = countLeadingZeros(digits) - 8u;
    return Digits(digits << up, 1 - i32(up));
}
