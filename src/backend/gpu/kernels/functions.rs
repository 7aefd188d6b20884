//! Functions of elements as WGSL expressions.

use crate::{
    kernels::Activation,
    ops::pointwise::{BinaryFunction, UnaryFunction},
    tensor::DType,
};

/// A number as a WGSL literal, `None` unless it is finite.
fn literal(number: f32) -> Option<String> {
    number.is_finite().then(|| format!("f32({number:?})"))
}

/// A function of the f32 `x`, or of a Boolean for `Not`.
pub(super) fn unary(function: UnaryFunction, x: &str) -> Option<String> {
    use UnaryFunction as U;
    Some(match function {
        U::Abs => format!("abs({x})"),
        U::Acos => format!("acos_of({x})"),
        U::Acosh => format!("acosh_of({x})"),
        U::Asin => format!("asin_of({x})"),
        U::Asinh => format!("asinh_of({x})"),
        U::Atan => format!("atan_of({x})"),
        U::Atanh => format!("atanh_of({x})"),
        U::BitwiseNot => return None,
        U::Ceil => format!("ceil({x})"),
        U::Celu { alpha } => {
            let alpha = literal(alpha)?;
            format!("keep_nan({x}, max({x}, 0.0) + min({alpha} * exp_m1({x} / {alpha}), 0.0))")
        }
        U::Clip { low, high } => {
            let mut made = x.to_owned();
            if low > f32::NEG_INFINITY {
                made = format!("larger({made}, {})", literal(low)?);
            }
            if high < f32::INFINITY {
                made = format!("smaller({made}, {})", literal(high)?);
            }
            made
        }
        U::Cos => format!("cos_of({x})"),
        U::Cosh => format!("cosh_of({x})"),
        U::Elu { alpha } => format!("select({x}, {} * exp_m1({x}), {x} < 0.0)", literal(alpha)?),
        U::Erf => format!("erf({x})"),
        U::Exp => format!("exp({x})"),
        U::Floor => format!("floor({x})"),
        U::Gelu => format!("gelu({x})"),
        U::GeluTanh => format!("gelu_tanh({x})"),
        U::HardSigmoid { alpha, beta } => {
            format!("keep_nan({x}, clamp({} * {x} + {}, 0.0, 1.0))", literal(alpha)?, literal(beta)?)
        }
        U::HardSwish => format!("hard_swish({x})"),
        U::IsInf { negative, positive } => {
            let minus = if negative { format!("{x} < 0.0") } else { "false".to_owned() };
            let plus = if positive { format!("{x} > 0.0") } else { "false".to_owned() };
            format!("u32(is_infinite({x}) && ({minus} || {plus}))")
        }
        U::IsNaN => format!("u32(is_nan({x}))"),
        U::LeakyRelu { alpha } => format!("select({x}, {} * {x}, {x} < 0.0)", literal(alpha)?),
        U::Log => format!("log_of({x})"),
        U::Mish => format!("mish({x})"),
        U::Neg => format!("(-{x})"),
        U::Not => format!("(1u - {x})"),
        U::Reciprocal => format!("(1.0 / {x})"),
        U::Relu => format!("relu({x})"),
        U::Requantized { scale, zero, least, most } => {
            let [scale, zero, least, most] = [literal(scale)?, literal(zero)?, literal(least)?, literal(most)?];
            let byte = format!("clamp(round({x} / {scale}) + {zero}, {least}, {most})");
            format!("((select({byte}, 0.0, is_nan({x})) - {zero}) * {scale})")
        }
        U::Round => format!("round({x})"),
        U::Selu { alpha, gamma } => {
            format!("({} * select({} * exp_m1({x}), {x}, {x} > 0.0))", literal(gamma)?, literal(alpha)?)
        }
        U::Shrink { bias, lambda } => {
            let (bias, lambda) = (literal(bias)?, literal(lambda)?);
            format!("keep_nan({x}, select(select(0.0, {x} - {bias}, {x} > {lambda}), {x} + {bias}, {x} < -{lambda}))")
        }
        U::Sigmoid => format!("sigmoid({x})"),
        U::Sign => format!("sign_of({x})"),
        U::Silu => format!("silu({x})"),
        U::Sin => format!("sin_of({x})"),
        U::Sinh => format!("sinh_of({x})"),
        U::Softplus => format!("softplus({x})"),
        U::Softsign => format!("softsign({x})"),
        U::Sqrt => format!("sqrt_of({x})"),
        U::Tan => format!("tan_of({x})"),
        U::Tanh => format!("tanh_of({x})"),
        U::ThresholdedRelu { alpha } => {
            format!("select(0.0, {x}, {x} > {} || is_nan({x}))", literal(alpha)?)
        }
    })
}

/// WGSL for an activation of the f32 `x`, `None` if WGSL cannot express it.
pub(super) fn activation(activation: Activation, x: &str) -> Option<String> {
    let function = match activation {
        Activation::None => return Some(x.to_owned()),
        Activation::Relu => UnaryFunction::Relu,
        Activation::LeakyRelu { slope } => UnaryFunction::LeakyRelu { alpha: slope },
        Activation::Clip { low, high } => UnaryFunction::Clip { low, high },
        Activation::Gelu => UnaryFunction::Gelu,
        Activation::GeluTanh => UnaryFunction::GeluTanh,
        Activation::Tanh => UnaryFunction::Tanh,
        Activation::Sigmoid => UnaryFunction::Sigmoid,
        Activation::Silu => UnaryFunction::Silu,
        Activation::HardSigmoid { alpha, beta } => UnaryFunction::HardSigmoid { alpha, beta },
        Activation::HardSwish => UnaryFunction::HardSwish,
        Activation::Requantized { scale, zero, least, most } => UnaryFunction::Requantized { scale, zero, least, most },
        Activation::Exp => UnaryFunction::Exp,
        Activation::Erf => UnaryFunction::Erf,
        Activation::Abs => UnaryFunction::Abs,
        Activation::Neg => UnaryFunction::Neg,
        Activation::Sqrt => UnaryFunction::Sqrt,
        Activation::Reciprocal => UnaryFunction::Reciprocal,
    };
    unary(function, x)
}

/// A function of the integer `x`, held in 32 bits.
///
/// 64-bit integers are supported only if the result needs no more bits than the operand.
pub(super) fn unary_of_integer(function: UnaryFunction, dtype: DType, x: &str) -> Option<String> {
    use UnaryFunction as U;
    let signed = matches!(dtype, DType::I32 | DType::I64);
    Some(match function {
        U::BitwiseNot => format!("(~{x})"),
        U::Abs if dtype == DType::I32 => format!("abs({x})"),
        U::Neg if dtype == DType::I32 => format!("(-{x})"),
        U::Relu if signed => format!("max({x}, 0)"),
        U::Sign if signed => format!("sign({x})"),
        U::Abs | U::Relu if dtype == DType::U32 => x.to_owned(),
        U::Sign if dtype == DType::U32 => format!("min({x}, 1u)"),
        _ => return None,
    })
}

/// A power of the f32 `x` whose exponent has another type.
pub(super) fn mixed_power(dtype: DType, x: &str, power: &str) -> Option<String> {
    matches!(dtype, DType::I32 | DType::I64).then(|| format!("power_of_integer({x}, {power})"))
}

/// A function of two elements of type `dtype`.
///
/// 64-bit integers are only compared: results of arithmetic could need more than 32 bits.
pub(super) fn binary(function: BinaryFunction, dtype: DType, a: &str, b: &str) -> Option<String> {
    use BinaryFunction as B;
    let float = dtype == DType::F32;
    let number = float || matches!(dtype, DType::I32 | DType::U32);
    let ordered = number || dtype == DType::I64;
    Some(match function {
        B::Equal => format!("u32({a} == {b})"),
        B::Greater => format!("u32({a} > {b})"),
        B::GreaterOrEqual => format!("u32({a} >= {b})"),
        B::Less => format!("u32({a} < {b})"),
        B::LessOrEqual => format!("u32({a} <= {b})"),
        B::BitShift { left: true } if dtype == DType::U32 => format!("select(0u, {a} << ({b} & 31u), {b} < 32u)"),
        B::BitShift { left: false } if dtype == DType::U32 => format!("select(0u, {a} >> ({b} & 31u), {b} < 32u)"),
        B::BitwiseAnd => format!("({a} & {b})"),
        B::BitwiseOr => format!("({a} | {b})"),
        B::BitwiseXor => format!("({a} ^ {b})"),
        B::And => format!("({a} & {b})"),
        B::Or => format!("({a} | {b})"),
        B::Xor => format!("({a} ^ {b})"),
        B::Add | B::Sum if number => format!("({a} + {b})"),
        B::Mean if float => format!("({a} + {b})"),
        B::Sub if number => format!("({a} - {b})"),
        B::Mul if number => format!("({a} * {b})"),
        B::Div if float => format!("quotient({a}, {b})"),
        B::Max if float => format!("larger({a}, {b})"),
        B::Min if float => format!("smaller({a}, {b})"),
        B::Mod { truncated: true } if float => format!("remainder({a}, {b})"),
        B::Pow if float => format!("power({a}, {b})"),
        B::Max if ordered => format!("max({a}, {b})"),
        B::Min if ordered => format!("min({a}, {b})"),
        B::PRelu if float => format!("select({a}, {a} * {b}, {a} < 0.0)"),
        _ => return None,
    })
}

/// A cast of the element `x0`.
pub(super) fn cast(of: DType, to: DType) -> Option<&'static str> {
    use DType::{Bool, F32, I32, I64, U32};
    Some(match (of, to) {
        (of, to) if of == to => "x0",
        (I32, I64) | (I64, I32) | (Bool, U32) => "x0",
        (I32 | I64, U32) => "u32(x0)",
        (U32, I32) => "i32(x0)",
        (F32, I32) => "to_i32(x0)",
        (F32, U32) => "to_u32(x0)",
        (Bool, I32 | I64) => "i32(x0)",
        (Bool | I32 | I64, F32) => "f32(x0)",
        (U32, F32) => "f32(x0)",
        (I32 | I64, Bool) => "u32(x0 != 0)",
        (U32, Bool) => "u32(x0 != 0u)",
        (F32, Bool) => "u32(!is_zero(x0))",
        _ => return None,
    })
}
