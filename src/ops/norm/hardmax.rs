//! `Hardmax`: 1 at the first largest element along an axis, 0 elsewhere.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    shape::{Dim, normalize_axis},
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
    let rank = node.inputs().required(0)?.shape.rank();
    let old = node.opset() < 13;
    let axis = node.int("axis")?.unwrap_or(if old { 1 } else { -1 });
    let to_end = old && normalize_axis(axis, rank)? + 1 < rank;
    Ok(Arc::new(Hardmax { axis, to_end }))
}

impl Hardmax {
    /// The elements of a row, and the distance between two of them.
    ///
    /// # Errors
    /// When the axis is out of range.
    pub(crate) fn row(&self, shape: &[usize]) -> Result<(usize, usize)> {
        let axis = normalize_axis(self.axis, shape.len())?;
        let inner = shape[axis + 1..].iter().product::<usize>();
        Ok(if self.to_end { (shape[axis] * inner, 1) } else { (shape[axis], inner) })
    }
}

impl Operator for Hardmax {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if !input.dtype.is_float() {
            return Err(Error::unsupported(format!("hardmax of elements of type {}", input.dtype)));
        }
        input.shape.axis(self.axis)?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let own = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        let mixed = axes[0].is_some_and(|batch| batch == own || (self.to_end && batch > own));
        (!mixed).then(|| vec![axes[0]])
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
        let (size, inner) = self.op.row(input.shape)?;
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
