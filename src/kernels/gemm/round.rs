//! Rounding of f32 numbers to bf16, ties to even.

use half::bf16;

use crate::kernels::{
    KernelSet,
    simd::{Kernel, Simd, reduce::load_or},
};

/// Rounds numbers to bf16, ties to even.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn round_to_bf16(set: KernelSet, from: &[f32], to: &mut [bf16]) {
    assert_eq!(from.len(), to.len(), "as many numbers to round as room for them");
    // SAFETY: one row, all of both slices.
    unsafe { store_rounded(set, from.as_ptr(), 0, to.as_mut_ptr(), 0, 1, from.len()) }
}

/// Rounds `rows` rows of `columns` numbers to bf16, ties to even.
///
/// # Safety
/// `rows` rows of `columns` numbers are readable at `from` and writable at `to`, at these strides.
pub(super) unsafe fn store_rounded(
    set: KernelSet,
    from: *const f32,
    from_stride: usize,
    to: *mut bf16,
    to_stride: usize,
    rows: usize,
    columns: usize,
) {
    // SAFETY: the contract is the same.
    set.run(unsafe { Round::new(from, from_stride, to, to_stride, rows, columns) });
}

/// The kernel of [`store_rounded`].
struct Round {
    from: *const f32,
    from_stride: usize,
    to: *mut bf16,
    to_stride: usize,
    rows: usize,
    columns: usize,
}

impl Round {
    /// # Safety
    /// As [`store_rounded`].
    #[inline(always)]
    unsafe fn new(
        from: *const f32,
        from_stride: usize,
        to: *mut bf16,
        to_stride: usize,
        rows: usize,
        columns: usize,
    ) -> Self {
        Self { from, from_stride, to, to_stride, rows, columns }
    }
}

impl Kernel for Round {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { from, from_stride, to, to_stride, rows, columns } = self;
        let zero = s.splat(0.0);
        for row in 0..rows {
            for at in (0..columns).step_by(S::LANES) {
                let count = (columns - at).min(S::LANES);
                // SAFETY: `new` requires these rows; `at + count <= columns`.
                unsafe {
                    let x = load_or(s, from.add(row * from_stride), at, count, zero);
                    s.store_bf16(to.add(row * to_stride + at), count, x);
                }
            }
        }
    }
}
