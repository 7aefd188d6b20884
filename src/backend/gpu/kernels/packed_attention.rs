//! `PackedAttention`: attention within each sequence, with an online softmax.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            code::borrowed,
            heads::{load, values},
        },
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    kernels::attention::Reach,
    ops::product::attention::PackedAttention,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "packed_attention", make };

const SHADER: Shader = wgsl!("packed_attention");

struct Kernel {
    program: Arc<Program>,
    scale: f32,
    heads: usize,
    /// Columns of a head.
    d: usize,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &PackedAttention = request.op()?;
    if op.key_heads != op.heads || op.reach != Reach::ALL || (2..4).any(|index| request.inputs().fact(index).is_some())
    {
        return Ok(Made::Host("attention with shared keys, a window, a bias or hidden keys"));
    }
    let columns = request.output(0)?.shape.dims().last().and_then(|dim| dim.as_fixed());
    let columns = columns.and_then(|columns| usize::try_from(columns).ok());
    let Some(d) = columns.map(|columns| columns / op.heads) else {
        return Ok(Made::Host("heads of a size that is known only when it runs"));
    };
    let Some(mut values) = values(d, d, "load(row, p.rows, 0u, ") else {
        return Ok(Made::Host("heads that are larger than a workgroup's memory"));
    };
    let (kind, load) = load("qkv", d);
    values.extend([("kind", kind.to_owned()), ("load", load), ("mask", String::new())]);
    let program = request.program(&SHADER, &borrowed(&values))?;
    Made::kernel(Kernel { program, scale: op.scale, heads: op.heads, d })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let rows = run.output(0)?[0];
        let sequences = run.input(1)?[0].saturating_sub(1);
        let groups = rows.div_ceil(64) * self.heads;
        // Keys of all sequences that overlap 64 rows: up to all rows, plus the rest of a tile.
        let lengths = run.lengths(1);
        let longest = lengths.as_ref().and_then(|lengths| lengths.iter().max());
        let keys = longest.map_or(rows, |longest| rows.min(2 * longest + 64));
        // Lengths that a shader will refuse may be large.
        let squared = |sum: usize, length: &usize| sum.saturating_add((*length.min(&rows)).saturating_pow(2));
        let scores = lengths.iter().flatten().fold(0, squared);
        run.work(scores.saturating_mul(4 * self.heads * self.d));
        run.loops(2 * keys + sequences)?;
        let words = [word(rows)?, word(sequences)?, word(self.heads)?, word(groups)?, run.step(), self.scale.to_bits()];
        let operands = [
            ("qkv", Operand::Input(0)),
            ("offsets", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        run.dispatch(&self.program, &operands, &words, groups)
    }
}
