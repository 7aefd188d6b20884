//! The reductions over axes.

use std::{fmt::Write, sync::Arc};

use super::super::{
    kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
    shader::Program,
};
use crate::{
    error::{Error, Result},
    ops::reduce::{Reduce, ReduceFunction},
    shape::strides,
    tensor::DType,
};

/// The most groups of neighbouring axes that stay, and that go.
const MAX_GROUPS: usize = 4;

struct Kernel {
    program: Arc<Program>,
    reduced: Vec<bool>,
}

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
    use ReduceFunction as F;
    let op: &Reduce = request.op()?;
    let input = request.input(0)?;
    let reduced = op.reduced(input.shape.rank())?;
    if input.dtype != DType::F32 {
        return Ok(Made::Host("sums of integers may need more bits than a GPU carries"));
    }
    if reduced.len() > 2 * MAX_GROUPS {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    let (combine, first, each, last) = match op.function {
        F::L1 => ("a + b", "0.0", "abs(v)", "total"),
        F::L2 => ("a + b", "0.0", "v * v", "sqrt(total)"),
        F::LogSum => ("a + b", "0.0", "v", "log_of(total)"),
        F::Max => ("larger(a, b)", "bitcast<f32>(0xff800000u | (p.results & 0u))", "v", "total"),
        F::Mean => ("a + b", "0.0", "v", "total / f32(p.count)"),
        F::Min => ("smaller(a, b)", "bitcast<f32>(0x7f800000u | (p.results & 0u))", "v", "total"),
        F::Prod => ("a * b", "1.0", "v", "total"),
        F::Sum => ("a + b", "0.0", "v", "total"),
        F::SumSquare => ("a + b", "0.0", "v * v", "total"),
        F::LogSumExp => return Ok(Made::Host("no shader yet")),
    };
    let axes = |name: &str, at: &str| {
        let mut text = String::new();
        for group in 0..MAX_GROUPS {
            writeln!(text, "    {at} += (rest % p.{name}[{group}]) * p.{name}_step[{group}];").ok()?;
            writeln!(text, "    rest = rest / p.{name}[{group}];").ok()?;
        }
        Some(text)
    };
    let (Some(kept), Some(gone)) = (axes("kept", "start"), axes("gone", "at")) else {
        return Err(Error::internal("a text could not be written"));
    };
    let values =
        [("combine", combine), ("first", first), ("each", each), ("last", last), ("kept", &*kept), ("gone", &*gone)];
    Made::kernel(Kernel { program: request.program("reduce", &values)?, reduced })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let steps = strides(shape);
        // Neighbouring axes of one kind are one group, from the last to the first.
        let mut groups: [Vec<(usize, usize)>; 2] = [Vec::new(), Vec::new()];
        let mut before = None;
        for axis in (0..shape.len()).rev().filter(|&axis| shape[axis] != 1) {
            let reduced = self.reduced[axis];
            let own = &mut groups[usize::from(reduced)];
            match own.last_mut().filter(|_| before == Some(reduced)) {
                Some((size, _)) => *size *= shape[axis],
                None => own.push((shape[axis], steps[axis])),
            }
            before = Some(reduced);
        }
        let len = |groups: &[(usize, usize)]| groups.iter().map(|(size, _)| size).product::<usize>();
        let (results, count) = (len(&groups[0]), len(&groups[1]));
        let mut words = vec![word(results)?, word(count)?];
        for groups in &groups {
            for column in 0..2 {
                for group in 0..MAX_GROUPS {
                    let (size, step) = groups.get(group).copied().unwrap_or((1, 0));
                    words.push(word(if column == 0 { size.max(1) } else { step })?);
                }
            }
        }
        run.dispatch(&self.program, &[("x", Operand::Input(0)), ("y", Operand::Output(0))], &words, results)
    }
}
