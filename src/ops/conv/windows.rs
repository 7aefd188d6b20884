//! The windows of one block of a convolution, as rows of a product.

use half::bf16;
use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Affine, Factors, Integer, Quantized, Rows, Segment, quantized, rounded},
        transpose,
    },
    ops::conv::{
        Layout,
        copies::{copied_strides, copy, copy_quantized},
        geometry::{Block, Geometry},
    },
};

/// The numbers that windows consist of.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
    Bytes(&'a [u8]),
    Words(&'a [i16]),
}

/// Runs an expression on the numbers of windows, whatever their type.
macro_rules! with_numbers {
    ($numbers:expr, $data:ident => $run:expr) => {
        match $numbers {
            $crate::ops::conv::windows::Numbers::F32($data) => $run,
            $crate::ops::conv::windows::Numbers::Bf16($data) => $run,
            $crate::ops::conv::windows::Numbers::Bytes($data) => $run,
            $crate::ops::conv::windows::Numbers::Words($data) => $run,
        }
    };
}
pub(super) use with_numbers;

/// What turns sums of integers into numbers.
#[derive(Clone, Copy)]
pub(super) enum Scales<'a> {
    /// Numbers are no integers.
    None,
    /// A scale for each window.
    Rows(&'a [f32]),
    /// A scale and an offset for each filter.
    Columns(&'a [f32], &'a [i32]),
}

/// The windows of a block: the first one, and the strides to the others.
pub(super) struct Windows<'a> {
    pub(super) data: Numbers<'a>,
    pub(super) scales: Scales<'a>,
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
        let (data, scales) = (Numbers::F32(data), Scales::None);
        Self { data, scales, segments, stride, line, lines: block.lines, columns: block.columns }
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
    pub(super) fn copied(
        set: KernelSet,
        geometry: &Geometry,
        x: &[f32],
        block: &Block,
        to: &'a mut [f32],
    ) -> Result<Self> {
        let channels = geometry.channels;
        copy(geometry, block, 0.0, to, |from, to| {
            match geometry.layout {
                Layout::ChannelsLast => to.copy_from_slice(&x[from * channels..][..to.len()]),
                Layout::ChannelsFirst => {
                    let positions = to.len() / channels;
                    transpose(set, &x[from..], geometry.positions(), channels, positions, to, channels);
                }
            }
            Ok(())
        })?;
        let (plane, line) = copied_strides(geometry, block);
        Ok(Self::new(geometry, &to[..geometry.kernel[0] * plane], plane, line, block))
    }

    /// What holds the windows' numbers best.
    pub(super) fn affine(&self, set: KernelSet) -> Affine {
        let Numbers::F32(data) = self.data else { return Affine::of(set, []) };
        Affine::of(set, [data])
    }

    /// Windows of a copy of the block's input in integers, its channels last; `columns` as in [`quantized`](Self::quantized).
    pub(super) fn copied_quantized(
        set: KernelSet,
        geometry: &Geometry,
        (factors, affine): (Factors, Affine),
        columns: (&'a [f32], &'a [i32]),
        x: &[f32],
        block: &Block,
        to: &'a mut [f32],
    ) -> Result<Self> {
        let (plane, line) = copied_strides(geometry, block);
        let data = match factors {
            Factors::Words => {
                let to: &mut [i16] = bytemuck::cast_slice_mut(to);
                copy_quantized(set, geometry, affine, x, block, to)?;
                Numbers::Words(to)
            }
            _ => {
                let to: &mut [u8] = bytemuck::cast_slice_mut(to);
                copy_quantized(set, geometry, affine, x, block, to)?;
                Numbers::Bytes(to)
            }
        };
        let scales = Scales::Columns(columns.0, columns.1);
        Ok(Self { data, scales, ..Self::new(geometry, &[], plane, line, block) })
    }

    /// The same windows, rounded to bf16.
    pub(super) fn rounded(self, set: KernelSet, to: &'a mut [f32]) -> Result<Self> {
        let Numbers::F32(data) = self.data else { return Ok(self) };
        let (data, _) = rounded(set, &data[..self.span()], to)?;
        Ok(Self { data: Numbers::Bf16(data), ..self })
    }

    /// How many numbers of the data windows read.
    fn span(&self) -> usize {
        let end = self.segments.iter().map(|segment| segment.offset + segment.len).max().unwrap_or(0);
        let last = self.lines.saturating_sub(1) * self.line + self.columns.saturating_sub(1) * self.stride;
        // Windows of a further group begin later, by less than a position's channels: `stride` is
        // at least those.
        with_numbers!(self.data, data => data.len()).min(last + end + self.stride)
    }

    /// The same windows in integers; `columns` are the scales and offsets of the filters' sums.
    pub(super) fn quantized(
        self,
        set: KernelSet,
        factors: Factors,
        affine: Affine,
        columns: (&'a [f32], &'a [i32]),
        to: &'a mut [f32],
    ) -> Result<Self> {
        let Numbers::F32(data) = self.data else { return Ok(self) };
        let data = &data[..self.span()];
        let integers = match factors {
            Factors::Words => Numbers::Words(integers_of(set, affine, data, to)?),
            _ => Numbers::Bytes(integers_of(set, affine, data, to)?),
        };
        Ok(Self { data: integers, scales: Scales::Columns(columns.0, columns.1), ..self })
    }

    /// The same windows, of a tap of `channels` numbers each, in integers with a scale for each window.
    pub(super) fn quantized_rows(
        self,
        set: KernelSet,
        factors: Factors,
        channels: usize,
        to: &'a mut [f32],
    ) -> Result<Self> {
        let Numbers::F32(data) = self.data else { return Ok(self) };
        let (data, scales) = match factors {
            Factors::Words => {
                let Quantized { data, scales } = quantized(set, data, self.columns, channels, to)?;
                (Numbers::Words(data), scales)
            }
            _ => {
                let Quantized { data, scales } = quantized(set, data, self.columns, channels, to)?;
                (Numbers::Bytes(data), scales)
            }
        };
        Ok(Self { data, scales: Scales::Rows(scales), ..self })
    }

    /// The same windows, copied one after another; as one line if `whole`.
    pub(super) fn gather(mut self, block: &Block, whole: bool, to: &'a mut [f32]) -> Self {
        let (k, data) = match self.data {
            Numbers::F32(data) => (self.gather_numbers(data, to), Numbers::F32(to)),
            Numbers::Bf16(data) => {
                let to = bytemuck::cast_slice_mut(to);
                (self.gather_numbers(data, to), Numbers::Bf16(to))
            }
            Numbers::Bytes(data) => {
                let to = bytemuck::cast_slice_mut(to);
                (self.gather_numbers(data, to), Numbers::Bytes(to))
            }
            Numbers::Words(data) => {
                let to = bytemuck::cast_slice_mut(to);
                (self.gather_numbers(data, to), Numbers::Words(to))
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
        let (lines, columns) = if whole { (1, block.positions()) } else { (block.lines, block.columns) };
        Self { data, segments: self.segments, stride: k, line: columns * k, lines, columns, ..self }
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

/// The integers of `data`, at the start of `to`.
fn integers_of<'s, T: Integer>(set: KernelSet, affine: Affine, data: &[f32], to: &'s mut [f32]) -> Result<&'s [T]> {
    let have = to.len();
    let to = bytemuck::cast_slice_mut(to).get_mut(..data.len());
    let to = to.ok_or_else(|| Error::internal(format!("integers of {} numbers in {have} of scratch", data.len())))?;
    affine.quantize(set, data, to)?;
    Ok(to)
}
