//! Convolutions as products: windows of channels-last data are rows that overlap, so that none is copied.
//!
//! Input in another layout, or with zeros around it, is brought into scratch a block at a time. Where lines are short
//! and the weights large, the windows of a block are copied one behind another all the same. Where products are of
//! bf16 a block's input is rounded before that.

use std::sync::Arc;

use half::bf16;
use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        depthwise::{self, Depthwise},
        gemm::{
            self, Epilogue, Factors, Matrix, Packed, PackedRef, Rows, Segment, gemm, gemm_max, pack_into, pack_len,
            rounded, rounded_len,
        },
        transpose,
    },
    op::{CpuKernel, Form, Io, KernelRequest, Shapes, scratch_numbers},
    ops::conv::{
        Conv, Layout,
        geometry::{Block, Geometry},
    },
};

enum Weights {
    /// A matrix for each group.
    Packed(Arc<[Packed]>),
    /// Of filters that see one channel each: taps, each of a number a channel.
    Depthwise(Vec<f32>),
    /// Known only in a run.
    Run,
}

struct Kernel {
    op: Conv,
    set: KernelSet,
    weights: Weights,
    /// The weights' dimensions.
    shape: Vec<usize>,
}

pub(crate) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set, factors) = (request.op::<Conv>()?.clone(), request.kernel_set(), request.factors());
    let shape = request.input(1)?.shape.as_fixed();
    let shape = shape.ok_or_else(|| Error::internal("weights of symbolic shape were not refused"))?;
    let depthwise = op.groups > 1 && shape[1] == 1 && shape[0] == op.groups;
    let weights = if let Some(tensor) = request.constant(1).filter(|_| depthwise) {
        request.take_constant(1);
        let taps = op.kernel.iter().product();
        let mut turned = vec![0.0; taps * op.groups];
        transpose(set, tensor.as_slice()?, taps, op.groups, taps, &mut turned, op.groups);
        Weights::Depthwise(turned)
    } else {
        let form = Form { name: "convolution", parameter: op.groups as u64 };
        let packed = request.take_packed(1, form, |tensor| {
            let weights = tensor.as_slice::<f32>()?;
            let (k, n) = (shape[1..].iter().product(), shape[0] / op.groups);
            let mut turned = vec![0.0; k * n];
            (0..op.groups)
                .map(|group| {
                    turn_filters(set, &weights[group * n * k..][..n * k], shape[1], n, &mut turned);
                    let matrix = Matrix::new(&turned, k, n, gemm::Layout::Transposed);
                    Packed::with_factors(set, factors, &matrix, op.segment(shape[1]))
                })
                .collect()
        })?;
        packed.map_or(Weights::Run, Weights::Packed)
    };
    Ok(Box::new(Kernel { op, set, weights, shape }))
}

impl Conv {
    /// Numbers of a window that lie together in channels-last data, for groups of `channels`.
    fn segment(&self, channels: usize) -> usize {
        match (self.kernel.last(), self.dilations.last()) {
            (Some(&width), Some(&dilation)) if self.groups == 1 && (dilation == 1 || width == 1) => width * channels,
            _ => channels,
        }
    }
}

/// Brings filters of `channels x taps` numbers into the order of a window of channels-last data, `taps x channels`.
fn turn_filters(set: KernelSet, filters: &[f32], channels: usize, count: usize, to: &mut [f32]) {
    let k = filters.len() / count.max(1);
    let taps = k / channels.max(1);
    for filter in 0..count {
        let (from, to) = (&filters[filter * k..][..k], &mut to[filter * k..][..k]);
        transpose(set, from, taps, channels, taps, to, channels);
    }
}

/// The matrices of all groups.
enum Groups<'a> {
    Packed(&'a [Packed]),
    Run(SmallVec<[PackedRef<'a>; 2]>),
}

impl Groups<'_> {
    fn get(&self, group: usize) -> PackedRef<'_> {
        match self {
            Self::Packed(packed) => (&packed[group]).into(),
            Self::Run(packed) => packed[group],
        }
    }
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        match &self.weights {
            Weights::Depthwise(weights) => size_of_val(weights.as_slice()),
            _ => 0,
        }
    }

    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let numbers = || {
            let geometry = Geometry::new(&self.op, shapes.inputs[0]?, &self.shape).ok()?;
            let [input, gathered, results] = geometry.scratch(self.keeps_results())?;
            let rounded = rounded_len(self.factors(), most_input(&geometry, input));
            let run = match self.weights {
                Weights::Run => self.run_scratch(&geometry)?,
                _ => 0,
            };
            let sum = input.checked_add(gathered)?.checked_add(results)?.checked_add(rounded)?;
            sum.checked_add(geometry.filters.checked_next_multiple_of(16)?)?.checked_add(run)?.checked_mul(4)
        };
        // Shapes that do not fit are refused by the run.
        if shapes.inputs[0].is_some_and(|x| Geometry::new(&self.op, x, &self.shape).is_err()) {
            return 0;
        }
        numbers().unwrap_or(usize::MAX)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let geometry = Geometry::new(&self.op, x.shape, &self.shape)?;
        let weights = io.inputs.get(1).copied().flatten();
        let bias = io.inputs.get(2).copied().flatten().map(|bias| bias.slice::<f32>()).transpose()?;
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a convolution has no result"))?;
        let output: &mut [f32] = output.slice()?;
        let sizes = geometry.scratch(self.keeps_results()).ok_or_else(|| Error::internal("scratch overflows"))?;
        let scratch = scratch_numbers(io.scratch);
        let (input, scratch) = scratch.split_at_mut(sizes[0]);
        let (gathered, scratch) = scratch.split_at_mut(sizes[1]);
        let (results, scratch) = scratch.split_at_mut(sizes[2]);
        let (largest, scratch) = scratch.split_at_mut(geometry.filters.next_multiple_of(16));
        let (rounding, scratch) = scratch.split_at_mut(rounded_len(self.factors(), most_input(&geometry, sizes[0])));
        let groups = match &self.weights {
            Weights::Packed(packed) => Groups::Packed(packed),
            Weights::Depthwise(_) => Groups::Packed(&[]),
            Weights::Run => {
                let weights = weights.ok_or_else(|| Error::internal("weights are missing"))?;
                Groups::Run(self.pack(&geometry, weights.slice()?, scratch)?)
            }
        };
        if self.op.global_max {
            output.fill(f32::NEG_INFINITY);
        }
        let run = Run { kernel: self, geometry: &geometry, groups, bias };
        let numbers = geometry.positions() * geometry.channels;
        let x = x.slice::<f32>()?;
        for item in 0..geometry.items {
            let x = &x[item * numbers..][..numbers];
            for block in geometry.blocks() {
                let windows = if geometry.direct {
                    Windows::direct(&geometry, x, &block)
                } else {
                    Windows::copied(self.set, &geometry, x, &block, input)
                };
                let windows = match self.factors() {
                    Factors::F32 => windows,
                    Factors::Bf16 => windows.rounded(self.set, rounding)?,
                };
                let windows = if geometry.gathers() { windows.gather(&block, gathered) } else { windows };
                run.block(&windows, item, &block, output, results, &mut largest[..geometry.filters])?;
            }
        }
        Ok(())
    }
}

/// The most numbers that a block's windows are within, of which `copied` are those of its input's copy.
fn most_input(geometry: &Geometry, copied: usize) -> usize {
    if geometry.direct { geometry.positions().saturating_mul(geometry.channels) } else { copied }
}

impl Kernel {
    /// What its products are computed with.
    fn factors(&self) -> Factors {
        match &self.weights {
            Weights::Packed(packed) => packed.first().map_or(Factors::F32, Packed::factors),
            Weights::Depthwise(_) | Weights::Run => Factors::F32,
        }
    }

    /// Whether a block's results are put into scratch before they go where they belong.
    fn keeps_results(&self) -> bool {
        let depthwise = matches!(self.weights, Weights::Depthwise(_));
        if self.op.global_max { depthwise } else { self.op.layout == Layout::ChannelsFirst }
    }

    /// Numbers of scratch for weights known only in a run: a group's filters turned, and all groups' packed.
    fn run_scratch(&self, geometry: &Geometry) -> Option<usize> {
        let (k, n) = (geometry.k(), geometry.group_filters());
        let packed = pack_len(self.set, k, n).ok()?.checked_mul(geometry.groups)?;
        k.checked_mul(n)?.checked_add(packed)
    }

    fn pack<'s>(
        &self,
        geometry: &Geometry,
        weights: &[f32],
        scratch: &'s mut [f32],
    ) -> Result<SmallVec<[PackedRef<'s>; 2]>> {
        let (k, n) = (geometry.k(), geometry.group_filters());
        let (turned, mut scratch) = scratch.split_at_mut(k * n);
        let len = pack_len(self.set, k, n)?;
        let mut packed = SmallVec::new();
        for group in 0..geometry.groups {
            let (own, rest) = scratch.split_at_mut(len);
            scratch = rest;
            turn_filters(self.set, &weights[group * k * n..][..k * n], geometry.group_channels(), n, turned);
            packed.push(pack_into(self.set, &Matrix::new(turned, k, n, gemm::Layout::Transposed), own)?);
        }
        Ok(packed)
    }
}

/// What windows are of.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// A block's windows: the first of each line, and where its numbers are.
struct Windows<'a> {
    data: Numbers<'a>,
    /// Parts of a window of the first group.
    segments: SmallVec<[Segment; 32]>,
    /// From a window to the next of its line, and from a line to the next.
    stride: usize,
    line: usize,
    /// What is left to do: lines, and windows of each.
    lines: usize,
    columns: usize,
}

impl<'a> Windows<'a> {
    /// Windows of `data`, whose planes (of taps along the depth) and lines (of input) are so far apart.
    fn new(geometry: &Geometry, data: &'a [f32], plane: usize, line: usize, block: &Block) -> Self {
        let (channels, [depths, heights, widths]) = (geometry.channels, geometry.kernel);
        let dense = geometry.groups == 1 && geometry.dilations[2] == 1;
        let mut segments = SmallVec::new();
        for depth in 0..depths {
            for height in 0..heights {
                let start = depth * plane + height * geometry.dilations[1] * line;
                if dense {
                    segments.push(Segment { offset: start, len: widths * channels });
                } else {
                    segments.extend((0..widths).map(|width| Segment {
                        offset: start + width * geometry.dilations[2] * channels,
                        len: geometry.group_channels(),
                    }));
                }
            }
        }
        let (stride, line) = (geometry.strides[2] * channels, geometry.strides[1] * line);
        let data = Numbers::F32(data);
        Self { data, segments, stride, line, lines: block.lines, columns: block.columns }
    }

    /// Windows of the input as it lies.
    fn direct(geometry: &Geometry, x: &'a [f32], block: &Block) -> Self {
        let line = geometry.size[2] * geometry.channels;
        let plane = geometry.size[1] * line;
        let first = block.depth * geometry.strides[0] * plane
            + block.line * geometry.strides[1] * line
            + block.column * geometry.strides[2] * geometry.channels;
        Self::new(geometry, &x[first..], geometry.dilations[0] * plane, line, block)
    }

    /// Windows of a copy of what the block needs, zeros around the input included.
    fn copied(set: KernelSet, geometry: &Geometry, x: &[f32], block: &Block, to: &'a mut [f32]) -> Self {
        let (channels, size) = (geometry.channels, geometry.size);
        let (rows, columns) = (geometry.reach(1, block.lines), geometry.reach(2, block.columns));
        let line = columns * channels;
        // What there is of a line: `ahead` zeros, then the input from `start`, `count` positions of it.
        let begin = block.column * geometry.strides[2];
        let ahead = geometry.pads[2].saturating_sub(begin).min(columns);
        let start = (begin + ahead).saturating_sub(geometry.pads[2]).min(size[2]);
        let count = (columns - ahead).min(size[2] - start);
        for depth in 0..geometry.kernel[0] {
            let plane = block.depth * geometry.strides[0] + depth * geometry.dilations[0];
            let plane = plane.checked_sub(geometry.pads[0]).filter(|&plane| plane < size[0]);
            for row in 0..rows {
                let to = &mut to[(depth * rows + row) * line..][..line];
                let height = (block.line * geometry.strides[1] + row).checked_sub(geometry.pads[1]);
                let (Some(plane), Some(height)) = (plane, height.filter(|&height| height < size[1])) else {
                    to.fill(0.0);
                    continue;
                };
                let (zeros, to) = to.split_at_mut(ahead * channels);
                let (to, behind) = to.split_at_mut(count * channels);
                zeros.fill(0.0);
                behind.fill(0.0);
                let from = (plane * size[1] + height) * size[2] + start;
                match geometry.layout {
                    Layout::ChannelsLast => to.copy_from_slice(&x[from * channels..][..count * channels]),
                    Layout::ChannelsFirst if count * channels > 0 => {
                        transpose(set, &x[from..], geometry.positions(), channels, count, to, channels);
                    }
                    Layout::ChannelsFirst => {}
                }
            }
        }
        Self::new(geometry, to, rows * line, line, block)
    }

    /// The same windows of numbers rounded to bf16.
    fn rounded(self, set: KernelSet, to: &'a mut [f32]) -> Result<Self> {
        let Numbers::F32(data) = self.data else { return Ok(self) };
        let end = self.segments.iter().map(|segment| segment.offset + segment.len).max().unwrap_or(0);
        let last = self.lines.saturating_sub(1) * self.line + self.columns.saturating_sub(1) * self.stride;
        // Windows of a further group begin later, by less than a position's channels: `stride` is at least those.
        let (data, _) = rounded(set, &data[..data.len().min(last + end + self.stride)], to)?;
        Ok(Self { data: Numbers::Bf16(data), ..self })
    }

    /// The same windows copied one behind another.
    fn gather(mut self, block: &Block, to: &'a mut [f32]) -> Self {
        let (k, data) = match self.data {
            Numbers::F32(data) => (self.gather_numbers(data, to), Numbers::F32(to)),
            Numbers::Bf16(data) => {
                let to = bytemuck::cast_slice_mut(to);
                (self.gather_numbers(data, to), Numbers::Bf16(to))
            }
        };
        let in_pairs = matches!(data, Numbers::Bf16(_)) && self.segments.iter().any(|segment| segment.len % 2 == 1);
        if in_pairs {
            // The weights are packed for these segments.
            let mut end = 0;
            for segment in &mut self.segments {
                segment.offset = end;
                end += segment.len;
            }
        } else {
            self.segments = SmallVec::from_slice(&[Segment { offset: 0, len: k }]);
        }
        Self { data, segments: self.segments, stride: k, line: 0, lines: 1, columns: block.positions() }
    }

    /// Copies the windows of `data`; how many numbers each has.
    fn gather_numbers<T: Copy>(&self, data: &[T], to: &mut [T]) -> usize {
        let mut at = 0;
        for line in 0..self.lines {
            for column in 0..self.columns {
                let window = &data[line * self.line + column * self.stride..];
                for segment in &self.segments {
                    to[at..at + segment.len].copy_from_slice(&window[segment.offset..][..segment.len]);
                    at += segment.len;
                }
            }
        }
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// The windows of one line and one group of `data`, as the left side of a product.
    fn rows<'s, T>(&'s self, data: &'s [T], line: usize, channel: usize) -> Rows<'s, T> {
        let data = &data[(line * self.line + channel).min(data.len())..];
        Rows { data, rows: self.columns, stride: self.stride, segments: &self.segments }
    }
}

/// One run, its weights at hand.
struct Run<'a> {
    kernel: &'a Kernel,
    geometry: &'a Geometry,
    groups: Groups<'a>,
    bias: Option<&'a [f32]>,
}

impl Run<'_> {
    /// Computes a block and puts its results where they belong.
    fn block(
        &self,
        windows: &Windows<'_>,
        item: usize,
        block: &Block,
        output: &mut [f32],
        results: &mut [f32],
        largest: &mut [f32],
    ) -> Result<()> {
        let filters = self.geometry.filters;
        if self.kernel.op.global_max {
            let output = &mut output[item * filters..][..filters];
            return self.max(windows, results, output, largest);
        }
        let [_, height, width] = self.geometry.out;
        let first = (block.depth * height + block.line) * width + block.column;
        let item = &mut output[item * self.geometry.out_positions() * filters..];
        match self.geometry.layout {
            // A block of several lines has whole ones, so its results are in one piece.
            Layout::ChannelsLast => self.products(windows, &mut item[first * filters..][..block.positions() * filters]),
            Layout::ChannelsFirst => {
                let results = &mut results[..block.positions() * filters];
                self.products(windows, results)?;
                let positions = self.geometry.out_positions();
                if !results.is_empty() {
                    transpose(
                        self.kernel.set,
                        results,
                        filters,
                        block.positions(),
                        filters,
                        &mut item[first..],
                        positions,
                    );
                }
                Ok(())
            }
        }
    }

    /// All results of a block, a row of filters for each position.
    fn products(&self, windows: &Windows<'_>, to: &mut [f32]) -> Result<()> {
        let (set, filters) = (self.kernel.set, self.geometry.filters);
        if let Weights::Depthwise(weights) = &self.kernel.weights {
            let Conv { activation, .. } = self.kernel.op;
            let Numbers::F32(data) = windows.data else {
                return Err(Error::internal("a filter of one channel over rounded numbers"));
            };
            for line in 0..windows.lines {
                let rows = windows.rows(data, line, 0);
                let to = &mut to[line * windows.columns * filters..][..windows.columns * filters];
                depthwise::run(set, &Depthwise { rows, weights, bias: self.bias, activation, channels: filters }, to)?;
            }
            return Ok(());
        }
        let n = self.geometry.group_filters();
        for group in 0..self.geometry.groups {
            for line in 0..windows.lines {
                let channel = group * self.geometry.group_channels();
                let to = &mut to[line * windows.columns * filters..][..windows.columns * filters];
                let to = to.get_mut(group * n..).unwrap_or_default();
                let (weights, epilogue) = (self.groups.get(group), self.epilogue(group));
                match windows.data {
                    Numbers::F32(data) => {
                        gemm(set, &windows.rows(data, line, channel), weights, &epilogue, to, filters)
                    }
                    Numbers::Bf16(data) => {
                        gemm(set, &windows.rows(data, line, channel), weights, &epilogue, to, filters)
                    }
                }?;
            }
        }
        Ok(())
    }

    /// Takes a block's results into the largest so far.
    fn max(&self, windows: &Windows<'_>, results: &mut [f32], to: &mut [f32], largest: &mut [f32]) -> Result<()> {
        let filters = self.geometry.filters;
        if let Weights::Depthwise(_) = self.kernel.weights {
            let results = &mut results[..windows.lines * windows.columns * filters];
            self.products(windows, results)?;
            results.chunks_exact(filters.max(1)).for_each(|row| take_larger(to, row));
            return Ok(());
        }
        let n = self.geometry.group_filters();
        for line in 0..windows.lines {
            for group in 0..self.geometry.groups {
                let channel = group * self.geometry.group_channels();
                let largest = &mut largest[group * n..][..n];
                let (set, weights, epilogue) = (self.kernel.set, self.groups.get(group), self.epilogue(group));
                match windows.data {
                    Numbers::F32(data) => {
                        gemm_max(set, &windows.rows(data, line, channel), weights, &epilogue, largest)
                    }
                    Numbers::Bf16(data) => {
                        gemm_max(set, &windows.rows(data, line, channel), weights, &epilogue, largest)
                    }
                }?;
            }
            take_larger(to, largest);
        }
        Ok(())
    }

    fn epilogue(&self, group: usize) -> Epilogue<'_> {
        let n = self.geometry.group_filters();
        let bias = self.bias.map(|bias| &bias[group * n..][..n]);
        Epilogue { bias, activation: self.kernel.op.activation, ..Epilogue::default() }
    }
}

/// The larger of each pair, NaN if either is.
fn take_larger(largest: &mut [f32], row: &[f32]) {
    for (largest, &value) in largest.iter_mut().zip(row) {
        if value > *largest || value.is_nan() {
            *largest = value;
        }
    }
}
