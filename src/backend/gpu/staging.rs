//! Staging buffers for transfers to the device, which stay mapped between runs.
//!
//! Values are written into mapped memory, and the run's own commands copy them to the device. After the run its buffers
//! are mapped again for the next one, so no more are created once runs have reached their largest size.

use std::{sync::mpsc, time::Duration};

use crate::{
    backend::gpu::residence::Residence,
    error::{Error, ErrorKind, Result},
};

/// Least bytes of a buffer.
const LEAST: u64 = 64 << 10;
/// Alignment in bytes of a value within a buffer.
const ALIGNMENT: u64 = 256;
/// Maximum time after a run until its buffers are mapped again.
const RETURN: Duration = Duration::from_secs(60);

/// A buffer that is mapped again, `None` if mapping failed.
type Remapped = Option<wgpu::Buffer>;

/// Staging buffers of one run at a time.
pub(super) struct Uploads {
    /// Mapped and empty buffers.
    free: Vec<wgpu::Buffer>,
    /// Mapped buffers with the number of bytes written.
    filled: Vec<(wgpu::Buffer, u64)>,
    /// Number of buffers that a run in flight reads.
    away: usize,
    returned: mpsc::Receiver<Remapped>,
    returns: mpsc::Sender<Remapped>,
}

impl Default for Uploads {
    fn default() -> Self {
        let (returns, returned) = mpsc::channel();
        Self { free: Vec::new(), filled: Vec::new(), away: 0, returned, returns }
    }
}

impl Uploads {
    /// Ensures a buffer with room for `bytes` more.
    ///
    /// # Errors
    /// If memory runs out or a buffer in flight is not returned.
    pub(super) fn reserve(&mut self, residence: &Residence, bytes: u64) -> Result<()> {
        if bytes == 0 || self.filled.last().is_some_and(|(buffer, used)| buffer.size() - used >= bytes) {
            return Ok(());
        }
        let fits = |buffer: &wgpu::Buffer| buffer.size() >= bytes;
        // Every run waits for its submissions, so buffers in flight will be returned.
        while !self.free.iter().any(fits) && self.away > 0 {
            let Ok(buffer) = self.returned.recv_timeout(RETURN) else {
                return Err(Error::new(ErrorKind::Device, "a staging buffer did not come back"));
            };
            self.away -= 1;
            self.free.extend(buffer);
        }
        let buffer = match self.free.iter().position(fits) {
            Some(place) => self.free.swap_remove(place),
            None => {
                // The new buffer replaces one that has become too small.
                self.free.pop();
                let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
                let size = bytes.checked_next_power_of_two().unwrap_or(bytes).max(LEAST);
                residence.count_staging();
                residence.device.mapped_buffer(
                    "uploads",
                    size.min(residence.device.limits.max_buffer_size.max(bytes)),
                    usage,
                )?
            }
        };
        self.filled.push((buffer, 0));
        Ok(())
    }

    /// Stages `bytes`, a whole number of words, and records their copy to the start of `target`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), or if the memory cannot be mapped.
    pub(super) fn send(
        &mut self,
        residence: &Residence,
        encoder: &mut wgpu::CommandEncoder,
        bytes: &[u8],
        target: &wgpu::Buffer,
    ) -> Result<()> {
        let len = bytes.len() as u64;
        if len == 0 {
            return Ok(());
        }
        self.reserve(residence, room(len))?;
        let (buffer, used) = self.filled.last_mut().ok_or_else(|| Error::internal("there is no staging buffer"))?;
        let mut mapped = buffer.get_mapped_range_mut(*used..*used + len).map_err(|error| {
            Error::new(ErrorKind::Device, format!("adapter `{}`: sending values: {error}", residence.device.adapter))
        })?;
        mapped.copy_from_slice(bytes);
        drop(mapped);
        encoder.copy_buffer_to_buffer(buffer, *used, target, 0, len);
        *used += room(len);
        Ok(())
    }

    /// Unmaps the filled buffers before `encoder` is submitted, and maps them again once it is done.
    pub(super) fn close(&mut self, encoder: &wgpu::CommandEncoder) {
        for (buffer, _) in self.filled.drain(..) {
            buffer.unmap();
            let (own, returns) = (buffer.clone(), self.returns.clone());
            self.away += 1;
            encoder.map_buffer_on_submit(&buffer, wgpu::MapMode::Write, .., move |result| {
                // The receiver is gone if the run has failed.
                let _sent = returns.send(result.ok().map(|()| own));
            });
        }
    }

    /// Bytes of the buffers that are not in flight.
    pub(super) fn bytes(&self) -> u64 {
        let filled = self.filled.iter().map(|(buffer, _)| buffer);
        self.free.iter().chain(filled).map(wgpu::Buffer::size).sum()
    }
}

/// Bytes of a buffer that a value of `bytes` occupies.
pub(super) fn room(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}
