//! What stays on the device for the life of a session, and where each value of a run is kept.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use smallvec::SmallVec;

use crate::{
    backend::gpu::{buffer::device_bytes, device::GpuDevice},
    error::{Error, Result},
    graph::ValueId,
    op::Shapes,
    plan::{Location, Plan, Sizes},
};

/// Operands of a step, `None` where one is absent or packed by the kernel.
pub(super) type Inputs = SmallVec<[Option<ValueId>; 6]>;
/// Results of a step.
pub(super) type Results = SmallVec<[ValueId; 2]>;

/// The constants on the device, the plan, and the operands of each step.
pub(crate) struct Residence {
    pub device: Arc<GpuDevice>,
    pub plan: Plan,
    /// Constants that kernels bind unchanged.
    pub constants: HashMap<ValueId, wgpu::Buffer>,
    /// Constants that kernels packed, by number.
    pub weights: Vec<wgpu::Buffer>,
    /// For each root value whether a step on the device reads or writes it.
    pub needs_device: Vec<bool>,
    /// Operands and results of each step.
    pub operands: Vec<(Inputs, Results)>,
    /// Staging buffers created so far, in both directions.
    pub staging: AtomicU64,
}

impl Residence {
    /// Number of values in the graph.
    pub(super) fn value_count(&self) -> usize {
        self.needs_device.len()
    }

    /// Returns an operand of a step.
    ///
    /// # Errors
    /// If it is absent or packed.
    pub(super) fn input_of(&self, step: usize, index: usize) -> Result<ValueId> {
        let id = self.operands[step].0.get(index).copied().flatten();
        id.ok_or_else(|| Error::internal(format!("a kernel misses operand {index}")))
    }

    /// Returns a result of a step.
    ///
    /// # Errors
    /// If the step has no such result.
    pub(super) fn output_of(&self, step: usize, index: usize) -> Result<ValueId> {
        let id = self.operands[step].1.get(index).copied();
        id.ok_or_else(|| Error::internal(format!("a kernel misses result {index}")))
    }

    /// Bytes of each slot on the device in a run with these sizes; 0 for slots that only the host uses.
    ///
    /// # Errors
    /// If a tensor is too large to address.
    pub(super) fn slot_bytes(&self, sizes: &Sizes) -> Result<Vec<u64>> {
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

    /// Shapes of the operands and results of a step in a run with these sizes.
    pub(super) fn shapes<'a>(&'a self, step: usize, sizes: &'a Sizes) -> Shapes<'a> {
        let (inputs, outputs) = &self.operands[step];
        Shapes {
            inputs: inputs.iter().map(|id| id.map(|id| sizes.shape(&self.plan, id))).collect(),
            outputs: outputs.iter().map(|&id| sizes.shape(&self.plan, id)).collect(),
        }
    }

    /// Counts a staging buffer that is created.
    pub(super) fn count_staging(&self) {
        self.staging.fetch_add(1, Ordering::Relaxed);
    }
}
