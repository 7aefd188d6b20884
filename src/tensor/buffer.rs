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
        Self { lines: bytemuck::allocation::zeroed_vec(len.div_ceil(64)), len }
    }

    /// `len` zero bytes, refused where there is no memory for them.
    #[cfg(feature = "onnx")]
    pub(crate) fn try_zeroed(len: usize) -> Result<Self> {
        let lines = bytemuck::allocation::try_zeroed_vec(len.div_ceil(64));
        let lines = lines.map_err(|()| Error::limit(format!("there is no memory for {len} bytes")))?;
        Ok(Self { lines, len })
    }

    /// A copy of `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        let mut this = Self::zeroed(bytes.len());
        this.copy_from_slice(bytes);
        this
    }
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
