//! Runs one node on constants while a graph is rewritten.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuState, Io, KernelRequest, PackedConstants, Shapes},
    shape::Bindings,
    tensor::{AlignedBytes, DType, Tensor, View, ViewMut, byte_count},
};

/// The results of a node whose operands are all constants, computed by its portable kernel.
///
/// # Errors
/// When the node has no kernel, an operand is no constant, a size is not fixed, or the kernel fails.
pub(crate) fn evaluate(graph: &Graph, node: &Node) -> Result<Vec<Arc<Tensor>>> {
    let CpuState::Kernel(make) = node.op.def().cpu else {
        return Err(Error::unsupported(format!("{} has no kernel on the CPU", node.describe())));
    };
    let packed = PackedConstants::default();
    let request = KernelRequest::new(graph, node, KernelSet::PORTABLE, Factors::F32, &packed);
    let kernel = make(&request).context(|| node.describe())?;
    let taken = request.taken();
    let operand = |(position, id): (usize, &Option<ValueId>)| -> Result<Option<&Tensor>> {
        let Some(id) = id.filter(|_| !taken.contains(&position)) else { return Ok(None) };
        let constant = graph.constant_of(id).map(|tensor| &**tensor);
        constant.map(Some).ok_or_else(|| Error::internal(format!("operand {position} is no constant")))
    };
    let operands = node.inputs.iter().enumerate().map(operand).collect::<Result<SmallVec<[_; 6]>>>()?;
    let mut outputs = node.outputs.iter().map(|&id| Output::of(graph, id)).collect::<Result<SmallVec<[_; 2]>>>()?;
    let scratch_bytes = kernel.scratch_bytes(&Shapes {
        inputs: operands.iter().map(|operand| operand.map(Tensor::shape)).collect(),
        outputs: outputs.iter().map(|output| &*output.shape).collect(),
    });
    let mut scratch = AlignedBytes::try_zeroed(scratch_bytes)?;
    kernel
        .run(&mut Io {
            inputs: operands.iter().map(|operand| operand.map(view)).collect(),
            outputs: outputs.iter_mut().map(Output::view).collect(),
            scratch: &mut scratch,
            bindings: &Bindings::default(),
        })
        .context(|| node.describe())?;
    outputs
        .into_iter()
        .map(|Output { dtype, shape, data }| Tensor::from_aligned(dtype, shape, data).map(Arc::new))
        .collect()
}

fn view(tensor: &Tensor) -> View<'_> {
    View { dtype: tensor.dtype(), shape: tensor.shape(), bytes: tensor.bytes() }
}

struct Output {
    dtype: DType,
    shape: Vec<usize>,
    data: AlignedBytes,
}

impl Output {
    fn of(graph: &Graph, id: ValueId) -> Result<Self> {
        let fact = graph.fact(id);
        let shape = fact.shape.as_fixed().ok_or_else(|| Error::internal("a folded node has open sizes"))?;
        let bytes = byte_count(fact.dtype, &shape).ok_or_else(|| Error::limit("a folded constant is too large"))?;
        Ok(Self { dtype: fact.dtype, shape, data: AlignedBytes::try_zeroed(bytes)? })
    }

    fn view(&mut self) -> ViewMut<'_> {
        ViewMut { dtype: self.dtype, shape: &self.shape, bytes: &mut self.data }
    }
}
