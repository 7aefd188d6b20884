//! `Resize`: grids sampled by tables of positions and weights, which are made when the model is loaded.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::code::bindings,
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::Result,
    ops::image::resize::{Change, Coordinates, Mode, Nearest, Resize},
    shape::Dim,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "resize", make };

const SHADER: Shader = wgsl!("resize");

/// Samples of one number at most; the host goes along one axis after another, which more are worth.
const MOST_SAMPLES: usize = 1024;

/// The names of the tables of the resized axes.
const TABLES: [&str; 3] = ["taps_0", "taps_1", "taps_2"];

struct Kernel {
    program: Arc<Program>,
    /// The resized axes, ascending.
    axes: Vec<usize>,
    /// The tables of those that have one, by the shader's names.
    tables: Vec<(&'static str, Operand)>,
    /// Rounds of the loops over the samples of a number.
    rounds: usize,
}

/// Where the samples of an axis come from.
enum Source {
    /// A table. For the nearest: the place of each position. Else where the taps of each position begin and the end, then
    /// the place and the weight of each tap.
    Table {
        table: Vec<u32>,
        /// The most taps of a position.
        most: usize,
    },
    /// The nearest of an axis that is repeated so many times, whatever its size.
    Repeat(usize),
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Resize = request.op()?;
    if op.coordinates == Coordinates::Crop {
        return Ok(Made::Host("a region that is known only when it runs"));
    }
    let (x, y) = (request.input(0)?, request.output(0)?);
    let is_nearest = op.mode == Mode::Nearest;
    if !is_nearest && x.dtype != DType::F32 {
        return Ok(Made::Host("lines between integers"));
    }
    let common = op.common_scale(&x.shape)?;
    let fixed = |dim: &Dim| dim.as_fixed().and_then(|size| usize::try_from(size).ok());
    let mut axes = Vec::new();
    for axis in 0..x.shape.rank() {
        if let Some(times) = repeats(op, axis) {
            axes.extend((times > 1).then_some((axis, Source::Repeat(times))));
            continue;
        }
        let (Some(from), Some(to)) = (fixed(&x.shape[axis]), fixed(&y.shape[axis])) else {
            return Ok(Made::Host("sizes that are known only when it runs"));
        };
        let Some(taps) = op.taps(axis, (from, to), common, None)? else { continue };
        let places = (0..to).map(|at| taps.of(at));
        let mut table: Vec<u32> = Vec::new();
        if is_nearest {
            table.extend(places.flatten().map(|tap| tap.0 as u32));
        } else {
            let ends = places.clone().scan(0, |end, taps| {
                *end += taps.len() as u32;
                Some(*end)
            });
            table.extend(std::iter::once(0).chain(ends));
            table.extend(places.flatten().flat_map(|&(place, weight)| [place as u32, (weight as f32).to_bits()]));
        }
        let most = (0..to).map(|at| taps.of(at).len()).max().unwrap_or(0);
        axes.push((axis, Source::Table { table, most }));
    }
    if axes.len() > TABLES.len() {
        return Ok(Made::Host("more than three axes of other sizes"));
    }
    let rounds = samples(&axes);
    if rounds > MOST_SAMPLES {
        return Ok(Made::Host("too many samples of each number"));
    }
    let kind = if is_nearest { "u32" } else { "f32" };
    let mut bound = vec![("x", kind, false), ("y", kind, true)];
    let mut tables = Vec::new();
    for (name, (_, source)) in TABLES.into_iter().zip(&axes) {
        if let Source::Table { table, .. } = source {
            bound.push((name, "u32", false));
            tables.push((name, Operand::Weight(request.add_weight(bytemuck::cast_slice(table).to_vec())?)));
        }
    }
    let sample = if is_nearest { nearest(&axes) } else { weighted(&axes) };
    let program = request.program(&SHADER, &[("bindings", &bindings(&bound)), ("sample", &sample)])?;
    Made::kernel(Kernel { program, axes: axes.into_iter().map(|(axis, _)| axis).collect(), tables, rounds })
}

/// How many times each position of an axis stands in the result, whatever its size; `None` where sizes or weights count.
fn repeats(op: &Resize, axis: usize) -> Option<usize> {
    let scale = match op.changes[axis] {
        Change::Keep => 1.0,
        Change::Scale(scale) => scale,
        Change::Size(_) => return None,
    };
    // Half pixels from the middle of a repeated position lie less than half of one away.
    let repeats = matches!(
        (op.coordinates, op.nearest),
        (Coordinates::Asymmetric, Nearest::Floor) | (Coordinates::HalfPixel, Nearest::RoundDown | Nearest::RoundUp)
    );
    let is_whole = (1.0..=16.0).contains(&scale) && scale.fract() == 0.0;
    (scale == 1.0 || (op.mode == Mode::Nearest && repeats && is_whole)).then_some(scale as usize)
}

/// Rounds of the loops over the samples of a number.
fn samples(axes: &[(usize, Source)]) -> usize {
    let of = |(_, source): &(usize, Source)| match source {
        Source::Table { most, .. } => most.saturating_add(1),
        Source::Repeat(_) => 1,
    };
    axes.iter().map(of).fold(1, usize::saturating_mul)
}

/// WGSL that copies the nearest number, bit for bit.
fn nearest(axes: &[(usize, Source)]) -> String {
    let mut text = String::new();
    for (own, ((_, source), table)) in axes.iter().zip(TABLES).enumerate() {
        text += &match source {
            Source::Table { .. } => format!("    own[{own}] = {table}[own[{own}]];\n"),
            Source::Repeat(times) => format!("    own[{own}] /= {times}u;\n"),
        };
    }
    text + "    y[i] = x[place(kept, own)];"
}

/// WGSL that sums the samples of all axes.
fn weighted(axes: &[(usize, Source)]) -> String {
    let (mut text, mut ends) = ("    let out = own;\n    var sum = 0.0;\n".to_owned(), String::new());
    let mut weight = String::new();
    for (own, table) in (0..axes.len()).zip(TABLES) {
        text += &format!(
            "    for (var tap_{own} = {table}[out[{own}]]; tap_{own} < {table}[out[{own}] + 1u]; tap_{own}++) {{
    own[{own}] = {table}[p.out[{own}] + 1u + 2u * tap_{own}];
    let weight_{own} = bitcast<f32>({table}[p.out[{own}] + 2u + 2u * tap_{own}]);
"
        );
        weight += &format!("weight_{own} * ");
        ends.push_str("    }\n");
    }
    text + &format!("    sum += {weight}x[place(kept, own)];\n{ends}    y[i] = sum;")
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let (x, y) = (run.input(0)?, run.output(0)?);
        let (mut size, mut out, mut behind) = ([1; 3], [1; 3], [1; 3]);
        let ends = self.axes.iter().skip(1).copied().chain([x.len()]);
        for (own, (&axis, end)) in self.axes.iter().zip(ends).enumerate() {
            (size[own], out[own]) = (x[axis], y[axis]);
            behind[own] = x[axis + 1..end].iter().product();
        }
        let count: usize = y.iter().product();
        let mut words = vec![word(count)?];
        for number in size.into_iter().chain(out).chain(behind) {
            words.push(word(number.max(1))?);
        }
        let mut operands = vec![("x", Operand::Input(0)), ("y", Operand::Output(0))];
        operands.extend(&self.tables);
        run.loops(self.rounds)?;
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}
