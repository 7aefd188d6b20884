//! The kernels of a graph's nodes, on the device or on the host, and the weights that they packed.

use smallvec::SmallVec;

use crate::{
    backend::{
        device::HostOperator,
        gpu::{
            cooperative::Matrices,
            device::GpuDevice,
            kernel::Made,
            kernels,
            loaded::{Step, StepKernel},
            operand::{WeightFormat, WeightId},
            program::Programs,
            request::{GpuRequest, PackedWeights},
            residence::{Inputs, Results},
        },
    },
    error::{Context, Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuState, GpuState, KernelRequest, PackedConstants},
};

/// Positions of the operands that a kernel packed.
pub(super) type Packed = SmallVec<[usize; 4]>;

/// What the kernels of all nodes are made from.
pub(super) struct Maker<'a> {
    pub graph: &'a Graph,
    pub device: &'a GpuDevice,
    pub programs: &'a Programs,
    pub kernel_set: KernelSet,
    /// The format of weights, and how cooperative matrices are multiplied.
    pub forms: (WeightFormat, Option<Matrices>),
}

/// The nodes whose kernels are made so far.
#[derive(Default)]
pub(super) struct Nodes {
    pub steps: Vec<Step>,
    /// Operands and results of each step.
    pub operands: Vec<(Inputs, Results)>,
    /// The operands that the kernel of each node packed.
    pub packed: Vec<Packed>,
    weights: PackedWeights,
    pub buffers: Vec<(WeightId, wgpu::Buffer)>,
    pub host: Vec<HostOperator>,
    /// Constants that kernels on the host packed.
    pub host_packed: PackedConstants,
}

impl Nodes {
    /// Makes the kernel of a node, unless it moves no data, and uploads what it packed.
    pub(super) fn add(&mut self, maker: &Maker<'_>, node: &Node) -> Result<()> {
        if let CpuState::View = node.op.def().cpu {
            self.packed.push(Packed::new());
            return Ok(());
        }
        let (kernel, packed) = self.kernel(maker, node)?;
        for (id, bytes) in self.weights.take_pending() {
            self.buffers.push((id, upload(maker.device, "weights", &bytes).context(|| node.describe())?));
        }
        let keep = |(position, id): (usize, &Option<ValueId>)| id.filter(|_| !packed.contains(&position));
        let inputs: Inputs = node.inputs.iter().enumerate().map(keep).collect();
        self.operands.push((inputs, node.outputs.iter().copied().collect()));
        self.packed.push(packed);
        self.steps.push(Step { name: node.describe(), kernel });
        Ok(())
    }

    /// Makes the kernel of a node on the device, or else on the host.
    fn kernel(&mut self, maker: &Maker<'_>, node: &Node) -> Result<(StepKernel, Packed)> {
        let &Maker { graph, device, programs, forms, .. } = maker;
        let request = GpuRequest::new(graph, node, programs, &self.weights, device.binding_limit, forms);
        let made = match node.op.def().gpu {
            GpuState::Kernel(name) => match request.uncarried() {
                Some(reason) => Made::Host(reason),
                None => (kernels::find(name)?.make)(&request).context(|| node.describe())?,
            },
            GpuState::Host(reason) => Made::Host(reason),
            GpuState::View | GpuState::Folded => Made::Host("no shader yet"),
        };
        match made {
            Made::Kernel(kernel) => Ok((StepKernel::Device(kernel), request.taken())),
            Made::Host(reason) => self.host_kernel(maker, node, reason),
        }
    }

    /// Makes the kernel of a node on the host, and notes the operator.
    fn host_kernel(&mut self, maker: &Maker<'_>, node: &Node, reason: &'static str) -> Result<(StepKernel, Packed)> {
        let def = node.op.def();
        let CpuState::Kernel(make) = def.cpu else {
            return Err(Error::unsupported(format!("{} has no kernel", node.describe())));
        };
        let operator = HostOperator { operator: def.name, reason };
        if !self.host.contains(&operator) {
            self.host.push(operator);
        }
        let request = KernelRequest::new(maker.graph, node, maker.kernel_set, Factors::F32, &self.host_packed);
        let kernel = make(&request).context(|| node.describe())?;
        Ok((StepKernel::Host(kernel), request.taken()))
    }
}

/// Creates a read-only buffer with these contents.
pub(super) fn upload(device: &GpuDevice, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
    let buffer =
        device.buffer(label, bytes.len() as u64, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST)?;
    if !bytes.is_empty() {
        device.queue.write_buffer(&buffer, 0, bytes);
    }
    Ok(buffer)
}
