//! `TopK`.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::order::key,
        operand::Operand,
        program::Program,
        recorder::{MOST_ROUNDS, Recorder, word, words},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::index::top_k::TopK,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "top_k", make };

const SHADER: Shader = wgsl!("top_k");

struct Kernel {
    program: Arc<Program>,
    axis: usize,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let (op, input): (&TopK, _) = (request.op()?, request.input(0)?);
    let Some(key) = key(input.dtype, op.largest, false) else { return Ok(Made::Host("a type that has no order")) };
    let program = request.program(&SHADER, &[("key", key), ("before", "<")])?;
    Made::kernel(Kernel { program, axis: input.shape.axis(op.axis)? })
}

impl GpuKernel for Kernel {
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
        // As many results in one dispatch as the limit on loops allows.
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
