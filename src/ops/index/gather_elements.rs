//! `GatherElements`: elements selected by one index each.

use std::sync::Arc;

use bytemuck::Pod;
use half::f16;
use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::strided::{self, Axis},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::{
        index::{self, Indices, check_index_type},
        tracked,
    },
    shape::Dim,
    tensor::{Tensor, View},
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
    let from = bytemuck::cast_slice::<u8, T>(data.bytes);
    let walk = Walk { data: data.shape, indices: indices.shape, axis };
    match Indices::of(indices)? {
        Indices::I32(indices) => walk.pick(from, indices, output),
        Indices::I64(indices) => walk.pick(from, indices, output),
    }
}

/// The way through the indices.
struct Walk<'a> {
    data: &'a [usize],
    indices: &'a [usize],
    axis: usize,
}

impl Walk<'_> {
    /// Picks an element for each index, a run of indices along the innermost axes at a time.
    fn pick<T: Pod, I: Copy + Into<i64>>(&self, from: &[T], indices: &[I], output: &mut [T]) -> Result<()> {
        let (own, size) = (self.axis, self.data[self.axis]);
        let (steps, places) = (strided::steps(self.data), strided::steps(self.indices));
        let step = steps[own] as usize;
        let axes = self.indices.iter().enumerate().map(|(axis, &count)| {
            let from = if axis == own { 0 } else { steps[axis] };
            Axis { count, from, to: places[axis] }
        });
        let Some(mut axes) = strided::join(axes) else { return Ok(()) };
        let inner = axes.pop().unwrap_or(Axis { count: 1, from: 0, to: 1 });
        let shape: SmallVec<[usize; 8]> = axes.iter().map(|axis| axis.count).collect();
        let outer: SmallVec<[isize; 8]> = axes.iter().map(|axis| axis.from).collect();
        index::each(&shape, &outer, usize::MAX, |run, base| {
            let run = run * inner.count..(run + 1) * inner.count;
            let (to, from) = (output[run.clone()].iter_mut().zip(&indices[run]), &from[base..]);
            match (inner.from as usize, step) {
                (0, 1) => {
                    let from = &from[..size];
                    for (to, &index) in to {
                        *to = from[index::resolved(index.into(), own, size)?];
                    }
                }
                (inner, _) => {
                    for (at, (to, &index)) in to.enumerate() {
                        *to = from[at * inner + index::resolved(index.into(), own, size)? * step];
                    }
                }
            }
            Ok(())
        })
    }
}

fn cases() -> Vec<Case> {
    let along = |axis| GatherElements { axis };
    let halves = Tensor::new([2, 3], &[1u8, 2, 3, 4, 5, 6].map(f16::from)).expect("six numbers");
    let narrow = Tensor::new([2, 2], &[2i32, -3, -1, 1]).expect("four indices");
    vec![
        Case::new("rows", along(0)).value(&[4, 3], Fill::Hostile).integers(&[2, 3], &[0, -1, 3, 2, 1, -4]),
        Case::new("columns", along(-1)).value(&[3, 5], Fill::Spread).integers(&[2, 2], &[4, 0, -5, 1]),
        Case::new("middle", along(1)).value(&[2, 3, 2], Fill::Spread).integers(&[2, 1, 2], &[2, 0, -1, 1]),
        Case::new("integers", along(0)).integers(&[3], &[7, 8, 9]).integers(&[5], &[2, 2, 0, -1, 1]),
        Case::new("joined rows", along(1))
            .value(&[2, 3, 2, 2], Fill::Hostile)
            .integers(&[2, 2, 2, 2], &[0, -1, 2, 1, -3, 1, 0, 2, 1, 1, -2, 0, 2, -1, 0, 1]),
        Case::new("parts of rows", along(0))
            .value(&[3, 4, 5], Fill::Spread)
            .integers(&[2, 2, 3], &[0, -1, 2, 1, -3, 1, 0, 2, 1, 1, -2, 0]),
        Case::new("one column of several", along(0)).value(&[3, 4], Fill::Spread).integers(&[5, 1], &[2, 0, -1, 1, 1]),
        Case::new("columns of parts", along(-1))
            .value(&[3, 3, 4], Fill::Spread)
            .integers(&[2, 2, 3], &[3, -4, 2, 1, 0, 1, -1, 2, 3, 1, -2, 0]),
        Case::new("narrow", along(-1)).tensor(halves).tensor(narrow),
        Case::new("one", along(0)).value(&[1, 1], Fill::Spread).integers(&[1, 1], &[-1]),
        Case::new("empty", along(0)).value(&[3, 2], Fill::Spread).integers(&[0, 2], &[]),
    ]
}
