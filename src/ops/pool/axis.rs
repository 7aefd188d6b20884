//! A spatial axis of one run of a pool, and the windows on it.

use std::ops::Range;

/// A spatial axis of one run.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    /// Positions of the operand.
    pub(super) size: usize,
    /// Positions of the result.
    pub(super) out: usize,
    /// The number of taps.
    pub(super) kernel: usize,
    /// From the position of a window to that of the next.
    pub(super) stride: usize,
    /// From the position of a tap to that of the next.
    pub(super) dilation: usize,
    /// The padding before the operand.
    pub(super) before: usize,
    /// The padding behind it.
    pub(super) behind: usize,
}

impl Axis {
    /// An axis that the operator lacks.
    pub(super) const NONE: Self = Self { size: 1, out: 1, kernel: 1, stride: 1, dilation: 1, before: 0, behind: 0 };

    /// The taps of window `at` that are in the input.
    pub(super) fn taps(&self, at: usize) -> Range<usize> {
        let start = at * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.size + self.before).saturating_sub(start).div_ceil(self.dilation);
        first.min(self.kernel)..end.min(self.kernel).max(first.min(self.kernel))
    }

    /// The number of taps of window `at` that count.
    pub(super) fn counted(&self, at: usize, include_pad: bool) -> usize {
        if include_pad { self.padded_taps(at) } else { self.taps(at).len() }
    }

    /// The number of taps of window `at` in the input or its padding.
    fn padded_taps(&self, at: usize) -> usize {
        let room = (self.size + self.before + self.behind).saturating_sub(at * self.stride);
        room.div_ceil(self.dilation).min(self.kernel)
    }

    /// The input position of a tap that is in the input.
    pub(super) fn position(&self, at: usize, tap: usize) -> usize {
        at * self.stride + tap * self.dilation - self.before
    }

    /// The windows whose taps are all in the input.
    pub(super) fn whole_windows(&self) -> Range<usize> {
        let (start, end) = (self.windows(0).start, self.windows(self.kernel.saturating_sub(1)).end);
        start..end.max(start)
    }

    /// The positions under a window.
    pub(super) fn extent(&self) -> usize {
        (self.kernel.saturating_sub(1)).saturating_mul(self.dilation).saturating_add(1)
    }

    /// The positions under all windows.
    pub(super) fn padded_size(&self) -> usize {
        self.out.saturating_sub(1).saturating_mul(self.stride).saturating_add(self.extent())
    }

    /// The windows whose tap `tap` is in the input.
    pub(super) fn windows(&self, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let first = self.before.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.size + self.before).saturating_sub(offset).div_ceil(self.stride);
        first.min(self.out)..end.min(self.out).max(first.min(self.out))
    }
}
