//! Pointwise operators as WGSL expressions.

use std::fmt::Write;

use crate::{
    backend::gpu::{
        kernels::functions::{binary, cast, mixed_power, unary, unary_of_integer},
        request::GpuRequest,
    },
    error::{Error, Result},
    ops::pointwise::{
        Binary, BinaryFunction, ChainStep, PointwiseChain, Unary, UnaryFunction, cast::Cast, select::Where,
    },
    tensor::DType,
};

/// A pointwise function as WGSL: statements, and the expression of the result.
pub(super) struct Expression {
    pub body: String,
    pub result: String,
}

impl Expression {
    /// An expression without statements.
    fn just(result: impl Into<String>) -> Option<Self> {
        Some(Self { body: String::new(), result: result.into() })
    }
}

/// The expression of a pointwise operator, `None` if WGSL cannot express it.
///
/// # Errors
/// If the operator is not pointwise.
pub(super) fn expression(request: &GpuRequest<'_>) -> Result<Option<Expression>> {
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
            body.push_str(&format!("    r = {step};\n"));
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

/// `Clip`: bounds that are not attributes are operands; the upper bound wins.
fn clip(request: &GpuRequest<'_>, dtype: DType, attributes: [f32; 2]) -> Option<Expression> {
    let inputs = request.inputs();
    if inputs.len() == 1 && dtype == DType::F32 {
        return Expression::just(unary(UnaryFunction::Clip { low: attributes[0], high: attributes[1] }, "x0")?);
    }
    // Attributes are f32 and are not compared with integers here.
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

/// A chain of functions, one statement each.
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
