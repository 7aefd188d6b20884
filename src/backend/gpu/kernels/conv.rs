//! `Conv`: an implicit matrix product, for every layout, group count and padding.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            code::{bindings, borrowed, space},
            functions::activation,
            held::Held,
            product::Tile,
        },
        operand::{Operand, WeightId},
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    op::{Packing, Shapes},
    ops::conv::{Conv, Layout, geometry::Geometry},
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "conv", make };

const SHADER: Shader = wgsl!("conv");
const COLUMN_MAX: Shader = wgsl!("column_max");

struct Kernel {
    op: Conv,
    program: Arc<Program>,
    column_max: Option<Arc<Program>>,
    tile: Tile,
    held: Held,
    weights: WeightId,
    shape: Vec<usize>,
    bias: bool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Conv = request.op()?;
    let Some(activation) = activation(op.activation, "v") else {
        return Ok(Made::Host("an activation that its shader has not"));
    };
    let Some(shape) = request.constant(1).map(|tensor| tensor.shape().to_vec()) else {
        return Ok(Made::Host("weights that are known only when it runs"));
    };
    let (filters, channels) = (shape[0] / op.groups, shape[1]);
    let taps: usize = op.kernel.iter().product();
    let tile = Tile::of(filters);
    let parameter = (op.groups as u64) << 32 | tile.bn as u64;
    let held = match request.constant(1) {
        Some(tensor) => Held::of(request.format, tensor.as_slice::<f32>()?.iter().copied()),
        None => Held::AS_THEY_ARE,
    };
    let weights = request.take_weight(1, Packing { name: "windows", parameter }, |tensor| {
        let values = tensor.as_slice::<f32>()?;
        let mut packed = Vec::new();
        for group in 0..op.groups {
            // A row is a tap and a channel, a column a filter.
            packed.extend(tile.pack(held, taps * channels, filters, |row, column| {
                let (tap, channel) = (row / channels, row % channels);
                values[((group * filters + column) * channels + channel) * taps + tap]
            }));
        }
        Ok(vec![packed])
    })?;
    let Some(&weights) = weights.as_ref().and_then(|parts| parts.first()) else {
        return Err(Error::internal("constant weights were not packed"));
    };
    let bias = request.inputs().fact(2).is_some();
    let mut bound = vec![("x", "f32", false), ("w", held.kind(), false), ("y", "f32", true)];
    if bias {
        bound.push(("bias", "f32", false));
    }
    // Four adjacent summands share a tap if the channels of a group are a multiple of four.
    let load_a = if channels.is_multiple_of(4) && channels > 0 {
        "    let at = summand(own, k);\n    if at == 0xffffffffu {\n        return vec4<f32>();\n    }\n    let c = p.x_step[1];\n    \
         return vec4<f32>(x[at], x[at + c], x[at + 2u * c], x[at + 3u * c]);"
            .to_owned()
    } else {
        let one = |place: usize| format!("input_at(summand(own, k + {place}u))");
        format!("    return vec4<f32>({}, {}, {}, {});", one(0), one(1), one(2), one(3))
    };
    let mut values = tile.values();
    values.extend([
        ("bindings", bindings(&bound)),
        ("kernel", space(&op.kernel)),
        ("stride", space(&op.strides)),
        ("dilation", space(&op.dilations)),
        ("load_a", load_a),
        ("load_b", held.load("own_group * p.group_weights + (k * p.width + column) / 4u")),
        ("bias", if bias { " + bias[filter_number]" } else { "" }.to_owned()),
        ("activation", activation),
    ]);
    let program = request.program(&SHADER, &borrowed(&values))?;
    let column_max = op.global_max.then(|| request.program(&COLUMN_MAX, &[])).transpose()?;
    Made::kernel(Kernel { op: op.clone(), program, column_max, tile, held, weights, shape, bias })
}

impl Kernel {
    fn geometry(&self, input: &[usize]) -> Result<Geometry> {
        Geometry::unflattened(&self.op, input, &self.shape)
    }
}

impl GpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> u64 {
        if !self.op.global_max {
            return 0;
        }
        let geometry = shapes.inputs[0].and_then(|input| self.geometry(input).ok());
        geometry.map_or(0, |own| 4 * (own.items * own.filters * own.out.iter().product::<usize>()) as u64)
    }

    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let own = self.geometry(run.input(0)?)?;
        let taps: usize = own.kernel.iter().product();
        let positions: usize = own.out.iter().product();
        let volume: usize = own.size.iter().product();
        let (channels, filters) = (own.channels / own.groups.max(1), own.filters / own.groups.max(1));
        let (m, k) = (own.items * positions, taps * channels);
        let tiles = filters.div_ceil(self.tile.bn);
        let tiles_of_group = m.div_ceil(self.tile.bm) * tiles;
        let groups = tiles_of_group * own.groups;
        let (rows, width) = self.tile.padded(k, filters);
        let last = |channels: usize, positions: usize| [channels * positions, 1, channels];
        let first = |channels: usize, positions: usize| [channels * positions, positions, 1];
        let is_last = self.op.layout == Layout::ChannelsLast;
        let x_step = if is_last { last(own.channels, volume) } else { first(own.channels, volume) };
        // An output that is reduced afterwards has its channels last.
        let y_last = is_last || self.op.global_max;
        let y_step = if y_last { last(own.filters, positions) } else { first(own.filters, positions) };
        let mut words = Vec::with_capacity(25);
        for number in
            [m, k, filters, channels.max(1), tiles.max(1), tiles_of_group.max(1), groups, width, rows * width / 4]
        {
            words.push(word(number)?);
        }
        for number in own.size.iter().chain(&own.out).chain(&own.pads).chain(&x_step).chain(&y_step) {
            words.push(word(*number)?);
        }
        words.push(self.held.factor());
        run.work(2 * m * k * filters * own.groups);
        run.loops(self.tile.turns(k).max(if self.op.global_max { positions } else { 0 }))?;
        let to = if self.op.global_max { Operand::Scratch } else { Operand::Output(0) };
        let mut operands = vec![("x", Operand::Input(0)), ("w", Operand::Weight(self.weights)), ("y", to)];
        if self.bias {
            operands.push(("bias", Operand::Input(2)));
        }
        run.dispatch(&self.program, &operands, &words, groups)?;
        if let Some(program) = &self.column_max {
            let words = [word(own.items)?, word(positions)?, word(own.filters)?];
            // Without positions there is no scratch; the shader reads nothing, so any operand will do.
            let from = if positions == 0 { Operand::Input(0) } else { Operand::Scratch };
            let groups = (own.items * own.filters).div_ceil(64);
            run.dispatch(program, &[("x", from), ("y", Operand::Output(0))], &words, groups)?;
        }
        Ok(())
    }
}
