//! Pools of f32 axis by axis: the columns of every row of the operand first, then its rows.

use std::iter;

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        pool::{RowFold, fold_rows},
    },
    op::scratch_numbers,
    ops::pool::axis::Axis,
};

/// A pool by maximum or mean of `[batch, spatial..., group]`, in two steps.
///
/// The windows of each row of the operand are folded first, and the folded rows after that. Of equal numbers the first in
/// row-major order remains, as in one step.
pub(super) struct ByAxis {
    axes: [Axis; 3],
    group: usize,
    /// Whether padding counts in a mean; `None` for a maximum.
    count_include_pad: Option<bool>,
    /// Columns of a row with its padding.
    columns: usize,
    /// The stride of windows along a row; columns are stored apart by their remainders.
    stride: usize,
}

impl ByAxis {
    /// The pool over these axes; `None` where a row has much more padding than numbers.
    pub(super) fn new(count_include_pad: Option<bool>, axes: [Axis; 3], group: usize) -> Option<Self> {
        let width = &axes[2];
        let columns = width.padded_size();
        let worth = axes.iter().all(|axis| axis.size > 0 && axis.out > 0) && columns <= 4 * width.size + 64;
        worth.then_some(Self { axes, group, count_include_pad, columns, stride: width.stride })
    }

    /// Whether windows have so many taps that the second step and the copies between the two pay off.
    pub(super) fn pays_off(&self) -> bool {
        let [depth, height, width] = self.axes.map(|axis| axis.kernel);
        let rows = depth.saturating_mul(height);
        let taps = rows.saturating_mul(width);
        if self.group == 1 {
            // A stride has to be copied away.
            return self.stride == 1 || taps > 9;
        }
        let row = width.saturating_add(self.stride).saturating_add(1);
        let folded = row.saturating_mul(self.axes[0].stride).saturating_mul(self.axes[1].stride);
        taps > rows.saturating_add(folded).saturating_mul(2)
    }

    /// The columns that are stored for each remainder.
    fn share(&self) -> usize {
        self.columns.div_ceil(self.stride)
    }

    /// The remainders that have taps.
    fn remainders(&self) -> usize {
        self.stride.min(self.axes[2].extent())
    }

    /// The numbers of a padded row, of all folded rows and of a row's divisors.
    fn sizes(&self) -> [usize; 3] {
        let [depth, height, width] = &self.axes;
        let folded = [depth.size, height.size, width.out, self.group].into_iter().fold(1, usize::saturating_mul);
        [self.remainders().saturating_mul(self.share()).saturating_mul(self.group), folded, width.out]
    }

    /// The bytes of scratch that [`run`](Self::run) needs.
    pub(super) fn scratch_bytes(&self) -> usize {
        self.sizes().into_iter().fold(0, usize::saturating_add).saturating_mul(size_of::<f32>())
    }

    /// Pools each item of `x`.
    ///
    /// # Errors
    /// `Internal` if `scratch` is too small.
    pub(super) fn run(&self, set: KernelSet, x: &[f32], y: &mut [f32], scratch: &mut [u8]) -> Result<()> {
        let [depth, height, width] = &self.axes;
        let (fold, identity) = match self.count_include_pad {
            None => (RowFold::Max, f32::NEG_INFINITY),
            Some(_) => (RowFold::Sum, 0.0),
        };
        let [padded, folded, divisors] = self.sizes();
        let small = || Error::internal("the scratch of a pool is too small");
        let (row, rest) = scratch_numbers(scratch).split_at_mut_checked(padded).ok_or_else(small)?;
        let (rows, rest) = rest.split_at_mut_checked(folded).ok_or_else(small)?;
        let counts = rest.get_mut(..divisors).ok_or_else(small)?;
        if let Some(pads) = self.count_include_pad {
            counts.iter_mut().enumerate().for_each(|(at, count)| *count = width.counted(at, pads) as f32);
        }
        row.fill(identity);
        let share = self.share();
        let place = |offset: usize| (offset % self.stride * share + offset / self.stride) * self.group;
        let taps: SmallVec<[usize; 16]> = (0..width.kernel).map(|tap| place(tap * width.dilation)).collect();
        let (line, wide) = (width.size * self.group, width.out * self.group);
        let mut starts: SmallVec<[usize; 16]> = SmallVec::new();
        let (size, out) = (depth.size * height.size, depth.out * height.out);
        for (x, y) in x.chunks_exact(size * line).zip(y.chunks_exact_mut(out * wide)) {
            for (x, to) in x.chunks_exact(line).zip(rows.chunks_exact_mut(wide)) {
                self.pad(x, row);
                fold_rows(set, fold, row, &taps, 0, wide, to)?;
            }
            for (index, to) in y.chunks_exact_mut(wide).enumerate() {
                let at = [index / height.out, index % height.out];
                starts.clear();
                for plane in depth.taps(at[0]) {
                    let first = depth.position(at[0], plane) * height.size;
                    starts.extend(height.taps(at[1]).map(|tap| (first + height.position(at[1], tap)) * wide));
                }
                fold_rows(set, fold, rows, &starts, 0, wide, to)?;
                if let Some(pads) = self.count_include_pad {
                    let outer = (depth.counted(at[0], pads) * height.counted(at[1], pads)) as f32;
                    self.divide(to, outer, counts);
                }
            }
        }
        Ok(())
    }

    /// Copies a row of the operand behind its padding, column `c` to place `c / stride` of remainder `c % stride`.
    fn pad(&self, x: &[f32], row: &mut [f32]) {
        let (before, group, stride) = (self.axes[2].before, self.group, self.stride);
        let inside = self.columns.saturating_sub(before) * group;
        let x = &x[..x.len().min(inside)];
        if stride == 1 {
            row[before * group..][..x.len()].copy_from_slice(x);
            return;
        }
        for (remainder, row) in row.chunks_exact_mut(self.share() * group).enumerate() {
            // The first column of the operand with this remainder.
            let first = (remainder + stride - before % stride) % stride;
            let from = x.get(first * group..).unwrap_or_default();
            let to = row.get_mut((before + first) / stride * group..).unwrap_or_default();
            match group {
                1 => to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, &x)| *to = x),
                _ => to
                    .chunks_exact_mut(group)
                    .zip(from.chunks_exact(group).step_by(stride))
                    .for_each(|(to, x)| to.copy_from_slice(x)),
            }
        }
    }

    /// Divides the sums of a line by the number of taps that count.
    fn divide(&self, line: &mut [f32], outer: f32, counts: &[f32]) {
        if self.group == 1 {
            line.iter_mut().zip(counts).for_each(|(sum, count)| *sum /= outer * count);
            return;
        }
        for (sums, count) in iter::zip(line.chunks_exact_mut(self.group), counts) {
            let count = outer * count;
            sums.iter_mut().for_each(|sum| *sum /= count);
        }
    }
}
