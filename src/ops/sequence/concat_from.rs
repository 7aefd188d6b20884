//! `ConcatFromSequence`: the tensors of a sequence, joined.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact},
    op::{Accuracy, CpuState, GpuState, Inputs, KernelRequest, OnnxNode, OpDef, Operator, ValueKernel},
    ops::{
        open::{self, Measured, Open},
        sequence::{HOST, elements, sequence},
    },
    shape::normalize_axis,
    tensor::{AlignedBytes, Tensor, Value, byte_count},
};

/// The tensors of a sequence joined along an axis, or stacked along a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct ConcatFromSequence {
    /// The axis of the result; negative counts from the end.
    pub axis: i64,
    /// Whether the axis is new.
    pub stacks: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ConcatFromSequence",
    onnx: Some(decode),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(kernel),
    gpu: GpuState::Host(HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let axis = node.int("axis")?.ok_or_else(|| Error::invalid_model("`axis` is missing"))?;
    Ok(Arc::new(ConcatFromSequence { axis, stacks: node.flag("new_axis", false)? }))
}

impl ConcatFromSequence {
    fn results(&self, inputs: &Inputs<'_>) -> Result<Vec<Open>> {
        inputs.expect(1, 1)?;
        let (fact, shape) = sequence(inputs, 0)?;
        let ElementShape::Sizes(dims) = shape else {
            return Err(Error::unsupported("the tensors of the sequence have no known number of dimensions"));
        };
        let axis = normalize_axis(self.axis, dims.len() + usize::from(self.stacks))?;
        let mut measured = Measured::default();
        let mut sizes: Vec<_> = dims.iter().map(|dim| measured.or(dim.clone())).collect();
        match self.stacks {
            true => sizes.insert(axis, measured.size()),
            false => sizes[axis] = measured.size(),
        }
        Ok(vec![Open::Tensor(fact.dtype, sizes)])
    }
}

impl Operator for ConcatFromSequence {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn measures(&self, inputs: &Inputs<'_>) -> Result<usize> {
        Ok(open::count(&self.results(inputs)?))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        open::facts(self.results(inputs)?, inputs)
    }
}

struct Kernel(ConcatFromSequence);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn ValueKernel>> {
    Ok(Box::new(Kernel(request.op::<ConcatFromSequence>()?.clone())))
}

impl ValueKernel for Kernel {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let parts: Option<Vec<&Tensor>> = elements(inputs, 0)?.iter().map(Value::as_tensor).collect();
        let parts = parts.ok_or_else(|| Error::internal("a sequence of other values than tensors"))?;
        let first = parts.first().ok_or_else(|| Error::invalid_input("an empty sequence cannot be joined"))?;
        let axis = normalize_axis(self.0.axis, first.shape().len() + usize::from(self.0.stacks))?;
        let shape = |part: &Tensor| {
            let mut shape = part.shape().to_vec();
            if self.0.stacks {
                shape.insert(axis, 1);
            }
            shape
        };
        let mut whole = shape(first);
        whole[axis] = 0;
        let mut blocks = Vec::with_capacity(parts.len());
        for part in &parts {
            let own = shape(part);
            let alike = own.len() == whole.len() && (0..own.len()).all(|at| at == axis || own[at] == whole[at]);
            if part.dtype() != first.dtype() || !alike {
                return Err(Error::invalid_input(format!("{part:?} and {first:?} cannot be joined along axis {axis}")));
            }
            whole[axis] += own[axis];
            blocks.push(own[axis..].iter().product::<usize>() * part.dtype().size());
        }
        let bytes = byte_count(first.dtype(), &whole).ok_or_else(|| Error::limit("the joined tensor is too large"))?;
        let mut data = AlignedBytes::try_zeroed(bytes)?;
        let row: usize = blocks.iter().sum();
        let mut start = 0;
        for (part, block) in parts.iter().zip(blocks) {
            if block > 0 {
                let rows = data.chunks_exact_mut(row).zip(part.bytes().chunks_exact(block));
                rows.for_each(|(to, from)| to[start..start + block].copy_from_slice(from));
            }
            start += block;
        }
        Ok(vec![Tensor::from_aligned(first.dtype(), whole, data)?.into()])
    }
}
