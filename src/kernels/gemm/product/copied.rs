//! Rows of A for AMX tiles: in place where they are whole, else copied and padded with zeros.

use std::{mem::MaybeUninit, ops::Range};

use crate::kernels::gemm::{
    factor::Steps,
    rows::{Rows, Segment},
    tiles::{ROWS, STEPS},
};

/// Steps of K that are copied at once.
pub(super) const MAX_STEPS: usize = 1024;

/// Room for the rows of a tile, in steps.
#[repr(align(64))]
pub(super) struct CopiedRows([MaybeUninit<u32>; ROWS * MAX_STEPS]);

impl CopiedRows {
    /// A buffer without content.
    pub(super) fn new() -> Self {
        Self([MaybeUninit::uninit(); ROWS * MAX_STEPS])
    }

    /// The steps `first..first + count` of `rows`: their address and their stride.
    ///
    /// # Safety
    /// As [`Self::fill`].
    pub(super) unsafe fn rows<T: Steps>(
        &mut self,
        a: &Rows<'_, T>,
        rows: Range<usize>,
        first: usize,
        count: usize,
    ) -> (*const T, usize) {
        if let &[Segment { offset, len }] = a.segments
            && len.is_multiple_of(T::STEP * STEPS)
            && rows.len() == ROWS
        {
            return (a.row(rows.start).wrapping_add(offset + T::STEP * first), a.stride);
        }
        // SAFETY: the contract is the same.
        (unsafe { self.fill(a, rows, first, count) }, T::STEP * count)
    }

    /// Copies the steps `first..first + count` of `rows`.
    ///
    /// Returns the address of `ROWS` dense rows of `count` steps. Steps past the end of a row, and
    /// rows past the last one, are zeros.
    ///
    /// # Safety
    /// `a` has passed [`Rows::check`], and `rows` are rows of it.
    unsafe fn fill<T: Steps>(&mut self, a: &Rows<'_, T>, rows: Range<usize>, first: usize, count: usize) -> *const T {
        // SAFETY: plain numbers without content, of no more alignment, in the same memory.
        let steps: &mut [MaybeUninit<T>] =
            unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), ROWS * MAX_STEPS * T::STEP) };
        let (zero, width) = (MaybeUninit::new(T::zeroed()), count * T::STEP);
        for (row, to) in steps.chunks_exact_mut(width).take(ROWS).enumerate() {
            let mut at = 0;
            if row < rows.len() {
                let from = a.row(rows.start + row);
                let mut skip = first;
                for &Segment { offset, len } in a.segments {
                    let own_steps = len.div_ceil(T::STEP);
                    if skip >= own_steps {
                        skip -= own_steps;
                        continue;
                    }
                    if at == width {
                        break;
                    }
                    let own = (len - T::STEP * skip).min(width - at);
                    // SAFETY: a part of the `len` numbers that the check has found within the data.
                    let from = unsafe { std::slice::from_raw_parts(from.add(offset + T::STEP * skip).cast(), own) };
                    to[at..at + own].copy_from_slice(from);
                    to[at + own..at + own.next_multiple_of(T::STEP)].fill(zero);
                    at += own.next_multiple_of(T::STEP);
                    skip = 0;
                }
            }
            to[at..].fill(zero);
        }
        self.0.as_ptr().cast()
    }
}
