//! Conversion between types, through the widest numbers there are.

use gristmill::{
    DType, Tensor,
    testing::{op::Operator, ops::pointwise::cast::Cast},
};
use half::{bf16, f16};

use super::{Oracle, input, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[("Cast", cast)];

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
