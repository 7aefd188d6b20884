//! Rows of A for AMX tiles: in place where they are whole, else copied and padded with zeros.

use std::{mem::MaybeUninit, ops::Range};

use half::bf16;

use crate::kernels::gemm::{
    rows::{Rows, Segment},
    tiles::{PAIRS, ROWS},
};

/// Pairs of K that are copied at once.
pub(super) const MAX_PAIRS: usize = 1024;

/// Room for the rows of a tile.
#[repr(align(64))]
pub(super) struct CopiedRows([MaybeUninit<bf16>; ROWS * MAX_PAIRS * 2]);

impl CopiedRows {
    /// A buffer without content.
    pub(super) fn new() -> Self {
        Self([MaybeUninit::uninit(); ROWS * MAX_PAIRS * 2])
    }

    /// The pairs `first..first + count` of `rows`: their address and their stride.
    ///
    /// # Safety
    /// As [`Self::fill`].
    pub(super) unsafe fn rows(
        &mut self,
        a: &Rows<'_, bf16>,
        rows: Range<usize>,
        first: usize,
        count: usize,
    ) -> (*const bf16, usize) {
        if let &[Segment { offset, len }] = a.segments
            && len.is_multiple_of(2 * PAIRS)
            && rows.len() == ROWS
        {
            return (a.row(rows.start).wrapping_add(offset + 2 * first), a.stride);
        }
        // SAFETY: the contract is the same.
        (unsafe { self.fill(a, rows, first, count) }, 2 * count)
    }

    /// Copies the pairs `first..first + count` of `rows`.
    ///
    /// Returns the address of `ROWS` dense rows of `count` pairs. Pairs past the end of a row, and
    /// rows past the last one, are zeros.
    ///
    /// # Safety
    /// `a` has passed [`Rows::check`], and `rows` are rows of it.
    unsafe fn fill(&mut self, a: &Rows<'_, bf16>, rows: Range<usize>, first: usize, count: usize) -> *const bf16 {
        let (zero, width) = (MaybeUninit::new(bf16::ZERO), count * 2);
        for (row, to) in self.0.chunks_exact_mut(width).take(ROWS).enumerate() {
            let mut at = 0;
            if row < rows.len() {
                let from = a.row(rows.start + row);
                let mut skip = first;
                for &Segment { offset, len } in a.segments {
                    let pairs = len.div_ceil(2);
                    if skip >= pairs {
                        skip -= pairs;
                        continue;
                    }
                    if at == width {
                        break;
                    }
                    let own = (len - 2 * skip).min(width - at);
                    // SAFETY: a part of the `len` numbers that the check has found within the data.
                    let from = unsafe { std::slice::from_raw_parts(from.add(offset + 2 * skip).cast(), own) };
                    to[at..at + own].copy_from_slice(from);
                    to[at + own..at + own.next_multiple_of(2)].fill(zero);
                    at += own.next_multiple_of(2);
                    skip = 0;
                }
            }
            to[at..].fill(zero);
        }
        self.0.as_ptr().cast()
    }
}
