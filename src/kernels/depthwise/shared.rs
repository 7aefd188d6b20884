//! Windows of 3 or 5 taps side by side, which share each number that they read.
//!
//! The loop goes over positions of a line rather than over taps: a number is loaded once, and added to the sum of every
//! window that it lies in. Each sum has its terms in the order of the taps, as where windows share nothing.

use crate::kernels::{
    KernelSet,
    depthwise::Windows,
    simd::{
        Kernel, Simd,
        reduce::{load_or, store_some},
    },
};

/// Windows computed side by side.
const SIDE: usize = 8;

/// Computes the sums of `windows`, without an activation; false where their taps do not lie side by side.
///
/// # Safety
/// As [`CheckedWindows::new`](super::CheckedWindows::new).
pub(super) unsafe fn run(set: KernelSet, windows: &Windows<'_, ()>) -> bool {
    let &Windows { stride, segments, rows, channels, .. } = windows;
    let next = |pair: &[super::Segment]| pair[1].offset == pair[0].offset.wrapping_add(channels);
    let across = 1 + segments.windows(2).take_while(|pair| next(pair)).count();
    let lines = segments.chunks(across);
    if rows < SIDE || !lines.clone().all(|line| line.len() == across && line.windows(2).all(next)) {
        return false;
    }
    // SAFETY: the contract is the same; the lines of taps were checked.
    unsafe {
        match (across, stride / channels, stride % channels) {
            (3, 1, 0) => set.run(Shared::<3, 1>::new(windows)),
            (3, 2, 0) => set.run(Shared::<3, 2>::new(windows)),
            (5, 1, 0) => set.run(Shared::<5, 1>::new(windows)),
            (5, 2, 0) => set.run(Shared::<5, 2>::new(windows)),
            _ => return false,
        }
    }
    true
}

/// At least [`SIDE`] windows of lines of `TAPS` taps, `STEP` positions apart.
struct Shared<'a, const TAPS: usize, const STEP: usize>(&'a Windows<'a, ()>);

impl<'a, const TAPS: usize, const STEP: usize> Shared<'a, TAPS, STEP> {
    /// # Safety
    /// As [`CheckedWindows::new`](super::CheckedWindows::new); there are as many windows, and taps lie so.
    #[inline(always)]
    unsafe fn new(windows: &'a Windows<'a, ()>) -> Self {
        Self(windows)
    }
}

impl<const TAPS: usize, const STEP: usize> Kernel for Shared<'_, TAPS, STEP> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let &Windows { rows, channels, .. } = self.0;
        let mut row = 0;
        while row < rows {
            // The last windows are computed with some of those before them.
            row = row.min(rows - SIDE);
            let mut at = 0;
            // SAFETY: `new` requires `SIDE` windows from `row` on; `at + count <= channels`.
            unsafe {
                while at + S::LANES <= channels {
                    self.windows(s, row, at, S::LANES);
                    at += S::LANES;
                }
                if at < channels {
                    self.windows(s, row, at, channels - at);
                }
            }
            row += SIDE;
        }
    }
}

impl<const TAPS: usize, const STEP: usize> Shared<'_, TAPS, STEP> {
    /// Computes `count` channels of the windows from `row` on.
    ///
    /// # Safety
    /// [`SIDE`] windows from `row` on have `count <= LANES` channels from `at` on.
    #[inline(always)]
    unsafe fn windows<S: Simd>(&self, s: S, row: usize, at: usize, count: usize) {
        let &Windows { data, stride, segments, weights, bias, to, channels, .. } = self.0;
        let zero = s.splat(0.0);
        // SAFETY: the caller promises all windows, and with them their weights and results.
        unsafe {
            let mut sums = [bias.map_or(zero, |bias| load_or(s, bias, at, count, zero)); SIDE];
            for (line, taps) in segments.chunks_exact(TAPS).enumerate() {
                let mut own = [zero; TAPS];
                for (tap, own) in own.iter_mut().enumerate() {
                    *own = load_or(s, weights, (line * TAPS + tap) * channels + at, count, zero);
                }
                let from = data.add(row * stride + taps[0].offset + at);
                // A position for each literal, so that each sum is a register.
                macro_rules! positions {
                    ($($position:literal)*) => {
                        $(if const { $position < (SIDE - 1) * STEP + TAPS } {
                            let x = load_or(s, from, $position * channels, count, zero);
                            for (window, sum) in sums.iter_mut().enumerate() {
                                if $position >= window * STEP && $position < window * STEP + TAPS {
                                    *sum = s.fma(x, own[$position - window * STEP], *sum);
                                }
                            }
                        })*
                    };
                }
                positions!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
            }
            for (window, &sum) in sums.iter().enumerate() {
                store_some(s, to, (row + window) * channels + at, count, sum);
            }
        }
    }
}
