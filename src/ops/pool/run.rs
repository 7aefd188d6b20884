//! The CPU kernels of pools: channel by channel, a line of results at a time.

use std::ops::{Add, Div};

use crate::{
    error::Result,
    kernels::KernelSet,
    op::{CpuKernel, Io, KernelRequest, Shapes, first_result},
    ops::pool::{GlobalPool, Pool, PoolFunction, axis::Axis, by_axis::ByAxis},
    tensor::{DType, Element},
};

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

    /// The pool axis by axis, of groups of so many neighbours, where that is less work.
    pub(super) fn by_axis(&self, axes: [Axis; 3], group: usize) -> Option<ByAxis> {
        let count_include_pad = match self.function {
            PoolFunction::Max => None,
            PoolFunction::Average { count_include_pad } => Some(count_include_pad),
            PoolFunction::Lp(_) => return None,
        };
        ByAxis::new(count_include_pad, axes, group).filter(ByAxis::pays_off)
    }
}

pub(crate) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { pool: request.op::<Pool>()?.clone(), set: request.kernel_set() }))
}

struct Kernel {
    pool: Pool,
    set: KernelSet,
}

impl Kernel {
    fn by_axis(&self, x: &[usize], y: &[usize]) -> Option<ByAxis> {
        self.pool.by_axis(self.pool.axes(x, y, 2), 1)
    }
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let [Some(x)] = shapes.inputs[..] else { return 0 };
        self.by_axis(x, shapes.outputs[0]).map_or(0, |pool| pool.scratch_bytes())
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        if x.dtype == DType::F64 {
            return self.pool.run_on::<f64>(io);
        }
        let Some(pool) = self.by_axis(x.shape, io.output(0)?.shape) else {
            return self.pool.run_on::<f32>(io);
        };
        let Io { outputs, scratch, .. } = io;
        pool.run(self.set, x.slice()?, first_result(outputs)?.slice()?, scratch)
    }
}

impl Pool {
    fn run_on<T: PoolNumber>(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let y = io.output(0)?;
        let axes = self.axes(x.shape, y.shape, 2);
        let [depth, height, width] = axes;
        let (size, out) = (depth.size * height.size * width.size, depth.out * height.out * width.out);
        if out == 0 || size == 0 {
            // Without input every window is empty.
            y.slice::<T>()?.fill(empty(self.function));
            return Ok(());
        }
        let (x, y): (&[T], &mut [T]) = (x.slice()?, y.slice()?);
        for (x, y) in x.chunks_exact(size).zip(y.chunks_exact_mut(out)) {
            for (index, line) in y.chunks_exact_mut(width.out).enumerate() {
                let at = [index / height.out, index % height.out];
                match self.function {
                    PoolFunction::Max => {
                        line.fill(T::LEAST);
                        taps(x, &axes, at, line, larger);
                    }
                    PoolFunction::Average { count_include_pad } => {
                        line.fill(T::ZERO);
                        taps(x, &axes, at, line, |sum, value| sum + value);
                        divide(&axes, at, count_include_pad, line);
                    }
                    PoolFunction::Lp(order) => {
                        line.fill(T::ZERO);
                        taps(x, &axes, at, line, |sum, value| sum + value.power(order));
                        line.iter_mut().for_each(|sum| *sum = sum.root(order));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Numbers that pools take.
pub(super) trait PoolNumber: Element + PartialOrd + Add<Output = Self> + Div<Output = Self> {
    /// Where the largest begins.
    const LEAST: Self;
    /// What no elements make.
    const UNKNOWN: Self;
    /// Where a sum begins.
    const ZERO: Self;

    /// A number of taps.
    fn count(count: usize) -> Self;

    /// Whether it is NaN.
    fn is_unknown(self) -> bool;

    /// A power of the magnitude.
    fn power(self, order: u32) -> Self;

    /// The inverse of [`power`](Self::power).
    fn root(self, order: u32) -> Self;
}

macro_rules! pool_number {
    ($own:ty) => {
        impl PoolNumber for $own {
            const LEAST: Self = <$own>::NEG_INFINITY;
            const UNKNOWN: Self = <$own>::NAN;
            const ZERO: Self = 0.0;

            fn count(count: usize) -> Self {
                count as $own
            }

            fn is_unknown(self) -> bool {
                self.is_nan()
            }

            fn power(self, order: u32) -> Self {
                match order {
                    1 => self.abs(),
                    2 => self * self,
                    _ => self.abs().powf(order as $own),
                }
            }

            fn root(self, order: u32) -> Self {
                match order {
                    1 => self,
                    2 => self.sqrt(),
                    _ => self.powf(1.0 / order as $own),
                }
            }
        }
    };
}
pool_number!(f32);
pool_number!(f64);

/// The larger, NaN if either is; the first of equals.
fn larger<T: PoolNumber>(a: T, b: T) -> T {
    if b > a || b.is_unknown() { b } else { a }
}

/// The result of an empty window.
pub(super) fn empty<T: PoolNumber>(function: PoolFunction) -> T {
    match function {
        PoolFunction::Max => T::LEAST,
        PoolFunction::Average { .. } => T::UNKNOWN,
        PoolFunction::Lp(_) => T::ZERO,
    }
}

/// Accumulates the windows of a line, tap by tap.
fn taps<T: PoolNumber>(x: &[T], axes: &[Axis; 3], at: [usize; 2], line: &mut [T], combine: impl Fn(T, T) -> T + Copy) {
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
fn divide<T: PoolNumber>(axes: &[Axis; 3], at: [usize; 2], count_include_pad: bool, line: &mut [T]) {
    let outer = axes[0].counted(at[0], count_include_pad) * axes[1].counted(at[1], count_include_pad);
    for (column, sum) in line.iter_mut().enumerate() {
        *sum = *sum / T::count(outer * axes[2].counted(column, count_include_pad));
    }
}

pub(crate) fn global_kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(*request.op::<GlobalPool>()?))
}

impl CpuKernel for GlobalPool {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        match io.input(0)?.dtype {
            DType::F64 => self.run_on::<f64>(io),
            _ => self.run_on::<f32>(io),
        }
    }
}

impl GlobalPool {
    fn run_on<T: PoolNumber>(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let y: &mut [T] = io.output(0)?.slice()?;
        let size: usize = x.shape[2..].iter().product();
        if size == 0 {
            y.fill(empty(self.function));
            return Ok(());
        }
        for (x, y) in x.slice::<T>()?.chunks_exact(size).zip(y) {
            *y = match self.function {
                PoolFunction::Max => x.iter().copied().fold(T::LEAST, larger),
                PoolFunction::Average { .. } => sum(x) / T::count(size),
                PoolFunction::Lp(order) => x.iter().fold(T::ZERO, |sum, &x| sum + x.power(order)).root(order),
            };
        }
        Ok(())
    }
}

/// A sum in an order that depends on the length alone.
///
/// Several partial sums allow vectorization and keep errors small.
fn sum<T: PoolNumber>(x: &[T]) -> T {
    const SIDE: usize = 16;
    let mut sums = [T::ZERO; SIDE];
    let (chunks, rest) = x.as_chunks::<SIDE>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = *sum + *value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = *sum + *value;
    }
    let mut width = SIDE / 2;
    while width > 0 {
        for index in 0..width {
            sums[index] = sums[index] + sums[index + width];
        }
        width /= 2;
    }
    sums[0]
}
