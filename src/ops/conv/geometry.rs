//! The sizes of one run of a convolution, always over three spatial dimensions.

use crate::{
    error::{Error, Result},
    ops::conv::{Conv, Layout},
};

/// Depth, height and width; 1 for those that a convolution lacks.
pub(crate) type Space = [usize; 3];

/// The most numbers of a block's input, columns and output: they stay in the L2 cache.
const BLOCK_NUMBERS: usize = 96 << 10;
/// Lines of fewer positions are gathered where the weights are large, to reuse the weights.
const SHORT_LINE: usize = 32;
/// The most lines and columns of a block whose input has one scale.
const SCALED: [usize; 2] = [8, 56];
/// Weights of fewer numbers stay in the L1 cache anyway.
const LARGE_WEIGHTS: usize = 8 << 10;

/// The sizes of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Geometry {
    pub items: usize,
    /// Channels of the input and of the result.
    pub channels: usize,
    pub filters: usize,
    pub groups: usize,
    pub size: Space,
    pub out: Space,
    pub kernel: Space,
    pub strides: Space,
    pub dilations: Space,
    /// Zeros before the input.
    pub pads: Space,
    pub layout: Layout,
    /// Whether windows are read from the input in place.
    pub direct: bool,
    /// Whether windows must be copied one after another, because products cannot read their parts.
    pub dense: bool,
    /// Whether a block's input has a scale of its own, so that blocks are small.
    pub scaled: bool,
}

/// A box of results: one depth, some lines, some positions of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    pub depth: usize,
    pub line: usize,
    pub lines: usize,
    pub column: usize,
    pub columns: usize,
}

impl Block {
    pub(crate) fn positions(&self) -> usize {
        self.lines * self.columns
    }
}

impl Geometry {
    /// The sizes for an input of shape `x` and weights of shape `w`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(crate) fn new(conv: &Conv, x: &[usize], w: &[usize]) -> Result<Self> {
        let mut geometry = Self::unflattened(conv, x, w)?;
        if geometry.is_flat() {
            geometry.flatten(conv.global_max);
        }
        Ok(geometry)
    }

    /// The same without merging spatial dimensions where windows have a single tap.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn unflattened(conv: &Conv, x: &[usize], w: &[usize]) -> Result<Self> {
        let rank = conv.kernel.len();
        let (channel_axis, spatial) = conv.axes();
        let window = conv.window();
        if x.len() != rank + 2 || w.len() != rank + 2 || w[1].checked_mul(conv.groups) != Some(x[channel_axis]) {
            return Err(Error::invalid_input(format!("an input of shape {x:?} for weights of shape {w:?}")));
        }
        let mut geometry = Self {
            items: x[0],
            channels: x[channel_axis],
            filters: w[0],
            groups: conv.groups,
            size: [1; 3],
            out: [1; 3],
            kernel: [1; 3],
            strides: [1; 3],
            dilations: [1; 3],
            pads: [0; 3],
            layout: conv.layout,
            direct: conv.layout == Layout::ChannelsLast,
            dense: false,
            scaled: false,
        };
        let too_large = || Error::limit(format!("an input of shape {x:?} with the pads {:?}", conv.pads));
        for axis in 0..rank {
            let (own, size) = (axis + 3 - rank, x[spatial + axis]);
            let (before, behind) = window.pads_at(axis, size);
            let (stride, extent) = (conv.strides[axis], window.extent(axis));
            let padded = size.checked_add(before).and_then(|sum| sum.checked_add(behind)).ok_or_else(too_large)?;
            let out = padded.checked_sub(extent).map_or(0, |room| room / stride + 1);
            // No window reaches past the last number.
            let inside = before == 0 && (out == 0 || (out - 1) * stride + extent <= size);
            geometry.direct &= inside;
            geometry.size[own] = size;
            geometry.out[own] = out;
            geometry.kernel[own] = conv.kernel[axis];
            geometry.strides[own] = stride;
            // A single tap has no next one.
            geometry.dilations[own] = if conv.kernel[axis] == 1 { 1 } else { conv.dilations[axis] };
            geometry.pads[own] = before;
        }
        Ok(geometry)
    }

    /// Merges all positions into one line, for windows of one tap.
    ///
    /// Those of all items too where they are contiguous and no maximum is taken.
    fn flatten(&mut self, global_max: bool) {
        let mut positions = self.size.iter().product();
        if self.layout == Layout::ChannelsLast && !global_max {
            positions *= self.items;
            self.items = 1;
        }
        self.size = [1, 1, positions];
        self.out = self.size;
    }

    /// The same sizes for products of integers; `dense` tells whether windows must be copied one after another.
    pub(crate) fn of_integers(self, dense: bool) -> Self {
        let scaled = !self.is_flat();
        Self { dense, scaled, direct: self.direct && !scaled, ..self }
    }

    /// Whether windows have a single tap and lie one after another.
    pub(crate) fn is_flat(&self) -> bool {
        self.kernel == [1; 3] && self.strides == [1; 3] && self.out == self.size
    }

    /// Input channels of a group.
    pub(crate) fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    /// Filters of a group.
    pub(crate) fn group_filters(&self) -> usize {
        self.filters / self.groups
    }

    /// Numbers of one window of one group.
    pub(crate) fn k(&self) -> usize {
        self.kernel.iter().product::<usize>() * self.group_channels()
    }

    /// Positions of an item's input, and of its result.
    pub(crate) fn positions(&self) -> usize {
        self.size.iter().product()
    }

    pub(crate) fn out_positions(&self) -> usize {
        self.out.iter().product()
    }

    /// The number of input lines that some lines of results need.
    pub(crate) fn reach(&self, axis: usize, count: usize) -> usize {
        count.saturating_sub(1) * self.strides[axis] + (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// The most lines of a block, and the most positions of each.
    pub(crate) fn block(&self) -> (usize, usize) {
        let [_, height, width] = self.out;
        let step = self.strides[1].saturating_mul(self.strides[2]);
        let input = if self.direct { 0 } else { self.kernel[0].saturating_mul(self.channels).saturating_mul(step) };
        let output = if self.layout == Layout::ChannelsFirst { self.filters } else { 0 };
        let columns = if self.gathers() { self.k() } else { 0 };
        let most = (BLOCK_NUMBERS / input.saturating_add(output + columns).max(1)).max(64);
        if self.direct && columns == 0 {
            return (height, width);
        }
        if self.scaled {
            // Blocks of a line differ by a position at most.
            let columns = width.div_ceil(width.div_ceil(SCALED[1].min(most)).max(1));
            return ((most / columns.max(1)).min(height).clamp(1, SCALED[0]), columns);
        }
        if width >= most { (1, most) } else { ((most / width.max(1)).min(height).max(1), width) }
    }

    /// Whether a block's windows are copied one after another, so that the product has more rows.
    pub(crate) fn gathers(&self) -> bool {
        let short = self.out[1] > 1 && self.out[2] < SHORT_LINE;
        let reused = short && self.k().saturating_mul(self.filters) >= LARGE_WEIGHTS;
        self.groups == 1 && (self.dense || reused)
    }

    /// All blocks of an item.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let (lines, columns) = self.block();
        let [depths, height, width] = self.out;
        let (lines, columns) = (lines.max(1), columns.max(1));
        (0..depths).flat_map(move |depth| {
            (0..height).step_by(lines).flat_map(move |line| {
                (0..width).step_by(columns).map(move |column| Block {
                    depth,
                    line,
                    lines: lines.min(height - line),
                    column,
                    columns: columns.min(width - column),
                })
            })
        })
    }

    /// The f32 scratch for a block's input, its gathered windows, and its results.
    pub(crate) fn scratch(&self, keeps_results: bool) -> Option<[usize; 3]> {
        if self.out_positions() == 0 {
            return Some([0; 3]);
        }
        let (lines, columns) = self.block();
        let positions = lines.checked_mul(columns)?;
        let input = if self.direct {
            0
        } else {
            let rows = self.kernel[0].checked_mul(self.reach(1, lines))?;
            rows.checked_mul(self.reach(2, columns))?.checked_mul(self.channels)?
        };
        let gathered = if self.gathers() { positions.checked_mul(self.k())? } else { 0 };
        let results = if keeps_results { positions.checked_mul(self.filters)? } else { 0 };
        let line = |count: usize| count.checked_next_multiple_of(16);
        Some([line(input)?, line(gathered)?, line(results)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_result_once() {
        let conv = |kernel: &[usize]| Conv::new(kernel.to_vec());
        for (conv, x, w) in [
            (conv(&[5]), vec![1, 64, 9000], vec![8, 64, 5]),
            (conv(&[3, 3]), vec![1, 64, 40, 30], vec![80, 64, 3, 3]),
            (conv(&[2, 3, 3]), vec![1, 700, 4, 30, 50], vec![8, 700, 2, 3, 3]),
        ] {
            let geometry = Geometry::new(&conv, &x, &w).unwrap();
            for geometry in [geometry.clone(), geometry.of_integers(false)] {
                check(&geometry);
            }
        }
    }

    fn check(geometry: &Geometry) {
        let mut seen = vec![0; geometry.out_positions()];
        let blocks: Vec<_> = geometry.blocks().collect();
        assert!(blocks.len() > 1);
        for block in blocks {
            for line in block.line..block.line + block.lines {
                for column in block.column..block.column + block.columns {
                    seen[(block.depth * geometry.out[1] + line) * geometry.out[2] + column] += 1;
                }
            }
        }
        assert!(seen.iter().all(|&count| count == 1));
    }
}
