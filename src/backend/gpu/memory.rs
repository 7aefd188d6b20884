//! The memory of one run: a buffer for each slot of the plan, host copies, and the way back.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use smallvec::SmallVec;

use crate::{
    backend::gpu::{
        buffer::device_bytes, kernel::Operand, pipeline::Pipeline, session::Residence, shader::Program,
        staging::Uploads,
    },
    error::{Error, Result},
    graph::ValueId,
    op::Shapes,
    plan::{Location, Sizes},
    shape::Bindings,
    tensor::AlignedBytes,
};

/// Step, address of the program, operands.
type GroupKey = (usize, usize, SmallVec<[Operand; 8]>);

/// What one run needs, kept for the next. No operand of a step shares its slot with a result, and every slot is a buffer
/// of its own: so no buffer is read and written in one dispatch.
#[derive(Default)]
pub(crate) struct Workspace {
    pub sizes: Sizes,
    pub bindings: Bindings,
    slots: Vec<Option<wgpu::Buffer>>,
    scratch: Option<wgpu::Buffer>,
    fault: Option<wgpu::Buffer>,
    readback: Option<wgpu::Buffer>,
    /// The way to the device.
    pub uploads: Uploads,
    groups: HashMap<GroupKey, wgpu::BindGroup>,
    /// Host copies by root value.
    pub host: Vec<AlignedBytes>,
    /// Where each root value is at this point of the run.
    pub on_host: Vec<bool>,
    pub on_device: Vec<bool>,
}

/// Bytes that come before the values in the readback buffer: the fault.
pub(super) const FAULT_BYTES: u64 = 256;

impl Workspace {
    /// Makes room for a run with the sizes that were evaluated.
    ///
    /// # Errors
    /// When the device has none.
    pub fn reserve(&mut self, residence: &Residence, scratch: u64) -> Result<()> {
        let needed = residence.slot_bytes(&self.sizes)?;
        self.slots.resize(needed.len(), None);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        for (slot, bytes) in self.slots.iter_mut().zip(needed) {
            if bytes > 0 && slot.as_ref().is_none_or(|buffer| buffer.size() < bytes) {
                *slot = None;
                self.groups.clear();
                *slot = Some(residence.device.buffer("activations", bytes, usage)?);
            }
        }
        if scratch > 0 && self.scratch.as_ref().is_none_or(|buffer| buffer.size() < scratch) {
            self.groups.clear();
            self.scratch = Some(residence.device.buffer("scratch", scratch, usage)?);
        }
        if self.fault.is_none() {
            self.fault = Some(residence.device.buffer("fault", FAULT_BYTES, usage)?);
        }
        let values = residence.value_count();
        self.host.resize_with(values, AlignedBytes::default);
        self.on_host.clear();
        self.on_host.resize(values, false);
        self.on_device.clear();
        self.on_device.resize(values, false);
        Ok(())
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let all = self.slots.iter().flatten().chain(&self.scratch).chain(&self.readback);
        all.map(wgpu::Buffer::size).sum::<u64>() + self.uploads.bytes()
    }

    /// The buffer that a value lives in.
    pub fn buffer_of<'a>(&'a self, residence: &'a Residence, id: ValueId) -> Result<&'a wgpu::Buffer> {
        let root = residence.plan.root_of(id);
        let found = match residence.plan.location_of(id) {
            Location::Slot(slot) => self.slots.get(slot).and_then(Option::as_ref),
            Location::Constant => residence.constants.get(&root),
            Location::None => None,
        };
        found.ok_or_else(|| Error::internal(format!("value {} is not on the device", id.index())))
    }

    pub fn fault(&self) -> Result<&wgpu::Buffer> {
        self.fault.as_ref().ok_or_else(|| Error::internal("a run has no fault buffer"))
    }

    /// A buffer to read back `bytes` through.
    pub fn readback(&mut self, residence: &Residence, bytes: u64) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.readback.as_ref().filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        // Twice as large as needed, so that runs that grow little by little need few.
        let roomy = bytes.checked_next_power_of_two().unwrap_or(bytes).min(residence.device.limits.max_buffer_size);
        residence.staging.fetch_add(1, Ordering::Relaxed);
        let buffer = residence.device.buffer("results", roomy.max(bytes), usage)?;
        self.readback = Some(buffer.clone());
        Ok(buffer)
    }

    /// What a dispatch binds; made once for the same step, program and operands.
    pub fn bind_group(
        &mut self,
        residence: &Residence,
        step: usize,
        program: &Program,
        pipeline: &Arc<Pipeline>,
        operands: &SmallVec<[Operand; 8]>,
    ) -> Result<wgpu::BindGroup> {
        let key = (step, std::ptr::from_ref(program).addr(), operands.clone());
        if let Some(group) = self.groups.get(&key) {
            return Ok(group.clone());
        }
        let mut entries: SmallVec<[wgpu::BindGroupEntry<'_>; 8]> = SmallVec::new();
        for (binding, &operand) in program.bindings.iter().zip(operands) {
            let buffer = match operand {
                Operand::Input(index) => {
                    let id = residence.input_of(step, index)?;
                    self.buffer_of(residence, id)?
                }
                Operand::Output(index) => self.buffer_of(residence, residence.output_of(step, index)?)?,
                Operand::Weight(id) => residence
                    .weights
                    .get(id.0)
                    .ok_or_else(|| Error::internal("a packed constant is not on the device"))?,
                Operand::Scratch => self.scratch.as_ref().ok_or_else(|| Error::internal("a step has no scratch"))?,
                Operand::Fault => self.fault()?,
            };
            entries.push(wgpu::BindGroupEntry { binding: binding.number, resource: buffer.as_entire_binding() });
        }
        let group = residence.device.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(program.stem),
            layout: &pipeline.layout,
            entries: &entries,
        });
        drop(entries);
        self.groups.insert(key, group.clone());
        Ok(group)
    }

    /// Room for `bytes` on the host for a root value.
    pub fn host_mut(&mut self, root: ValueId, bytes: usize) -> &mut [u8] {
        let own = &mut self.host[root.index()];
        if own.len() < bytes {
            *own = AlignedBytes::zeroed(bytes);
        }
        &mut own[..bytes]
    }
}

impl Residence {
    /// Bytes of each slot on the device in a run with these sizes; 0 where no value of the slot is ever there.
    pub fn slot_bytes(&self, sizes: &Sizes) -> Result<Vec<u64>> {
        let mut bytes = vec![0u64; self.plan.slot_count()];
        for index in 0..self.value_count() {
            let id = ValueId(index as u32);
            if let Location::Slot(slot) = self.plan.location_of(id)
                && self.needs_device[self.plan.root_of(id).index()]
            {
                let elements = sizes.shape(&self.plan, id).iter().product::<usize>();
                bytes[slot] = bytes[slot].max(device_bytes(elements)?.max(4));
            }
        }
        Ok(bytes)
    }

    /// The shapes of a step in a run with these sizes.
    pub fn shapes<'a>(&'a self, step: usize, sizes: &'a Sizes) -> Shapes<'a> {
        let (inputs, outputs) = &self.operands[step];
        Shapes {
            inputs: inputs.iter().map(|id| id.map(|id| sizes.shape(&self.plan, id))).collect(),
            outputs: outputs.iter().map(|&id| sizes.shape(&self.plan, id)).collect(),
        }
    }
}
