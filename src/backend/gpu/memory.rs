//! The memory of one run: a buffer for each slot of the plan, host copies, and staging buffers.

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

use crate::{
    backend::gpu::{
        operand::Operand,
        program::{Pipeline, Program},
        residence::Residence,
        staging::Uploads,
    },
    error::{Error, Result},
    graph::ValueId,
    plan::{Location, Sizes},
    shape::Bindings,
    tensor::AlignedBytes,
};

/// Key of a bind group: step, address of the program, operands.
type GroupKey = (usize, usize, SmallVec<[Operand; 8]>);

/// The memory of one run, reused by later runs.
///
/// No operand of a step shares its slot with a result, and every slot is a buffer of its own, so no dispatch reads and
/// writes the same buffer.
#[derive(Default)]
pub(crate) struct Workspace {
    pub sizes: Sizes,
    pub bindings: Bindings,
    slots: Vec<Option<wgpu::Buffer>>,
    scratch: Option<wgpu::Buffer>,
    fault: Option<wgpu::Buffer>,
    readback: Option<wgpu::Buffer>,
    /// Staging buffers for transfers to the device.
    pub uploads: Uploads,
    groups: HashMap<GroupKey, wgpu::BindGroup>,
    /// Host copies, by root value.
    pub host: Vec<AlignedBytes>,
    /// Whether the host holds each root value at this point of the run.
    pub on_host: Vec<bool>,
    /// Whether the device holds each root value at this point of the run.
    pub on_device: Vec<bool>,
}

/// Bytes of the fault word with its padding, at the start of the readback buffer.
pub(super) const FAULT_BYTES: u64 = 256;

impl Workspace {
    /// Allocates the buffers of a run with the evaluated sizes, and `scratch` bytes of scratch.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub(super) fn reserve(&mut self, residence: &Residence, scratch: u64) -> Result<()> {
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

    /// Bytes of the scratch buffer.
    pub(super) fn scratch_bytes(&self) -> u64 {
        self.scratch.as_ref().map_or(0, wgpu::Buffer::size)
    }

    /// Bytes of all buffers.
    pub(super) fn bytes(&self) -> u64 {
        let all = self.slots.iter().flatten().chain(&self.scratch).chain(&self.readback);
        all.map(wgpu::Buffer::size).sum::<u64>() + self.uploads.bytes()
    }

    /// Returns the buffer that holds a value.
    ///
    /// # Errors
    /// If the value is not on the device.
    pub(super) fn buffer_of<'a>(&'a self, residence: &'a Residence, id: ValueId) -> Result<&'a wgpu::Buffer> {
        let root = residence.plan.root_of(id);
        let found = match residence.plan.location_of(id) {
            Location::Slot(slot) => self.slots.get(slot).and_then(Option::as_ref),
            Location::Constant => residence.constants.get(&root),
            Location::None => None,
        };
        found.ok_or_else(|| Error::internal(format!("value {} is not on the device", id.index())))
    }

    /// Returns the buffer of the fault word.
    ///
    /// # Errors
    /// If no memory was reserved.
    pub(super) fn fault(&self) -> Result<&wgpu::Buffer> {
        self.fault.as_ref().ok_or_else(|| Error::internal("a run has no fault buffer"))
    }

    /// Returns a buffer to read back `bytes`, creating a larger one if needed.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub(super) fn readback(&mut self, residence: &Residence, bytes: u64) -> Result<wgpu::Buffer> {
        if let Some(buffer) = self.readback.as_ref().filter(|buffer| buffer.size() >= bytes) {
            return Ok(buffer.clone());
        }
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        // Rounded up to a power of two, so that slowly growing runs create few buffers.
        let roomy = bytes.checked_next_power_of_two().unwrap_or(bytes).min(residence.device.limits.max_buffer_size);
        residence.count_staging();
        let buffer = residence.device.buffer("results", roomy.max(bytes), usage)?;
        self.readback = Some(buffer.clone());
        Ok(buffer)
    }

    /// Returns the bind group of a dispatch, created once for each step, program and operands.
    ///
    /// # Errors
    /// If an operand is not on the device.
    pub(super) fn bind_group(
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

    /// Returns `bytes` of host memory for a root value.
    pub(super) fn host_mut(&mut self, root: ValueId, bytes: usize) -> &mut [u8] {
        let own = &mut self.host[root.index()];
        if own.len() < bytes {
            *own = AlignedBytes::zeroed(bytes);
        }
        &mut own[..bytes]
    }
}
