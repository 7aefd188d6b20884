//! Where the taps of a window lie in a plane.

use crate::{
    kernels::{KernelSet, integers},
    ops::quantized::conv::QuantizedConv,
};

/// The window and the sizes of planes; three axes, the missing ones of size 1.
pub(super) struct Taps {
    from: [usize; 3],
    to: [usize; 3],
    taps: [usize; 3],
    strides: [usize; 3],
    dilations: [usize; 3],
    pads: [usize; 3],
}

/// A part of a line of positions whose tap lies within the plane.
struct Part {
    /// The first position, from the block's start on.
    at: usize,
    count: usize,
    /// The element that the first position's tap is.
    from: usize,
}

impl Taps {
    pub(super) fn new(op: &QuantizedConv, from: &[usize], to: &[usize]) -> Self {
        let missing = 3 - from.len();
        let whole = |own: &dyn Fn(usize) -> usize, absent: usize| {
            std::array::from_fn(|axis: usize| axis.checked_sub(missing).map_or(absent, own))
        };
        let window = op.conv.window();
        Self {
            from: whole(&|axis| from[axis], 1),
            to: whole(&|axis| to[axis], 1),
            taps: whole(&|axis| window.kernel[axis], 1),
            strides: whole(&|axis| window.strides[axis], 1),
            dilations: whole(&|axis| window.dilations[axis], 1),
            pads: whole(&|axis| window.pads_at(axis, from[axis]).0, 0),
        }
    }

    /// Taps of a window.
    pub(super) fn count(&self) -> usize {
        self.taps.iter().product()
    }

    /// Elements of a plane of the input.
    pub(super) fn input_len(&self) -> usize {
        self.from.iter().product()
    }

    /// Elements of a plane of the result.
    pub(super) fn output_len(&self) -> usize {
        self.to.iter().product()
    }

    /// Copies the windows of `count` positions from `start` on, a row each: the taps of each channel.
    pub(super) fn copy<T: Copy>(&self, x: &[T], zero: T, start: usize, count: usize, to: &mut [T]) {
        let (size, taps) = (self.input_len(), self.count());
        let k = x.len() / size.max(1) * taps;
        to.fill(zero);
        if size == 0 {
            return;
        }
        for tap in 0..taps {
            self.parts(tap, start, count, |part| {
                for (channel, x) in x.chunks_exact(size).enumerate() {
                    let from = x[part.from..].iter().step_by(self.strides[2]);
                    let to = to[part.at * k + channel * taps + tap..].iter_mut().step_by(k);
                    to.zip(from).take(part.count).for_each(|(to, &x)| *to = x);
                }
            });
        }
    }

    /// Adds the products of a plane and the weights of its taps to the sums of all positions.
    pub(super) fn add(&self, set: KernelSet, x: &[i16], weights: &[i16], sums: &mut [i32]) {
        let stride = self.strides[2];
        for (tap, &weight) in weights.iter().enumerate() {
            self.parts(tap, 0, self.output_len(), |part| {
                integers::add_scaled(set, &mut sums[part.at..][..part.count], weight, &x[part.from..], stride);
            });
        }
    }

    /// Calls `run` with each part of a line, of `count` positions from `start` on, that tap `tap` sees.
    fn parts(&self, tap: usize, start: usize, count: usize, mut run: impl FnMut(Part)) {
        let [_, height, width] = self.to;
        let tap = [tap / (self.taps[1] * self.taps[2]), tap / self.taps[2] % self.taps[1], tap % self.taps[2]];
        let place = |axis: usize, at: usize| {
            let at = at * self.strides[axis] + tap[axis] * self.dilations[axis];
            at.checked_sub(self.pads[axis]).filter(|&at| at < self.from[axis])
        };
        let (first, end) = self.inside(tap[2]);
        let mut at = start;
        while at < start + count {
            let (line, column) = (at / width, at % width);
            let next = (at - column + width).min(start + count);
            let columns = column.max(first)..(column + next - at).min(end);
            if !columns.is_empty()
                && let (Some(depth), Some(line)) = (place(0, line / height), place(1, line % height))
            {
                let own = columns.start * self.strides[2] + tap[2] * self.dilations[2] - self.pads[2];
                let from = (depth * self.from[1] + line) * self.from[2] + own;
                run(Part { at: at - start + columns.start - column, count: columns.len(), from });
            }
            at = next;
        }
    }

    /// The columns of a line whose tap lies within it: the first, and the one behind the last.
    fn inside(&self, tap: usize) -> (usize, usize) {
        let (offset, stride, pad) = (tap * self.dilations[2], self.strides[2], self.pads[2]);
        let first = pad.saturating_sub(offset).div_ceil(stride);
        let end = (self.from[2] + pad).saturating_sub(offset).div_ceil(stride);
        (first, end.min(self.to[2]))
    }
}
