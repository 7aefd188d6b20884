//! One run: inputs up, steps recorded into one pass, results down.
//!
//! All steps between two transfers are one encoder and one pass. A step on the host ends the pass: what it reads is
//! fetched, what it writes is sent before the next pass begins.

use std::{
    sync::{atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use crate::{
    backend::{
        device::{RunOutputs, WriteInput},
        gpu::{
            buffer::{self, device_bytes},
            kernel::Recorder,
            memory::{FAULT_BYTES, Workspace},
            session::{GpuSession, StepKernel},
            staging,
        },
    },
    error::{Error, ErrorKind, Result},
    graph::ValueId,
    op::{CpuKernel, Io},
    tensor::{AlignedBytes, View, ViewMut, byte_count},
};

/// How long after a submission is done its results may be handed over.
const HANDED_OVER: Duration = Duration::from_secs(60);

pub(super) struct Run<'s> {
    session: &'s GpuSession,
    memory: Workspace,
    /// What is being recorded.
    open: Option<Open>,
    /// Whether the fault word was cleared in this run.
    cleared: bool,
}

/// Commands that are being recorded; the pass ends before its encoder.
struct Open {
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: wgpu::CommandEncoder,
}

/// The results of a run, before its memory is used again.
pub(super) struct Outputs<'s> {
    session: &'s GpuSession,
    pub memory: Workspace,
}

impl RunOutputs for Outputs<'_> {
    fn get(&self, position: usize) -> (&[usize], &[u8]) {
        let plan = &self.session.residence.plan;
        let id = self.session.graph.outputs()[position];
        let shape = self.memory.sizes.shape(plan, id);
        let root = plan.root_of(id);
        let bytes = byte_count(plan.dtype(id), shape).unwrap_or(0);
        let bytes = match self.session.graph.constant_of(root) {
            Some(tensor) => tensor.bytes(),
            None => &self.memory.host[root.index()][..bytes],
        };
        (shape, bytes)
    }
}

impl<'s> Run<'s> {
    pub fn begin(session: &'s GpuSession, mut memory: Workspace) -> Result<Self> {
        let residence = &session.residence;
        let (mut there, mut here) = (0, 0);
        for (index, step) in session.steps.iter().enumerate() {
            let shapes = residence.shapes(index, &memory.sizes);
            match &step.kernel {
                StepKernel::Device(kernel) => there = there.max(kernel.scratch_bytes(&shapes)),
                StepKernel::Host(kernel) => here = here.max(kernel.scratch_bytes(&shapes)),
            }
        }
        if here > isize::MAX as usize / 2 {
            return Err(Error::limit("a run needs more memory than can be addressed"));
        }
        memory.reserve(residence, there)?;
        let mut run = Self { session, memory, open: None, cleared: false };
        let mut sent = 0;
        for &id in session.graph.inputs().iter().filter(|id| residence.needs_device[id.index()]) {
            let elements = run.memory.sizes.shape(&residence.plan, id).iter().product();
            sent += staging::room(device_bytes(elements)?);
        }
        run.memory.uploads.reserve(residence, sent)?;
        Ok(run)
    }

    fn bytes(&self, id: ValueId) -> Result<usize> {
        let plan = &self.session.residence.plan;
        byte_count(plan.dtype(id), self.memory.sizes.shape(plan, id))
            .ok_or_else(|| Error::limit("a tensor is larger than can be addressed"))
    }

    /// Lets `write` fill an input, and sends it where it is read on the device.
    pub fn write_input(&mut self, position: usize, write: &WriteInput<'_>) -> Result<()> {
        let id = self.session.graph.inputs()[position];
        let bytes = self.bytes(id)?;
        write(position, self.memory.host_mut(id, bytes))?;
        self.memory.on_host[id.index()] = true;
        if self.session.residence.needs_device[id.index()] {
            self.send(id).map_err(|error| error.context(format!("input `{}`", self.session.graph.value(id).name)))?;
        }
        Ok(())
    }

    /// Sends a root value to the device: what was recorded before sees what was there before.
    fn send(&mut self, root: ValueId) -> Result<()> {
        let bytes = self.bytes(root)?;
        let residence = &self.session.residence;
        let mut open = self.take_open();
        open.pass = None;
        let dtype = residence.plan.dtype(root);
        let here = &self.memory.host[root.index()][..bytes];
        let mut encoded = Vec::new();
        let sent = match buffer::is_held_alike(dtype) {
            true => here,
            false => {
                buffer::encode(dtype, here, &mut encoded)?;
                &encoded
            }
        };
        let target = self.memory.buffer_of(residence, root)?.clone();
        self.memory.uploads.send(residence, &mut open.encoder, sent, &target)?;
        self.open = Some(open);
        self.memory.on_device[root.index()] = true;
        Ok(())
    }

    pub fn step(&mut self, index: usize) -> Result<()> {
        let session = self.session;
        match &session.steps[index].kernel {
            StepKernel::Device(kernel) => {
                let mut open = self.take_open();
                let begin =
                    || open.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
                let pass = open.pass.get_or_insert_with(begin);
                let sizes = std::mem::take(&mut self.memory.sizes);
                let mut recorder = Recorder {
                    residence: &session.residence,
                    memory: &mut self.memory,
                    pass,
                    step: index,
                    shapes: session.residence.shapes(index, &sizes),
                };
                let recorded = kernel.record(&mut recorder);
                drop(recorder);
                self.memory.sizes = sizes;
                self.open = Some(open);
                recorded?;
                for &id in &session.residence.operands[index].1 {
                    let root = session.residence.plan.root_of(id).index();
                    self.memory.on_device[root] = true;
                    self.memory.on_host[root] = false;
                }
                Ok(())
            }
            StepKernel::Host(kernel) => self.host_step(index, &**kernel),
        }
    }

    /// What is being recorded, to be put back.
    fn take_open(&mut self) -> Open {
        if let Some(open) = self.open.take() {
            return open;
        }
        let device = &self.session.residence.device.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        if !self.cleared
            && let Ok(fault) = self.memory.fault()
        {
            encoder.clear_buffer(fault, 0, None);
            self.cleared = true;
        }
        Open { pass: None, encoder }
    }

    fn host_step(&mut self, index: usize, kernel: &dyn CpuKernel) -> Result<()> {
        let session = self.session;
        let residence = &session.residence;
        let plan = &residence.plan;
        let (inputs, outputs) = &residence.operands[index];
        let wanted = self.missing(inputs.iter().flatten());
        if !wanted.is_empty() {
            let moved = self.fetch(&wanted)?;
            session.transfers.to_host.fetch_add(moved, Ordering::Relaxed);
        }
        let mut results = Vec::with_capacity(outputs.len());
        for &id in outputs {
            let bytes = self.bytes(id)?;
            results.push((id, AlignedBytes::zeroed(bytes)));
        }
        let mut scratch = AlignedBytes::zeroed(kernel.scratch_bytes(&residence.shapes(index, &self.memory.sizes)));
        let view = |id: ValueId| -> Result<View<'_>> {
            let root = plan.root_of(id);
            let bytes = match session.graph.constant_of(root) {
                Some(tensor) => tensor.bytes(),
                None => &self.memory.host[root.index()][..self.bytes(id)?],
            };
            Ok(View { dtype: plan.dtype(id), shape: self.memory.sizes.shape(plan, id), bytes })
        };
        let views = inputs.iter().map(|id| id.map(view).transpose()).collect::<Result<_>>()?;
        let written = results.iter_mut().map(|(id, bytes)| ViewMut {
            dtype: plan.dtype(*id),
            shape: self.memory.sizes.shape(plan, *id),
            bytes: &mut bytes[..],
        });
        let mut io =
            Io { inputs: views, outputs: written.collect(), scratch: &mut scratch, bindings: &self.memory.bindings };
        kernel.run(&mut io)?;
        drop(io);
        for (id, bytes) in results {
            let root = plan.root_of(id);
            self.memory.host[root.index()] = bytes;
            self.memory.on_host[root.index()] = true;
            if residence.needs_device[root.index()] {
                self.send(root)?;
                let sent = device_bytes(self.memory.sizes.shape(plan, id).iter().product())?;
                session.transfers.to_device.fetch_add(sent, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The root values of `ids` that the host has not got, each once.
    fn missing<'i>(&self, ids: impl IntoIterator<Item = &'i ValueId>) -> Vec<ValueId> {
        let mut missing: Vec<ValueId> = Vec::new();
        for root in ids.into_iter().map(|&id| self.session.residence.plan.root_of(id)) {
            let here = self.memory.on_host[root.index()] || self.session.graph.constant_of(root).is_some();
            if !here && !missing.contains(&root) {
                missing.push(root);
            }
        }
        missing
    }

    /// Submits what was recorded, waits for it, and copies root values to the host. Returns the bytes that moved.
    fn fetch(&mut self, roots: &[ValueId]) -> Result<u64> {
        let session = self.session;
        let residence = &session.residence;
        let plan = &residence.plan;
        let Open { pass, mut encoder } = self.take_open();
        drop(pass);
        let mut places = Vec::with_capacity(roots.len());
        let mut total = FAULT_BYTES;
        for &root in roots {
            let bytes = device_bytes(self.memory.sizes.shape(plan, root).iter().product())?;
            places.push((root, total, bytes));
            total += bytes.next_multiple_of(256);
        }
        let readback = self.memory.readback(residence, total)?;
        encoder.copy_buffer_to_buffer(self.memory.fault()?, 0, &readback, 0, FAULT_BYTES);
        for &(root, at, bytes) in &places {
            if bytes > 0 {
                encoder.copy_buffer_to_buffer(self.memory.buffer_of(residence, root)?, 0, &readback, at, bytes);
            }
        }
        let device = &residence.device;
        self.memory.uploads.close(&encoder);
        let (tell, told) = mpsc::channel();
        encoder.map_buffer_on_submit(&readback, wgpu::MapMode::Read, 0..total, move |result| {
            // Nobody listens any more where the wait has failed.
            let _unheard = tell.send(result);
        });
        let submission = device.queue.submit([encoder.finish()]);
        // No lock is held that another thread's submission would need.
        device.wait(submission)?;
        let failed = |what: String| Error::new(ErrorKind::Device, format!("adapter `{}`: {what}", device.adapter));
        // Another thread that waits for the device may be the one that is about to tell.
        match told.recv_timeout(HANDED_OVER) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failed(format!("reading results: {error}"))),
            Err(_) => return Err(failed("the results were not handed over".to_owned())),
        }
        let taking = Instant::now();
        let outcome = (|| {
            let mapped =
                readback.get_mapped_range(0..total).map_err(|error| failed(format!("reading results: {error}")))?;
            let fault = mapped.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
            if fault != 0 {
                let step = session.steps.get((u32::MAX - fault) as usize);
                let name = step.map_or("a step", |step| &step.name);
                return Err(Error::invalid_input("an index or an offset is out of its range").context(name));
            }
            for &(root, at, bytes) in &places {
                let from = &mapped[at as usize..(at + bytes) as usize];
                let len = byte_count(plan.dtype(root), self.memory.sizes.shape(plan, root)).unwrap_or(0);
                buffer::decode(plan.dtype(root), from, self.memory.host_mut(root, len))?;
            }
            Ok(())
        })();
        readback.unmap();
        session.transfers.moving.fetch_add(taking.elapsed().as_nanos() as u64, Ordering::Relaxed);
        outcome?;
        for &root in roots {
            self.memory.on_host[root.index()] = true;
        }
        Ok(places.iter().map(|(_, _, bytes)| bytes).sum())
    }

    /// Waits for the results.
    pub fn finish(mut self) -> Result<Outputs<'s>> {
        let session = self.session;
        let wanted = self.missing(session.graph.outputs());
        if self.open.is_some() || !wanted.is_empty() {
            self.fetch(&wanted)?;
        }
        Ok(Outputs { session, memory: self.memory })
    }
}
