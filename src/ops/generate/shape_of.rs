//! `Shape` and `Size`: the sizes of an operand as integers.

use std::sync::Arc;

use crate::{
    error::Result,
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    shape::{Dim, Shape},
    tensor::DType,
};

/// The sizes of the operand's axes from `start` up to `end`, as i64.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeOf {
    /// The first axis; negative counts from the end.
    pub start: i64,
    /// The axis after the last; all axes where absent.
    pub end: Option<i64>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Shape",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("integers that the host knows before the run"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(ShapeOf { start: node.int("start")?.unwrap_or(0), end: node.int("end")? }))
}

impl ShapeOf {
    fn range(&self, rank: usize) -> std::ops::Range<usize> {
        let front = |axis: i64| {
            let axis = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
            axis.clamp(0, rank as i64) as usize
        };
        let start = front(self.start);
        start..self.end.map_or(rank, front).max(start)
    }
}

impl Operator for ShapeOf {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = &inputs.required(0)?.shape;
        let dims = input.dims()[self.range(input.rank())].to_vec();
        Ok(vec![Fact::new(DType::I64, Shape::fixed(&[dims.len()])).with_elements(Some(dims))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, _axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let input = &inputs.fact(0)?.shape;
        no_items(&input.dims()[self.range(input.rank())], size)
    }
}

/// One result without a batch axis, if no size depends on the number of items.
fn no_items(dims: &[Dim], size: &Dim) -> Option<Vec<Option<usize>>> {
    let symbol = size.as_symbol()?;
    dims.iter().all(|dim| !dim.mentions(symbol)).then(|| vec![None])
}

struct Kernel(ShapeOf);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<ShapeOf>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let shape = io.input(0)?.shape;
        let sizes = &shape[self.0.range(shape.len())];
        for (to, &size) in io.output(0)?.slice::<i64>()?.iter_mut().zip(sizes) {
            *to = size as i64;
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let all = ShapeOf { start: 0, end: None };
    vec![
        Case::new("all", all.clone()).value(&[3, 0, 5], Fill::Spread),
        Case::new("scalar", all).value(&[], Fill::Spread),
        Case::new("part", ShapeOf { start: -3, end: Some(-1) }).value(&[2, 3, 4, 5], Fill::Spread),
        Case::new("none", ShapeOf { start: 2, end: Some(1) }).value(&[2, 3, 4], Fill::Spread),
    ]
}

/// The number of the operand's elements, as i64.
#[derive(Clone, Debug, PartialEq)]
pub struct Size;

pub(crate) static SIZE: OpDef = OpDef {
    name: "Size",
    onnx: Some(|_| Ok(Arc::new(Size))),
    cases: || {
        vec![
            Case::new("ragged", Size).value(&[3, 7], Fill::Spread),
            Case::new("scalar", Size).value(&[], Fill::Spread),
            Case::new("empty", Size).value(&[3, 0], Fill::Spread),
        ]
    },
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|_| Ok(Box::new(SizeKernel))),
    gpu: GpuState::Host("integers that the host knows before the run"),
};

impl Operator for Size {
    fn def(&self) -> &'static OpDef {
        &SIZE
    }

    fn takes_small(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let count = inputs.required(0)?.shape.elements();
        Ok(vec![Fact::new(DType::I64, Shape::scalar()).with_elements(Some(vec![count]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, _axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        no_items(inputs.fact(0)?.shape.dims(), size)
    }
}

struct SizeKernel;

impl CpuKernel for SizeKernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let count = io.input(0)?.shape.iter().product::<usize>();
        io.output(0)?.slice::<i64>()?.fill(count as i64);
        Ok(())
    }
}
