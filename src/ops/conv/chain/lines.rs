//! The sizes of one run of a chain, and the lines that are in the cache at a time.
//!
//! The depthwise convolution reads lines of a ring, which the convolution before it has written, padding included. A
//! line of the input has its place in the ring by its number, so that each is computed once, and replaced when no window
//! reads it any more.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    kernels::gemm::Segment,
    ops::conv::{chain::ConvChain, geometry::Geometry},
    threads::split,
};

/// The most numbers of the ring and of the lines behind it: they stay in the L2 cache.
const CACHED_NUMBERS: usize = 96 << 10;
/// Products of fewer rows reread their matrix too often.
const LEAST_ROWS: usize = 28;

/// The sizes of one run.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) items: usize,
    /// Channels of the input, of the depthwise convolution and of the result.
    pub(super) channels: [usize; 3],
    /// Height and width of the input, which are those of the depthwise convolution's.
    pub(super) size: [usize; 2],
    /// Height and width of the result.
    pub(super) out: [usize; 2],
    kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    dilations: [usize; 2],
    pads: [usize; 2],
    /// Lines of results that are computed together.
    pub(super) together: usize,
    /// Lines of the ring.
    ring: usize,
    /// Positions of a line of the ring, with its padding.
    padded: usize,
    /// Scratch of the ring with a line of zeros, of lines before they are put there, and of lines behind the ring.
    pub(super) sizes: [usize; 3],
}

impl Lines {
    /// The sizes for an input of shape `x` and weights of these shapes.
    ///
    /// # Errors
    /// When the channels do not fit, or a size overflows.
    pub(super) fn new(op: &ConvChain, x: &[usize], weights: &[Option<Vec<usize>>; 3]) -> Result<Self> {
        let misfit = || Error::internal(format!("a chain of convolutions over {x:?}"));
        let [before, Some(depthwise), behind] = weights else { return Err(misfit()) };
        let &[items, height, width, channels] = x else { return Err(misfit()) };
        let inner = depthwise.first().copied().ok_or_else(misfit)?;
        let filters = behind.as_ref().map_or(Some(inner), |shape| shape.first().copied()).ok_or_else(misfit)?;
        if channels != before.as_ref().map_or(Some(inner), |shape| shape.get(1).copied()).ok_or_else(misfit)? {
            return Err(misfit());
        }
        let geometry = Geometry::unflattened(&op.depthwise, &[items, height, width, inner], depthwise)?;
        let Geometry { out, kernel, strides, dilations, pads, .. } = geometry;
        let plane = |sizes: [usize; 3]| [sizes[1], sizes[2]];
        let mut lines = Self {
            items,
            channels: [channels, inner, filters],
            size: [height, width],
            out: plane(out),
            kernel: plane(kernel),
            strides: plane(strides),
            dilations: plane(dilations),
            pads: plane(pads),
            together: 1,
            ring: 1,
            padded: 0,
            sizes: [0; 3],
        };
        lines.fit(op).ok_or_else(|| Error::limit(format!("a chain of convolutions over {x:?}")))?;
        Ok(lines)
    }

    /// Chooses how many lines are computed together; `None` if a size overflows.
    fn fit(&mut self, op: &ConvChain) -> Option<()> {
        let [_, inner, _] = self.channels;
        let [height, width] = self.out;
        let reach = |axis: usize, count: usize| {
            let last = count.saturating_sub(1).checked_mul(self.strides[axis])?;
            last.checked_add(self.kernel[axis].checked_sub(1)?.checked_mul(self.dilations[axis])?)?.checked_add(1)
        };
        self.padded = self.pads[1].checked_add(self.size[1])?.max(reach(1, width)?);
        let line = self.padded.checked_mul(inner)?;
        let behind = if op.behind.is_some() { width.checked_mul(inner)? } else { 0 };
        let numbers = |together: usize| {
            let ring = reach(0, together)?.checked_mul(line)?;
            ring.checked_add(together.checked_mul(behind)?)
        };
        let least = LEAST_ROWS.div_ceil(width.max(1)).min(height).max(1);
        let mut together = least;
        while together < height && numbers(together + 1)? <= CACHED_NUMBERS {
            together += 1;
        }
        self.together = together;
        self.ring = reach(0, together)?;
        let apart = if self.is_narrow() && op.before.is_some() { self.most_new()?.checked_mul(inner)? } else { 0 };
        let whole = |count: usize| count.checked_next_multiple_of(16);
        let ring = self.ring.checked_add(1)?.checked_mul(line)?;
        self.sizes = [whole(ring)?, whole(apart)?, whole(together.checked_mul(behind)?)?];
        Some(())
    }

    /// The most positions that come into the ring at a time; `None` if their number overflows.
    pub(super) fn most_new(&self) -> Option<usize> {
        self.ring.min(self.size[0]).checked_mul(self.size[1])
    }

    /// Whether a line of the input is too short for a product of its own.
    pub(super) fn is_narrow(&self) -> bool {
        self.size[1] < LEAST_ROWS
    }

    /// Whether there is nothing to compute.
    pub(super) fn is_empty(&self) -> bool {
        self.items == 0 || self.out.contains(&0)
    }

    /// Parts of an item that are worth a worker each.
    pub(super) fn parts(&self) -> usize {
        let [channels, inner, filters] = self.channels;
        let per_position = channels.saturating_add(filters).saturating_mul(inner).saturating_mul(2);
        let positions = self.size[0].saturating_mul(self.size[1]);
        self.most_parts(split::parts(positions.saturating_mul(per_position)))
    }

    /// As many parts as there are workers, or lines for them.
    pub(super) fn most_parts(&self, workers: usize) -> usize {
        workers.min(self.out[0].div_ceil(self.together)).max(1)
    }

    /// Numbers of a line of the ring.
    fn line(&self) -> usize {
        self.padded * self.channels[1]
    }

    /// Writes the zeros of an empty ring.
    pub(super) fn clear(&self, ring: &mut [f32]) {
        let (inner, line) = (self.channels[1], self.line());
        let (ahead, own) = (self.pads[1] * inner, self.size[1] * inner);
        for at in 0..self.ring {
            let line = &mut ring[at * line..][..line];
            line[..ahead].fill(0.0);
            line[ahead + own..].fill(0.0);
        }
        ring[self.ring * line..][..line].fill(0.0);
    }

    /// The numbers of a line of the input in the ring.
    pub(super) fn place(&self, line: usize) -> std::ops::Range<usize> {
        let inner = self.channels[1];
        let start = line % self.ring * self.line() + self.pads[1] * inner;
        start..start + self.size[1] * inner
    }

    /// The lines of the input that some lines of results read.
    pub(super) fn read_by(&self, results: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let first = (results.start * self.strides[0]).saturating_sub(self.pads[0]);
        let reach = (self.kernel[0] - 1) * self.dilations[0] + 1;
        let end = ((results.end - 1) * self.strides[0] + reach).saturating_sub(self.pads[0]).min(self.size[0]);
        first.min(end)..end
    }

    /// Where the taps of a line of results begin in the ring.
    pub(super) fn taps(&self, line: usize) -> SmallVec<[Segment; 32]> {
        let inner = self.channels[1];
        let mut taps = SmallVec::new();
        for down in 0..self.kernel[0] {
            let row = (line * self.strides[0] + down * self.dilations[0]).checked_sub(self.pads[0]);
            let slot = row.filter(|&row| row < self.size[0]).map_or(self.ring, |row| row % self.ring);
            let start = slot * self.line();
            taps.extend(
                (0..self.kernel[1])
                    .map(|across| Segment { offset: start + across * self.dilations[1] * inner, len: inner }),
            );
        }
        taps
    }
}
