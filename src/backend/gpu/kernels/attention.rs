//! `Attention` and `PackedAttention`: softmax as it goes, so that no scores are stored.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, word},
        kernels::product::{bindings, borrowed},
        shader::Program,
    },
    error::{Error, Result},
    ops::product::attention::{Attention, PackedAttention},
};

/// Bytes of keys and values that a workgroup keeps: the memory that every device has.
const TILE_BYTES: usize = 16 << 10;

struct Kernel {
    program: Arc<Program>,
    scale: f32,
    mask: bool,
}

struct PackedKernel {
    program: Arc<Program>,
    scale: f32,
    heads: usize,
}

/// The generated parts: keys of `d` columns, values of `e`.
fn values(d: usize, e: usize, load_q: &str) -> Option<Vec<(&'static str, String)>> {
    let (d4, e4) = (d.div_ceil(4).max(1), e.div_ceil(4).max(1));
    let keys = (TILE_BYTES / 16 / (d4 + e4)).min(32);
    if keys < 8 {
        return None;
    }
    let lines =
        |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).map(|line| line + "\n").collect::<String>();
    let score: Vec<String> = (0..d4).map(|part| format!("dot(q{part}, k_tile[j * {d4}u + {part}u])")).collect();
    let at = |column: usize| ["x", "y", "z", "w"][column % 4];
    Some(vec![
        ("keys", keys.to_string()),
        ("d", d.to_string()),
        ("d4", d4.to_string()),
        ("e4", e4.to_string()),
        ("query", lines(d4, &|part| format!("    let q{part} = p.scale * {load_q}{part}u);"))),
        ("zeros", lines(e4, &|part| format!("    var o{part} = vec4<f32>();"))),
        ("score", score.join(" + ")),
        ("rescale", lines(e4, &|part| format!("                        o{part} *= factor;"))),
        (
            "accumulate",
            lines(e4, &|part| {
                format!("                    o{part} = fma(vec4<f32>(weight), v_tile[j * {e4}u + {part}u], o{part});")
            }),
        ),
        ("store", lines(e, &|column| format!("        y[at + {column}u] = o{}.{} / sum;", column / 4, at(column)))),
    ])
}

/// Four elements at `at` of a buffer with rows of `columns`.
fn load(name: &str, columns: usize) -> (&'static str, String) {
    if columns.is_multiple_of(4) {
        return ("vec4<f32>", format!("    return {name}[at / 4u];"));
    }
    // The last part of a row is cut; its index then stays where it is.
    let one = |place: usize| {
        format!(
            "select(0.0, {name}[select(at, at + {place}u, part * 4u + {place}u < {columns}u)], part * 4u + {place}u < {columns}u)"
        )
    };
    ("f32", format!("    return vec4<f32>({}, {}, {}, {});", one(0), one(1), one(2), one(3)))
}

pub(super) fn make_packed(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &PackedAttention = request.op()?;
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
    let program = request.program("packed_attention", &borrowed(&values))?;
    Made::kernel(PackedKernel { program, scale: op.scale, heads: op.heads })
}

impl GpuKernel for PackedKernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let rows = run.output(0)?[0];
        let sequences = run.input(1)?[0].saturating_sub(1);
        let groups = rows.div_ceil(64) * self.heads;
        // The keys of the sequences that reach into 64 rows, which may be all rows, and the keys' part of the tiles.
        let keys = run.longest(1).map_or(rows, |longest| rows.min(2 * longest + 64));
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

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
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
        ("mask", added),
    ]);
    let program = request.program("attention", &borrowed(&values))?;
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
        run.loops(2 * keys)?;
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
