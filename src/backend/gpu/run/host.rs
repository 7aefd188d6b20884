//! Steps on the host inside a GPU run.

use std::sync::atomic::Ordering;

use crate::{
    backend::gpu::{buffer::device_bytes, run::Run},
    error::Result,
    graph::ValueId,
    op::{CpuKernel, Io},
    tensor::{AlignedBytes, RunStrings, View, ViewMut},
};

impl Run<'_> {
    /// Reads back the operands of a step, runs its CPU kernel, and sends its results if the device reads them.
    pub(super) fn host_step(&mut self, index: usize, kernel: &dyn CpuKernel) -> Result<()> {
        let loaded = self.loaded;
        let residence = &loaded.residence;
        let plan = &residence.plan;
        let (inputs, outputs) = &residence.operands[index];
        let wanted = self.missing(inputs.iter().flatten());
        if !wanted.is_empty() {
            let moved = self.fetch(&wanted)?;
            loaded.transfers.to_host.fetch_add(moved, Ordering::Relaxed);
        }
        let mut results = Vec::with_capacity(outputs.len());
        for &id in outputs {
            let bytes = self.bytes(id)?;
            results.push((id, AlignedBytes::try_zeroed(bytes)?));
        }
        let mut scratch = AlignedBytes::try_zeroed(kernel.scratch_bytes(&residence.shapes(index, &self.memory.sizes)))?;
        let view = |id: ValueId| -> Result<View<'_>> {
            let root = plan.root_of(id);
            let bytes = match loaded.graph.constant_of(root) {
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
        let mut io = Io {
            inputs: views,
            outputs: written.collect(),
            scratch: &mut scratch,
            bindings: &self.memory.bindings,
            // A graph with strings is not loaded on a GPU.
            strings: &mut RunStrings::default(),
        };
        kernel.run(&mut io)?;
        drop(io);
        for (id, bytes) in results {
            let root = plan.root_of(id);
            self.memory.host[root.index()] = bytes;
            self.memory.on_host[root.index()] = true;
            if residence.needs_device[root.index()] {
                self.send(root)?;
                let sent = device_bytes(self.memory.sizes.shape(plan, id).iter().product())?;
                loaded.transfers.to_device.fetch_add(sent, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
