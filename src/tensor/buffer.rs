//! Bytes that start on a cache line, aligned for every element type and vector load.
#![allow(unsafe_code, reason = "advice to the system about pages")]

#[cfg(feature = "hugging-face")]
use std::ops::Range;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use crate::error::{Error, Result};
#[cfg(feature = "hugging-face")]
use crate::tensor::Mapping;

/// Alignment of the bytes: a cache line.
const ALIGNMENT: usize = 64;

/// A fixed number of bytes, aligned to 64.
///
/// Bytes of a mapped file or of another owner are aligned as they are there, and copied before they are written.
pub(crate) struct AlignedBytes {
    memory: Memory,
    start: usize,
    len: usize,
}

/// The memory that holds the bytes.
enum Memory {
    /// Longer than requested, so that an aligned part fits: an allocation without alignment gets
    /// zero pages from the system, while an aligned one would be filled with zeros by hand.
    Own(Vec<u8>),
    #[cfg(feature = "hugging-face")]
    Mapped(Arc<Mapping>),
    /// Memory of the caller's, of which nothing is written.
    Foreign(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl AlignedBytes {
    /// `len` zero bytes.
    pub(crate) fn zeroed(len: usize) -> Self {
        Self::within(bytemuck::allocation::zeroed_vec(len + ALIGNMENT - 1), len)
    }

    /// `len` zero bytes.
    ///
    /// # Errors
    /// `Limit` if the memory cannot be allocated.
    pub(crate) fn try_zeroed(len: usize) -> Result<Self> {
        let memory = len.checked_add(ALIGNMENT - 1).and_then(|len| bytemuck::allocation::try_zeroed_vec(len).ok());
        let memory = memory.ok_or_else(|| Error::limit(format!("there is no memory for {len} bytes")))?;
        Ok(Self::within(memory, len))
    }

    /// The aligned `len` bytes within `memory`.
    fn within(memory: Vec<u8>, len: usize) -> Self {
        expect_use(&memory);
        let start = padding(memory.as_ptr());
        Self { memory: Memory::Own(memory), start, len }
    }

    /// The most bytes that the memory can hold, none if it is a file's or another owner's.
    pub(crate) fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Own(memory) => memory.len() - self.start,
            #[cfg(feature = "hugging-face")]
            Memory::Mapped(_) => 0,
            Memory::Foreign(_) => 0,
        }
    }

    /// The same memory for `len` other bytes, whose contents are arbitrary.
    ///
    /// # Panics
    /// If they are more than its capacity.
    pub(crate) fn reused(self, len: usize) -> Self {
        assert!(len <= self.capacity(), "{len} bytes in memory for {}", self.capacity());
        Self { len, ..self }
    }

    /// Copies `bytes`.
    pub(crate) fn copy_from(bytes: &[u8]) -> Self {
        let mut memory = Vec::with_capacity(bytes.len() + ALIGNMENT - 1);
        expect_use(&memory);
        let start = padding(memory.as_ptr());
        // Within the capacity, so that the memory does not move.
        memory.resize(start, 0);
        memory.extend_from_slice(bytes);
        Self { memory: Memory::Own(memory), start, len: bytes.len() }
    }

    /// Bytes of a mapped file, if they exist and are aligned to `alignment`.
    #[cfg(feature = "hugging-face")]
    pub(crate) fn mapped(mapping: &Arc<Mapping>, range: Range<usize>, alignment: usize) -> Option<Self> {
        let bytes = mapping.bytes().get(range.clone())?;
        let aligned = bytes.as_ptr().addr().is_multiple_of(alignment);
        aligned.then(|| Self { memory: Memory::Mapped(mapping.clone()), start: range.start, len: range.len() })
    }

    /// All bytes of `owner`, copied if they are not aligned to `alignment`.
    pub(crate) fn foreign(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, alignment: usize) -> Self {
        let bytes = (*owner).as_ref();
        let len = bytes.len();
        if !bytes.as_ptr().addr().is_multiple_of(alignment) {
            return Self::copy_from(bytes);
        }
        Self { memory: Memory::Foreign(owner), start: 0, len }
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

impl AlignedBytes {
    /// Whether they are bytes of a mapped file.
    pub(crate) fn is_mapped(&self) -> bool {
        #[cfg(feature = "hugging-face")]
        return matches!(self.memory, Memory::Mapped(_));
        #[cfg(not(feature = "hugging-face"))]
        false
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let memory = match &self.memory {
            Memory::Own(memory) => memory.as_slice(),
            #[cfg(feature = "hugging-face")]
            Memory::Mapped(mapping) => mapping.bytes(),
            Memory::Foreign(owner) => (**owner).as_ref(),
        };
        &memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        if !matches!(self.memory, Memory::Own(_)) {
            *self = self.clone();
        }
        match &mut self.memory {
            Memory::Own(memory) => &mut memory[self.start..self.start + self.len],
            _ => &mut [],
        }
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBytes({} bytes)", self.len)
    }
}

/// Bytes between `start` and the first aligned address.
fn padding(start: *const u8) -> usize {
    start.addr().wrapping_neg() % ALIGNMENT
}

/// Advises the system that a large memory is about to be filled.
///
/// It is then backed by large pages if the system has some, and by all its pages at once instead of
/// one at each first touch. The content stays the same whatever the system makes of it.
fn expect_use(memory: &Vec<u8>) {
    // An interpreter has no pages to advise on.
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        /// Smaller memory is mostly reused; larger memory is mostly large pages, which threads may
        /// fill in parallel.
        const POPULATED: std::ops::Range<usize> = 1 << 20..16 << 20;
        let first = memory.as_ptr() as usize;
        let whole_pages = |page: usize| (first.next_multiple_of(page), (first + memory.capacity()) / page * page);
        let advise = |(start, end): (usize, usize), advice| {
            if start < end {
                // SAFETY: the range is within `memory`, and neither advice changes its content.
                unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) };
            }
        };
        advise(whole_pages(2 << 20), libc::MADV_HUGEPAGE);
        if POPULATED.contains(&memory.capacity()) {
            // Refused if pages are larger.
            advise(whole_pages(4096), libc::MADV_POPULATE_WRITE);
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = memory;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned_and_of_the_requested_length() {
        for len in [0, 1, 63, 64, 1000] {
            let source: Vec<u8> = (0..len).map(|index| index as u8).collect();
            let copy = AlignedBytes::copy_from(&source);
            for bytes in [&AlignedBytes::zeroed(len), &AlignedBytes::try_zeroed(len).unwrap(), &copy, &copy.clone()] {
                assert_eq!(bytes.len(), len);
                assert!(bytes.as_ptr().addr().is_multiple_of(ALIGNMENT));
            }
            assert_eq!(*copy, *source);
            assert!(AlignedBytes::zeroed(len).iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn clones_are_apart() {
        let mut first = AlignedBytes::copy_from(&[1, 2, 3]);
        let second = first.clone();
        first[1] = 9;
        assert_eq!((&*first, &*second), (&[1, 9, 3][..], &[1, 2, 3][..]));
        assert_ne!(first, second);
    }

    #[test]
    fn memory_that_cannot_be_allocated_is_an_error() {
        assert!(AlignedBytes::try_zeroed(usize::MAX).is_err());
        assert!(AlignedBytes::try_zeroed(isize::MAX as usize).is_err());
    }
}
