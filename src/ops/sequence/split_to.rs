//! `SplitToSequence`: the parts of an axis as a sequence.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::{ElementShape, Fact, Kind, Node},
    op::{Accuracy, CpuState, GpuState, Inputs, KernelRequest, OnnxNode, OpDef, Operator, ValueKernel},
    ops::{
        generate::constant_of_shape::ConstantOfShape,
        sequence::{HOST, tensor},
    },
    shape::{Dim, normalize_axis},
    tensor::{AlignedBytes, Tensor, Value},
};

/// The operand cut along an axis.
///
/// Operand 1 is the size of all parts, the last of which may be smaller, or a list with the size of
/// each. Without it every part has a size of one.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitToSequence {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether parts keep the axis where operand 1 is absent.
    pub keep: bool,
    /// The size of every part, if operand 1 is a list of that number alone, however long.
    pub every: Option<i64>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "SplitToSequence",
    onnx: Some(decode),
    cases: Vec::new,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Values(kernel),
    gpu: GpuState::Host(HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let every = every(node)?;
    Ok(Arc::new(SplitToSequence { axis: node.int("axis")?.unwrap_or(0), keep: node.flag("keepdims", true)?, every }))
}

/// The one number of a list of sizes, if it is filled with it or known.
fn every(node: &OnnxNode<'_>) -> Result<Option<i64>> {
    let inputs = node.inputs();
    let (Some(sizes), Some(id)) = (inputs.fact(1), inputs.id(1)) else { return Ok(None) };
    if sizes.shape.rank() != 1 {
        return Ok(None);
    }
    if let Some(filled) = node.maker(id).and_then(Node::op::<ConstantOfShape>) {
        return Ok(filled.value.to_i64()?.first().copied().filter(|own| *own >= 0));
    }
    let mut own = inputs.integers(1).into_iter().flatten().map(Dim::as_fixed);
    let first = own.next().flatten();
    Ok(first.filter(|first| *first >= 0 && own.all(|own| own == Some(*first))))
}

impl Operator for SplitToSequence {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 2)?;
        inputs.expect_tensors()?;
        let input = inputs.required(0)?;
        let axis = input.shape.axis(self.axis)?;
        let mut dims: Vec<_> = input.shape.dims().iter().cloned().map(Some).collect();
        match inputs.fact(1) {
            Some(sizes) if sizes.shape.rank() > 1 || !sizes.dtype.is_integer() => {
                return Err(Error::invalid_model(format!("the sizes of the parts are {sizes}")));
            }
            Some(_) => dims[axis] = self.every.map(Dim::number),
            None if self.keep => dims[axis] = Some(Dim::from(1)),
            None => {
                dims.remove(axis);
            }
        }
        Ok(vec![Fact::of_kind(input.dtype, Kind::Sequence(ElementShape::Sizes(dims)))])
    }
}

struct Kernel(SplitToSequence);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn ValueKernel>> {
    Ok(Box::new(Kernel(request.op::<SplitToSequence>()?.clone())))
}

impl ValueKernel for Kernel {
    fn compute(&self, inputs: &[Option<&Value>]) -> Result<Vec<Value>> {
        let input = tensor(inputs, 0)?.ok_or_else(|| Error::internal("nothing to split"))?;
        let axis = normalize_axis(self.0.axis, input.shape().len())?;
        let size = input.shape()[axis];
        let given = tensor(inputs, 1)?;
        let sizes = match given {
            None => vec![1; size],
            Some(sizes) => sizes_of(sizes, size)?,
        };
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for own in sizes {
            let mut part = cut(input, axis, start, own)?;
            if given.is_none() && !self.0.keep {
                let mut shape = part.shape().to_vec();
                shape.remove(axis);
                part = part.reshape(shape)?;
            }
            parts.push(part.into());
            start += own;
        }
        Ok(vec![Value::Sequence(parts)])
    }
}

/// The sizes of the parts of an axis of `size`.
fn sizes_of(sizes: &Tensor, size: usize) -> Result<Vec<usize>> {
    let wrong =
        || Error::invalid_input(format!("an axis of size {size} cannot be cut into parts of {:?}", sizes.to_i64()));
    let all =
        sizes.to_i64()?.into_iter().map(|own| usize::try_from(own).map_err(|_| wrong())).collect::<Result<Vec<_>>>()?;
    match (sizes.shape(), all.as_slice()) {
        ([], &[0]) => Err(wrong()),
        ([], &[part]) => Ok((0..size).step_by(part).map(|start| part.min(size - start)).collect()),
        (_, all) if all.iter().try_fold(0usize, |sum, &own| sum.checked_add(own)) == Some(size) => Ok(all.to_vec()),
        _ => Err(wrong()),
    }
}

/// `size` slices of an axis from `start` on.
fn cut(input: &Tensor, axis: usize, start: usize, size: usize) -> Result<Tensor> {
    let mut shape = input.shape().to_vec();
    let block = shape[axis + 1..].iter().product::<usize>() * input.dtype().size();
    let (row, own) = (shape[axis] * block, size * block);
    shape[axis] = size;
    let mut data = AlignedBytes::try_zeroed(shape[..axis].iter().product::<usize>() * own)?;
    if own > 0 {
        let rows = input.bytes().chunks_exact(row);
        data.chunks_exact_mut(own).zip(rows).for_each(|(to, from)| to.copy_from_slice(&from[start * block..][..own]));
    }
    Tensor::from_aligned(input.dtype(), shape, data)
}
