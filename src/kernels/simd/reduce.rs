//! Sums and maxima of a slice, by a reduction tree that depends on the length alone.

use crate::kernels::simd::Simd;

/// Independent accumulators.
pub(crate) const WIDE: usize = 4;

/// Combines the vectors of `$len` numbers with the method `$combine` of `$s`.
///
/// [`WIDE`] accumulators take turns; the rest follows one vector at a time, the last of them
/// partial.
///
/// `$vector` is evaluated with `$at`, an offset, and `$count`, the number of lanes within the
/// length; it fills further lanes with `$identity`. A macro, because a closure would not be
/// compiled with the kernel set's instructions.
macro_rules! fold {
    ($s:ident : $S:ty, $len:expr, $identity:expr, $combine:ident, |$at:ident, $count:ident| $vector:expr) => {{
        const WIDE: usize = $crate::kernels::simd::reduce::WIDE;
        let (len, identity) = ($len, $identity);
        let mut wide = [identity; WIDE];
        let mut start = 0;
        while start + WIDE * <$S>::LANES <= len {
            for (i, sum) in wide.iter_mut().enumerate() {
                let ($at, $count) = (start + i * <$S>::LANES, <$S>::LANES);
                *sum = $s.$combine(*sum, $vector);
            }
            start += WIDE * <$S>::LANES;
        }
        let mut sum = $s.$combine($s.$combine(wide[0], wide[1]), $s.$combine(wide[2], wide[3]));
        while start < len {
            let ($at, $count) = (start, (len - start).min(<$S>::LANES));
            sum = $s.$combine(sum, $vector);
            start += $count;
        }
        sum
    }};
}
pub(crate) use fold;

/// Loads the vector at `from + at`; lanes from `count` on are `fill`.
///
/// # Safety
/// `count` numbers are readable at `from + at`.
#[inline(always)]
pub(crate) unsafe fn load_or<S: Simd>(s: S, from: *const f32, at: usize, count: usize, fill: S::F) -> S::F {
    // SAFETY: the caller promises `count` numbers.
    unsafe {
        if count == S::LANES { s.load(from.add(at)) } else { s.head(s.load_head(from.add(at), count), count, fill) }
    }
}

/// Loads the `count` numbers at `from + at`, and zeros.
///
/// # Safety
/// `count` numbers are readable at `from + at`.
#[inline(always)]
pub(crate) unsafe fn load_some<S: Simd>(s: S, from: *const f32, at: usize, count: usize) -> S::F {
    // SAFETY: the caller promises `count` numbers.
    unsafe { if count == S::LANES { s.load(from.add(at)) } else { s.load_head(from.add(at), count) } }
}

/// Stores the first `count` lanes of `x` at `to + at`.
///
/// # Safety
/// `count` numbers are writable at `to + at`.
#[inline(always)]
pub(crate) unsafe fn store_some<S: Simd>(s: S, to: *mut f32, at: usize, count: usize, x: S::F) {
    // SAFETY: the caller promises `count` numbers.
    unsafe { if count == S::LANES { s.store(to.add(at), x) } else { s.store_head(to.add(at), count, x) } }
}
