//! The way to the device: staging buffers that stay mapped between runs.
//!
//! What is sent is written into mapped memory, and the run's own commands copy it from there. When the run is done its
//! buffers are mapped again, and the next run finds them: once runs have their largest size no more are made.

use std::{
    sync::{atomic::Ordering, mpsc},
    time::Duration,
};

use crate::{
    backend::gpu::session::Residence,
    error::{Error, ErrorKind, Result},
};

/// The least bytes of a buffer.
const LEAST: u64 = 64 << 10;
/// Where a piece may start in a buffer.
const ALIGNMENT: u64 = 256;
/// How long after a run is done its buffers may take to be mapped again.
const BACK: Duration = Duration::from_secs(60);

/// A buffer that is mapped again, or none where that failed.
type Back = Option<wgpu::Buffer>;

/// The staging buffers of one run at a time.
pub(super) struct Uploads {
    /// Mapped and empty.
    free: Vec<wgpu::Buffer>,
    /// Mapped, with so many bytes in them that the run copies.
    filled: Vec<(wgpu::Buffer, u64)>,
    /// How many a run under way reads.
    away: usize,
    back: mpsc::Receiver<Back>,
    bring: mpsc::Sender<Back>,
}

impl Default for Uploads {
    fn default() -> Self {
        let (bring, back) = mpsc::channel();
        Self { free: Vec::new(), filled: Vec::new(), away: 0, back, bring }
    }
}

impl Uploads {
    /// Finds a buffer that takes `bytes` more, or makes one.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn reserve(&mut self, residence: &Residence, bytes: u64) -> Result<()> {
        if bytes == 0 || self.filled.last().is_some_and(|(buffer, used)| buffer.size() - used >= bytes) {
            return Ok(());
        }
        let fits = |buffer: &wgpu::Buffer| buffer.size() >= bytes;
        // Every run waits for its submissions, so what is away is on its way back.
        while !self.free.iter().any(fits) && self.away > 0 {
            let Ok(back) = self.back.recv_timeout(BACK) else {
                return Err(Error::new(ErrorKind::Device, "a staging buffer did not come back"));
            };
            self.away -= 1;
            self.free.extend(back);
        }
        let buffer = match self.free.iter().position(fits) {
            Some(place) => self.free.swap_remove(place),
            None => {
                // It takes the place of one that has become too small.
                self.free.pop();
                let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
                let size = bytes.checked_next_power_of_two().unwrap_or(bytes).max(LEAST);
                residence.staging.fetch_add(1, Ordering::Relaxed);
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

    /// Writes `bytes`, a whole number of words, and has `encoder` copy them to the start of `target`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), and when the memory cannot be written.
    pub fn send(
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

    /// Before `encoder` is submitted: what was sent by it is written, and the buffers come back once it is done.
    pub fn close(&mut self, encoder: &wgpu::CommandEncoder) {
        for (buffer, _) in self.filled.drain(..) {
            buffer.unmap();
            let (own, bring) = (buffer.clone(), self.bring.clone());
            self.away += 1;
            encoder.map_buffer_on_submit(&buffer, wgpu::MapMode::Write, .., move |result| {
                // Nobody waits for it where the run has failed.
                let _unheard = bring.send(result.ok().map(|()| own));
            });
        }
    }

    /// Bytes of the buffers that are here.
    pub fn bytes(&self) -> u64 {
        let filled = self.filled.iter().map(|(buffer, _)| buffer);
        self.free.iter().chain(filled).map(wgpu::Buffer::size).sum()
    }
}

/// The room that a piece of so many bytes takes in a buffer.
pub(super) fn room(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}
