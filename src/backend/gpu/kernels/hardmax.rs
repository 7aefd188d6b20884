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
    ops::norm::{hardmax::Hardmax, row_axis::RowAxis},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "hardmax", make };

const SHADER: Shader = wgsl!("hardmax");

struct Kernel {
    program: Arc<Program>,
    rows: RowAxis,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    // All operands are floating-point; wider and narrower ones have no key.
    let Some(key) = key(request.input(0)?.dtype, true, true) else {
        return Ok(Made::Host("elements that are not f32"));
    };
    let program = request.program(&SHADER, &[("key", key), ("before", "<")])?;
    let op: &Hardmax = request.op()?;
    Made::kernel(Kernel { program, rows: op.rows() })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let (size, inner) = self.rows.row(shape)?;
        let rows = shape.iter().product::<usize>().checked_div(size).unwrap_or(0);
        run.loops(2 * size.div_ceil(64))?;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words([rows, size, inner])?, rows)
    }
}
