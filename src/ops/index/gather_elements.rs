//! `GatherElements`: elements selected by one index each.

use std::sync::Arc;

use bytemuck::Pod;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::{
        index::{self, Indices, check_index_type},
        tracked,
    },
    shape::Dim,
    tensor::View,
};

/// Elements of operand 0, at the indices of operand 1 along `axis`.
///
/// The result has operand 1's shape; along the other axes, positions are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherElements {
    /// The indexed axis; negative counts from the end.
    pub axis: i64,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "GatherElements",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("gather_elements"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(GatherElements { axis: node.int("axis")?.unwrap_or(0) }))
}

impl Operator for GatherElements {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (data, indices) = (inputs.required(0)?, inputs.required(1)?);
        check_index_type(indices.dtype)?;
        let axis = data.shape.axis(self.axis)?;
        if data.shape.rank() != indices.shape.rank() {
            return Err(Error::invalid_model(format!("indices {indices} into {data} of another rank")));
        }
        let elements = tracked::indexed(&Kernel { axis }, &[data], indices, &indices.shape);
        Ok(vec![Fact::new(data.dtype, indices.shape.clone()).with_elements(elements)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        match (axes[0], axes[1]) {
            (Some(own), Some(other)) if own == other && own != axis => Some(vec![Some(own)]),
            (None, Some(own)) if own == axis => Some(vec![Some(own)]),
            _ => None,
        }
    }
}

struct Kernel {
    axis: usize,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let axis = request.input(0)?.shape.axis(request.op::<GatherElements>()?.axis)?;
    Ok(Box::new(Kernel { axis }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (data, indices) = (io.input(0)?, io.input(1)?);
        let output = io.output(0)?;
        match data.dtype.size() {
            1 => pick::<u8>(data, indices, self.axis, output.bytes),
            2 => pick::<u16>(data, indices, self.axis, bytemuck::cast_slice_mut(output.bytes)),
            4 => pick::<u32>(data, indices, self.axis, bytemuck::cast_slice_mut(output.bytes)),
            _ => pick::<u64>(data, indices, self.axis, bytemuck::cast_slice_mut(output.bytes)),
        }
    }
}

fn pick<T: Pod>(data: View<'_>, indices: View<'_>, axis: usize, output: &mut [T]) -> Result<()> {
    index::check_within(data.shape, indices.shape, axis)?;
    let (from, size) = (bytemuck::cast_slice::<u8, T>(data.bytes), data.shape[axis]);
    let steps = strided::steps(data.shape);
    let (shape, indices) = (indices.shape, Indices::of(indices)?);
    index::each(shape, &steps, axis, |position, base| {
        output[position] = from[base + indices.resolve(position, axis, size)? * steps[axis] as usize];
        Ok(())
    })
}

fn cases() -> Vec<Case> {
    let along = |axis| GatherElements { axis };
    vec![
        Case::new("rows", along(0)).value(&[4, 3], Fill::Hostile).integers(&[2, 3], &[0, -1, 3, 2, 1, -4]),
        Case::new("columns", along(-1)).value(&[3, 5], Fill::Spread).integers(&[2, 2], &[4, 0, -5, 1]),
        Case::new("middle", along(1)).value(&[2, 3, 2], Fill::Spread).integers(&[2, 1, 2], &[2, 0, -1, 1]),
        Case::new("integers", along(0)).integers(&[3], &[7, 8, 9]).integers(&[5], &[2, 2, 0, -1, 1]),
        Case::new("empty", along(0)).value(&[3, 2], Fill::Spread).integers(&[0, 2], &[]),
    ]
}
