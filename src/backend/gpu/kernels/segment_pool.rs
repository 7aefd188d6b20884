//! `SegmentPool`: one row for each sequence of a packed batch.

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
    ops::pool::segment_pool::{SegmentPool, SegmentPoolMode},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "segment_pool", make };

const SHADER: Shader = wgsl!("segment_pool");

struct Kernel {
    program: Arc<Program>,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let first = "        made = x[start * p.columns + column];\n";
    let all = |begin: &str, each: &str| {
        let next = "x[row * p.columns + column]";
        format!(
            "{first}        for (var row = start + 1u; row < end; row++) {{\n            {begin}made{each}{next});\n        }}\n"
        )
    };
    let reduce = match request.op::<SegmentPool>()?.mode {
        SegmentPoolMode::Cls => first.to_owned(),
        SegmentPoolMode::Last => "        made = x[(end - 1u) * p.columns + column];\n".to_owned(),
        SegmentPoolMode::Max => all("made = larger(", ", "),
        SegmentPoolMode::Mean => all("made = (", " + ") + "        made = made / f32(end - start);\n",
        SegmentPoolMode::MeanSqrtLength => all("made = (", " + ") + "        made = made / sqrt(f32(end - start));\n",
        SegmentPoolMode::WeightedMean => {
            all("made = (", " + f32(row - start + 1u) * ")
                + "        made = made / (f32(end - start) * f32(end - start + 1u) / 2.0);\n"
        }
    };
    Made::kernel(Kernel { program: request.program(&SHADER, &[("reduce", &reduce)])? })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (rows, columns) = (run.input(0)?[0], run.input(0)?[1]);
        let sequences = run.output(0)?[0];
        let words = [word(rows)?, word(columns)?, word(sequences)?, run.step()];
        let operands = [
            ("x", Operand::Input(0)),
            ("offsets", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        let longest = run.lengths(1).and_then(|lengths| lengths.into_iter().max());
        run.loops(longest.map_or(rows, |longest| rows.min(longest)))?;
        run.dispatch(&self.program, &operands, &words, (sequences * columns).div_ceil(64))
    }
}
