//! `Hardmax`: 1 at the first largest element along an axis, 0 elsewhere.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::norm::row_axis::RowAxis,
    shape::Dim,
    tensor::Tensor,
};

/// 1 at the first largest element along one axis, or along all axes from it on, and 0 elsewhere.
///
/// NaN counts as larger than every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardmax {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether the axes after [`axis`](Self::axis) belong to the row, as in ONNX before opset 13.
    pub to_end: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Hardmax",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("hardmax"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let RowAxis { axis, to_end } = RowAxis::decode(node, "hardmax")?;
    Ok(Arc::new(Hardmax { axis, to_end }))
}

impl Hardmax {
    /// The rows of which one element each is marked.
    pub(crate) fn rows(&self) -> RowAxis {
        RowAxis { axis: self.axis, to_end: self.to_end }
    }
}

impl Operator for Hardmax {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        self.rows().infer(inputs, "hardmax")
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        self.rows().batch_axes(inputs, axes)
    }
}

struct Kernel {
    op: Hardmax,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: *request.op()? }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (size, inner) = self.op.rows().row(input.shape)?;
        let output = io.output(0)?;
        with_number!(input.dtype, T => {
            mark(input.slice::<T>()?, output.slice()?, size, inner);
            Ok(())
        }, else Err(Error::internal("hardmax was given elements that are no numbers")))
    }
}

/// Marks the first largest element along the middle axis of `[outer, size, inner]`.
fn mark<T: Number>(input: &[T], output: &mut [T], size: usize, inner: usize) {
    output.fill(T::ZERO);
    if input.is_empty() {
        return;
    }
    for (from, to) in input.chunks_exact(size * inner).zip(output.chunks_exact_mut(size * inner)) {
        for column in 0..inner {
            let at = |row: usize| from[row * inner + column];
            let first =
                (1..size).fold(0, |best, row| if at(row).order(at(best)) == Ordering::Greater { row } else { best });
            to[first * inner + column] = T::narrow(1.0);
        }
    }
}

fn cases() -> Vec<Case> {
    let equal = Tensor::new([2, 70], &[2f32; 140]).expect("140 elements fill the shape");
    let over = |name: &str, axis: i64| Case::new(name, Hardmax { axis, to_end: false });
    vec![
        over("rows", -1).value(&[3, 77], Fill::Spread),
        over("middle", 1).value(&[2, 7, 19], Fill::Spread),
        over("first", 0).value(&[5, 3], Fill::Spread),
        over("equal", -1).tensor(equal),
        over("hostile", -1).value(&[41, 7], Fill::Hostile),
        over("hostile columns", 0).value(&[7, 41], Fill::Hostile),
        over("one", -1).value(&[4, 1], Fill::Spread),
        over("empty", -1).value(&[3, 0], Fill::Spread),
        Case::new("to the end", Hardmax { axis: 1, to_end: true }).value(&[2, 3, 5], Fill::Spread),
    ]
}
