//! `SegmentWindows`: rows beside their neighbours within each sequence of a packed batch.

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
    error::{Error, Result},
    ops::moves::segment_windows::SegmentWindows,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "segment_windows", make };

const SHADER: Shader = wgsl!("segment_windows");

struct Kernel {
    program: Arc<Program>,
    op: SegmentWindows,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    Made::kernel(Kernel { program: request.program(&SHADER, &[])?, op: *request.op()? })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let &[rows, columns] = run.input(0)? else { return Err(Error::internal("rows that are no matrix")) };
        let sequences = run.input(1)?[0].saturating_sub(1);
        let places = self.op.before + 1 + self.op.after;
        let count = rows * columns * places;
        let words = [
            word(count)?,
            word(rows)?,
            word(columns)?,
            word(sequences)?,
            word(self.op.before)?,
            word(places)?,
            run.step(),
        ];
        let operands = [
            ("x", Operand::Input(0)),
            ("offsets", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        run.loops(sequences.max(1).ilog2() as usize + 1)?;
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}
