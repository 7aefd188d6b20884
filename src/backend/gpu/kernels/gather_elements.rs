//! `GatherElements`: elements selected along one axis.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::places::{MAX_AXES, TOO_MANY_AXES, column, lines, refuse_empty},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    kernels::strided::steps,
    ops::index::{check_within, gather_elements::GatherElements},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "gather_elements", make };

const SHADER: Shader = wgsl!("gather_elements");

struct Kernel {
    program: Arc<Program>,
    axis: usize,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let shape = &request.input(0)?.shape;
    let axis = shape.axis(request.op::<GatherElements>()?.axis)?;
    if shape.rank() > MAX_AXES {
        return Ok(Made::Host(TOO_MANY_AXES));
    }
    let axes = lines(shape.rank(), |axis| {
        format!("    x_at += (rest % p.shape[{axis}]) * p.x_step[{axis}];\n    rest = rest / p.shape[{axis}];")
    })?;
    Made::kernel(Kernel { program: request.program(&SHADER, &[("axes", &axes)])?, axis })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, indices) = (run.input(0)?, run.input(1)?);
        check_within(x, indices, self.axis)?;
        let count: usize = indices.iter().product();
        refuse_empty(x, count)?;
        let x_steps = steps(x);
        let along = |axis: usize| if axis == self.axis { 0 } else { x_steps[axis] as usize };
        let mut words = vec![word(count)?, word(x[self.axis])?, word(x_steps[self.axis] as usize)?, run.step()];
        column(indices.iter().copied(), true, &mut words)?;
        column((0..x.len()).map(along), true, &mut words)?;
        let operands = [
            ("x", Operand::Input(0)),
            ("indices", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}
