//! `ArgMax`, `ArgMin` and `TopK`: elements by their order along an axis.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, GpuRequest, MOST_ROUNDS, Made, Operand, Recorder, word, words},
        shader::Program,
    },
    error::{Error, Result},
    ops::{index::top_k::TopK, reduce::arg_reduce::ArgReduce},
    tensor::DType,
};

struct Arg {
    program: Arc<Program>,
    axis: usize,
}

/// The key of the element `bits`, larger for what stands nearer to the front. `nan_first`: also where the smallest do.
fn key(dtype: DType, largest: bool, nan_first: bool) -> Option<&'static str> {
    Some(match (dtype, largest) {
        (DType::F32, true) => "key_of_float(bits)",
        (DType::F32, false) if nan_first => {
            "select(~key_of_float(bits), 0xffffffffu, key_of_float(bits) == 0xffffffffu)"
        }
        (DType::F32, false) => "~key_of_float(bits)",
        (DType::I32 | DType::I64, true) => "key_of_integer(bits)",
        (DType::I32 | DType::I64, false) => "~key_of_integer(bits)",
        (DType::U32, true) => "bits",
        (DType::U32, false) => "~bits",
        _ => return None,
    })
}

pub(super) fn make_arg(request: &GpuRequest<'_>) -> Result<Made> {
    let (op, input): (&ArgReduce, _) = (request.op()?, request.input(0)?);
    let Some(key) = key(input.dtype, op.largest, true) else { return Ok(Made::Host("a type that has no order")) };
    let before = if op.select_last { ">" } else { "<" };
    let program = request.program("arg_reduce", &[("key", key), ("before", before)])?;
    Made::kernel(Arg { program, axis: input.shape.axis(op.axis)? })
}

impl GpuKernel for Arg {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (shape, rows) = (run.input(0)?, run.output(0)?.iter().product());
        let (size, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product());
        if rows == 0 {
            return Ok(());
        }
        if size == 0 {
            return Err(Error::invalid_input(format!("axis {} is empty and has no extreme element", self.axis)));
        }
        run.loops(size.div_ceil(64))?;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words([rows, size, inner])?, rows)
    }
}

struct Top {
    program: Arc<Program>,
    axis: usize,
}

pub(super) fn make_top(request: &GpuRequest<'_>) -> Result<Made> {
    let (op, input): (&TopK, _) = (request.op()?, request.input(0)?);
    let Some(key) = key(input.dtype, op.largest, false) else { return Ok(Made::Host("a type that has no order")) };
    let program = request.program("top_k", &[("key", key), ("before", "<")])?;
    Made::kernel(Top { program, axis: input.shape.axis(op.axis)? })
}

impl GpuKernel for Top {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (shape, count) = (run.input(0)?, run.output(0)?[self.axis]);
        let (size, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product::<usize>());
        if count > size {
            let axis = self.axis;
            return Err(Error::invalid_input(format!("the first {count} elements of axis {axis} of size {size}")));
        }
        let rows = shape[..self.axis].iter().product::<usize>() * inner;
        let rounds = size.div_ceil(64) + 8;
        run.loops(rounds)?;
        // As many results as a driver's loops allow in one dispatch.
        let part = (MOST_ROUNDS / rounds).max(1);
        let operands = [("x", Operand::Input(0)), ("values", Operand::Output(0)), ("indices", Operand::Output(1))];
        for first in (0..count).step_by(part) {
            let mut words = words([rows, size, inner, count, first])?.to_vec();
            words.push(word(count.min(first + part))?);
            run.dispatch(&self.program, &operands, &words, rows)?;
        }
        Ok(())
    }
}
