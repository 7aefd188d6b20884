//! `L2Normalize`: vectors scaled to length 1.

use std::sync::Arc;

use super::super::{
    kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
    shader::Program,
};
use crate::{error::Result, ops::l2_normalize::L2Normalize};

struct Kernel {
    program: Arc<Program>,
    epsilon: f32,
}

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let program = request.program("l2_normalize", &[])?;
    Made::kernel(Kernel { program, epsilon: request.op::<L2Normalize>()?.epsilon })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let columns = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().product::<usize>().checked_div(columns).unwrap_or(0);
        let words = [word(rows)?, word(columns)?, self.epsilon.to_bits()];
        run.dispatch(&self.program, &[("x", Operand::Input(0)), ("y", Operand::Output(0))], &words, rows)
    }
}
