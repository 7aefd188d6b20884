//! Element types that products are stored as.

use half::bf16;

use crate::kernels::{
    KernelSet,
    gemm::round::store_rounded,
    simd::{Simd, reduce::store_some},
};

/// An element type of results: `f32` or `bf16`.
///
/// Sums are f32 throughout; results stored as bf16 are rounded after the epilogue, ties to even.
#[expect(private_bounds, reason = "sealed: how kernels store an element is internal")]
pub trait Stored: Store {}

impl Stored for f32 {}
impl Stored for bf16 {}

/// How kernels store results of an element type.
pub(crate) trait Store: bytemuck::Pod + Send + Sync {
    /// Whether sums can be kept where the results go.
    const HOLDS_SUMS: bool;
    /// `c` as an address of sums, if it can hold them.
    fn sums(c: *mut Self) -> Option<*mut f32>;
    /// Stores the first `count` lanes of `x`.
    ///
    /// # Safety
    /// `count` numbers are writable at `to`.
    unsafe fn store_lanes<S: Simd>(s: S, to: *mut Self, count: usize, x: S::F);
    /// Stores two vectors, one behind the other.
    ///
    /// # Safety
    /// Twice `S::LANES` numbers are writable at `to`.
    unsafe fn store_two<S: Simd>(s: S, to: *mut Self, first: S::F, second: S::F);
    /// Stores `rows` x `columns` results.
    ///
    /// # Safety
    /// `rows` rows of `columns` numbers are readable at `from` and writable at `to`, at these
    /// strides, and the two do not overlap.
    unsafe fn store(
        set: KernelSet,
        from: *const f32,
        from_stride: usize,
        to: *mut Self,
        to_stride: usize,
        rows: usize,
        columns: usize,
    );
}

impl Store for f32 {
    const HOLDS_SUMS: bool = true;
    #[inline(always)]
    fn sums(c: *mut f32) -> Option<*mut f32> {
        Some(c)
    }
    #[inline(always)]
    unsafe fn store_lanes<S: Simd>(s: S, to: *mut f32, count: usize, x: S::F) {
        // SAFETY: the contract is the same.
        unsafe { store_some(s, to, 0, count, x) }
    }
    #[inline(always)]
    unsafe fn store_two<S: Simd>(s: S, to: *mut f32, first: S::F, second: S::F) {
        // SAFETY: the caller promises both halves.
        unsafe {
            s.store(to, first);
            s.store(to.add(S::LANES), second);
        }
    }
    unsafe fn store(
        _: KernelSet,
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        rows: usize,
        columns: usize,
    ) {
        // SAFETY: the contract is the same.
        unsafe { copy_rows(from, from_stride, to, to_stride, rows, columns) }
    }
}

impl Store for bf16 {
    const HOLDS_SUMS: bool = false;
    #[inline(always)]
    fn sums(_: *mut bf16) -> Option<*mut f32> {
        None
    }
    #[inline(always)]
    unsafe fn store_lanes<S: Simd>(s: S, to: *mut bf16, count: usize, x: S::F) {
        // SAFETY: the contract is the same.
        unsafe { s.store_bf16(to, count, x) }
    }
    #[inline(always)]
    unsafe fn store_two<S: Simd>(s: S, to: *mut bf16, first: S::F, second: S::F) {
        // SAFETY: the contract is the same.
        unsafe { s.store_two_bf16(to, first, second) }
    }
    unsafe fn store(
        set: KernelSet,
        from: *const f32,
        from_stride: usize,
        to: *mut bf16,
        to_stride: usize,
        rows: usize,
        columns: usize,
    ) {
        // SAFETY: the contract is the same.
        unsafe { store_rounded(set, from, from_stride, to, to_stride, rows, columns) }
    }
}

/// Copies rows from one stride to another.
///
/// # Safety
/// As [`Store::store`].
pub(super) unsafe fn copy_rows(
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    rows: usize,
    columns: usize,
) {
    for row in 0..rows {
        // SAFETY: the caller promises `rows` rows of `columns` numbers on both sides.
        unsafe { to.add(row * to_stride).copy_from_nonoverlapping(from.add(row * from_stride), columns) }
    }
}
