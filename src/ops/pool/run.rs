//! The CPU kernels of pools: channel by channel, a line of results at a time.

use std::ops::Range;

use crate::{
    error::Result,
    op::{CpuKernel, Io, KernelRequest},
    ops::pool::{GlobalPool, Pool, PoolFunction},
};

/// A spatial axis of one run.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) out: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    behind: usize,
}

impl Axis {
    /// An axis that the operator lacks.
    const NONE: Self = Self { size: 1, out: 1, kernel: 1, stride: 1, dilation: 1, before: 0, behind: 0 };

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

    /// The windows whose tap `tap` is in the input.
    fn windows(&self, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let first = self.before.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.size + self.before).saturating_sub(offset).div_ceil(self.stride);
        first.min(self.out)..end.min(self.out).max(first.min(self.out))
    }
}

impl Pool {
    /// Depth, height and width of a run, which begin at axis `spatial` of `x` and `y`.
    pub(super) fn axes(&self, x: &[usize], y: &[usize], spatial: usize) -> [Axis; 3] {
        let rank = self.kernel.len();
        let window = self.window();
        let mut axes = [Axis::NONE; 3];
        for axis in 0..rank {
            let (size, out) = (x[axis + spatial], y[axis + spatial]);
            let (before, behind) = window.pads_at(axis, size);
            let kernel = self.kernel[axis];
            let dilation = if kernel == 1 { 1 } else { self.dilations[axis] };
            axes[axis + 3 - rank] = Axis { size, out, kernel, stride: self.strides[axis], dilation, before, behind };
        }
        axes
    }
}

pub(crate) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(request.op::<Pool>()?.clone()))
}

impl CpuKernel for Pool {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let y = io.output(0)?;
        let axes = self.axes(x.shape, y.shape, 2);
        let [depth, height, width] = axes;
        let (size, out) = (depth.size * height.size * width.size, depth.out * height.out * width.out);
        if out == 0 || size == 0 {
            // Without input every window is empty.
            y.slice::<f32>()?.fill(empty(self.function));
            return Ok(());
        }
        let (x, y): (&[f32], &mut [f32]) = (x.slice()?, y.slice()?);
        for (x, y) in x.chunks_exact(size).zip(y.chunks_exact_mut(out)) {
            for (index, line) in y.chunks_exact_mut(width.out).enumerate() {
                let at = [index / height.out, index % height.out];
                match self.function {
                    PoolFunction::Max => {
                        line.fill(f32::NEG_INFINITY);
                        taps(x, &axes, at, line, larger);
                    }
                    PoolFunction::Average { count_include_pad } => {
                        line.fill(0.0);
                        taps(x, &axes, at, line, |sum, value| sum + value);
                        divide(&axes, at, count_include_pad, line);
                    }
                    PoolFunction::Lp(order) => {
                        line.fill(0.0);
                        taps(x, &axes, at, line, |sum, value| sum + power(value, order));
                        line.iter_mut().for_each(|sum| *sum = root(*sum, order));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The larger, NaN if either is; the first of equals.
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// The result of an empty window.
pub(super) fn empty(function: PoolFunction) -> f32 {
    match function {
        PoolFunction::Max => f32::NEG_INFINITY,
        PoolFunction::Average { .. } => f32::NAN,
        PoolFunction::Lp(_) => 0.0,
    }
}

/// A power of the magnitude.
fn power(value: f32, order: u32) -> f32 {
    match order {
        1 => value.abs(),
        2 => value * value,
        _ => value.abs().powf(order as f32),
    }
}

/// The inverse of [`power`].
fn root(sum: f32, order: u32) -> f32 {
    match order {
        1 => sum,
        2 => sum.sqrt(),
        _ => sum.powf(1.0 / order as f32),
    }
}

/// Accumulates the windows of a line, tap by tap.
fn taps(x: &[f32], axes: &[Axis; 3], at: [usize; 2], line: &mut [f32], combine: impl Fn(f32, f32) -> f32 + Copy) {
    let [depth, height, width] = axes;
    for plane in depth.taps(at[0]) {
        for row in height.taps(at[1]) {
            let start = depth.position(at[0], plane) * height.size + height.position(at[1], row);
            let x = &x[start * width.size..][..width.size];
            for tap in 0..width.kernel {
                let windows = width.windows(tap);
                if windows.is_empty() {
                    continue;
                }
                let x = x[width.position(windows.start, tap)..].iter().step_by(width.stride);
                for (result, &value) in line[windows].iter_mut().zip(x) {
                    *result = combine(*result, value);
                }
            }
        }
    }
}

/// Divides a line's sums by the number of taps that count.
fn divide(axes: &[Axis; 3], at: [usize; 2], count_include_pad: bool, line: &mut [f32]) {
    let outer = axes[0].counted(at[0], count_include_pad) * axes[1].counted(at[1], count_include_pad);
    for (column, sum) in line.iter_mut().enumerate() {
        *sum /= (outer * axes[2].counted(column, count_include_pad)) as f32;
    }
}

pub(crate) fn global_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(*request.op::<GlobalPool>()?))
}

impl CpuKernel for GlobalPool {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let y: &mut [f32] = io.output(0)?.slice()?;
        let size: usize = x.shape[2..].iter().product();
        if size == 0 {
            y.fill(empty(self.function));
            return Ok(());
        }
        for (x, y) in x.slice::<f32>()?.chunks_exact(size).zip(y) {
            *y = match self.function {
                PoolFunction::Max => x.iter().copied().fold(f32::NEG_INFINITY, larger),
                PoolFunction::Average { .. } => sum(x) / size as f32,
                PoolFunction::Lp(order) => root(x.iter().fold(0.0, |sum, &x| sum + power(x, order)), order),
            };
        }
        Ok(())
    }
}

/// A sum in an order that depends on the length alone.
///
/// Several partial sums allow vectorization and keep errors small.
fn sum(x: &[f32]) -> f32 {
    const SIDE: usize = 16;
    let mut sums = [0.0; SIDE];
    let (chunks, rest) = x.as_chunks::<SIDE>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += value;
    }
    let mut width = SIDE / 2;
    while width > 0 {
        for index in 0..width {
            sums[index] += sums[index + width];
        }
        width /= 2;
    }
    sums[0]
}
