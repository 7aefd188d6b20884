//! `CumSum`: running sums along an axis.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::index::{check_number, not_numbers},
    shape::Dim,
};

/// The running sums along an axis, added one by one; integers wrap.
#[derive(Clone, Debug, PartialEq)]
pub struct CumSum {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Whether an element is excluded from its own sum.
    pub exclusive: bool,
    /// Whether the sums start at the end of the axis.
    pub reverse: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "CumSum",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("cum_sum"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    let axis = node.take_numbers(1)?.and_then(|all| all.first().copied());
    Ok(Arc::new(CumSum { axis: axis.ok_or_else(|| Error::invalid_model("the axis is missing"))?, exclusive, reverse }))
}

impl Operator for CumSum {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        check_number(input.dtype)?;
        input.shape.axis(self.axis)?;
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let axis = inputs.fact(0)?.shape.axis(self.axis).ok()?;
        axes[0].filter(|&own| own != axis).map(|own| vec![Some(own)])
    }
}

struct Kernel {
    axis: usize,
    op: CumSum,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &CumSum = request.op()?;
    Ok(Box::new(Kernel { axis: request.input(0)?.shape.axis(op.axis)?, op: op.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        let (size, inner) = (input.shape[self.axis], input.shape[self.axis + 1..].iter().product::<usize>());
        with_number!(input.dtype, T => {
            self.sums(input.slice::<T>()?, size, inner, output.slice::<T>()?);
            Ok(())
        }, else Err(not_numbers()))
    }
}

impl Kernel {
    /// Sums of blocks of `size` rows of `inner` elements.
    fn sums<T: Number>(&self, input: &[T], size: usize, inner: usize, output: &mut [T]) {
        if output.is_empty() {
            return;
        }
        for (input, output) in input.chunks_exact(size * inner).zip(output.chunks_exact_mut(size * inner)) {
            for column in 0..inner {
                let mut sum = T::ZERO;
                for index in 0..size {
                    let row = if self.op.reverse { size - 1 - index } else { index };
                    let place = row * inner + column;
                    let next = if index == 0 { input[place] } else { sum.plus(input[place]) };
                    output[place] = if self.op.exclusive { sum } else { next };
                    sum = next;
                }
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let of = |axis, exclusive, reverse| CumSum { axis, exclusive, reverse };
    vec![
        Case::new("last", of(-1, false, false)).value(&[3, 7], Fill::Spread),
        Case::new("first", of(0, false, false)).value(&[5, 3], Fill::Hostile),
        Case::new("exclusive", of(1, true, false)).value(&[2, 5, 3], Fill::Spread),
        Case::new("reverse", of(1, false, true)).value(&[2, 4, 3], Fill::Spread),
        Case::new("both", of(0, true, true)).integers(&[4], &[1, -2, i64::MAX, 5]),
        Case::new("empty", of(0, false, false)).value(&[0, 3], Fill::Spread),
    ]
}
