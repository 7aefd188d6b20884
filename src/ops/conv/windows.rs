//! The windows of one block of a convolution, as rows of a product.

use half::bf16;
use smallvec::SmallVec;

use crate::{
    error::Result,
    kernels::{
        KernelSet,
        gemm::{Rows, Segment, rounded},
        transpose,
    },
    ops::conv::{
        Layout,
        geometry::{Block, Geometry},
    },
};

/// The numbers that windows consist of.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// The windows of a block: the first one, and the strides to the others.
pub(super) struct Windows<'a> {
    pub(super) data: Numbers<'a>,
    /// The contiguous parts of a window of the first group.
    segments: SmallVec<[Segment; 32]>,
    /// From a window to the next of its line.
    stride: usize,
    /// From the first window of a line to that of the next.
    line: usize,
    pub(super) lines: usize,
    /// Windows of each line.
    pub(super) columns: usize,
}

impl<'a> Windows<'a> {
    /// Windows of `data`, with the distances between planes (taps along the depth) and input lines.
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

    /// Windows of the input in place.
    pub(super) fn direct(geometry: &Geometry, x: &'a [f32], block: &Block) -> Self {
        let line = geometry.size[2] * geometry.channels;
        let plane = geometry.size[1] * line;
        let first = block.depth * geometry.strides[0] * plane
            + block.line * geometry.strides[1] * line
            + block.column * geometry.strides[2] * geometry.channels;
        Self::new(geometry, &x[first..], geometry.dilations[0] * plane, line, block)
    }

    /// Windows of a copy of the block's input, padding included.
    pub(super) fn copied(set: KernelSet, geometry: &Geometry, x: &[f32], block: &Block, to: &'a mut [f32]) -> Self {
        let (channels, size) = (geometry.channels, geometry.size);
        let (rows, columns) = (geometry.reach(1, block.lines), geometry.reach(2, block.columns));
        let line = columns * channels;
        // A line is `ahead` zeros, then `count` positions of the input from `start`, then zeros.
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

    /// The same windows, rounded to bf16.
    pub(super) fn rounded(self, set: KernelSet, to: &'a mut [f32]) -> Result<Self> {
        let Numbers::F32(data) = self.data else { return Ok(self) };
        let end = self.segments.iter().map(|segment| segment.offset + segment.len).max().unwrap_or(0);
        let last = self.lines.saturating_sub(1) * self.line + self.columns.saturating_sub(1) * self.stride;
        // Windows of a further group begin later, by less than a position's channels: `stride` is
        // at least those.
        let (data, _) = rounded(set, &data[..data.len().min(last + end + self.stride)], to)?;
        Ok(Self { data: Numbers::Bf16(data), ..self })
    }

    /// The same windows, copied one after another.
    pub(super) fn gather(mut self, block: &Block, to: &'a mut [f32]) -> Self {
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

    /// Copies the windows of `data`; returns the numbers of each.
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

    /// The windows of one line and one group, as the left factor of a product.
    pub(super) fn rows<'s, T>(&'s self, data: &'s [T], line: usize, channel: usize) -> Rows<'s, T> {
        let data = &data[(line * self.line + channel).min(data.len())..];
        Rows { data, rows: self.columns, stride: self.stride, segments: &self.segments }
    }
}
