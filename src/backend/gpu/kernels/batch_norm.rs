//! `BatchNormalization`: with given statistics.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    ops::norm::channel_norm::ChannelNorm,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "batch_norm", make };

const SHADER: Shader = wgsl!("batch_norm");

struct Kernel {
    program: Arc<Program>,
    epsilon: f32,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let program = request.program(&SHADER, &[])?;
    Made::kernel(Kernel { program, epsilon: request.op::<ChannelNorm>()?.epsilon })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        let count: usize = shape.iter().product();
        let plane: usize = shape[2..].iter().product();
        let words = [word(count)?, word(shape[1])?, word(plane)?, self.epsilon.to_bits()];
        let operands = [
            ("x", Operand::Input(0)),
            ("scale", Operand::Input(1)),
            ("bias", Operand::Input(2)),
            ("mean", Operand::Input(3)),
            ("variance", Operand::Input(4)),
            ("y", Operand::Output(0)),
        ];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}
