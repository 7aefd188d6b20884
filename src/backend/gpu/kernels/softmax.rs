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
    ops::norm::softmax::Softmax,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "softmax", make };

const SHADER: Shader = wgsl!("softmax");

struct Kernel {
    program: Arc<Program>,
    axis: usize,
    to_end: bool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Softmax = request.op()?;
    let axis = request.input(0)?.shape.axis(op.axis)?;
    let result = if op.log { "own - log(sum)" } else { "exp(own) / sum" };
    let program = request.program(&SHADER, &[("result", result)])?;
    Made::kernel(Kernel { program, axis, to_end: op.to_end })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let (behind, ahead) = (shape[self.axis + 1..].iter().product::<usize>(), shape[self.axis]);
        let (axis, inner) = if self.to_end { (ahead * behind, 1) } else { (ahead, behind) };
        let rows = shape.iter().product::<usize>().checked_div(axis).unwrap_or(0);
        run.loops(3 * axis.div_ceil(64))?;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words([rows, axis, inner])?, rows)
    }
}
