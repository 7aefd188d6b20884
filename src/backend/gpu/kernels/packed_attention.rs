//! `PackedAttention` and `DisentangledAttention`: attention within each sequence, with an online softmax.

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
    kernels::attention::Reach,
    op::Packing,
    ops::product::attention::{DisentangledAttention, PackedAttention},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "packed_attention", make };

const SHADER: Shader = wgsl!("packed_attention");

/// WGSL that passes over the keys that a row does not see.
const HIDDEN: &str = "                    let key = first + j;
                    if (key < row && row - key > p.before) || (key > row && key - row > p.behind) {
                        continue;
                    }";

/// WGSL that adds the bias of the distance from query to key.
const BIAS: &str = "                    score += bias[head * (2u * p.most + 1u) + distance_place(row, first + j)];";

/// WGSL that ends the keys of a sequence where its rows say.
const VISIBLE: &str = "        if start < end {
            let seen = u32(visible[start]);
            if seen < 1u || seen > end - start {
                report_fault(p.step);
                break;
            }
            if mine && u32(visible[row]) != seen {
                report_fault(p.step);
            }
            keys_end = min(keys_end, start + seen);
        }";

/// The reason for heads whose columns are unknown.
const UNKNOWN: &str = "heads of a size that is known only when it runs";

struct Kernel {
    program: Arc<Program>,
    heads: Heads,
    /// Columns of a head.
    d: usize,
    /// The operands beside queries, keys, values and offsets.
    further: Vec<(&'static str, Operand)>,
}

/// What a query sees, and by which factor.
struct Heads {
    count: usize,
    /// Heads in a row that share keys and values.
    sharing: usize,
    scale: f32,
    reach: Reach,
    /// The distance from which on all are alike.
    most: usize,
}

/// The parts of the shader that not all attention has.
#[derive(Default)]
struct Parts {
    hidden: &'static str,
    visible: &'static str,
    mask: Vec<String>,
    functions: String,
    /// Further bindings: name, element type, operand.
    bound: Vec<(&'static str, &'static str, Operand)>,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let relative = request.op::<DisentangledAttention>().ok();
    let count = match relative {
        Some(op) => op.heads,
        None => request.op::<PackedAttention>()?.heads,
    };
    let columns = request.output(0)?.shape.dims().last().and_then(|dim| dim.as_fixed());
    let columns = columns.and_then(|columns| usize::try_from(columns).ok());
    let Some(d) = columns.and_then(|columns| columns.checked_div(count)) else { return Ok(Made::Host(UNKNOWN)) };
    let Some(mut values) = values(d, d, "load(row, p.rows, query_column, ") else {
        return Ok(Made::Host("heads that are larger than a workgroup's memory"));
    };
    let is_given = |index: usize| request.inputs().fact(index).is_some() && request.constant(index).is_none();
    if relative.is_some() && (is_given(2) || is_given(3)) {
        return Ok(Made::Host("vectors of positions that are known only when it runs"));
    }
    let (heads, parts) = match relative {
        Some(op) => by_positions(request, op, d)?,
        None => by_distance(request)?,
    };
    let (kind, load) = load("qkv", d);
    let mut bound = vec![("qkv", kind, false), ("offsets", "i32", false), ("y", "f32", true)];
    bound.extend(parts.bound.iter().map(|&(name, kind, _)| (name, kind, false)));
    values.extend([
        ("bindings", bindings(&bound)),
        ("load", load),
        ("functions", parts.functions),
        ("visible", parts.visible.to_owned()),
        ("hidden", parts.hidden.to_owned()),
        ("mask", parts.mask.join("\n")),
    ]);
    let program = request.program(&SHADER, &borrowed(&values))?;
    let further = parts.bound.into_iter().map(|(name, _, operand)| (name, operand)).collect();
    Made::kernel(Kernel { program, heads, d, further })
}

/// Attention with a window, a bias by distance or hidden keys, or none of these.
fn by_distance(request: &GpuRequest<'_>) -> Result<(Heads, Parts)> {
    let op: &PackedAttention = request.op()?;
    let (mut parts, mut most) = (Parts::default(), 0);
    if op.reach != Reach::ALL {
        parts.hidden = HIDDEN;
    }
    if let Some(bias) = request.inputs().fact(2) {
        let distances = bias.shape.dims().last().and_then(|dim| dim.as_fixed());
        let distances = distances.and_then(|distances| usize::try_from(distances).ok());
        most = distances.ok_or_else(|| Error::internal("a bias of unknown size was not refused"))? / 2;
        parts.mask.push(BIAS.to_owned());
        parts.bound.push(("bias", "f32", Operand::Input(2)));
    }
    if request.inputs().fact(3).is_some() {
        parts.visible = VISIBLE;
        parts.bound.push(("visible", "i32", Operand::Input(3)));
    }
    let sharing = op.heads / op.key_heads;
    Ok((Heads { count: op.heads, sharing, scale: op.scale, reach: op.reach, most }, parts))
}

/// Attention by vectors of relative positions, which are spread out to a vector for each distance.
fn by_positions(request: &GpuRequest<'_>, op: &DisentangledAttention, d: usize) -> Result<(Heads, Parts)> {
    let places = op.index();
    let (kind, load) = load("vectors", d);
    let d4 = d.div_ceil(4).max(1);
    let mut parts = Parts::default();
    for (index, name) in [(2, "position_keys"), (3, "position_queries")] {
        let parameter = (op.span as u64) << 32 | op.buckets_to.unwrap_or(0) as u64;
        let spread = request.take_weight(index, Packing { name: "vectors by distance", parameter }, |vectors| {
            let (numbers, width) = (vectors.as_slice::<f32>()?, vectors.shape()[1]);
            let rows = places.iter().map(|&place| &numbers[place as usize * width..][..width]);
            Ok(vec![rows.flatten().flat_map(|number| number.to_le_bytes()).collect()])
        })?;
        let Some(&[vectors]) = spread.as_deref() else { continue };
        parts.bound.push((name, kind, Operand::Weight(vectors)));
        parts.functions += &format!(
            "
fn load_{name}(place: u32, part: u32) -> vec4<f32> {{
    let at = (place * p.heads + head) * {d}u + part * 4u;
{}
}}
",
            load.replace("vectors[", &format!("{name}["))
        );
        if parts.mask.is_empty() {
            parts.mask.push("                    let place = distance_place(first + j, row);".to_owned());
        }
        // Queries are scaled when they are loaded, keys are not.
        let scale = if index == 2 { "1.0" } else { "p.scale" };
        let product = |part: usize| {
            let other = if index == 2 { format!("q{part}") } else { format!("k_tile[j * {d4}u + {part}u]") };
            format!("dot({other}, load_{name}(place, {part}u))")
        };
        let products = (0..d4).map(product).collect::<Vec<_>>().join(" + ");
        parts.mask.push(format!("                    score += {scale} * ({products});"));
    }
    let heads = Heads { count: op.heads, sharing: 1, scale: op.scale, reach: Reach::ALL, most: places.len() / 2 };
    Ok((heads, parts))
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let &Heads { count, sharing, scale, reach, most } = &self.heads;
        let rows = run.output(0)?[0];
        let sequences = run.input(1)?[0].saturating_sub(1);
        let groups = rows.div_ceil(64) * count;
        // Keys of all sequences that overlap 64 rows: up to all rows, plus the rest of a tile.
        let lengths = run.lengths(1);
        let longest = lengths.as_ref().and_then(|lengths| lengths.iter().max());
        let keys = longest.map_or(rows, |longest| rows.min(2 * longest + 64));
        // Lengths that a shader will refuse may be large.
        let seen = reach.before.saturating_add(reach.after).saturating_add(1);
        let scores = |sum: usize, length: &usize| {
            let length = *length.min(&rows);
            sum.saturating_add(length.saturating_mul(length.min(seen)))
        };
        let scores = lengths.iter().flatten().fold(0, scores);
        run.work(scores.saturating_mul(4 * count * self.d));
        // Those that 64 rows see, and what is in front of and behind them.
        let keys = keys.min(seen.saturating_mul(2).saturating_add(64));
        run.loops(rounds(self.d, self.d, keys).saturating_add(sequences))?;
        // Rows are fewer than 2^32.
        let distance = |distance: usize| u32::try_from(distance).unwrap_or(u32::MAX);
        let words = [
            word(rows)?,
            word(sequences)?,
            word(count)?,
            word(sharing)?,
            word(groups)?,
            run.step(),
            scale.to_bits(),
            distance(reach.before),
            distance(reach.after),
            word(most)?,
        ];
        let mut operands = vec![
            ("qkv", Operand::Input(0)),
            ("offsets", Operand::Input(1)),
            ("y", Operand::Output(0)),
            ("fault", Operand::Fault),
        ];
        operands.extend(&self.further);
        run.dispatch(&self.program, &operands, &words, groups)
    }
}
