//! `MaxPool` and `AveragePool`.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::code::{borrowed, space},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    ops::pool::{NO_LP, Pool, PoolFunction},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "pool", make };

const SHADER: Shader = wgsl!("pool");

struct Kernel {
    program: Arc<Program>,
    op: Pool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Pool = request.op()?;
    let (first, combine, last) = match op.function {
        PoolFunction::Max => ("-infinity()", "larger(made, v)", "made"),
        PoolFunction::Average { count_include_pad: false } => ("0.0", "made + v", "made / f32(taps)"),
        PoolFunction::Average { count_include_pad: true } => ("0.0", "made + v", "made / f32(padded)"),
        PoolFunction::Lp(_) => return Ok(Made::Host(NO_LP)),
    };
    let values = [
        ("kernel", space(&op.kernel)),
        ("stride", space(&op.strides)),
        ("dilation", space(&op.dilations)),
        ("first", first.to_owned()),
        ("combine", combine.to_owned()),
        ("last", last.to_owned()),
    ];
    Made::kernel(Kernel { program: request.program(&SHADER, &borrowed(&values))?, op: op.clone() })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, y) = (run.input(0)?, run.output(0)?);
        let count: usize = y.iter().product();
        let mut columns = [[1; 3], [1; 3], [0; 3], [0; 3]];
        let rank = self.op.kernel.len();
        let window = self.op.window();
        for axis in 0..rank {
            let (before, behind) = window.pads_at(axis, x[axis + 2]);
            for (column, number) in columns.iter_mut().zip([x[axis + 2], y[axis + 2], before, behind]) {
                column[axis + 3 - rank] = number;
            }
        }
        let mut words = vec![word(count)?];
        for number in columns.into_iter().flatten() {
            words.push(word(number)?);
        }
        let taps = self.op.kernel.iter().product();
        run.loops(taps)?;
        let operands = [("x", Operand::Input(0)), ("y", Operand::Output(0))];
        run.dispatch(&self.program, &operands, &words, count.div_ceil(64))
    }
}
