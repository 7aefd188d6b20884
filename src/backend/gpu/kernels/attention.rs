//! `Attention`: an online softmax, so that no scores are stored.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            code::{bindings, borrowed},
            heads::{load, rounds, values},
        },
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::product::attention::Attention,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "attention", make };

const SHADER: Shader = wgsl!("attention");

struct Kernel {
    program: Arc<Program>,
    scale: f32,
    mask: bool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Attention = request.op()?;
    let last = |index: usize| -> Result<Option<usize>> {
        let dim = request.input(index)?.shape.dims().last().and_then(|dim| dim.as_fixed());
        Ok(dim.and_then(|columns| usize::try_from(columns).ok()))
    };
    let (Some(d), Some(e)) = (last(0)?, last(2)?) else {
        return Ok(Made::Host("heads of a size that is known only when it runs"));
    };
    let Some(mut values) = values(d, e, "load_q(row, p.queries, ") else {
        return Ok(Made::Host("heads that are larger than a workgroup's memory"));
    };
    let mask = request.inputs().fact(3).is_some();
    let ((kind, load_q), (_, load_k), (v_kind, load_v)) = (load("q", d), load("k", d), load("v", e));
    let mut bound = vec![("q", kind, false), ("k", kind, false), ("v", v_kind, false), ("y", "f32", true)];
    let mut added = String::new();
    if mask {
        bound.push(("mask", "f32", false));
        added = "                    score += mask[mask_at + (first + j) * p.mask_step[3]];".to_owned();
    }
    values.extend([
        ("e", e.to_string()),
        ("bindings", bindings(&bound)),
        ("load_q", load_q),
        ("load_k", load_k),
        ("load_v", load_v),
        ("hidden", String::new()),
        ("mask", added),
    ]);
    let program = request.program(&SHADER, &borrowed(&values))?;
    Made::kernel(Kernel { program, scale: op.scale, mask })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (q, k, v) = (run.input(0)?, run.input(1)?, run.input(2)?);
        let (&[batch, heads, queries, d], &[.., keys, _], &[.., e]) = (q, k, v) else {
            return Err(Error::internal("operands of other ranks were not refused"));
        };
        if k != [batch, heads, keys, d] || v != [batch, heads, keys, e] {
            return Err(Error::invalid_input(format!("attention of {q:?}, {k:?} and {v:?}: the operands do not fit")));
        }
        let mut mask_step = [0; 4];
        if self.mask {
            let (own, whole) = (run.input(3)?, [batch, heads, queries, keys]);
            let misfit = || Error::invalid_input(format!("a mask of shape {own:?} for scores of shape {whole:?}"));
            let skipped = 4usize.checked_sub(own.len()).ok_or_else(misfit)?;
            let mut step = 1;
            for (axis, &size) in own.iter().enumerate().rev() {
                if size != 1 {
                    if size != whole[axis + skipped] {
                        return Err(misfit());
                    }
                    mask_step[axis + skipped] = word(step)?;
                }
                step *= size;
            }
        }
        let tiles = queries.div_ceil(64);
        let groups = batch * heads * tiles;
        run.loops(rounds(d, e, keys))?;
        run.work(2 * batch * heads * queries * keys * (d + e));
        let mut words =
            vec![word(heads)?, word(queries)?, word(keys)?, word(tiles)?, word(groups)?, self.scale.to_bits()];
        words.extend(mask_step);
        let mut operands = vec![
            ("q", Operand::Input(0)),
            ("k", Operand::Input(1)),
            ("v", Operand::Input(2)),
            ("y", Operand::Output(0)),
        ];
        if self.mask {
            operands.push(("mask", Operand::Input(3)));
        }
        run.dispatch(&self.program, &operands, &words, groups)
    }
}
