//! Norms: rows are centred, divided by a measure of the rest, and weighted.

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
    error::{Error, Result},
    graph::Fact,
    ops::norm::{
        channel_norm::{ChannelNorm, Statistics},
        l2_normalize::L2Normalize,
        layer_norm::LayerNorm,
        lp_normalize::{LpNormalize, RmsNorm},
    },
    shape::Shape,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "norm", make };

const SHADER: Shader = wgsl!("norm");

/// WGSL for the mean of a row.
const CENTRED: &str = "    var sum = 0.0;
    for (var i = lane; i < p.axis; i += 64u) {
        sum += {x}[start + i * p.inner];
    }
    let mean = row_sum(lane, sum) / f32(p.axis);";

/// How a row is normalised, as WGSL expressions.
struct Formula {
    is_centred: bool,
    each: &'static str,
    length: &'static str,
    result: &'static str,
}

const VARIANCE: Formula = Formula {
    is_centred: true,
    each: "own * own",
    length: "sqrt(total / f32(p.axis) + p.epsilon)",
    result: "own * (1.0 / length)",
};
const ROOT_MEAN_SQUARE: Formula = Formula { is_centred: false, ..VARIANCE };
const LENGTH: Formula =
    Formula { is_centred: false, each: "own * own", length: "larger(sqrt(total), p.epsilon)", result: "own / length" };
// A row of zeros stays unchanged.
const EUCLIDEAN: Formula = Formula { length: "select(sqrt(total), 1.0, total == 0.0)", ..LENGTH };
const MAGNITUDE: Formula = Formula { each: "abs(own)", length: "select(total, 1.0, total == 0.0)", ..LENGTH };

/// How the weight of an element is indexed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WeightIndex {
    /// `scales` and `biases` elements repeat along a row.
    Repeated,
    /// Rows are groups of channels, `channels` in each of `groups`, of `plane` elements.
    Channels,
    /// Like `Channels`, with one weight per group.
    Groups,
}

/// The shader of one norm.
pub(super) struct Norm {
    program: Arc<Program>,
    epsilon: f32,
    in_place: bool,
    /// Position of the operand, if present.
    scale: Option<usize>,
    bias: Option<usize>,
}

/// A tensor as `[rows / inner, axis, inner]`, whose middle axis is normalised.
pub(super) struct Rows {
    pub rows: usize,
    pub axis: usize,
    pub inner: usize,
}

impl Norm {
    fn new(
        request: &GpuRequest<'_>,
        formula: &Formula,
        epsilon: f32,
        weights: WeightIndex,
        [scale, bias]: [Option<usize>; 2],
        in_place: bool,
    ) -> Result<Self> {
        let x = if in_place { "y" } else { "x" };
        let mut bound = vec![("y", "f32", true)];
        if !in_place {
            bound.push(("x", "f32", false));
        }
        let (fields, scale_at, bias_at) = match weights {
            WeightIndex::Repeated => ("    scales: u32,\n    biases: u32,", "i % p.scales", "i % p.biases"),
            WeightIndex::Channels => {
                let at = "(row % p.groups) * p.channels + i / p.plane";
                ("    groups: u32,\n    channels: u32,\n    plane: u32,", at, at)
            }
            WeightIndex::Groups => ("    groups: u32,", "row % p.groups", "row % p.groups"),
        };
        let mut result = formula.result.to_owned();
        for (name, operand, at) in [("scale", scale, scale_at), ("bias", bias, bias_at)] {
            if operand.is_some() {
                bound.push((name, "f32", false));
                let sign = if name == "scale" { "*" } else { "+" };
                result = format!("{result} {sign} {name}[{at}]");
            }
        }
        let mean = if formula.is_centred { CENTRED.replace("{x}", x) } else { "    let mean = 0.0;".to_owned() };
        let values = [
            ("fields", fields),
            ("bindings", &*bindings(&bound)),
            ("mean", &mean),
            ("x", x),
            ("each", formula.each),
            ("length", formula.length),
            ("result", &result),
        ];
        Ok(Self { program: request.program(&SHADER, &values)?, epsilon, in_place, scale, bias })
    }

    /// The norm over the last axis of a result, in place.
    pub(super) fn behind(request: &GpuRequest<'_>, epsilon: f32, weights: [Option<usize>; 2]) -> Result<Self> {
        Self::new(request, &VARIANCE, epsilon, WeightIndex::Repeated, weights, true)
    }

    fn record_with(&self, run: &mut Recorder<'_>, rows: &Rows, weights: &[usize]) -> Result<()> {
        // Empty rows have no elements to write.
        let count = if rows.axis == 0 { 0 } else { rows.rows };
        let mut words = vec![word(count)?, word(rows.axis)?, word(rows.inner.max(1))?, self.epsilon.to_bits()];
        for &number in weights {
            words.push(word(number.max(1))?);
        }
        let mut operands = vec![("y", Operand::Output(0))];
        if !self.in_place {
            operands.push(("x", Operand::Input(0)));
        }
        operands.extend(self.scale.map(|index| ("scale", Operand::Input(index))));
        operands.extend(self.bias.map(|index| ("bias", Operand::Input(index))));
        run.loops(3 * rows.axis.div_ceil(64))?;
        run.dispatch(&self.program, &operands, &words, count)
    }

    /// Records the norm with weights that repeat along the rows.
    pub(super) fn record(&self, run: &mut Recorder<'_>, rows: &Rows) -> Result<()> {
        let len = |index: Option<usize>| match index {
            Some(index) => run.input(index).map(|shape| shape.iter().product()),
            None => Ok(1),
        };
        let lens = [len(self.scale)?, len(self.bias)?];
        self.record_with(run, rows, &lens)
    }
}

/// The axes that form a row.
enum Axes {
    /// From the first axis up to, but not including, the last.
    Between(usize, usize),
    /// Groups of channels with all axes after them.
    Groups { groups: Option<usize>, is_grouped: bool },
}

struct Kernel {
    norm: Norm,
    axes: Axes,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let inputs = request.inputs();
    let shape = &request.input(0)?.shape;
    let rank = shape.rank();
    let repeated = WeightIndex::Repeated;
    let present = |index: usize| inputs.id(index).map(|_| index);
    let (norm, axes) = if let Ok(op) = request.op::<LayerNorm>() {
        let (Some(&from), Some(&last)) = (op.axes.first(), op.axes.last()) else {
            return Err(Error::internal("layer norm over no axes"));
        };
        let whole: Shape = shape.dims()[from..=last].iter().cloned().collect();
        // Weights cover all of the axes, or the last ones and repeat.
        let repeats = |fact: &Fact| {
            let skipped = whole.rank().checked_sub(fact.shape.rank());
            skipped.is_some_and(|skipped| whole.dims()[skipped..] == *fact.shape.dims())
        };
        if ![1, 2].into_iter().filter_map(|index| inputs.fact(index)).all(repeats) {
            return Ok(Made::Host("weights that are stretched within a row"));
        }
        let weights = [present(1), present(2)];
        (Norm::new(request, &VARIANCE, op.epsilon, repeated, weights, false)?, Axes::Between(from, last + 1))
    } else if let Ok(op) = request.op::<RmsNorm>() {
        let norm = Norm::new(request, &ROOT_MEAN_SQUARE, op.epsilon, repeated, [present(1), None], false)?;
        (norm, Axes::Between(shape.axis(op.axis)?, rank))
    } else if let Ok(op) = request.op::<L2Normalize>() {
        let norm = Norm::new(request, &LENGTH, op.epsilon, repeated, [None, None], false)?;
        (norm, Axes::Between(rank.saturating_sub(1), rank))
    } else if let Ok(op) = request.op::<LpNormalize>() {
        let formula = if op.euclidean { &EUCLIDEAN } else { &MAGNITUDE };
        let axis = shape.axis(op.axis)?;
        (Norm::new(request, formula, 0.0, repeated, [None, None], false)?, Axes::Between(axis, axis + 1))
    } else {
        let op: &ChannelNorm = request.op()?;
        let (groups, is_grouped) = match op.statistics {
            Statistics::Given => return Err(Error::internal("statistics that are given are not worked out")),
            Statistics::Channel => (None, false),
            Statistics::Group { groups, grouped_weights } => (Some(groups), grouped_weights),
        };
        let weights = if is_grouped { WeightIndex::Groups } else { WeightIndex::Channels };
        let norm = Norm::new(request, &VARIANCE, op.epsilon, weights, [Some(1), Some(2)], false)?;
        (norm, Axes::Groups { groups, is_grouped })
    };
    Made::kernel(Kernel { norm, axes })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let shape = run.input(0)?;
        match self.axes {
            Axes::Between(from, to) => {
                let inner: usize = shape[to..].iter().product();
                let rows = shape[..from].iter().product::<usize>() * inner;
                let rows = Rows { rows, axis: shape[from..to].iter().product(), inner };
                self.norm.record(run, &rows)
            }
            Axes::Groups { groups, is_grouped } => {
                let groups = groups.unwrap_or(shape[1]);
                let channels = shape[1].checked_div(groups).unwrap_or(0);
                let plane: usize = shape[2..].iter().product();
                let rows = Rows { rows: shape[0] * groups, axis: channels * plane, inner: 1 };
                let numbers = [groups, channels, plane];
                self.norm.record_with(run, &rows, &numbers[..if is_grouped { 1 } else { 3 }])
            }
        }
    }
}
