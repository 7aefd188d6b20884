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
    /// The sum of each channel divided by a count.
    Mean(f32),
}

/// Folds the rows of `to.len()` numbers that begin at `starts` in `from`, in that order.
///
/// Without rows the result is minus infinity, or 0 divided by the count.
///
/// # Errors
/// `Internal` if a row leaves `from`.
pub(crate) fn fold_rows(set: KernelSet, fold: RowFold, from: &[f32], starts: &[usize], to: &mut [f32]) -> Result<()> {
    let channels = to.len();
    if starts.iter().any(|start| start.checked_add(channels).is_none_or(|end| end > from.len())) {
        return Err(Error::internal(format!("rows of {channels} at {starts:?} in {} numbers", from.len())));
    }
    // SAFETY: every row was checked.
    set.run(unsafe { Rows::new(fold, from.as_ptr(), starts, to) });
    Ok(())
}

/// The kernel of [`fold_rows`].
struct Rows<'a> {
    fold: RowFold,
    from: *const f32,
    starts: &'a [usize],
    to: &'a mut [f32],
}

impl<'a> Rows<'a> {
    /// # Safety
    /// `to.len()` numbers are readable at each of `starts` behind `from`.
    #[inline(always)]
    unsafe fn new(fold: RowFold, from: *const f32, starts: &'a [usize], to: &'a mut [f32]) -> Self {
        Self { fold, from, starts, to }
    }
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { fold, from, starts, to } = self;
        let (channels, zero) = (to.len(), s.splat(0.0));
        let mut at = 0;
        while at < channels {
            let count = (channels - at).min(S::LANES);
            // SAFETY: `new` requires every row; `at + count <= channels`.
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
                    RowFold::Mean(divisor) => {
                        let mut sum = zero;
                        for &start in starts {
                            sum = s.add(sum, load_or(s, from.add(start), at, count, zero));
                        }
                        s.div(sum, s.splat(divisor))
                    }
                };
                store_some(s, to.as_mut_ptr(), at, count, result);
            }
            at += count;
        }
    }
}
