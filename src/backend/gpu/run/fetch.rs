//! Submission, and reading values back to the host.

use std::{
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use crate::{
    backend::gpu::{
        buffer::{self, device_bytes},
        memory::FAULT_BYTES,
        run::{Open, Run},
    },
    error::{Error, ErrorKind, Result},
    graph::ValueId,
    tensor::byte_count,
};

/// Maximum time after a submission is done until its results are mapped.
const MAPPED: Duration = Duration::from_secs(60);

/// Where a root value is in the readback buffer.
struct Placed {
    root: ValueId,
    start: u64,
    bytes: u64,
}

impl Run<'_> {
    /// Submits the recorded commands, waits for them, and copies root values to the host.
    ///
    /// Returns the number of bytes copied.
    pub(super) fn fetch(&mut self, roots: &[ValueId]) -> Result<u64> {
        let Open { pass, mut encoder } = self.take_open();
        drop(pass);
        let (placed, total) = self.place(roots)?;
        let readback = self.record_readback(&mut encoder, &placed, total)?;
        self.submit(encoder, &readback, total)?;
        let started = Instant::now();
        let outcome = self.copy(&readback, &placed, total);
        readback.unmap();
        self.loaded.transfers.moving.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        outcome?;
        for &root in roots {
            self.memory.on_host[root.index()] = true;
        }
        let bytes = placed.iter().map(|placed| placed.bytes).sum();
        if let Some(timing) = &mut self.timing {
            timing.profile.submissions += 1;
            timing.profile.bytes_down += bytes;
        }
        Ok(bytes)
    }

    /// Lays root values out behind the fault word; also returns the bytes of the whole.
    fn place(&self, roots: &[ValueId]) -> Result<(Vec<Placed>, u64)> {
        let mut placed = Vec::with_capacity(roots.len());
        let mut total = FAULT_BYTES;
        for &root in roots {
            let shape = self.memory.sizes.shape(&self.loaded.residence.plan, root);
            let bytes = device_bytes(shape.iter().product())?;
            placed.push(Placed { root, start: total, bytes });
            total += bytes.next_multiple_of(256);
        }
        Ok((placed, total))
    }

    /// Records the copies into the readback buffer.
    fn record_readback(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        placed: &[Placed],
        total: u64,
    ) -> Result<wgpu::Buffer> {
        let loaded = self.loaded;
        let residence = &loaded.residence;
        let readback = self.memory.readback(residence, total)?;
        encoder.copy_buffer_to_buffer(self.memory.fault()?, 0, &readback, 0, FAULT_BYTES);
        for &Placed { root, start, bytes } in placed {
            if bytes > 0 {
                encoder.copy_buffer_to_buffer(self.memory.buffer_of(residence, root)?, 0, &readback, start, bytes);
            }
        }
        Ok(readback)
    }

    /// Submits the commands and waits until the readback buffer is mapped.
    fn submit(&mut self, encoder: wgpu::CommandEncoder, readback: &wgpu::Buffer, total: u64) -> Result<()> {
        let loaded = self.loaded;
        let device = &loaded.residence.device;
        self.memory.uploads.close(&encoder);
        let (sender, receiver) = mpsc::channel();
        encoder.map_buffer_on_submit(readback, wgpu::MapMode::Read, 0..total, move |result| {
            // The receiver is gone if the wait has failed.
            let _sent = sender.send(result);
        });
        let submission = device.queue.submit([encoder.finish()]);
        // No lock is held that another thread's submission would need.
        device.wait(submission)?;
        // The callback may run on another thread that waits for the device.
        match receiver.recv_timeout(MAPPED) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(format!("reading results: {error}"))),
            Err(_) => Err(self.failed("the results were not handed over".to_owned())),
        }
    }

    /// Copies root values out of the mapped readback buffer, unless a shader reported a bad element.
    fn copy(&mut self, readback: &wgpu::Buffer, placed: &[Placed], total: u64) -> Result<()> {
        let mapped =
            readback.get_mapped_range(0..total).map_err(|error| self.failed(format!("reading results: {error}")))?;
        let fault = mapped.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        if fault != 0 {
            let step = self.loaded.steps.get((u32::MAX - fault) as usize);
            let name = step.map_or("a step", |step| &step.name);
            return Err(Error::invalid_input("an index or an offset is out of its range").context(name));
        }
        let loaded = self.loaded;
        let plan = &loaded.residence.plan;
        for &Placed { root, start, bytes } in placed {
            let from = &mapped[start as usize..(start + bytes) as usize];
            let len = byte_count(plan.dtype(root), self.memory.sizes.shape(plan, root)).unwrap_or(0);
            buffer::decode(plan.dtype(root), from, self.memory.host_mut(root, len))?;
        }
        Ok(())
    }

    /// An error of the device during a readback.
    fn failed(&self, what: String) -> Error {
        let adapter = &self.loaded.residence.device.adapter;
        Error::new(ErrorKind::Device, format!("adapter `{adapter}`: {what}"))
    }
}
