//! Conversion between types, through the widest numbers there are.

use gristmill::{
    DType, SmallType, Tensor,
    testing::{
        kernels::{Rounding, ToSmall},
        op::Operator,
        ops::pointwise::cast::{Cast, small::CastToSmall},
    },
};
use half::{bf16, f16};

use super::{Oracle, input, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("Cast", cast), ("CastToSmall", cast_to_small)];

enum Wide {
    Whole(i128),
    Real(f64),
}

fn wide(from: &Tensor) -> Vec<Wide> {
    match from.dtype() {
        DType::F32 => from.as_slice::<f32>().unwrap().iter().map(|&value| Wide::Real(f64::from(value))).collect(),
        DType::F64 => from.as_slice::<f64>().unwrap().iter().map(|&value| Wide::Real(value)).collect(),
        DType::F16 => from.as_slice::<f16>().unwrap().iter().map(|value| Wide::Real(value.to_f64())).collect(),
        DType::BF16 => from.as_slice::<bf16>().unwrap().iter().map(|value| Wide::Real(value.to_f64())).collect(),
        DType::U64 => from.as_slice::<u64>().unwrap().iter().map(|&value| Wide::Whole(i128::from(value))).collect(),
        DType::Small(small) => from.bytes().iter().map(|&byte| Wide::Real(number(small, byte))).collect(),
        _ => from.to_i64().unwrap().iter().map(|&value| Wide::Whole(i128::from(value))).collect(),
    }
}

fn cast(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (from, to) = (input(inputs, 0), op::<Cast>(operator).to);
    let signed = matches!(to, DType::I8 | DType::I16 | DType::I32 | DType::I64);
    let bits = 8 * to.size() as u32;
    let (least, most) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    let mut bytes: Vec<u8> = Vec::new();
    for value in wide(from) {
        let real = match value {
            Wide::Whole(whole) => whole as f64,
            Wide::Real(real) => real,
        };
        match (to, &value) {
            (DType::Bool, _) => bytes.push(u8::from(real != 0.0)),
            (DType::F32, Wide::Whole(whole)) => bytes.extend((*whole as f32).to_ne_bytes()),
            (DType::F32, _) => bytes.extend((real as f32).to_ne_bytes()),
            (DType::F64, _) => bytes.extend(real.to_ne_bytes()),
            (DType::F16, _) => bytes.extend(f16::from_f64(real).to_ne_bytes()),
            (DType::BF16, _) => bytes.extend(bf16::from_f64(real).to_ne_bytes()),
            // Integers of few bits wrap as others do.
            (_, Wide::Real(real)) if is_small_integer(from.dtype()) => {
                bytes.extend(&(*real as i128).to_le_bytes()[..to.size()]);
            }
            (_, Wide::Real(real)) if real.is_nan() => bytes.resize(bytes.len() + to.size(), 0),
            (_, Wide::Real(real)) => {
                let whole = if real.trunc() >= most as f64 {
                    most
                } else if real.trunc() <= least as f64 {
                    least
                } else {
                    real.trunc() as i128
                };
                bytes.extend(&whole.to_le_bytes()[..to.size()]);
            }
            (_, Wide::Whole(whole)) => bytes.extend(&whole.to_le_bytes()[..to.size()]),
        }
    }
    vec![Tensor::from_bytes(to, from.shape(), &bytes).unwrap()]
}

fn is_small_integer(dtype: DType) -> bool {
    matches!(dtype, DType::Small(small) if small.is_integer())
}

/// The number that a byte of a small type stands for.
pub fn number(small: SmallType, byte: u8) -> f64 {
    use SmallType::*;
    let (exponent_bits, mantissa_bits, bias) = match small {
        I4 | I2 => return f64::from(byte.cast_signed()),
        U4 | U2 => return f64::from(byte),
        F8E8M0 => return if byte == 255 { f64::NAN } else { 2f64.powi(i32::from(byte) - 127) },
        F8E4M3FN => (4, 3, 7),
        F8E4M3FNUZ => (4, 3, 8),
        F8E5M2 => (5, 2, 15),
        F8E5M2FNUZ => (5, 2, 16),
        F6E2M3 => (2, 3, 1),
        F6E3M2 => (3, 2, 3),
        F4E2M1 => (2, 1, 1),
        other => panic!("{other} is not known"),
    };
    match (small, byte) {
        (F8E4M3FN, 0x7f) | (F8E4M3FNUZ | F8E5M2FNUZ, 0x80) | (F8E5M2, 0x7d..=0x7f) => return f64::NAN,
        // NaN keeps its sign.
        (F8E4M3FN, 0xff) | (F8E5M2, 0xfd..=0xff) => return -f64::NAN,
        (F8E5M2, 0x7c) => return f64::INFINITY,
        (F8E5M2, 0xfc) => return f64::NEG_INFINITY,
        _ => {}
    }
    let sign = if byte >> (exponent_bits + mantissa_bits) & 1 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(byte >> mantissa_bits) & ((1 << exponent_bits) - 1);
    let fraction = f64::from(byte & ((1 << mantissa_bits) - 1)) / f64::from(1 << mantissa_bits);
    match exponent {
        0 => sign * fraction * 2f64.powi(1 - bias),
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - bias),
    }
}

/// The byte of the element nearest to a number, found by trying all.
pub fn nearest(how: ToSmall, x: f64) -> u8 {
    use SmallType::*;
    let ToSmall { to, saturate, rounding } = how;
    let bytes = || 0..=u8::MAX;
    let nan = match to {
        F8E5M2 => 0x7e,
        F8E4M3FN => 0x7f,
        F8E4M3FNUZ | F8E5M2FNUZ => 0x80,
        F8E8M0 => 0xff,
        F6E2M3 | F6E3M2 => 0x20,
        _ => 0x08,
    };
    if x.is_nan() {
        return if matches!(to, F8E5M2 | F8E4M3FN) && x.is_sign_negative() { nan | 0x80 } else { nan };
    }
    if to == F8E8M0 {
        let (least, most) = (number(to, 0), number(to, 254));
        let x = x.abs();
        let below =
            bytes().filter(|&byte| number(to, byte) <= x).max_by(|&a, &b| number(to, a).total_cmp(&number(to, b)));
        let low = below.map_or(least / 2.0, |byte| number(to, byte));
        let low = if below.is_none() { 2f64.powi(x.log2().floor().max(-1000.0) as i32) } else { low };
        let chosen = match rounding {
            _ if x == low => low,
            Rounding::Up => low * 2.0,
            Rounding::Down => low,
            Rounding::Nearest => {
                if x >= low * 1.5 {
                    low * 2.0
                } else {
                    low
                }
            }
        };
        return match bytes().find(|&byte| number(to, byte) == chosen) {
            Some(byte) => byte,
            None if !saturate => nan,
            None if chosen < least => 0,
            None => {
                assert!(chosen > most);
                254
            }
        };
    }
    // Magnitudes alone, and what would come after the largest.
    let sign = match to {
        F6E2M3 | F6E3M2 => 0x20,
        F4E2M1 => 0x08,
        _ => 0x80,
    };
    let mut all: Vec<(u8, f64)> =
        (0..sign).map(|byte| (byte, number(to, byte))).filter(|(_, x)| x.is_finite()).collect();
    let [.., (_, before), (largest, most)] = all[..] else { panic!("{to} has few elements") };
    all.push((largest + 1, most + (most - before)));
    // Farther numbers are as near to one as to another in f64.
    let magnitude = x.abs().min(1e9);
    let distance = |&(byte, value): &(u8, f64)| ((value - magnitude).abs(), byte % 2);
    let best = all.iter().min_by(|a, b| distance(a).partial_cmp(&distance(b)).unwrap()).unwrap().0;
    let minus = if x.is_sign_negative() { sign } else { 0 };
    let has_minus_zero = !matches!(to, F8E4M3FNUZ | F8E5M2FNUZ);
    match best {
        0 if !has_minus_zero => 0,
        best if best <= largest => best | minus,
        _ if saturate || sign < 0x80 => largest | minus,
        _ if to == F8E5M2 => 0x7c | minus,
        _ if to == F8E4M3FN => nan | minus,
        _ => nan,
    }
}

fn cast_to_small(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (from, how) = (input(inputs, 0), op::<CastToSmall>(operator).how);
    let same = from.dtype() == DType::Small(how.to);
    let of = |(index, value): (usize, Wide)| match value {
        _ if same => from.bytes()[index],
        Wide::Whole(whole) if how.to.is_integer() => low_bits(how.to, whole),
        Wide::Real(real) if how.to.is_integer() => low_bits(how.to, i128::from(real.trunc() as i64)),
        Wide::Whole(whole) => nearest(how, whole as f64),
        Wide::Real(real) => nearest(how, real),
    };
    let bytes: Vec<u8> = wide(from).into_iter().enumerate().map(of).collect();
    vec![Tensor::from_bytes(DType::Small(how.to), from.shape(), &bytes).unwrap()]
}

/// The lowest bits of an integer, as an integer of the type's sign.
fn low_bits(small: SmallType, whole: i128) -> u8 {
    let count = 1i128 << small.bits();
    let low = whole.rem_euclid(count);
    let signed = matches!(small, SmallType::I4 | SmallType::I2) && low >= count / 2;
    (if signed { low - count } else { low }) as u8
}
