//! Bytes that start on a cache line, so that they can be seen as any element and read by any vector load.

use std::ops::{Deref, DerefMut};

#[cfg(any(feature = "onnx", feature = "hugging-face"))]
use crate::error::{Error, Result};

/// Where the bytes start: on a cache line.
const ALIGNMENT: usize = 64;

/// A fixed number of bytes, aligned to 64.
pub struct AlignedBytes {
    /// Longer than asked for: an allocation that asks for no alignment gets zero pages from the system as they are,
    /// where an aligned one would have to be filled with zeros by hand.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self::within(bytemuck::allocation::zeroed_vec(len + ALIGNMENT - 1), len)
    }

    /// `len` zero bytes, refused where there is no memory for them.
    #[cfg(any(feature = "onnx", feature = "hugging-face"))]
    pub(crate) fn try_zeroed(len: usize) -> Result<Self> {
        let memory = len.checked_add(ALIGNMENT - 1).and_then(|len| bytemuck::allocation::try_zeroed_vec(len).ok());
        let memory = memory.ok_or_else(|| Error::limit(format!("there is no memory for {len} bytes")))?;
        Ok(Self::within(memory, len))
    }

    fn within(memory: Vec<u8>, len: usize) -> Self {
        ask_for_large_pages(&memory);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, start, len }
    }

    /// A copy of `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        let mut memory = Vec::with_capacity(bytes.len() + ALIGNMENT - 1);
        ask_for_large_pages(&memory);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        // Within the capacity, so that the memory stays where it is.
        memory.resize(start, 0);
        memory.extend_from_slice(bytes);
        Self { memory, start, len: bytes.len() }
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self::zeroed(0)
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        Self::copy_from(self)
    }
}

/// Asks the system to back large memory with large pages: fewer faults while it is filled, fewer misses of the
/// address cache while it is read. A hint; what comes of it is the system's choice.
fn ask_for_large_pages(memory: &Vec<u8>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 2 << 20;
        let first = memory.as_ptr() as usize;
        let (start, end) = (first.next_multiple_of(PAGE), (first + memory.capacity()) / PAGE * PAGE);
        if start < end {
            // SAFETY: the range lies within `memory`, and the advice does not change what it holds.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
