//! Memory for the values of a run, given back after their last use.

use crate::{error::Result, tensor::AlignedBytes};

/// Memory may be this much larger than what it is taken for, besides twice its bytes.
const SLACK: usize = 4096;

/// The free memory of one run, reused by later runs.
///
/// It never holds more bytes than the values of the largest run together.
#[derive(Default)]
pub(super) struct Pool {
    free: Vec<AlignedBytes>,
    free_bytes: usize,
    live: usize,
    peak: usize,
}

impl Pool {
    /// Memory for `bytes` bytes, whose contents are arbitrary.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn take(&mut self, bytes: usize) -> Result<AlignedBytes> {
        let most = bytes.saturating_mul(2).saturating_add(SLACK);
        let fits = |memory: &AlignedBytes| (bytes..=most).contains(&memory.capacity());
        let found = self.free.iter().enumerate().filter(|(_, memory)| fits(memory));
        let found = found.min_by_key(|(_, memory)| memory.capacity()).map(|(index, _)| index);
        let memory = match found {
            Some(index) => {
                let memory = self.free.swap_remove(index);
                self.free_bytes -= memory.capacity();
                memory.reused(bytes)
            }
            None => AlignedBytes::try_zeroed(bytes)?,
        };
        self.adopt(memory.capacity());
        Ok(memory)
    }

    /// Counts memory that a kernel has allocated by itself.
    pub(super) fn adopt(&mut self, bytes: usize) {
        self.live = self.live.saturating_add(bytes);
        self.peak = self.peak.max(self.live.saturating_add(self.free_bytes));
    }

    /// Takes memory back.
    pub(super) fn put(&mut self, memory: AlignedBytes) {
        let bytes = memory.capacity();
        self.live = self.live.saturating_sub(bytes);
        if bytes > 0 && self.free_bytes.saturating_add(bytes) <= self.peak {
            self.free_bytes += bytes;
            self.free.push(memory);
        }
    }

    /// Bytes of the values that are held.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Forgets the values of a run that failed.
    pub(super) fn restart(&mut self) {
        self.live = 0;
    }

    /// Bytes of values and free memory at the largest moment so far.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused_where_it_fits() {
        let mut pool = Pool::default();
        let first = pool.take(10_000).unwrap();
        let address = first.as_ptr();
        pool.put(first);
        let second = pool.take(9_000).unwrap();
        assert_eq!((second.as_ptr(), second.len()), (address, 9_000));
        pool.put(second);
        // Too large for few bytes.
        assert_ne!(pool.take(10).unwrap().as_ptr(), address);
        assert!(pool.free_bytes <= pool.peak());
    }
}
