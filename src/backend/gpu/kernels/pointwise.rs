//! Pointwise functions, chains of them, `Cast` and `Where`: one generated expression an element.

use std::{fmt::Write, sync::Arc};

use crate::{
    backend::gpu::{
        buffer::carrier,
        kernel::{GpuKernel, KernelDef, Made},
        kernels::functions::{binary, cast, mixed_power, unary, unary_of_integer},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::pointwise::{
        Binary, BinaryFunction, ChainStep, PointwiseChain, Unary, UnaryFunction, cast::Cast, select::Where,
    },
    shape::strides,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "pointwise", make };

const SHADER: Shader = wgsl!("pointwise");

/// The most operands, which are bindings, and the most words of immediate data.
const MAX_OPERANDS: usize = 7;
const MAX_WORDS: usize = 32;

struct Kernel {
    program: Arc<Program>,
    /// Of each operand that is there, with its number.
    walks: Vec<(usize, Walk)>,
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

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let inputs = request.inputs();
    let output = request.output(0)?;
    let rank = output.shape.rank();
    let Some(Expression { body, result }) = expression(request)? else {
        return Ok(Made::Host("a function or type that its shader has not"));
    };
    let mut walks = Vec::with_capacity(inputs.len());
    let mut words = 1;
    for index in (0..inputs.len()).filter(|&index| inputs.id(index).is_some()) {
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
        walks.push((index, walk));
    }
    let steps: Vec<usize> = walks.iter().filter(|(_, walk)| *walk == Walk::Steps).map(|(index, _)| *index).collect();
    if !steps.is_empty() {
        words += rank;
    }
    if walks.len() > MAX_OPERANDS || words > MAX_WORDS {
        return Ok(Made::Host("more operands or axes than a shader has words for"));
    }
    let (mut fields, mut bindings, mut operands) = (String::new(), String::new(), String::new());
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
    for (number, (index, walk)) in walks.iter().enumerate() {
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
        let kind = type_of(request.input(*index)?.dtype)?;
        push(&mut bindings, &format!("@group(0) @binding({number}) var<storage, read> a{index}: array<{kind}>;\n"));
        push(&mut operands, &format!("    let x{index} = a{index}[{at}];\n"));
    }
    let kind = type_of(output.dtype)?;
    let count = walks.len();
    push(&mut bindings, &format!("@group(0) @binding({count}) var<storage, read_write> y: array<{kind}>;\n"));
    let values =
        [("fields", &*fields), ("bindings", &bindings), ("operands", &operands), ("body", &body), ("result", &result)];
    Made::kernel(Kernel { program: request.program(&SHADER, &values)?, walks, rank })
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
        if self.walks.iter().any(|(_, walk)| *walk == Walk::Steps) {
            for &size in output {
                words.push(word(size)?);
            }
        }
        for &(index, walk) in &self.walks {
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
                    let own = strides(shape);
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
        let names: Vec<(String, usize)> = self.walks.iter().map(|&(index, _)| (format!("a{index}"), index)).collect();
        let mut operands: Vec<(&str, Operand)> =
            names.iter().map(|(name, index)| (name.as_str(), Operand::Input(*index))).collect();
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
        if let UnaryFunction::Clip { low, high } = op.function {
            return Ok(clip(request, dtype, [low, high]));
        }
        let integer = matches!(dtype, DType::I32 | DType::I64 | DType::U32);
        let made = if integer { unary_of_integer(op.function, dtype, "x0") } else { unary(op.function, "x0") };
        return Ok(made.and_then(Expression::just));
    }
    if let Ok(op) = request.op::<Binary>() {
        let count = request.inputs().len();
        if op.function == BinaryFunction::Pow && dtype == DType::F32 && request.input(1)?.dtype != dtype {
            return Ok(mixed_power(request.input(1)?.dtype, "x0", "x1").and_then(Expression::just));
        }
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

/// The greater of the least result and the lesser of the greatest one and the operand; bounds that are no attributes are
/// operands.
fn clip(request: &GpuRequest<'_>, dtype: DType, attributes: [f32; 2]) -> Option<Expression> {
    let inputs = request.inputs();
    if inputs.len() == 1 && dtype == DType::F32 {
        return Expression::just(unary(UnaryFunction::Clip { low: attributes[0], high: attributes[1] }, "x0")?);
    }
    // Attributes are numbers, which integers are not compared with here.
    if attributes.iter().any(|bound| bound.is_finite()) {
        return None;
    }
    let mut result = "x0".to_owned();
    for (index, function) in [(1, BinaryFunction::Max), (2, BinaryFunction::Min)] {
        if inputs.id(index).is_some() {
            result = binary(function, dtype, &result, &format!("x{index}"))?;
        }
    }
    Expression::just(result)
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
