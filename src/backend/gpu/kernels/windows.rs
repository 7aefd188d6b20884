//! Convolutions as implicit products: a row is a window of the input, a column a filter.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernels::{
            code::{bindings, borrowed, space},
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
    op::Packing,
    ops::conv::{Layout, geometry::Geometry},
    tensor::Tensor,
};

const SHADER: Shader = wgsl!("conv");

/// The windows of a convolution.
pub(super) struct Windows<'a> {
    pub kernel: &'a [usize],
    pub strides: &'a [usize],
    pub dilations: &'a [usize],
    pub groups: usize,
    /// Channels and filters of a group.
    pub channels: usize,
    pub filters: usize,
    /// Whether strides lie between the input's positions, and pads are cut off the result: a transposed convolution.
    pub is_transposed: bool,
    /// WGSL of what follows the sum `v`.
    pub activation: String,
}

/// The shader and the packed weights of a convolution.
pub(super) struct WindowProduct {
    program: Arc<Program>,
    tile: Tile,
    held: Held,
    weights: WeightId,
    has_bias: bool,
    is_transposed: bool,
}

impl Windows<'_> {
    /// Where the weights `[C, M / groups, taps]` or `[M, C / groups, taps]` hold a number.
    fn weight_at(&self, taps: usize, group: usize, (tap, channel, filter): (usize, usize, usize)) -> usize {
        match self.is_transposed {
            true => ((group * self.channels + channel) * self.filters + filter) * taps + tap,
            false => ((group * self.filters + filter) * self.channels + channel) * taps + tap,
        }
    }

    /// Packs the constant weights `tensor`, the second operand, and expands the shader.
    pub(super) fn product(&self, request: &GpuRequest<'_>, tensor: &Tensor) -> Result<WindowProduct> {
        let (channels, taps) = (self.channels, self.kernel.iter().product::<usize>());
        let tile = Tile::of(self.filters);
        let held = Held::of(request.format, tensor.as_slice::<f32>()?.iter().copied());
        let name = if self.is_transposed { "transposed windows" } else { "windows" };
        let packing = Packing { name, parameter: (self.groups as u64) << 32 | tile.bn as u64 };
        let weights = request.take_weight(1, packing, |tensor| {
            let values = tensor.as_slice::<f32>()?;
            let mut packed = Vec::new();
            for group in 0..self.groups {
                // A row is a tap and a channel, a column a filter.
                packed.extend(tile.pack(held, taps * channels, self.filters, |row, filter| {
                    values[self.weight_at(taps, group, (row / channels, row % channels, filter))]
                }));
            }
            Ok(vec![packed])
        })?;
        let Some(&weights) = weights.as_ref().and_then(|parts| parts.first()) else {
            return Err(Error::internal("constant weights were not packed"));
        };
        let has_bias = request.inputs().fact(2).is_some();
        let program = request.program(&SHADER, &borrowed(&self.code(tile, held, has_bias)))?;
        Ok(WindowProduct { program, tile, held, weights, has_bias, is_transposed: self.is_transposed })
    }

    fn code(&self, tile: Tile, held: Held, has_bias: bool) -> Vec<(&'static str, String)> {
        let mut bound = vec![("x", "f32", false), ("w", held.kind(), false), ("y", "f32", true)];
        if has_bias {
            bound.push(("bias", "f32", false));
        }
        // Four adjacent summands share a tap if the channels of a group are a multiple of four.
        let load_a = if self.channels.is_multiple_of(4) && self.channels > 0 {
            "    let at = summand(own, k);\n    if at == 0xffffffffu {\n        return vec4<f32>();\n    }\n    let c = p.x_step[1];\n    \
             return vec4<f32>(x[at], x[at + c], x[at + 2u * c], x[at + 3u * c]);"
                .to_owned()
        } else {
            let one = |place: usize| format!("input_at(summand(own, k + {place}u))");
            format!("    return vec4<f32>({}, {}, {}, {});", one(0), one(1), one(2), one(3))
        };
        let (first_tap, place) = match self.is_transposed {
            false => ("at * stride - pad", "    return first + tap * dilation;"),
            true => (
                "at + pad",
                "    let distance = tap * dilation;\n    if distance > first || (first - distance) % stride != 0u {\n        \
                 return 0xffffffffu;\n    }\n    return (first - distance) / stride;",
            ),
        };
        let mut values = tile.values();
        values.extend([
            ("bindings", bindings(&bound)),
            ("kernel", space(self.kernel)),
            ("stride", space(self.strides)),
            ("dilation", space(self.dilations)),
            ("first_tap", first_tap.to_owned()),
            ("place", place.to_owned()),
            ("load_a", load_a),
            ("load_b", held.load("own_group * p.group_weights + (k * p.width + column) / 4u")),
            ("bias", if has_bias { " + bias[filter_number]" } else { "" }.to_owned()),
            ("activation", self.activation.clone()),
        ]);
        values
    }
}

impl WindowProduct {
    /// Records the product into `to`, with its channels last if `y_last`.
    pub(super) fn record(&self, run: &mut Recorder<'_>, own: &Geometry, y_last: bool, to: Operand) -> Result<()> {
        let taps: usize = own.kernel.iter().product();
        let positions: usize = own.out.iter().product();
        let volume: usize = own.size.iter().product();
        let (channels, filters) = (own.channels / own.groups.max(1), own.filters / own.groups.max(1));
        let (m, k) = (own.items * positions, taps * channels);
        let tiles = filters.div_ceil(self.tile.bn);
        let tiles_of_group = m.div_ceil(self.tile.bm) * tiles;
        let groups = tiles_of_group * own.groups;
        let (rows, width) = self.tile.padded(k, filters);
        let steps = |is_last: bool, channels: usize, positions: usize| match is_last {
            true => [channels * positions, 1, channels],
            false => [channels * positions, positions, 1],
        };
        let x_step = steps(own.layout == Layout::ChannelsLast, own.channels, volume);
        let y_step = steps(y_last, own.filters, positions);
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
        // Of a transposed convolution most summands lie between the input's positions.
        let between: usize = if self.is_transposed { own.strides.iter().product() } else { 1 };
        run.work(2 * m * k * filters * own.groups / between.max(1));
        run.loops(self.tile.turns(k))?;
        let mut operands = vec![("x", Operand::Input(0)), ("w", Operand::Weight(self.weights)), ("y", to)];
        if self.has_bias {
            operands.push(("bias", Operand::Input(2)));
        }
        run.dispatch(&self.program, &operands, &words, groups)
    }
}
