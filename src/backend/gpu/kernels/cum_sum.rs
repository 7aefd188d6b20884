//! `CumSum`: an invocation sums a whole row, so the order of summation is fixed.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        buffer::carrier,
        kernel::{GpuKernel, KernelDef, Made},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    ops::reduce::cum_sum::CumSum,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "cum_sum", make };

const SHADER: Shader = wgsl!("cum_sum");

/// Maximum elements of a row in one dispatch: software adapters end long loops.
const PART: usize = 32_768;

struct Kernel {
    program: Arc<Program>,
    axis: usize,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let (op, input): (&CumSum, _) = (request.op()?, request.input(0)?);
    let kind = carrier(input.dtype).filter(|_| input.dtype != DType::I64);
    let Some(kind) = kind else { return Ok(Made::Host("sums of 64-bit integers may need more than 32 bits")) };
    let values = [
        ("kind", kind),
        ("index", if op.reverse { "(p.size - 1u - i)" } else { "i" }),
        ("before", if op.exclusive { "y[before] + x[before]" } else { "y[before]" }),
        ("result", if op.exclusive { "sum" } else { "next" }),
    ];
    Made::kernel(Kernel { program: request.program(&SHADER, &values)?, axis: input.shape.axis(op.axis)? })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let (size, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product::<usize>());
        let rows = shape[..self.axis].iter().product::<usize>() * inner;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        for first in (0..size).step_by(PART) {
            let words = [word(rows)?, word(size)?, word(inner)?, word(first)?, word(size.min(first + PART))?];
            run.dispatch(&self.program, &operands, &words, rows.div_ceil(64))?;
        }
        Ok(())
    }
}
