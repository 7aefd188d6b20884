//! Pools of channels-last data: rows of channels folded into one.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        simd::{
            Kernel, Simd,
            reduce::{load_or, store_some},
        },
    },
};

/// How rows are folded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RowFold {
    /// The largest of each channel, NaN if any is.
    Max,
    /// The sum of each channel.
    Sum,
    /// The sum of each channel divided by a count.
    Mean(f32),
}

/// Folds rows of `channels` numbers for each window; those of the first begin at `starts` in `from`, in that order, those of
/// each further window `step` numbers later.
///
/// Without rows the result is minus infinity, 0, or 0 divided by the count.
///
/// # Errors
/// `Internal` if a row leaves `from`, or `to` is not a result for each window.
pub(crate) fn fold_rows(
    set: KernelSet,
    fold: RowFold,
    from: &[f32],
    starts: &[usize],
    step: usize,
    channels: usize,
    to: &mut [f32],
) -> Result<()> {
    let windows = to.len() / channels.max(1);
    let reach = windows.saturating_sub(1).checked_mul(step).and_then(|last| last.checked_add(channels));
    let outside = |&start: &usize| reach.and_then(|reach| start.checked_add(reach)).is_none_or(|end| end > from.len());
    if channels == 0 || !to.len().is_multiple_of(channels) || starts.iter().any(outside) {
        let (len, room) = (from.len(), to.len());
        return Err(Error::internal(format!(
            "rows of {channels} at {starts:?} and steps of {step} in {len} numbers to {room}"
        )));
    }
    // SAFETY: every row was checked.
    set.run(unsafe { Rows::new(fold, from.as_ptr(), starts, step, channels, to) });
    Ok(())
}

/// The kernel of [`fold_rows`].
struct Rows<'a> {
    fold: RowFold,
    from: *const f32,
    starts: &'a [usize],
    step: usize,
    channels: usize,
    to: &'a mut [f32],
}

impl<'a> Rows<'a> {
    /// # Safety
    /// `channels` numbers are readable at each of `starts` behind `from`, and at each `step` from there, as often as `to`
    /// has rows.
    #[inline(always)]
    unsafe fn new(
        fold: RowFold,
        from: *const f32,
        starts: &'a [usize],
        step: usize,
        channels: usize,
        to: &'a mut [f32],
    ) -> Self {
        Self { fold, from, starts, step, channels, to }
    }
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { fold, from, starts, step, channels, to } = self;
        for (window, to) in to.chunks_exact_mut(channels).enumerate() {
            // SAFETY: `new` requires the rows of every window.
            unsafe { fold_window(s, fold, from.wrapping_add(window * step), starts, to) };
        }
    }
}

/// Folds the rows of one window.
///
/// # Safety
/// `to.len()` numbers are readable at each of `starts` behind `from`.
#[inline(always)]
unsafe fn fold_window<S: Simd>(s: S, fold: RowFold, from: *const f32, starts: &[usize], to: &mut [f32]) {
    let (channels, zero) = (to.len(), s.splat(0.0));
    let mut at = 0;
    while at < channels {
        let count = (channels - at).min(S::LANES);
        // SAFETY: the caller promises every row; `at + count <= channels`.
        unsafe {
            let result = match fold {
                RowFold::Max => {
                    let mut largest = s.splat(f32::NEG_INFINITY);
                    for &start in starts {
                        let x = load_or(s, from.add(start), at, count, zero);
                        // Of equals the first stays, and a NaN wins.
                        largest = s.select_nan(x, x, s.max(x, largest));
                    }
                    largest
                }
                RowFold::Sum | RowFold::Mean(_) => {
                    let mut sum = zero;
                    for &start in starts {
                        sum = s.add(sum, load_or(s, from.add(start), at, count, zero));
                    }
                    if let RowFold::Mean(divisor) = fold { s.div(sum, s.splat(divisor)) } else { sum }
                }
            };
            store_some(s, to.as_mut_ptr(), at, count, result);
        }
        at += count;
    }
}
