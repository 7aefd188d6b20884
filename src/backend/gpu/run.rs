//! One run: inputs sent, steps recorded into passes, outputs read back.
//!
//! All steps between two transfers are recorded into one encoder and one pass. A step on the host ends the pass: its
//! operands are read back first, and its results are sent before the next pass begins.

mod fetch;
mod host;
mod timing;

use std::sync::PoisonError;

use crate::{
    backend::{
        device::{RunOutputs, WriteInput},
        gpu::{
            buffer::{self, device_bytes},
            loaded::{LoadedGraph, StepKernel},
            memory::Workspace,
            recorder::Recorder,
            run::timing::Timing,
            staging,
        },
        profile::StepProfile,
    },
    error::{Error, Result},
    graph::ValueId,
    tensor::{RunStrings, byte_count},
};

/// A run that is being recorded.
pub(super) struct Run<'s> {
    loaded: &'s LoadedGraph,
    memory: Workspace,
    /// The commands recorded since the last submission.
    open: Option<Open>,
    /// Whether the fault word was cleared in this run.
    cleared: bool,
    /// The profile of this run, if the options ask for one.
    timing: Option<Timing>,
}

/// Commands that are being recorded; drops the pass before its encoder.
struct Open {
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: wgpu::CommandEncoder,
}

/// The outputs of a run, borrowed before its memory is reused.
pub(super) struct Outputs<'s> {
    loaded: &'s LoadedGraph,
    pub memory: Workspace,
}

impl RunOutputs for Outputs<'_> {
    fn get(&self, position: usize) -> (&[usize], &[u8]) {
        let plan = &self.loaded.residence.plan;
        let id = self.loaded.graph.outputs()[position];
        let shape = self.memory.sizes.shape(plan, id);
        let root = plan.root_of(id);
        let bytes = byte_count(plan.dtype(id), shape).unwrap_or(0);
        let bytes = match self.loaded.graph.constant_of(root) {
            Some(tensor) => tensor.bytes(),
            None => &self.memory.host[root.index()][..bytes],
        };
        (shape, bytes)
    }
}

impl<'s> Run<'s> {
    /// Allocates the memory of a run whose sizes are evaluated.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub(super) fn begin(loaded: &'s LoadedGraph, mut memory: Workspace) -> Result<Self> {
        let residence = &loaded.residence;
        let (mut device_scratch, mut host_scratch) = (0, 0);
        for (index, step) in loaded.steps.iter().enumerate() {
            let shapes = residence.shapes(index, &memory.sizes);
            match &step.kernel {
                StepKernel::Device(kernel) => device_scratch = device_scratch.max(kernel.scratch_bytes(&shapes)),
                StepKernel::Host(kernel) => host_scratch = host_scratch.max(kernel.scratch_bytes(&shapes)),
            }
        }
        if host_scratch > isize::MAX as usize / 2 {
            return Err(Error::limit("a run needs more memory than can be addressed"));
        }
        memory.reserve(residence, device_scratch)?;
        let timing = loaded.profile.as_ref().map(|_| Timing::of(loaded));
        let mut run = Self { loaded, memory, open: None, cleared: false, timing };
        let mut sent = 0;
        for &id in loaded.graph.inputs().iter().filter(|id| residence.needs_device[id.index()]) {
            let elements = run.memory.sizes.shape(&residence.plan, id).iter().product();
            sent += staging::room(device_bytes(elements)?);
        }
        run.memory.uploads.reserve(residence, sent)?;
        Ok(run)
    }

    /// Bytes of a value on the host.
    fn bytes(&self, id: ValueId) -> Result<usize> {
        let plan = &self.loaded.residence.plan;
        byte_count(plan.dtype(id), self.memory.sizes.shape(plan, id))
            .ok_or_else(|| Error::limit("a tensor is larger than can be addressed"))
    }

    /// Lets `write` fill an input, and sends it if a step on the device reads it.
    ///
    /// # Errors
    /// If `write` fails or the input cannot be held on the device.
    pub(super) fn write_input(&mut self, position: usize, write: &WriteInput<'_>) -> Result<()> {
        let id = self.loaded.graph.inputs()[position];
        let bytes = self.bytes(id)?;
        // A graph with strings is not loaded on a GPU.
        write(position, self.memory.host_mut(id, bytes), &mut RunStrings::default())?;
        self.memory.on_host[id.index()] = true;
        if self.loaded.residence.needs_device[id.index()] {
            self.send(id).map_err(|error| error.context(format!("input `{}`", self.loaded.graph.value(id).name)))?;
        }
        Ok(())
    }

    /// Records the transfer of a root value to the device, after the commands recorded so far.
    fn send(&mut self, root: ValueId) -> Result<()> {
        let bytes = self.bytes(root)?;
        let residence = &self.loaded.residence;
        let mut open = self.take_open();
        open.pass = None;
        let dtype = residence.plan.dtype(root);
        let on_host = &self.memory.host[root.index()][..bytes];
        let mut encoded = Vec::new();
        let sent = match buffer::is_held_alike(dtype) {
            true => on_host,
            false => {
                buffer::encode(dtype, on_host, &mut encoded)?;
                &encoded
            }
        };
        let target = self.memory.buffer_of(residence, root)?.clone();
        self.memory.uploads.send(residence, &mut open.encoder, sent, &target)?;
        if let Some(timing) = &mut self.timing {
            timing.profile.bytes_up += sent.len() as u64;
        }
        self.open = Some(open);
        self.memory.on_device[root.index()] = true;
        Ok(())
    }

    /// Records a step on the device, or runs a step on the host.
    ///
    /// # Errors
    /// If the shapes of the run do not fit, or a value is out of range on the host.
    pub(super) fn step(&mut self, index: usize) -> Result<()> {
        let loaded = self.loaded;
        match &loaded.steps[index].kernel {
            StepKernel::Device(kernel) => {
                let mut open = self.take_open();
                if self.timing.is_some() {
                    open.pass = None;
                }
                let begin = || {
                    let timestamp_writes = self.timing.as_mut().and_then(|timing| timing.next(index));
                    let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                    open.encoder.begin_compute_pass(&descriptor).forget_lifetime()
                };
                let pass = open.pass.get_or_insert_with(begin);
                let sizes = std::mem::take(&mut self.memory.sizes);
                let mut recorder = Recorder {
                    residence: &loaded.residence,
                    memory: &mut self.memory,
                    pass,
                    step: index,
                    shapes: loaded.residence.shapes(index, &sizes),
                    counts: StepProfile::default(),
                };
                let recorded = kernel.record(&mut recorder);
                let counts = std::mem::take(&mut recorder.counts);
                drop(recorder);
                if let Some(timing) = &mut self.timing {
                    let own = &mut timing.profile.steps[index];
                    (own.dispatches, own.bytes, own.flop) = (counts.dispatches, counts.bytes, counts.flop);
                }
                self.memory.sizes = sizes;
                self.open = Some(open);
                recorded?;
                for &id in &loaded.residence.operands[index].1 {
                    let root = loaded.residence.plan.root_of(id).index();
                    self.memory.on_device[root] = true;
                    self.memory.on_host[root] = false;
                }
                Ok(())
            }
            StepKernel::Host(kernel) => self.host_step(index, &**kernel),
        }
    }

    /// Takes the commands recorded so far, beginning new ones if there are none.
    fn take_open(&mut self) -> Open {
        if let Some(open) = self.open.take() {
            return open;
        }
        let device = &self.loaded.residence.device.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        if !self.cleared
            && let Ok(fault) = self.memory.fault()
        {
            encoder.clear_buffer(fault, 0, None);
            self.cleared = true;
        }
        Open { pass: None, encoder }
    }

    /// Returns the root values of `ids` that the host does not hold, each once.
    fn missing<'i>(&self, ids: impl IntoIterator<Item = &'i ValueId>) -> Vec<ValueId> {
        let mut missing: Vec<ValueId> = Vec::new();
        for root in ids.into_iter().map(|&id| self.loaded.residence.plan.root_of(id)) {
            let on_host = self.memory.on_host[root.index()] || self.loaded.graph.constant_of(root).is_some();
            if !on_host && !missing.contains(&root) {
                missing.push(root);
            }
        }
        missing
    }

    /// Submits the rest and waits for the outputs.
    ///
    /// # Errors
    /// If the run fails on the device, or a shader reported a bad element.
    pub(super) fn finish(mut self) -> Result<Outputs<'s>> {
        let loaded = self.loaded;
        let wanted = self.missing(loaded.graph.outputs());
        if self.open.is_some() || !wanted.is_empty() {
            self.fetch(&wanted)?;
        }
        if let (Some(mut timing), Some(all)) = (self.timing, &loaded.profile) {
            timing.read(&loaded.residence.device)?;
            all.lock().unwrap_or_else(PoisonError::into_inner).add(&timing.profile);
        }
        Ok(Outputs { loaded, memory: self.memory })
    }
}
