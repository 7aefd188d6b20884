//! `Softmax` and `LogSoftmax`.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        operand::Operand,
        program::Program,
        recorder::{Recorder, words},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    ops::norm::{row_axis::RowAxis, softmax::Softmax},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "softmax", make };

const SHADER: Shader = wgsl!("softmax");

struct Kernel {
    program: Arc<Program>,
    rows: RowAxis,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Softmax = request.op()?;
    let result = if op.log { "own - log(sum)" } else { "exp(own) / sum" };
    let program = request.program(&SHADER, &[("result", result)])?;
    Made::kernel(Kernel { program, rows: op.rows() })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let (axis, inner) = self.rows.row(shape)?;
        let rows = shape.iter().product::<usize>().checked_div(axis).unwrap_or(0);
        run.loops(3 * axis.div_ceil(64))?;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words([rows, axis, inner])?, rows)
    }
}
