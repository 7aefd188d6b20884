//! Depthwise convolutions: each filter reads one channel.

mod shared;

use crate::{
    error::{Error, Result},
    kernels::{
        Activation, KernelSet,
        gemm::{Rows, Segment},
        simd::{
            Kernel, Pointwise, Simd, map_in_place,
            reduce::{load_or, store_some},
            with_pointwise,
        },
    },
};

/// A depthwise convolution over windows of channels-last data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depthwise<'a> {
    /// One row per window, a segment for each tap; the segments' lengths are ignored.
    pub(crate) rows: Rows<'a>,
    /// A number per channel for each tap.
    pub(crate) weights: &'a [f32],
    /// Added to each sum.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applied to each sum.
    pub(crate) activation: Activation,
    /// Number of channels.
    pub(crate) channels: usize,
}

/// Writes a row of `channels` results for each window.
///
/// # Errors
/// `Internal` if a window leaves the data, or a length does not fit.
pub(crate) fn run(set: KernelSet, windows: &Depthwise<'_>, to: &mut [f32]) -> Result<()> {
    let Depthwise { rows, weights, bias, activation, channels } = *windows;
    if rows.rows == 0 || channels == 0 {
        return Ok(());
    }
    let taps = rows.segments.len();
    let far = rows.segments.iter().map(|segment| segment.offset).max().unwrap_or(0);
    let end = (rows.rows - 1)
        .checked_mul(rows.stride)
        .and_then(|start| start.checked_add(far))
        .and_then(|start| start.checked_add(channels));
    let fits = end.is_some_and(|end| end <= rows.data.len())
        && taps.checked_mul(channels) == Some(weights.len())
        && rows.rows.checked_mul(channels) == Some(to.len())
        && bias.is_none_or(|bias| bias.len() == channels);
    if !fits {
        let (count, len) = (rows.rows, rows.data.len());
        return Err(Error::internal(format!("{count} windows of {taps} taps of {channels} channels in {len} numbers")));
    }
    let (data, stride, segments) = (rows.data.as_ptr(), rows.stride, rows.segments);
    let (weights, bias, results) = (weights.as_ptr(), bias.map(<[f32]>::as_ptr), to.as_mut_ptr());
    let windows = Windows { f: (), data, stride, segments, weights, bias, to: results, rows: rows.rows, channels };
    // SAFETY: all windows, weights and results were checked above.
    if unsafe { shared::run(set, &windows) } {
        if activation != Activation::None {
            map_in_place(set, activation, to);
        }
        return Ok(());
    }
    with_pointwise!(activation, f => {
        let windows = Windows { f, data, stride, segments, weights, bias, to: results, rows: rows.rows, channels };
        // SAFETY: all windows, weights and results were checked above.
        set.run(unsafe { CheckedWindows::new(windows) });
    });
    Ok(())
}

/// Operands of the kernel, by address.
struct Windows<'a, F> {
    f: F,
    data: *const f32,
    stride: usize,
    segments: &'a [Segment],
    weights: *const f32,
    bias: Option<*const f32>,
    to: *mut f32,
    rows: usize,
    channels: usize,
}

/// [`Windows`] within their slices.
struct CheckedWindows<'a, F>(Windows<'a, F>);

impl<'a, F> CheckedWindows<'a, F> {
    /// # Safety
    /// `channels` numbers are readable at every segment of `rows` windows, `stride` apart, at the
    /// bias, and at the weights of every segment; `rows * channels` numbers are writable at `to`.
    #[inline(always)]
    unsafe fn new(windows: Windows<'a, F>) -> Self {
        Self(windows)
    }
}

/// Windows computed side by side, which share each load of the weights.
const SIDE: usize = 4;

impl<F: Pointwise> Kernel for CheckedWindows<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Windows { f, data, stride, segments, weights, bias, to, rows, channels } = self.0;
        let zero = s.splat(0.0);
        let mut row = 0;
        while row < rows {
            let side = (rows - row).min(SIDE);
            let mut at = 0;
            while at < channels {
                let count = (channels - at).min(S::LANES);
                // SAFETY: `new` requires these windows, weights and results;
                // `at + count <= channels`. The last window stands in for those past it.
                unsafe {
                    let start = bias.map_or(zero, |bias| load_or(s, bias, at, count, zero));
                    let mut sums = [start; SIDE];
                    let first: [*const f32; SIDE] =
                        std::array::from_fn(|index| data.add((row + index.min(side - 1)) * stride));
                    for (tap, segment) in segments.iter().enumerate() {
                        let weight = load_or(s, weights, tap * channels + at, count, zero);
                        for (sum, first) in sums.iter_mut().zip(first) {
                            *sum = s.fma(load_or(s, first, segment.offset + at, count, zero), weight, *sum);
                        }
                    }
                    for (index, &sum) in sums.iter().enumerate().take(side) {
                        store_some(s, to, (row + index) * channels + at, count, f.apply(s, sum));
                    }
                }
                at += count;
            }
            row += side;
        }
    }
}
