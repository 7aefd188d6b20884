//! `Hardmax`.

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
    error::Result,
    ops::norm::hardmax::Hardmax,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "hardmax", make };

const SHADER: Shader = wgsl!("hardmax");

struct Kernel {
    program: Arc<Program>,
    op: Hardmax,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let Some(key) = key(DType::F32, true, true).filter(|_| request.input(0).is_ok_and(|x| x.dtype == DType::F32))
    else {
        return Ok(Made::Host("elements that are not f32"));
    };
    let program = request.program(&SHADER, &[("key", key), ("before", "<")])?;
    Made::kernel(Kernel { program, op: *request.op()? })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let (size, inner) = self.op.row(shape)?;
        let rows = shape.iter().product::<usize>().checked_div(size).unwrap_or(0);
        run.loops(2 * size.div_ceil(64))?;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words([rows, size, inner])?, rows)
    }
}
