//! `ArgMax` and `ArgMin`.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::order::key,
        operand::Operand,
        program::Program,
        recorder::{Recorder, words},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::reduce::arg_reduce::ArgReduce,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "arg_reduce", make };

const SHADER: Shader = wgsl!("arg_reduce");

struct Kernel {
    program: Arc<Program>,
    axis: usize,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let (op, input): (&ArgReduce, _) = (request.op()?, request.input(0)?);
    let Some(key) = key(input.dtype, op.largest, true) else { return Ok(Made::Host("a type that has no order")) };
    let before = if op.select_last { ">" } else { "<" };
    let program = request.program(&SHADER, &[("key", key), ("before", before)])?;
    Made::kernel(Kernel { program, axis: input.shape.axis(op.axis)? })
}

impl GpuKernel for Kernel {
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
