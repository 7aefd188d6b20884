//! Bytes that start on a cache line, so that they can be seen as any element and read by any vector load.

use std::ops::{Deref, DerefMut};

#[cfg(feature = "onnx")]
use crate::error::{Error, Result};

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A fixed number of bytes, aligned to 64.
#[derive(Clone, Default)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        let lines = bytemuck::allocation::zeroed_vec(len.div_ceil(64));
        ask_for_large_pages(&lines);
        Self { lines, len }
    }

    /// `len` zero bytes, refused where there is no memory for them.
    #[cfg(feature = "onnx")]
    pub(crate) fn try_zeroed(len: usize) -> Result<Self> {
        let lines = bytemuck::allocation::try_zeroed_vec(len.div_ceil(64));
        let lines = lines.map_err(|()| Error::limit(format!("there is no memory for {len} bytes")))?;
        ask_for_large_pages(&lines);
        Ok(Self { lines, len })
    }

    /// A copy of `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        let mut this = Self::zeroed(bytes.len());
        this.copy_from_slice(bytes);
        this
    }
}

/// Asks the system to back large memory with large pages: fewer faults while it is filled, fewer misses of the
/// address cache while it is read. A hint; what comes of it is the system's choice.
fn ask_for_large_pages(lines: &[Line]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 2 << 20;
        let first = lines.as_ptr() as usize;
        let (start, end) = (first.next_multiple_of(PAGE), (first + size_of_val(lines)) / PAGE * PAGE);
        if start < end {
            // SAFETY: the range lies within memory that `lines` owns, and the advice does not change what it holds.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = lines;
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
