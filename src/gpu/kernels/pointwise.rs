//! Pointwise functions, chains of them, `Cast` and `Where`: one generated expression an element.

use std::{fmt::Write, sync::Arc};

use super::super::{
    buffer::carrier,
    kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
    shader::Program,
};
use crate::{
    error::{Error, Result},
    ops::{
        cast::Cast,
        pointwise::{Binary, BinaryFunction, ChainStep, PointwiseChain, Unary, UnaryFunction},
        select::Where,
    },
    tensor::DType,
};

/// The most operands, which are bindings, and the most words of immediate data.
const MAX_OPERANDS: usize = 7;
const MAX_WORDS: usize = 32;

struct Kernel {
    program: Arc<Program>,
    walks: Vec<Walk>,
    rank: usize,
}

/// How an operand's element is found from the result's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// It stands at the same place.
    Same,
    /// There is only one.
    One,
    /// The operand is repeated: a suffix of the result's shape.
    Repeated,
    /// Steps along each axis.
    Steps,
}

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let inputs = request.inputs();
    let count = inputs.len();
    let output = request.output(0)?;
    let rank = output.shape.rank();
    let Some(Expression { body, result }) = expression(request)? else {
        return Ok(Made::Host("a function or type that its shader has not"));
    };
    let mut walks = Vec::with_capacity(count);
    let mut words = 1;
    for index in 0..count {
        let shape = &request.input(index)?.shape;
        let suffix =
            rank.checked_sub(shape.rank()).is_some_and(|skipped| output.shape.dims()[skipped..] == *shape.dims());
        let walk = match () {
            () if shape == &output.shape => Walk::Same,
            () if shape.elements().as_fixed() == Some(1) => Walk::One,
            () if suffix => Walk::Repeated,
            () => Walk::Steps,
        };
        words += match walk {
            Walk::Same | Walk::One => 0,
            Walk::Repeated => 1,
            Walk::Steps => rank,
        };
        walks.push(walk);
    }
    if walks.contains(&Walk::Steps) {
        words += rank;
    }
    if count > MAX_OPERANDS || words > MAX_WORDS {
        return Ok(Made::Host("more operands or axes than a shader has words for"));
    }
    let (mut fields, mut bindings, mut operands) = (String::new(), String::new(), String::new());
    let steps: Vec<usize> = (0..count).filter(|&index| walks[index] == Walk::Steps).collect();
    if !steps.is_empty() {
        for axis in 0..rank {
            push(&mut fields, &format!("    d{axis}: u32,\n"));
        }
        push(&mut operands, "    var rest = i;\n");
        for index in &steps {
            push(&mut operands, &format!("    var at{index} = 0u;\n"));
        }
        for axis in (0..rank).rev() {
            push(&mut operands, &format!("    let i{axis} = rest % p.d{axis};\n    rest = rest / p.d{axis};\n"));
            for index in &steps {
                push(&mut operands, &format!("    at{index} += i{axis} * p.s{index}_{axis};\n"));
            }
        }
    }
    for (index, walk) in walks.iter().enumerate() {
        let at = match walk {
            Walk::Same => "i".to_owned(),
            Walk::One => "0u".to_owned(),
            Walk::Repeated => {
                push(&mut fields, &format!("    n{index}: u32,\n"));
                format!("i % p.n{index}")
            }
            Walk::Steps => {
                for axis in 0..rank {
                    push(&mut fields, &format!("    s{index}_{axis}: u32,\n"));
                }
                format!("at{index}")
            }
        };
        let kind = type_of(request.input(index)?.dtype)?;
        push(&mut bindings, &format!("@group(0) @binding({index}) var<storage, read> a{index}: array<{kind}>;\n"));
        push(&mut operands, &format!("    let x{index} = a{index}[{at}];\n"));
    }
    let kind = type_of(output.dtype)?;
    push(&mut bindings, &format!("@group(0) @binding({count}) var<storage, read_write> y: array<{kind}>;\n"));
    let values =
        [("fields", &*fields), ("bindings", &bindings), ("operands", &operands), ("body", &body), ("result", &result)];
    Made::kernel(Kernel { program: request.program("pointwise", &values)?, walks, rank })
}

fn push(text: &mut String, more: &str) {
    text.push_str(more);
}

fn type_of(dtype: DType) -> Result<&'static str> {
    carrier(dtype).ok_or_else(|| Error::internal(format!("a shader of elements of type {dtype}")))
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let output = run.output(0)?;
        let count: usize = output.iter().product();
        let mut words = vec![word(count)?];
        if self.walks.contains(&Walk::Steps) {
            for &size in output {
                words.push(word(size)?);
            }
        }
        for (index, walk) in self.walks.iter().enumerate() {
            let shape = run.input(index)?;
            let misfit =
                || Error::invalid_input(format!("operand {index} of shape {shape:?} is not broadcast to {output:?}"));
            let skipped = output.len().checked_sub(shape.len()).ok_or_else(misfit)?;
            if shape.iter().zip(&output[skipped..]).any(|(&own, &size)| own != 1 && own != size) {
                return Err(misfit());
            }
            match walk {
                Walk::Same if shape != output => return Err(misfit()),
                Walk::Same | Walk::One => {}
                Walk::Repeated => words.push(word(shape.iter().product::<usize>().max(1))?),
                Walk::Steps => {
                    let own = crate::shape::strides(shape);
                    for axis in 0..self.rank {
                        let step = match axis.checked_sub(skipped) {
                            Some(own_axis) if shape[own_axis] != 1 => own[own_axis],
                            _ => 0,
                        };
                        words.push(word(step)?);
                    }
                }
            }
        }
        let names: Vec<String> = (0..self.walks.len()).map(|index| format!("a{index}")).collect();
        let mut operands: Vec<(&str, Operand)> =
            names.iter().enumerate().map(|(index, name)| (name.as_str(), Operand::Input(index))).collect();
        operands.push(("y", Operand::Output(0)));
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}

/// The statements that go before a result, and the result.
struct Expression {
    body: String,
    result: String,
}

impl Expression {
    fn just(result: impl Into<String>) -> Option<Self> {
        Some(Self { body: String::new(), result: result.into() })
    }
}

fn expression(request: &GpuRequest<'_>) -> Result<Option<Expression>> {
    let dtype = request.input(0)?.dtype;
    if let Ok(op) = request.op::<Unary>() {
        let plain = dtype == DType::F32 || matches!(op.function, UnaryFunction::Not);
        let alone = request.inputs().len() == 1;
        return Ok(unary(op.function, "x0").filter(|_| plain && alone).and_then(Expression::just));
    }
    if let Ok(op) = request.op::<Binary>() {
        let count = request.inputs().len();
        if !(0..count).all(|index| request.input(index).is_ok_and(|fact| fact.dtype == dtype)) {
            return Ok(None);
        }
        let Some(first) = binary(op.function, dtype, "r", "x1") else { return Ok(None) };
        if count == 2 && op.function != BinaryFunction::Mean {
            return Ok(binary(op.function, dtype, "x0", "x1").and_then(Expression::just));
        }
        let mut body = "    var r = x0;\n".to_owned();
        for index in 1..count {
            let step =
                if index == 1 { Some(first.clone()) } else { binary(op.function, dtype, "r", &format!("x{index}")) };
            let Some(step) = step else { return Ok(None) };
            push(&mut body, &format!("    r = {step};\n"));
        }
        let mean = op.function == BinaryFunction::Mean;
        let result = if mean { format!("r / {count}.0") } else { "r".to_owned() };
        return Ok(Some(Expression { body, result }));
    }
    if let Ok(op) = request.op::<PointwiseChain>() {
        return Ok(chain(op));
    }
    if let Ok(op) = request.op::<Cast>() {
        return Ok(cast(dtype, op.to).and_then(Expression::just));
    }
    if request.op::<Where>().is_ok() {
        return Ok(Expression::just("select(x2, x1, x0 != 0u)"));
    }
    Err(Error::internal("an operator that is not pointwise"))
}

fn chain(op: &PointwiseChain) -> Option<Expression> {
    let mut body = "    var r = x0;\n".to_owned();
    for step in &op.steps {
        let next = match *step {
            ChainStep::Unary(function) => unary(function, "r")?,
            ChainStep::Binary { function, operand, swapped } => {
                let other = format!("x{operand}");
                let (a, b) = if swapped { (other.as_str(), "r") } else { ("r", other.as_str()) };
                binary(function, DType::F32, a, b)?
            }
        };
        writeln!(body, "    r = {next};").ok()?;
    }
    Some(Expression { body, result: "r".to_owned() })
}

/// A number as WGSL writes it; `None` where WGSL has no such constant.
pub(super) fn literal(number: f32) -> Option<String> {
    number.is_finite().then(|| format!("f32({number:?})"))
}

/// A function of the f32 `x` (of a truth value: `Not`).
pub(super) fn unary(function: UnaryFunction, x: &str) -> Option<String> {
    use UnaryFunction as U;
    Some(match function {
        U::Abs => format!("abs({x})"),
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
        U::Neg => format!("(-{x})"),
        U::Not => format!("(1u - {x})"),
        U::Reciprocal => format!("(1.0 / {x})"),
        U::Relu => format!("relu({x})"),
        U::Round => format!("round({x})"),
        U::Selu { alpha, gamma } => {
            format!("({} * select({} * exp_m1({x}), {x}, {x} > 0.0))", literal(gamma)?, literal(alpha)?)
        }
        U::Sigmoid => format!("sigmoid({x})"),
        U::Sign => format!("sign_of({x})"),
        U::Silu => format!("silu({x})"),
        U::Softplus => format!("softplus({x})"),
        U::Softsign => format!("softsign({x})"),
        U::Sqrt => format!("sqrt_of({x})"),
        U::Tanh => format!("tanh_of({x})"),
        U::ThresholdedRelu { alpha } => {
            format!("select(0.0, {x}, {x} > {} || is_nan({x}))", literal(alpha)?)
        }
        _ => return None,
    })
}

/// A function of two elements of type `dtype`. 64-bit integers are compared, never computed with: their results could
/// need more bits than a GPU carries.
fn binary(function: BinaryFunction, dtype: DType, a: &str, b: &str) -> Option<String> {
    use BinaryFunction as B;
    let float = dtype == DType::F32;
    let number = float || matches!(dtype, DType::I32 | DType::U32);
    Some(match function {
        B::Equal => format!("u32({a} == {b})"),
        B::Greater => format!("u32({a} > {b})"),
        B::GreaterOrEqual => format!("u32({a} >= {b})"),
        B::Less => format!("u32({a} < {b})"),
        B::LessOrEqual => format!("u32({a} <= {b})"),
        B::And => format!("({a} & {b})"),
        B::Or => format!("({a} | {b})"),
        B::Xor => format!("({a} ^ {b})"),
        B::Add | B::Sum if number => format!("({a} + {b})"),
        B::Mean if float => format!("({a} + {b})"),
        B::Sub if number => format!("({a} - {b})"),
        B::Mul if number => format!("({a} * {b})"),
        B::Div if float => format!("({a} / {b})"),
        B::Max if float => format!("larger({a}, {b})"),
        B::Min if float => format!("smaller({a}, {b})"),
        B::Max if number => format!("max({a}, {b})"),
        B::Min if number => format!("min({a}, {b})"),
        B::PRelu if float => format!("select({a}, {a} * {b}, {a} < 0.0)"),
        _ => return None,
    })
}

fn cast(of: DType, to: DType) -> Option<&'static str> {
    use DType::{Bool, F32, I32, I64, U32};
    Some(match (of, to) {
        (of, to) if of == to => "x0",
        (I32, I64) => "x0",
        (Bool, U32) => "x0",
        (Bool, I32 | I64) => "i32(x0)",
        (Bool | I32 | I64, F32) => "f32(x0)",
        (U32, F32) => "f32(x0)",
        (I32 | I64, Bool) => "u32(x0 != 0)",
        (U32, Bool) => "u32(x0 != 0u)",
        (F32, Bool) => "u32(x0 != 0.0 || is_nan(x0))",
        _ => return None,
    })
}
