//! Bytes that start on a cache line, so that they can be seen as any element and read by any vector load.

use std::ops::{Deref, DerefMut};
#[cfg(feature = "hugging-face")]
use std::{ops::Range, sync::Arc};

use crate::error::{Error, Result};
#[cfg(feature = "hugging-face")]
use crate::tensor::Mapping;

/// Where the bytes start: on a cache line.
const ALIGNMENT: usize = 64;

/// A fixed number of bytes, aligned to 64; those of a mapped file lie as the file has them, and are copied before they
/// are written.
pub struct AlignedBytes {
    memory: Memory,
    start: usize,
    len: usize,
}

enum Memory {
    /// Longer than asked for: an allocation that asks for no alignment gets zero pages from the system as they are,
    /// where an aligned one would have to be filled with zeros by hand.
    Own(Vec<u8>),
    #[cfg(feature = "hugging-face")]
    Mapped(Arc<Mapping>),
}

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self::within(bytemuck::allocation::zeroed_vec(len + ALIGNMENT - 1), len)
    }

    /// `len` zero bytes, refused where there is no memory for them.
    pub(crate) fn try_zeroed(len: usize) -> Result<Self> {
        let memory = len.checked_add(ALIGNMENT - 1).and_then(|len| bytemuck::allocation::try_zeroed_vec(len).ok());
        let memory = memory.ok_or_else(|| Error::limit(format!("there is no memory for {len} bytes")))?;
        Ok(Self::within(memory, len))
    }

    fn within(memory: Vec<u8>, len: usize) -> Self {
        expect_use(&memory);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory: Memory::Own(memory), start, len }
    }

    /// A copy of `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        let mut memory = Vec::with_capacity(bytes.len() + ALIGNMENT - 1);
        expect_use(&memory);
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        // Within the capacity, so that the memory stays where it is.
        memory.resize(start, 0);
        memory.extend_from_slice(bytes);
        Self { memory: Memory::Own(memory), start, len: bytes.len() }
    }

    /// Bytes of a mapped file, if they are there and elements of `alignment` bytes may start where they do.
    #[cfg(feature = "hugging-face")]
    pub(crate) fn mapped(mapping: &Arc<Mapping>, range: Range<usize>, alignment: usize) -> Option<Self> {
        let bytes = mapping.bytes().get(range.clone())?;
        let aligned = bytes.as_ptr().addr().is_multiple_of(alignment);
        aligned.then(|| Self { memory: Memory::Mapped(mapping.clone()), start: range.start, len: range.len() })
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

/// Tells the system that all of a large memory is about to be filled: it is then backed by large pages where there are
/// some, and by all its pages at once instead of one at each first touch. Hints; what comes of them is the system's choice.
fn expect_use(memory: &Vec<u8>) {
    #[cfg(target_os = "linux")]
    {
        /// Small memory is used again and again, and larger one is mostly large pages, which threads may fill in turn.
        const POPULATED: std::ops::Range<usize> = 1 << 20..16 << 20;
        let first = memory.as_ptr() as usize;
        let whole_pages = |page: usize| (first.next_multiple_of(page), (first + memory.capacity()) / page * page);
        let advise = |(start, end): (usize, usize), advice| {
            if start < end {
                // SAFETY: the range lies within `memory`, and neither advice changes what it holds.
                unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) };
            }
        };
        advise(whole_pages(2 << 20), libc::MADV_HUGEPAGE);
        if POPULATED.contains(&memory.capacity()) {
            // Refused where pages are larger.
            advise(whole_pages(4096), libc::MADV_POPULATE_WRITE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

impl AlignedBytes {
    /// Whether they lie in a mapped file.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_mapped(&self) -> bool {
        !matches!(self.memory, Memory::Own(_))
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let memory = match &self.memory {
            Memory::Own(memory) => memory.as_slice(),
            #[cfg(feature = "hugging-face")]
            Memory::Mapped(mapping) => mapping.bytes(),
        };
        &memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        #[cfg(feature = "hugging-face")]
        if let Memory::Mapped(_) = self.memory {
            *self = self.clone();
        }
        match &mut self.memory {
            Memory::Own(memory) => &mut memory[self.start..self.start + self.len],
            #[cfg(feature = "hugging-face")]
            Memory::Mapped(_) => &mut [],
        }
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
