//! Kernels of nodes on a GPU, and their definitions.

use crate::{
    backend::gpu::{recorder::Recorder, request::GpuRequest},
    error::Result,
    op::Shapes,
};

/// A node ready to run on a GPU: its programs and packed constants.
pub(crate) trait GpuKernel: Send + Sync {
    /// Bytes of scratch that a run with these shapes needs, at most what one binding takes.
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> u64 {
        let _ = shapes;
        0
    }

    /// Records the dispatches of one run, which must write every element of every result.
    ///
    /// # Errors
    /// If the shapes of the run do not fit.
    fn record(&self, run: &mut Recorder<'_>) -> Result<()>;
}

/// The kernel of a node, or why it has none on the GPU.
pub(crate) enum Made {
    /// The node runs on the GPU.
    Kernel(Box<dyn GpuKernel>),
    /// The node runs on the CPU, for this reason.
    Host(&'static str),
}

impl Made {
    /// Boxes a kernel.
    pub(super) fn kernel(kernel: impl GpuKernel + 'static) -> Result<Self> {
        Ok(Self::Kernel(Box::new(kernel)))
    }
}

/// An entry in the list of kernels.
#[derive(Clone, Copy)]
pub(crate) struct KernelDef {
    /// The name by which operators refer to it, that of its WGSL file if it has one of its own.
    pub name: &'static str,
    /// Makes the kernel of a node.
    pub make: fn(&GpuRequest<'_>) -> Result<Made>,
}
