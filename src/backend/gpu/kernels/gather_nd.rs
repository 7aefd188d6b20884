//! `GatherND`: rows selected by tuples of indices.

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
    error::{Error, Result},
    kernels::strided::steps,
    ops::index::gather_nd::{GatherNd, tuple_len},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "gather_nd", make };

const SHADER: Shader = wgsl!("gather_nd");

struct Kernel {
    program: Arc<Program>,
    batch_dims: usize,
    len: usize,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let batch_dims = request.op::<GatherNd>()?.batch_dims;
    let len = tuple_len(request.input(0)?, request.input(1)?, batch_dims)?;
    if len > MAX_AXES {
        return Ok(Made::Host(TOO_MANY_AXES));
    }
    let places = lines(len, |axis| {
        format!("    x_at += resolve(indices[tuple * {len}u + {axis}u], p.size[{axis}], p.step) * p.x_step[{axis}];")
    })?;
    Made::kernel(Kernel { program: request.program(&SHADER, &[("places", &places)])?, batch_dims, len })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, indices) = (run.input(0)?, run.input(1)?);
        let (same, other) = (&x[..self.batch_dims], &indices[..self.batch_dims]);
        if same != other {
            return Err(Error::invalid_input(format!("first axes {same:?} of the data and {other:?} of the indices")));
        }
        let (batches, picked) = (same.iter().product::<usize>(), self.batch_dims..self.batch_dims + self.len);
        let outer = &indices[..indices.len() - 1];
        let tuples = outer.iter().product::<usize>().checked_div(batches).unwrap_or(0);
        let row: usize = x[picked.end..].iter().product();
        let count = batches * tuples * row;
        refuse_empty(x, count)?;
        let batch: usize = x[self.batch_dims..].iter().product();
        let mut words = vec![word(count)?, word(row)?, word(tuples)?, word(batch)?, run.step()];
        let x_steps = steps(x);
        column(x[picked.clone()].iter().copied(), false, &mut words)?;
        column(x_steps[picked].iter().map(|&step| step as usize), false, &mut words)?;
        let operands = [
            ("x", Operand::Input(0)),
            ("indices", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}
