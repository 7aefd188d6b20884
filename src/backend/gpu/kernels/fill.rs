//! `ConstantOfShape`, `Range`, `EyeLike`, `Trilu` and `OneHot`: each element is computed from its position.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        buffer::{self, carrier},
        kernel::{GpuKernel, KernelDef, Made},
        kernels::code::bindings,
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::{
        generate::{
            constant_of_shape::ConstantOfShape,
            range::Range,
            trilu::{EyeLike, Trilu},
        },
        index::one_hot::OneHot,
    },
    shape::normalize_axis,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "fill", make };

const SHADER: Shader = wgsl!("fill");

/// How an element is computed from its position.
enum Rule {
    Constant(u32),
    Range(Range),
    Eye { diagonal: i64, one: u32 },
    Triangle { diagonal: i64 },
    OneHot { axis: usize },
}

struct Kernel {
    program: Arc<Program>,
    rule: Rule,
    operands: &'static [(&'static str, Operand)],
}

const Y: (&str, Operand) = ("y", Operand::Output(0));

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let mut bound = vec![("y", "u32", true)];
    let (rule, operands, value): (Rule, &[_], _) = if let Ok(op) = request.op::<ConstantOfShape>() {
        let Ok(value) = buffer::word_of(&op.value) else {
            return Ok(Made::Host("a value that needs more than 32 bits"));
        };
        (Rule::Constant(value), &[Y], "p.a")
    } else if let Ok(op) = request.op::<Range>() {
        (Rule::Range(op.clone()), &[Y], "p.a + i * p.b")
    } else if let Ok(op) = request.op::<EyeLike>() {
        let one = if request.output(0)?.dtype == DType::F32 { 1f32.to_bits() } else { 1 };
        (Rule::Eye { diagonal: op.diagonal, one }, &[Y], "select(0u, p.a, column == row + p.b)")
    } else if let Ok(op) = request.op::<Trilu>() {
        bound.push(("x", "u32", false));
        let kept = if op.upper { ">=" } else { "<=" };
        let value = format!("select(0u, x[i], i32(column) {kept} i32(row + p.b))");
        let rule = Rule::Triangle { diagonal: op.diagonal };
        return kernel(request, rule, &[Y, ("x", Operand::Input(0))], &bound, &value);
    } else if let Ok(op) = request.op::<OneHot>() {
        let indices = request.input(0)?;
        let kind = carrier(indices.dtype).ok_or_else(|| Error::internal("indices of a type that is not carried"))?;
        bound.extend([("indices", kind, false), ("values", "u32", false)]);
        // The position of the index is that of the element without the axis.
        let index = "indices[(i / (p.inner * p.outer)) * p.inner + column]";
        let signed = |index: &str| format!("{index} == i32(row) || {index} == i32(row) - i32(p.outer)");
        let is_on = match indices.dtype {
            DType::F32 => signed(&format!("to_i32({index})")),
            DType::U32 => format!("{index} == row"),
            _ => signed(index),
        };
        let value = format!("values[select(0u, 1u, {is_on})]");
        let rule = Rule::OneHot { axis: normalize_axis(op.axis, indices.shape.rank() + 1)? };
        let operands = &[Y, ("indices", Operand::Input(0)), ("values", Operand::Input(2))];
        return kernel(request, rule, operands, &bound, &value);
    } else {
        return Err(Error::internal("an operator whose elements do not follow from their places"));
    };
    kernel(request, rule, operands, &bound, value)
}

fn kernel(
    request: &GpuRequest<'_>,
    rule: Rule,
    operands: &'static [(&'static str, Operand)],
    bound: &[(&str, &str, bool)],
    value: &str,
) -> Result<Made> {
    let program = request.program(&SHADER, &[("bindings", &bindings(bound)), ("value", value)])?;
    Made::kernel(Kernel { program, rule, operands })
}

/// A diagonal's offset, clamped to a range that still lies past every element.
fn near(diagonal: i64) -> u32 {
    diagonal.clamp(-(1 << 30), 1 << 30) as u32
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.output(0)?;
        let count: usize = shape.iter().product();
        let matrix = || match shape {
            [.., rows, columns] => Ok((*columns, *rows)),
            _ => Err(Error::internal("an operand that is no matrix was not refused")),
        };
        let ((inner, outer), a, b) = match &self.rule {
            Rule::Constant(value) => ((1, 1), *value, 0),
            Rule::Range(range) => {
                let start = run.eval(&range.start)?;
                let last = (count.saturating_sub(1) as i64).saturating_mul(range.step).saturating_add(start);
                let fits = |number: i64| i32::try_from(number).is_ok();
                if range.dtype == DType::I64 && count > 0 && !(fits(start) && fits(last)) {
                    let what = format!("a range from {start} to {last} needs more than the 32 bits that a GPU carries");
                    return Err(Error::invalid_input(what));
                }
                ((1, 1), start as u32, range.step as u32)
            }
            Rule::Eye { diagonal, one } => (matrix()?, *one, near(*diagonal)),
            Rule::Triangle { diagonal } => (matrix()?, 0, near(*diagonal)),
            Rule::OneHot { axis } => ((shape[axis + 1..].iter().product(), shape[*axis]), 0, 0),
        };
        let words = [word(count)?, word(inner)?, word(outer)?, a, b];
        run.dispatch(&self.program, self.operands, &words, count.div_ceil(256))
    }
}
